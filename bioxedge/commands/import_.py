"""``bioxedge import``: files that people have, as sessions that a recipe can name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bioxedge.commands.ending import told_to_end
from bioxedge.commands.shared import FOLDER, pair, say


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=FOLDER, metavar="FILE…")
@click.option("--out", type=FOLDER, metavar="DIR", help="Write sessions there; dry without.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option(
    "--person", metavar="REGEX", help="Whose it is: its first group, in the path; or a plain word."
)
@click.option("--session", metavar="REGEX", help="The same: files that share it are one session.")
@click.option("--together", is_flag=True, help="Files of one folder are one session.")
@click.option(
    "--label", "labels", multiple=True, metavar="GLOB=TEXT",
    help="Holds for all of such a recording; again for more.",
)  # fmt: skip
@click.option(
    "--labels", "tables", multiple=True, type=FOLDER, metavar="TABLE",
    help="CSV or TSV of labels: a row a second, a stretch or a recording.",
)  # fmt: skip
@click.option(
    "--labels-columns", metavar="ROLE=COLUMN,…", default="",
    help="file, session, person, time, end, duration, label=A+B; numbers without a header.",
)  # fmt: skip
@click.option("--stream", "streams", metavar="A,B", default="", help="Names or kinds of signals.")
@click.option("--channels", metavar="A,B", default="", help="These channels alone.")
@click.option(
    "--unit", "units", multiple=True, metavar="CHANNEL=UNIT", help="In place of the file's."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="In Hz, if not said.")
@click.option("--modality", help="Kind of signal, where a file does not say.")
@click.option("--board", metavar="BOARD[/PRESET]", help="Of BrainFlow's rows.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def import_(
    files: tuple[Path, ...],
    out: Path | None,
    dry_run: bool,
    person: str | None,
    session: str | None,
    together: bool,
    labels: tuple[str, ...],
    tables: tuple[Path, ...],
    labels_columns: str,
    streams: str,
    channels: str,
    units: tuple[str, ...],
    rate: float | None,
    modality: str | None,
    board: str | None,
    as_json: bool,
) -> None:
    """Bring recordings of other programs into sessions that build reads.

    EDF, EDF+, BDF, WFDB (.hea), XDF, Empatica E4 folders, text of OpenBCI, Muse and Polar, rows of
    BrainFlow, CSV and TSV, NumPy. A folder is searched for all of them. Without --out nothing is
    written: what is in there is shown. docs/import.md has worked examples.
    """
    from bioxedge import importing
    from bioxedge.commands.importview import facts_of, show

    stated = dict(pair("--unit", one, "ecg=uV") for one in units)
    whole = [pair("--label", one, "'*_1.edf=rest'") for one in labels]
    told = importing.Told(rate, modality, stated, board)
    columns = importing.Columns.of(labels_columns)
    said = [importing.read_table(path, columns) for path in tables]
    outcome = importing.Outcome()
    dry = out is None or dry_run
    with told_to_end():
        with _progress("looking into files") as report:
            apart = (*tables, *([out] if out is not None else []))
            found, left = importing.found_in(files, told, apart, report)
        plan = importing.plan(
            found,
            person=person,
            session=session,
            together=together,
            labels=whole,
            tables=said,
            streams=_split(streams),
            channels=_split(channels),
            units=stated,
        )
        if out is None or dry:
            with _progress("reading samples") as report:
                outcome.missing = importing.missing(plan, report)
        else:
            try:
                with _progress("writing sessions") as report:
                    importing.write(plan, out, outcome, report)
            except KeyboardInterrupt:
                done = len(outcome.written) + len(outcome.there)
                say(
                    f"ended early: {done} of {len(plan.sessions)} sessions stand in {out}, the "
                    "same command goes on from there",
                    err=True,
                )
                raise
    if as_json:
        say(json.dumps(facts_of(plan, outcome, left)))
    else:
        show(plan, outcome, left)
    if dry:
        say("nothing was written: give --out DIR to write these sessions", err=True)
    else:
        also = f", {_counted(len(outcome.there))} stood there already" if outcome.there else ""
        say(f"{_counted(len(outcome.written))} written to {out}{also}", err=as_json)


def _split(text: str) -> list[str]:
    """``a, b`` -> the two."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _counted(number: int) -> str:
    """Say how many sessions."""
    return f"{number} session{'' if number == 1 else 's'}"


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
