"""WESAD: chest ECG at 700 Hz with wrist PPG at 64 Hz, of 15 people at rest, stressed, amused.

Schmidt et al., *Introducing WESAD*, ICMI 2018. As published: a folder for each person (``S2`` …
``S17``, without ``S12``), and in it ``S2.pkl``, a pickle of Python 2 with ``signal`` (``chest``:
``ECG`` in mV and others at 700 Hz; ``wrist``: ``BVP`` at 64 Hz and others), ``label`` (700 Hz: 1
baseline, 2 stress, 3 amusement, 4 meditation, 0 and the rest of no use) and ``subject``. Both
devices begin together: its authors synchronised them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.datasets.latest import Latest
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError, RecordingError
from bioxedge.readers import pickles
from bioxedge.signals import Channel, Recording, Samples

LABELS = ("baseline", "stress", "amusement")
"""What 1, 2 and 3 stand for; everything else is not known."""
CHEST_RATE, WRIST_RATE = 700.0, 64.0
_PERSON = re.compile(r"S(\d+)")
_LEAST = 0.9  # of the chest's length that the wrist's must have: a mixed-up file is refused

_PARTS = (
    ("chest", "ecg", Channel("ECG", "mV"), CHEST_RATE),
    ("wrist", "ppg", Channel("BVP", "a.u."), WRIST_RATE),
    ("reference", "reference", Channel("class", ""), CHEST_RATE),
)


def holds(folder: Path) -> bool:
    """Whether a folder looks like this set."""
    return bool(_paths(folder))


def sessions(folder: str | Path) -> list[Session]:
    """Find everybody's recording; no sample is read.

    Parameters
    ----------
    folder : path
        Holds ``S2/S2.pkl`` and so on.

    Returns
    -------
    list of Session
        One a person, with the parts ``chest`` (``ECG``), ``wrist`` (``BVP``) and ``reference``
        (``class``: the place of a label in ``LABELS``, NaN where it is none of them).

    Raises
    ------
    DatasetError
        Nobody's recording there.
    """
    found = _paths(Path(folder))
    if not found:
        raise DatasetError(
            f"{folder} holds no WESAD (S2/S2.pkl …): get the set from its authors and name the "
            "folder, or its parent, with --data"
        )
    read = Latest(_read)
    return [_session(name, path, read) for name, path in found]


def _paths(folder: Path) -> list[tuple[str, Path]]:
    """Find the pickles, in the order of the people's numbers."""
    places = folder.iterdir() if folder.is_dir() else iter(())
    found = [
        (int(match[1]), place.name, place / f"{place.name}.pkl")
        for place in places
        if (match := _PERSON.fullmatch(place.name))
    ]
    return [(name, path) for _, name, path in sorted(found) if path.is_file()]


def _session(name: str, path: Path, read: Latest[dict[str, Samples]]) -> Session:
    """Describe one person's recording."""

    def part(key: str, modality: str, channel: Channel, rate: float) -> Part:
        def recording() -> Recording:
            facts = {"labels": {"class": list(LABELS)}} if key == "reference" else {}
            return Recording(read(path)[key], rate, (channel,), modality, name, facts=facts)

        return Part(key, modality, (channel,), rate, recording, files=(path,))

    return Session(name, name, tuple(part(*about) for about in _PARTS))


def _read(path: Path) -> dict[str, Samples]:
    """Read what is used of one person's pickle, one row each."""
    try:
        whole = pickles.read(path)
        found = {
            "chest": _row(path, whole, "signal", "chest", "ECG"),
            "wrist": _row(path, whole, "signal", "wrist", "BVP"),
        }
        label = _row(path, whole, "label")
    except RecordingError as error:
        raise DatasetError(str(error)) from error
    chest, wrist = found["chest"].shape[1], found["wrist"].shape[1]
    if label.shape[1] != chest:
        raise DatasetError(
            f"{path} has {label.shape[1]:,} labels for {chest:,} samples of the chest: they stand "
            "at the same rate; get the file again"
        )
    if not _LEAST <= (wrist / WRIST_RATE) / max(chest / CHEST_RATE, 1e-9) <= 1 / _LEAST:
        raise DatasetError(
            f"{path} holds {chest / CHEST_RATE:.0f} s of the chest and {wrist / WRIST_RATE:.0f} s "
            "of the wrist: both were worn together; get the file again"
        )
    known = (label >= 1) & (label <= len(LABELS))
    found["reference"] = np.where(known, label - 1, np.nan)
    return found


def _row(path: Path, whole: Any, *keys: str) -> Samples:
    """Give one signal as a row of float64, shape [1, n]."""
    found = whole
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            said = ", ".join(found) if isinstance(found, dict) else "no names"
            raise DatasetError(f"{path} has no {'/'.join(keys)}: it has {said[:200]}")
        found = found[key]
    if not isinstance(found, pickles.Packed):
        raise DatasetError(f"{path}: {'/'.join(keys)} is no array of numbers")
    if not found.shape or max(found.shape) != int(np.prod(found.shape)):
        raise DatasetError(f"{path}: {'/'.join(keys)} is {list(found.shape)}: one signal is wanted")
    try:
        return np.ascontiguousarray(found.array(), np.float64).reshape(1, -1)
    except RecordingError as error:
        raise DatasetError(f"{path}: {'/'.join(keys)}: {error}") from error
