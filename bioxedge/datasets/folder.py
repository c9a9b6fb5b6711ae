"""Your own recordings: a folder for each person's session, as :mod:`bioxedge.recording` writes.

::

    recordings/
      anna-monday/
        source/      recording.json, samples-….npy   the sensor the wearable has
        target/      …                               the sensor whose model knows the task
        reference/   …                               optional: class numbers or a numeric

``person`` in ``recording.json`` says who it is; ``t0`` (Unix seconds) is the clock they share.
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
        No sessions there.
    RecordingError
        A session whose source, target or reference cannot be read.
    """
    folder = Path(folder)
    sessions = sorted(p.parent for p in folder.glob("*/source") if p.is_dir())
    if not sessions:
        raise DatasetError(
            f"{folder} holds no sessions: each is a folder with source/ and target/, written "
            "by bioxedge.recording.save"
        )
    return [
        Pair(
            name=session.name,
            source=recording.load(session / "source"),
            target=recording.load(session / "target"),
            reference=(
                recording.load(session / "reference") if (session / "reference").is_dir() else None
            ),
        )
        for session in sessions
    ]
