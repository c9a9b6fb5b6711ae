"""``bioxedge bench``: what a bundle costs on this machine; ``bench compare``: two reports."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bioxedge.commands.ending import told_to_end
from bioxedge.commands.shared import FOLDER, say

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.measuring.results import Report
    from bioxedge.measuring.sweep import Say

INVALID = 1
"""Exit code of what was measured, or compared, and is marked."""
QUICK = 120  # windows, one process


class Benches(click.Group):
    """``bench BUNDLE`` measures; ``bench compare A B`` compares."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is no verb for a bundle."""
        if not args or args[0] not in self.commands:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Benches)
def bench() -> None:
    """Measure a bundle on this machine; bench compare A B sets two reports side by side."""


@bench.command()
@click.argument("bundle", type=FOLDER)
@click.option("--quick", is_flag=True, help=f"{QUICK} windows in one process: no p99.")
@click.option("--threads", metavar="N,N", help="1, 2, 4 … as there are processors, if left out.")
@click.option("--variants", metavar="NAME,NAME", help="All of the bundle, if left out.")
@click.option("--providers", metavar="NAME,NAME", help="All that are here, if left out.")
@click.option(
    "--windows", type=click.IntRange(min=1), default=1000, show_default=True,
    help="For each cell, in all its processes together.",
)  # fmt: skip
@click.option("--restarts", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--hop", type=click.FloatRange(min=0.001),
    help="Seconds between windows of the open loop; the bundle's, or less to end in minutes.",
)  # fmt: skip
@click.option(
    "--soak", type=click.FloatRange(min=0), default=0.0, metavar="MINUTES",
    help="Then ask without a pause for so long.",
)  # fmt: skip
@click.option(
    "--busy", type=click.FloatRange(min=0), default=0.1, show_default=True,
    help="Share of the processors that others may take before the run is marked.",
)  # fmt: skip
@click.option("--out", type=FOLDER, help="Directory; bench-BOARD-DATE if left out.")
@click.option("--again", is_flag=True, help="Measure also what an earlier report there holds.")
@click.option("--no-choice", is_flag=True, help="Leave what bioxedge run takes as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def measure(
    bundle: Path,
    quick: bool,
    threads: str | None,
    variants: str | None,
    providers: str | None,
    windows: int,
    restarts: int,
    hop: float | None,
    soak: float,
    busy: float,
    out: Path | None,
    again: bool,
    no_choice: bool,
    as_json: bool,
) -> None:
    """Measure what a bundle costs on this machine, and keep the fastest way for bioxedge run.

    Exit code 0 where the figures are valid, 1 where they are marked: throttled, busy, governor.
    What was measured before is kept in --out; bioxedge bench compare A B sets two side by side.
    """
    from bioxedge.bundle import Bundle
    from bioxedge.measuring.results import Options
    from bioxedge.measuring.sweep import Bench
    from bioxedge.measuring.tables import choice, markdown

    opened = Bundle.open(bundle)
    options = Options(
        windows=QUICK if quick else windows, restarts=1 if quick else restarts, hop=hop,
        soak_minutes=soak, busy=busy, quick=quick,
    )  # fmt: skip
    place = _place(out)
    with _progress() as progress:
        made = Bench(
            opened,
            options,
            threads=_counts(threads),
            variants=_variants(opened, variants),
            providers=_providers(providers),
            out=place,
            command=shlex.join(["bioxedge", *sys.argv[1:]]),
            keep=not no_choice,
            again=again,
            say=progress,
        )
        with told_to_end():
            try:
                made.run()
            finally:
                report = made.report
                if any(cell.runs for cell in report.cells):
                    _keep(report, place)
    say(_json(report) if as_json else markdown(report).rstrip())
    say(f"fastest: {choice(report)}", err=True)
    say(f"report: {place}", err=True)
    if not report.valid:
        say(f"marked, not valid: {report.invalid[0]}", err=True)
        raise click.exceptions.Exit(INVALID)


@bench.command()
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Set two reports (bench.json, or their directories) side by side.

    Exit code 0 where all of it may be compared, 1 where something is marked.
    """
    import msgspec

    from bioxedge.measuring import compare as comparing
    from bioxedge.measuring.results import load

    found = comparing.compare(load(a), load(b))
    if as_json:
        say(msgspec.json.encode(found).decode())
    else:
        say("\n".join(comparing.lines(found)))
    if found.marks:
        raise click.exceptions.Exit(INVALID)


def _counts(text: str | None) -> list[int]:
    """``1,2``, or powers of two up to the number of processors."""
    import os

    if text is None:
        cores = len(os.sched_getaffinity(0))
        return [1 << power for power in range(cores.bit_length()) if 1 << power <= cores]
    words = text.split(",")
    if not all(word.strip().isdigit() and int(word) for word in words):
        raise click.UsageError(f"--threads takes numbers such as 1,2, got {text!r}")
    return list(dict.fromkeys(int(word) for word in words))


def _variants(bundle: Bundle, text: str | None) -> list[str]:
    """Those asked for, which must be there, or all."""
    if text is None:
        return list(bundle.manifest.model)
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        bundle.manifest.variant(name)
    return names


def _providers(text: str | None) -> list[str]:
    """Those asked for, or all that are here; one that is not is told in the report."""
    from bioxedge.runtime.session import available

    return available() if text is None else list(dict.fromkeys(text.split(",")))


def _place(out: Path | None) -> Path:
    """Make the directory that gets the report."""
    from bioxedge.measuring.machine import machine

    if out is None:
        board = re.sub(r"[^a-z0-9]+", "-", machine().board.lower()).strip("-")
        out = Path(f"bench-{board}-{datetime.now(timezone.utc):%Y-%m-%d}")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _json(report: Report) -> str:
    from bioxedge.measuring.results import dump

    return dump(report).rstrip()


def _keep(report: Report, place: Path) -> None:
    """Write what there is: JSON, Markdown and, where it can be drawn, a picture."""
    from bioxedge.errors import MissingExtraError
    from bioxedge.measuring import results
    from bioxedge.measuring.picture import png
    from bioxedge.measuring.tables import markdown

    report.settle()
    results.write(place / results.FILE, results.dump(report))
    results.write(place / "bench.md", markdown(report))
    try:
        results.write(place / "bench.png", png(report))
    except MissingExtraError as error:
        say(f"no picture: {error}", err=True)


@contextmanager
def _progress() -> Iterator[Say]:
    """Show what is measured now."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bars = Progress(
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        refresh_per_second=1,  # drawing takes time from what is measured
        disable=not console.is_terminal,
    )
    with bars:
        task = bars.add_task("begins", total=None)

        def show(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total)
            if not console.is_terminal:
                say(what, err=True)

        yield show
