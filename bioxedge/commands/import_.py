"""``bioxedge import``: files that people have, as sessions that a recipe can name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bioxedge.commands.shared import FOLDER, pair, say

if TYPE_CHECKING:
    from bioxedge.importing import Plan, Planned

_SHOWN = 60  # sessions that a table shows


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=FOLDER, metavar="FILE…")
@click.option("--out", type=FOLDER, metavar="DIR", help="Write sessions there; dry without.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--person", metavar="REGEX", help="Found in the path: whose it is, its first group.")
@click.option("--session", metavar="REGEX", help="The same: files that share it are one session.")
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
    labels: tuple[str, ...],
    tables: tuple[Path, ...],
    labels_columns: str,
    streams: str,
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

    stated = dict(pair("--unit", one, "ecg=uV") for one in units)
    told = importing.Told(rate, modality, stated, board)
    columns = importing.Columns.of(labels_columns)
    with _progress("looking into files") as report:
        found, left = importing.found_in(files, told, report)
    plan = importing.plan(
        found,
        person=person,
        session=session,
        labels=[pair("--label", one, "'*_1.edf=rest'") for one in labels],
        tables=[importing.read_table(path, columns) for path in tables],
        streams=[name.strip() for name in streams.split(",") if name.strip()],
        units=stated,
    )
    if as_json:
        say(json.dumps(_facts(plan, left)))
    else:
        _show(plan, left)
    if out is None or dry_run:
        say("nothing was written: give --out DIR to write these sessions", err=True)
        return
    with _progress("writing sessions") as report:
        written, there = importing.write(plan, out, report)
    also = f", {len(there)} stood there already" if there else ""
    say(f"{len(written)} sessions written to {out}{also}", err=as_json)


def _progress(title: str) -> Any:
    """Show a bar on a terminal."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown() -> Any:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)

    return shown()


def _facts(plan: Plan, left: list[str]) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "sessions": [
            {
                "name": one.name,
                "person": one.person,
                "kinds": list(one.kinds),
                "files": [str(file) for file in one.files],
                "streams": {
                    name: {
                        "modality": stream.modality,
                        "rate": stream.rate,
                        "channels": {each.name: each.unit for each in stream.channels},
                        "seconds": stream.seconds,
                        "t0": stream.t0,
                        "dated": stream.dated,
                    }
                    for name, stream in one.streams.items()
                },
                "marks": dict(Counter(mark.text for mark in one.marks)),
                "labels": _known(one),
                "remarks": list(one.remarks),
            }
            for one in plan.sessions
        ],
        "remarks": list(plan.remarks),
        "left_out": left,
    }


def _known(one: Planned) -> dict[str, Any]:
    """Count the seconds of each label."""
    if one.labels is None:
        return {}
    import numpy as np

    found: dict[str, Any] = {}
    texts = one.labels.facts["labels"]
    for row, channel in zip(one.labels.samples, one.labels.channels, strict=True):
        real = row[np.isfinite(row)]
        names = texts.get(channel.name)
        values, counts = np.unique(real, return_counts=True)
        if names or len(values) <= 12:
            found[channel.name] = {
                (names[int(value)] if names else f"{value:g}"): int(count)
                for value, count in zip(values, counts, strict=True)
            }
        else:
            found[channel.name] = {"from": float(real.min()), "to": float(real.max())}
    return found


def _show(plan: Plan, left: list[str]) -> None:
    """Lay out what was found for a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(plan.sessions)} sessions", title_justify="left")
    for name in ("session", "person", "streams", "min", "marks and labels"):
        table.add_column(name, justify="right" if name == "min" else "left", overflow="fold")
    for one in plan.sessions[:_SHOWN]:
        streams = "\n".join(
            f"{name} ({stream.modality or '?'}, {stream.rate:g} Hz): "
            + ", ".join(f"{each.name} [{each.unit}]" for each in stream.channels[:4])
            + (f" and {len(stream.channels) - 4} more" if len(stream.channels) > 4 else "")
            for name, stream in one.streams.items()
        )
        said = [f"{text} × {count}" for text, count in
                Counter(mark.text[:30] for mark in one.marks).most_common(5)]  # fmt: skip
        for name, counts in _known(one).items():
            said.append(f"{name}: " + ", ".join(f"{k} {v:g}" for k, v in counts.items()))
        table.add_row(
            one.name, one.person, streams, f"{(one.end - one.t0) / 60:.1f}", "\n".join(said)
        )
    console = Console()
    console.print(table)
    if len(plan.sessions) > _SHOWN:
        console.print(f"and {len(plan.sessions) - _SHOWN} more")
    counted = Counter(remark for one in plan.sessions for remark in one.remarks)
    for remark, count in counted.most_common():
        also = f" (and {count - 1} more)" if count > 1 else ""
        first = next(one.name for one in plan.sessions if remark in one.remarks)
        console.print(f"  {first}: {remark}{also}", highlight=False, soft_wrap=True, markup=False)
    for remark in plan.remarks:
        console.print(f"  {remark}", highlight=False, soft_wrap=True, markup=False)
    if left:
        console.print(f"  {len(left)} files are of no format that is known, or damaged:")
        for line in left[:5]:
            console.print(f"    {line[:200]}", highlight=False, soft_wrap=True, markup=False)
