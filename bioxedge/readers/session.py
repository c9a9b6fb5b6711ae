"""What bioxedge wrote: a recording, or a session's folder of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bioxedge import marks as beside
from bioxedge import recording
from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import distinct, safe
from bioxedge.recorded import STREAM
from bioxedge.recording import Outline
from bioxedge.signals import Recording, Samples


def recognises(path: Path, head: bytes) -> bool:
    """Tell by what lies in a folder, or in its folders."""
    return path.is_dir() and bool(_inside(path))


def look(path: Path, **told: Any) -> Found:
    """Look into a folder; see :func:`bioxedge.readers.find`."""
    inside = _inside(path)
    if not inside:
        raise RecordingError(f"{path} holds nothing that bioxedge wrote")
    outlines = {place: recording.outline(place) for place in inside}
    loaded = {place: recording.load(place) for place in inside if not recording.saved(place)}
    names = distinct(safe(place.name) for place in inside)
    streams = tuple(
        _stream(name, place, about, loaded.get(place))
        for name, (place, about) in zip(names, outlines.items(), strict=True)
    )
    marks: list[Mark] = list(beside.load(path))
    for whole in loaded.values():
        for made in whole.facts.get("marks", ()):
            if made.get("index") is not None:
                start = whole.t0 + made["index"] / whole.rate
                marks.append(Mark(start, str(made.get("text", "mark"))))
        break  # every stream of one recording holds the same marks
    people = list(dict.fromkeys(each.person for each in outlines.values() if each.person))
    remarks = []
    if len(people) > 1:
        remarks.append(f"says it is of {' and '.join(people)}")
    files = tuple(file for each in outlines.values() for file in each.files)
    person = people[0] if len(people) == 1 else ""
    return Found(path, "bioxedge", streams, tuple(marks), person, tuple(remarks), files)


def _inside(path: Path) -> list[Path]:
    """Find the recordings of a folder: itself, or those in it."""
    if _holds(path):
        return [path]
    try:
        return [place for place in sorted(path.iterdir()) if place.is_dir() and _holds(place)]
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}") from error


def _holds(path: Path) -> bool:
    return recording.saved(path) or (path / STREAM).is_file()


def _stream(name: str, place: Path, about: Outline, loaded: Recording | None) -> Stream:
    """Describe one recording."""
    whole = recording.load(place) if loaded is None else loaded

    def read() -> Samples:
        return recording.load(place).samples

    return Stream(
        name=name,
        modality=about.modality,
        rate=about.rate,
        channels=about.channels,
        samples=whole.samples.shape[1],
        read=read,
        t0=whole.t0,
        dated=whole.t0 > 1e8,
        facts=whole.facts,
    )
