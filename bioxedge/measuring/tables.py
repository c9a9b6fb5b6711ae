"""A report in Markdown: threads by precision for a named board, under the command that gave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bioxedge.measuring.numbers import Numbers
from bioxedge.measuring.results import Cell, Report, threads
from bioxedge.measuring.summing import hops
from bioxedge.measuring.tasks import STAGES

MEGA = 2**20
SHOWN = 3
"""Reasons why a report is not valid that are shown; all are in the JSON."""


def markdown(report: Report) -> str:
    """Give the whole report for people."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    about = report.machine
    yield f"## {about.board}: {report.bundle.name}"
    yield ""
    if not report.complete:
        yield "**Incomplete**: ended before everything was measured."
        yield ""
    for why in report.invalid[:SHOWN]:
        yield f"**Not valid**: {why}"
        yield ""
    if len(report.invalid) > SHOWN:
        yield f"**Not valid**: {len(report.invalid) - SHOWN} reasons more in bench.json"
        yield ""
    yield "```"
    yield report.command
    yield "```"
    yield ""
    yield from closed_loop(report)
    yield from _inside(report)
    yield from _open_loop(report)
    yield from _rest(report)
    yield from _machine(report)


def closed_loop(report: Report) -> Iterator[str]:
    """Give milliseconds a window: a row a thread count, a column a precision."""
    cells = [cell for cell in report.cells if cell.ms is not None]
    if not cells:
        return
    columns = list(dict.fromkeys((cell.variant, cell.provider) for cell in cells))
    several = len({provider for _, provider in columns}) > 1
    heads = [f"{variant}, {provider}" if several else variant for variant, provider in columns]
    rows = []
    for count in sorted({cell.threads for cell in cells}):
        found = {(cell.variant, cell.provider): cell for cell in cells if cell.threads == count}
        rows.append([str(count), *(_median(found.get(column)) for column in columns)])
    yield from table(["Threads", *heads], rows)
    yield ""
    windows = {cell.ms.count for cell in cells if cell.ms is not None}
    yield (
        f"Milliseconds a window, closed loop: median of {_some(windows)} windows in "
        f"{report.options.restarts} process{'' if report.options.restarts == 1 else 'es'}, "
        "in brackets p99 (of 1,000 windows at least) and how far the processes' medians lie apart."
    )
    yield ""


def _inside(report: Report) -> Iterator[str]:
    told = [one for one in report.parts if one.parts.ms]
    if told:
        names = list(told[0].parts.ms)
        yield from table(
            ["Inside the engine", *names, "told by place"],
            [
                [
                    f"{one.variant}, {one.provider}, {threads(one.threads)}",
                    *(f"{one.parts.ms[name]:.3f}" for name in names),
                    f"{one.parts.by_position:.0%}",
                ]
                for one in told
            ],
        )
        yield ""
        yield (
            "Milliseconds a window by ONNX Runtime's own profile, whose clock costs something, too."
        )
        yield ""
    for one in report.parts:
        if one.parts.why:
            yield f"Inside {one.variant} on {one.provider}: not told, {one.parts.why}."
            yield ""


def _open_loop(report: Report) -> Iterator[str]:
    loop = report.open
    if loop is None or loop.latency is None:
        return
    rows = [_row(name, loop.stages[name]) for name in STAGES if name in loop.stages] + [
        _row("**latency**", loop.latency)
    ]
    yield from table(["Open loop, ms", "p50", "p90", "p99", "p99.9", "most"], rows)
    yield ""
    tail = "" if loop.tail is None else f"; p99 is {loop.tail:.2f} × p50"
    jitters = "" if loop.jitter is None else f"; jitter {loop.jitter:.2f} ms"
    hop = "the bundle's own hop" if loop.hop_is_real else "accelerated"
    yield (
        f"{loop.variant} on {loop.provider}, {threads(loop.threads)}; a window every {loop.hop:g} "
        f"s ({hop}); {loop.latency.count} windows; latency from when a window's last sample was "
        f"due to its line in a file, age as a prediction states it{tail}{jitters}; {loop.misses} "
        "later than a hop."
    )
    for said in hops(report):
        yield f"Note: {said}."
    yield ""


