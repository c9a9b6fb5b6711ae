"""``bioxedge soak``: a simulated day of faults, before you trust a device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bioxedge.commands.shared import FOLDER
from bioxedge.errors import SourceError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime.faults import Fault
    from bioxedge.runtime.soak import Progress
    from bioxedge.runtime.sources.counters import Pattern


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True,
    help="Of simulated time.",
)  # fmt: skip
@click.option(
    "--faults", default="2000", show_default=True, metavar="N|LIST",
    help="How many are drawn, or which: loss:64@120s,stall:5s,rail:10s/0",
)  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=0), help="Faults an hour, instead of --faults.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--board", metavar="BOARD[/PRESET]",
    help="Whose counter and stamps; the bundle's first sensor, or a plain byte, if left out.",
)  # fmt: skip
@click.option("--unknown", is_flag=True, help="Let the reader learn how the board counts.")
@click.option(
    "--model", type=click.Choice(["every", "some"]), default="every", show_default=True,
    help="Ask it about every window, or about one in fifty.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there, too.")
def soak(
    bundle: Path,
    hours: float,
    faults: str,
    rate: float | None,
    seed: int,
    board: str | None,
    unknown: bool,
    model: Literal["every", "some"],
    as_json: bool,
    out: Path | None,
) -> None:
    """Run a simulated day of faults; hold every window to the truth.

    Exit code 0 where no window is wrong and unmarked, 1 where one is.
    """
    from bioxedge.bundle import Bundle
    from bioxedge.runtime.soak import soak as run_soak

    opened = Bundle.open(bundle)
    pattern = _pattern(opened, board)
    with _progress() as progress:
        report = run_soak(
            opened,
            hours=hours,
            faults=round(rate * hours) if rate is not None else _plan(faults),
            seed=seed,
            pattern=pattern,
            told=not unknown,
            model=model,
            progress=progress,
        )
    about: dict[str, Any] = {
        "bundle": opened.manifest.name,
        "digest": opened.manifest.digest,
        "seed": seed,
        "counter": str(pattern),
        "model": model,
        **report.to_dict(),
    }
    if out is not None:
        out.write_text(json.dumps(about, indent=1, allow_nan=False) + "\n")
    click.echo(json.dumps(about, allow_nan=False) if as_json else report.line())
    if report.interrupted:
        raise click.exceptions.Exit(130)
    if report.wrong:
        raise click.exceptions.Exit(1)


def _plan(text: str) -> int | list[Fault]:
    """``2000``, or a list of faults."""
    from bioxedge.runtime.faults import parse

    return int(text) if text.isdigit() else parse(text)


def _pattern(bundle: Bundle, board: str | None) -> Pattern:
    """Find how the board counts."""
    from bioxedge.runtime.sources.counters import BYTE, pattern

    sensors = bundle.manifest.input.sensors
    name, _, preset = (board or (sensors[0] if sensors else "")).partition("/")
    found = pattern(name, preset or "default")
    if found is None and board is not None:
        raise SourceError(
            f"how {board} counts is not known: name another board and preset, such as "
            "muse_2/ancillary, or give --unknown alone"
        )
    return BYTE if found is None else found


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show how much of the day has passed."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[hours]:.1f} h"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        task = bars.add_task("faults", total=None, hours=0.0)
        yield lambda done, total: bars.update(task, completed=done, total=total, hours=done / 3600)
