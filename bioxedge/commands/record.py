"""``bioxedge record``: several sources at once, as they come, into a session on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bioxedge.commands.ending import told_to_end
from bioxedge.commands.shared import FOLDER, say
from bioxedge.errors import RecordingError, SinkError

if TYPE_CHECKING:
    from bioxedge.runtime.recorder import Recorder

_TICK = 0.1  # seconds between two looks at the keys


@click.command()
@click.option(
    "--source", "sources", multiple=True, required=True, metavar="[ROLE=]KIND:WHAT",
    help="A sensor or what stands for one; once for each stream.",
)  # fmt: skip
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The session's folder.")
@click.option("--person", default="", help="Who wears it: a code, by which build splits people.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Then end.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Then end.")
@click.option("--max-size", metavar="SIZE", help="End when it takes so much: 2GB.")
@click.option(
    "--keep-free", metavar="SIZE", help="End when less is free: 500MB, or 5 % of a small disk."
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, then a summary object.")
def record(
    sources: tuple[str, ...],
    out: Path,
    person: str,
    seconds: float | None,
    minutes: float | None,
    max_size: str | None,
    keep_free: str | None,
    as_json: bool,
) -> None:
    """Record several sources at once, until Ctrl-C.

    \b
    --source brainflow:muse_2,preset=ancillary,channels=ppg_2
    --source target=brainflow:cyton,serial_port=/dev/ttyUSB0,unit=uV

    A role in front names the stream, and its folder in DIR. Without one the first is the source
    and the second the target, which is what build reads as a pair. Every source of bioxedge run
    can be recorded; behind it stand channels=A+B, name=ROLE, unit=U, modality=M, and what else it
    takes.

    At a terminal any key marks the moment with its name, Enter begins a text of your own.
    What was recorded plays with run --source replay:DIR/ROLE (docs/recording.md).
    """  # noqa: D301
    from bioxedge.commands.tracks import tracks
    from bioxedge.runtime.recorder import Recorder

    if seconds is not None and minutes is not None:
        raise click.UsageError("--seconds or --minutes, not both", click.get_current_context())
    seconds = minutes * 60 if minutes is not None else seconds
    limit = None if max_size is None else _size("--max-size", max_size)
    keep = None if keep_free is None else _size("--keep-free", keep_free)
    _check(out)
    recorder = Recorder(out, tracks(sources), person=person, max_bytes=limit, keep_free=keep)
    with told_to_end():
        _record(recorder, seconds, person, as_json)
    if recorder.failures:
        raise recorder.failures[0]


def _record(recorder: Recorder, seconds: float | None, person: str, as_json: bool) -> None:
    """Record until the end, and say what came of it, whatever ends it."""
    from bioxedge.commands.keys import pressed
    from bioxedge.commands.recordview import make_view, summary
    from bioxedge.runtime.interrupts import held_back
    from bioxedge.runtime.systemd import Watchdog

    watchdog, began = Watchdog(), False
    try:
        with held_back():  # a board that is connected is known to be
            recorder.start()
            began = True
        watchdog.ready()
        with pressed() as keys, make_view(recorder, as_json) as view:
            view.begin(keys is not None)
            while not recorder.wait(_TICK):
                watchdog.alive()
                for mark in keys.marks() if keys is not None else ():
                    recorder.mark(mark)
                view.show(None if keys is None else keys.typed)
                if seconds is not None and recorder.seconds >= seconds:
                    break
    finally:
        with held_back():
            watchdog.stopping()
            recorder.stop()
            if began:
                done = {**recorder.to_dict(), "person": person}
                _keep(recorder.folder, done)
                if as_json:
                    say(json.dumps({"kind": "summary", "summary": done}, allow_nan=False))
                else:
                    say("\n".join(summary(recorder, person)))


def _keep(folder: Path, done: dict[str, object]) -> None:
    """Leave the summary in the session, where the disk takes it: rates, gaps, marks."""
    import contextlib

    from bioxedge import atomic

    with contextlib.suppress(OSError):
        path = folder / "summary.json"
        atomic.write_file(path, json.dumps(done, indent=2).encode() + b"\n")
        path.chmod(0o600)


def _check(out: Path) -> None:
    """Refuse what is no session before any board is asked.

    Raises
    ------
    RecordingError
        A file, a stream of its own, or a folder of other things.
    """
    from bioxedge import recorded

    if not out.exists():
        return
    if not out.is_dir():
        raise RecordingError(f"{out} is a file: name a folder that is to hold the session")
    streams = recorded.streams(out)
    if "" in streams:
        raise RecordingError(f"{out} is a stream of a session: name the session, {out.parent}")
    others = sorted(one.name for one in out.iterdir() if not one.name.startswith("."))
    if others and not streams:
        raise RecordingError(
            f"{out} is no recorded session (it holds {others[0]}): name a folder that is new or "
            "empty"
        )


def _size(option: str, text: str) -> int:
    """Read ``2GB``."""
    from bioxedge.runtime.sinks.rotation import Rotation

    try:
        size = Rotation.parse(text).size
    except SinkError:
        size = None
    if size is None:
        context = click.get_current_context()
        raise click.UsageError(f"{option} takes a size such as 500MB or 2GB, got {text!r}", context)
    return size
