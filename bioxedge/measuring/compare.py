"""Two reports side by side: ratios, a verdict in words, and what may not be compared."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bioxedge.errors import BundleError
from bioxedge.measuring.results import Cell, Report, threads
from bioxedge.measuring.tables import table

LEAST = 0.03
"""Ratios nearer to 1 than this, or than the processes' own spread, are no difference."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both reports.

    Attributes
    ----------
    what : str
    a, b : float or None
        Milliseconds, or bytes.
    ratio : float or None
        b over a; None where the two may not be compared, or one is not there.
    verdict : str
    """

    what: str
    a: float | None
    b: float | None
    ratio: float | None
    verdict: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All rows, what is different about the two, and marks: why a ratio may mislead."""

    rows: list[Row]
    differences: list[str]
    marks: list[str]


def compare(a: Report, b: Report) -> Comparison:
    """Compare two reports, cell by cell.

    Raises
    ------
    BundleError
        They share no cell.
    """
    marks = [f"{name}: {why}" for name, one in (("A", a), ("B", b)) for why in _doubts(one)]
    rows = []
    for ours in a.cells:
        theirs = _same(ours, b)
        if theirs is None or ours.median is None or theirs.median is None:
            continue
        why = _other_model(ours, theirs, a, b)
        if why is not None:
            marks.append(f"{ours.name}: {why}")
        noise = max(LEAST, ours.spread or 0.0, theirs.spread or 0.0)
        name = f"{ours.name}, p50"
        rows.append(_row(name, ours.median, theirs.median, noise, why))
        if ours.ms is not None and theirs.ms is not None:
            rows.append(_row(f"{ours.name}, p99", ours.ms.p99, theirs.ms.p99, 3 * noise, why))
        if ours.cold is not None and theirs.cold is not None:
            name = f"{ours.name}, cold start"
            rows.append(_row(name, ours.cold.total, theirs.cold.total, 0.1, why))
        if ours.memory is not None and theirs.memory is not None:
            name = f"{ours.name}, peak RSS, bytes"
            rows.append(_row(name, ours.memory.peak, theirs.memory.peak, LEAST, why, "memory"))
    if not rows:
        raise BundleError(
            f"the two have no cell in common: A has {_cells(a)}; B has {_cells(b)}: measure the "
            "same variants, threads and providers"
        )
    found, why = _open(a, b)
    rows += found
    marks += [why] if why else []
    return Comparison(rows=rows, differences=list(_differences(a, b)), marks=marks)


def lines(found: Comparison) -> Iterator[str]:
    """Give a comparison for people."""
    yield from table(
        ["", "A", "B", "B / A", "verdict"],
        [
            [one.what, _number(one.a), _number(one.b), _ratio(one.ratio), one.verdict]
            for one in found.rows
        ],
    )
    yield ""
    for said in found.differences:
        yield f"differs: {said}"
    for said in found.marks:
        yield f"marked: {said}"


def _row(
    what: str, a: float | None, b: float | None, noise: float, why: str | None, of: str = "time"
) -> Row:
    if why is not None:
        return Row(what=what, a=a, b=b, ratio=None, verdict="not comparable")
    if not a or not b:
        return Row(what=what, a=a, b=b, ratio=None, verdict="not given in both")
    ratio = b / a
    if max(ratio, 1 / ratio) - 1 <= noise:
        verdict = f"no difference beyond {noise:.0%}, what this figure varies by itself"
    elif of == "memory":
        verdict = f"B takes {1 - ratio:.0%} less" if ratio < 1 else f"B takes {ratio - 1:.0%} more"
    else:
        verdict = f"B is {1 / ratio:.2f} × faster" if ratio < 1 else f"B is {ratio:.2f} × slower"
    return Row(what=what, a=a, b=b, ratio=round(ratio, 4), verdict=verdict)


def _open(a: Report, b: Report) -> tuple[list[Row], str | None]:
    """Compare open loops, of the same cell at the same hop."""
    one, other = a.open, b.open
    if one is None or other is None or one.latency is None or other.latency is None:
        return [], None
    why = None
    if (one.variant, one.threads, one.provider) != (other.variant, other.threads, other.provider):
        why = (
            f"{one.variant} on {one.provider}, {threads(one.threads)} in A; {other.variant} on "
            f"{other.provider}, {threads(other.threads)} in B"
        )
    elif abs(one.hop - other.hop) > 1e-9:
        why = f"a window every {one.hop:g} s in A, every {other.hop:g} s in B: give both --hop"
    elif a.bundle.models[one.variant].sha256 != b.bundle.models[other.variant].sha256:
        why = "other models"
    rows = [
        _row("open loop, p50", one.latency.p50, other.latency.p50, 0.1, why),
        _row("open loop, p99", one.latency.p99, other.latency.p99, 0.3, why),
    ]
    return rows, f"open loop: {why}" if why else None


def _doubts(report: Report) -> Iterator[str]:
    if not report.complete:
        yield "incomplete, it was ended before everything was measured"
    yield from (f"not valid, {why}" for why in report.invalid)


def _same(cell: Cell, report: Report) -> Cell | None:
    wanted = (cell.variant, cell.threads, cell.provider)
    for one in report.cells:
        if (one.variant, one.threads, one.provider) == wanted:
            return one
    return None


def _other_model(ours: Cell, theirs: Cell, a: Report, b: Report) -> str | None:
    """Say why two cells of one name are not of one model."""
    one, other = a.bundle.models[ours.variant], b.bundle.models[theirs.variant]
    if one.precision != other.precision:
        return f"precision {one.precision} in A, {other.precision} in B"
    if one.sha256 != other.sha256:
        return f"another model: sha256 {one.sha256[:12]}… in A, {other.sha256[:12]}… in B"
    return None


def _differences(a: Report, b: Report) -> Iterator[str]:
    """Say what is different about the machines; it is often what is asked about."""
    ours, theirs = msgspec.to_builtins(a.machine), msgspec.to_builtins(b.machine)
    for name, one in ours.items():
        other = theirs[name]
        if name == "versions":
            for package in sorted(one.keys() | other.keys()):
                if one.get(package) != other.get(package):
                    yield f"{package} {one.get(package)} in A, {other.get(package)} in B"
        elif one != other:
            yield f"{name} {one} in A, {other} in B"
    for name, one, other in (("A", a, b), ("B", b, a)):
        alone = [cell.name for cell in one.cells if _same(cell, other) is None]
        if alone:
            yield f"only in {name}: {', '.join(alone)}"
    if a.options.windows != b.options.windows:
        yield f"{a.options.windows} windows in A, {b.options.windows} in B"


def _cells(report: Report) -> str:
    return ", ".join(cell.name for cell in report.cells) or "none"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value < 1e5 else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