def _rest(report: Report) -> Iterator[str]:
    rows = []
    for cell in report.cells:
        cold, memory = cell.cold, cell.memory
        if cold is not None and memory is not None:
            rows.append([
                f"{cell.variant}, {cell.provider}, {threads(cell.threads)}",
                f"{cold.total:.0f}", f"{cold.interpreter:.0f}", f"{cold.imports:.0f}",
                f"{cold.bundle:.0f}", f"{cold.session:.0f}", f"{cold.window:.0f}",
                f"{memory.rest / MEGA:.0f}", f"{memory.peak / MEGA:.0f}",
                f"{report.bundle.models[cell.variant].bytes / MEGA:.2f}",
                "–" if cell.joules is None else f"{1e3 * cell.joules:.2f}",
            ])  # fmt: skip
    if rows:
        heads = [
            "Cold start, ms", "to first answer", "interpreter", "imports", "bundle", "session",
            "window", "RSS, MiB", "peak", "file, MiB", "mJ a window",
        ]  # fmt: skip
        yield from table(heads, rows)
        yield ""
    yield f"Energy: {report.energy.meter}."
    soak = report.soak
    if soak is not None and soak.seconds:
        hot = [one.temperature_c for one in soak.readings if one.temperature_c is not None]
        heat = f", {min(hot):.0f} to {max(hot):.0f} °C" if hot else ", no temperature to read"
        first, last = soak.seconds[0].p50, soak.seconds[-1].p50
        yield (
            f"Soak: {len(soak.seconds)} s without a pause, median {first:.2f} ms in the first "
            f"second, {last:.2f} ms in the last{heat}."
        )
    for one in report.absent:
        count = f", {threads(one.threads)}" if one.threads else ""
        yield f"Not measured: {one.variant} on {one.provider}{count}: {one.why}."
    if report.choice is not None:
        yield f"Fastest: {choice(report)}."
    yield ""


def choice(report: Report) -> str:
    """Say in one line what was chosen and what comes of it."""
    found = report.choice
    if found is None:
        return "nothing was proven here"
    return (
        f"{found.variant} on {found.provider}, {threads(found.threads)}, "
        f"{found.milliseconds:.3f} ms a window; {found.why}"
    )


def _machine(report: Report) -> Iterator[str]:
    about = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
    yield (
        f"{about.cpu}, {about.cores} processors, {about.memory_bytes / 2**30:.1f} GiB; {about.os}, "
        f"Linux {about.kernel}; governor {about.governor or 'not told'}"
        f"{f', power mode {about.power_mode}' if about.power_mode else ''}; Python "
        f"{about.python}; {versions}; threads wait without spinning; {report.began}."
    )
    others = [run.watched.others for cell in report.cells for run in cell.runs]
    known = [one for one in others if one is not None]
    if known:
        yield (
            f"Other processes took {max(known):.0%} of the processors at most (bound "
            f"{report.options.busy:.0%})."
        )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Give a Markdown table whose columns stand under each other."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    first, *others = [
        "| " + " | ".join(
            text.ljust(width) if number == 0 else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in (heads, *rows)
    ]  # fmt: skip
    marks = ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    yield first
    yield "| " + " | ".join(marks) + " |"
    yield from others


def _median(cell: Cell | None) -> str:
    if cell is None or cell.ms is None or cell.median is None or cell.spread is None:
        return "–"
    tail = "" if cell.ms.p99 is None else f"{cell.ms.p99:.3f}, "
    several = f"{cell.spread:.0%}" if len(cell.runs) > 1 else "one process"
    return f"{cell.median:.3f} ({tail}{several})"


def _row(name: str, found: Numbers) -> list[str]:
    values = (found.p50, found.p90, found.p99, found.p999, found.most)
    return [name, *("–" if value is None else f"{value:.3f}" for value in values)]


def _some(counts: set[int]) -> str:
    least, most = min(counts), max(counts)
    return str(least) if least == most else f"{least} to {most}"
