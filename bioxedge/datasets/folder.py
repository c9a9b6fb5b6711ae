"""Your own recordings: a folder for each person's session.

:mod:`bioxedge.recording` writes them, or ``bioxedge record``: either kind of folder is read.

::

    recordings/
      anna-monday/
        source/      recording.json, samples-….npy   the sensor the wearable has
        target/      …                               the sensor whose model knows the task
        reference/   …                               optional: class numbers or a numeric

``person`` in ``recording.json`` says who it is; ``t0`` (Unix seconds) is the clock they share. A
folder that ``bioxedge record`` wrote has ``stream.json`` instead, and knows when each sample was
taken.
"""

from __future__ import annotations

from pathlib import Path

from bioxedge import recording
from bioxedge.datasets.pair import Pair
from bioxedge.errors import DatasetError


def load(folder: str | Path) -> list[Pair]:
    """Read every session of a folder.

    Raises
    ------
    DatasetError
        No sessions there, or one without a target, or that does not say whose it is.
    RecordingError
        A session whose source, target or reference cannot be read.
    """
    folder = Path(folder)
    sessions = sorted(p.parent for p in folder.glob("*/source") if p.is_dir())
    for session in sessions:
        streams = sorted(path.parent.name for path in session.glob("*/stream.json"))
        if streams and not (session / "target").is_dir():
            raise DatasetError(
                f"{session} has no target: it has {', '.join(streams)}; rename the folder of the "
                "stream whose model knows the task to target"
            )
    if not sessions:
        raise DatasetError(
            f"{folder} holds no sessions: each is a folder with source/ and target/, written "
            "by bioxedge record or bioxedge.recording.save"
        )
    return [_read(session) for session in sessions]


def _read(session: Path) -> Pair:
    """Read one session."""
    parts = {
        name: recording.load(session / name)
        for name in ("source", "target", "reference")
        if name != "reference" or (session / name).is_dir()
    }
    for name, part in parts.items():
        if not part.person:
            raise DatasetError(
                f'{session / name} says no person: set "person" in its {_about(session / name)} '
                "to a code for whoever wore it, by which people are split"
            )
    return Pair(
        name=session.name,
        source=parts["source"],
        target=parts["target"],
        reference=parts.get("reference"),
    )


def _about(folder: Path) -> str:
    """Name the file that says whose recording it is."""
    saved = recording.saved(folder)
    return "recording.json" if saved else "stream.json"
