"""``bioxedge convert``: a recording for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bioxedge.commands.shared import FOLDER, say
from bioxedge.errors import RecordingError

if TYPE_CHECKING:
    from bioxedge.signals import Recording


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--to", type=click.Choice(["edf", "brainflow"]), required=True, help="See below.")
@click.option(
    "--out", type=FOLDER, required=True, metavar="FILE",
    help="Of a session with several streams, each gets its name behind: FILE-source.edf.",
)  # fmt: skip
@click.option("--stream", metavar="ROLE", help="Only this stream of a session.")
@click.option("--channels", metavar="A+B", help="Only these channels.")
@click.option("--board", metavar="BOARD[/PRESET]", help="As whose rows, where it is not recorded.")
def convert(
    folder: Path, to: str, out: Path, stream: str | None, channels: str | None, board: str | None
) -> None:
    """Write a recording as a file that other programs read.

    \b
    --to edf        EDF+, by edfio: marks and gaps are annotations; 16 bits a sample
    --to brainflow  rows as BrainFlow's playback board reads them: tabs, no header, no marks

    FOLDER is what bioxedge record wrote, one stream of it, or what bioxedge.recording.save wrote.
    """  # noqa: D301
    if board is not None and to != "brainflow":
        raise click.UsageError(
            "--board means nothing to edf: leave it out", click.get_current_context()
        )
    names = tuple(channels.split("+")) if channels else None
    found = _streams(folder, stream)
    files = {
        path: out if len(found) == 1 else out.with_name(f"{out.stem}-{role}{out.suffix}")
        for role, path in found.items()
    }
    for target in files.values():
        if target.exists():
            raise RecordingError(f"{target} is there already: name another file, or remove it")
        if not target.absolute().parent.is_dir():
            raise RecordingError(f"{target} cannot be written: its folder is not there, make it")
    for path, target in files.items():
        taken = _picked(path, names)
        say(_edf(taken, target) if to == "edf" else _brainflow(taken, target, board))


def _streams(folder: Path, stream: str | None) -> dict[str, Path]:
    """Find what is to be written, by role."""
    from bioxedge import recorded, recording

    found = recorded.streams(folder)
    if not found and folder.is_dir():
        found = {
            one.name: one
            for one in sorted(folder.iterdir())
            if one.is_dir() and recording.saved(one)
        }
    if stream is not None:
        if stream not in found:
            there = ", ".join(name for name in found if name) or "none"
            raise RecordingError(f"{folder} has no stream {stream!r}: it has {there}")
        return {stream: found[stream]}
    return found or {"": folder}


def _picked(path: Path, names: tuple[str, ...] | None) -> Recording:
    """Read a recording, or some of its channels."""
    from dataclasses import replace

    from bioxedge import recording

    taken = recording.load(path)
    if names is None:
        return taken
    rows = taken.rows(names)
    return replace(
        taken, samples=taken.samples[rows], channels=tuple(taken.channels[row] for row in rows)
    )


def _edf(taken: Recording, target: Path) -> str:
    """Write EDF+ and say what became of it."""
    from bioxedge.exportfiles.edf import write_edf

    done = write_edf(taken, target)
    steps = ", ".join(f"{name} in steps of {step}" for name, step in done.steps.items())
    return (
        f"{target}: EDF+C, {taken.seconds / 60:.1f} min at {taken.rate:g} Hz, {steps}; "
        f"{done.annotations} annotations, {done.missing} samples missing, {done.added} added to "
        "fill the last record"
    )


def _brainflow(taken: Recording, target: Path, board: str | None) -> str:
    """Write BrainFlow's rows and say how to play them."""
    from bioxedge.exportfiles.rows import write_rows

    sensor = board or taken.facts.get("sensor")
    if not sensor:
        raise RecordingError(
            "the recording does not say which board it is from: name one with the same channels "
            "and rate, as --board muse_2/ancillary"
        )
    name, _, preset = str(sensor).partition("/")
    rows = write_rows(taken, target, board=name, preset=preset or None)
    return f"{target}: {rows} rows of {sensor}, for BrainFlow's playback board"
