"""Your own recordings: a folder for each person's session.

``bioxedge import`` writes them, ``bioxedge record``, or :mod:`bioxedge.recording`; either kind of
recording is read.

::

    recordings/
      anna-monday/
        wrist/       recording.json, samples-….npy   a sensor
        chest/       …                               another one
        labels/      …                               optional: class numbers or numerics
        marks.json                                   optional: annotations, markers, pressed keys

The names of the folders are free: a recipe says by modality and channel, or by name, which one is
which, so that the same sessions serve both directions. ``person`` in ``recording.json`` says who it
is; ``t0`` (Unix seconds) is the clock that they share. A folder that ``bioxedge record`` wrote has
``stream.json`` instead, and knows when each sample was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bioxedge import marks, recording
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError
from bioxedge.marks import Mark
from bioxedge.recorded import STREAM
from bioxedge.recording import Outline, saved
from bioxedge.signals import Recording


def sessions(folder: str | Path) -> list[Session]:
    """Find every session of a folder; no sample is read.

    Raises
    ------
    DatasetError
        No sessions there, or one that is of nobody, or of two people.
    RecordingError
        A recording that does not say what it is.
    """
    folder = Path(folder)
    found = [_session(place) for place in sorted(folder.iterdir()) if place.is_dir()]
    kept = [session for session in found if session is not None]
    if not kept:
        raise DatasetError(
            f"{folder} holds no sessions: each is a folder with a folder for each sensor, written "
            "by bioxedge import, bioxedge record or bioxedge.recording.save"
        )
    return kept


def _session(place: Path) -> Session | None:
    """Describe one session; None where the folder holds no recording."""
    inside = [path for path in sorted(place.iterdir()) if _holds(path)]
    if not inside:
        return None
    outlines = {path: recording.outline(path) for path in inside}
    people = list(dict.fromkeys(each.person for each in outlines.values() if each.person))
    if len(people) > 1:
        raise DatasetError(
            f"{place.name} pairs recordings of two people: {' and '.join(people[:2])}; put each "
            "into a session of its own"
        )
    own = [place / marks.FILE] if (place / marks.FILE).is_file() else []
    # Marks that were made while recording lie in the recordings.
    own += [file for path, each in outlines.items() if not saved(path) for file in each.files]
    return Session(
        name=place.name,
        person=people[0] if people else "",
        parts=tuple(_part(path, each) for path, each in outlines.items()),
        marks=_marks(place, inside),
        clocked=lambda: [mark for mark in marks.load(place) if mark.of],
        files=tuple(own),
    )


def _holds(path: Path) -> bool:
    """Whether a folder is a recording."""
    return path.is_dir() and (saved(path) or (path / STREAM).is_file())


def _part(path: Path, about: Outline) -> Part:
    """Describe one recording."""
    return Part(
        path.name,
        about.modality,
        about.channels,
        about.rate,
        lambda: recording.load(path),
        about.seconds,
        about.files,
    )


def _marks(place: Path, inside: list[Path]) -> Callable[[], list[Mark]]:
    """Read a session's marks: of its file, and those made while it was recorded."""

    def read() -> list[Mark]:
        found = marks.load(place)
        for path in inside:
            if not saved(path) and (own := _recorded(recording.load(path))):
                return sorted([*found, *own], key=lambda mark: mark.start)
        return found  # each stream of one recording holds the same marks: one was enough

    return read


def _recorded(stream: Recording) -> list[Mark]:
    """Give the marks that were made while a stream was recorded, at their moments."""
    made = [mark for mark in stream.facts["marks"] if mark["index"] is not None]
    lines = stream.t0 + np.array([mark["index"] for mark in made], np.float64) / stream.rate
    moments = Places(stream).at(lines) if made else lines
    return [
        Mark(moment, str(mark["text"])) for moment, mark in zip(moments.tolist(), made, strict=True)
    ]
