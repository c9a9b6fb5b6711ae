"""FOG: EEG with leg muscles, of people with Parkinson's disease whose gait freezes, 500 Hz.

Zhang et al., *Multimodal data for the detection of freezing of gait in Parkinson's disease*,
Scientific Data 9, 2022; doi 10.17632/r8gmbtv7w2.3, CC BY 4.0. As published (``Filtered Data``):
``001/task_1.txt`` …, ``008/OFF_1/task_1.txt`` where somebody came twice; comma-separated without a
header, 61 columns: 0 a number, 1 the time, 2 to 26 EEG, 27 to 31 EMG and other leads, 32 to 59 what
is worn on legs, waist and arm, 60 the label (0 walking, 1 freezing).

The files name no column. Electrodes are taken in the order of the set's own table; those that the
published experiments call F3, C3, O1, F4, C4 and O2 are the same columns. Which leads are the three
muscles differs by visit: the columns are those of Li et al., *BioX-Bridge*, ICLR 2026.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from bioxedge.datasets.finding import files_below
from bioxedge.datasets.latest import Latest
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError
from bioxedge.signals import Channel, Recording, Samples

RATE, COLUMNS, LABEL = 500.0, 61, 60
LABELS = ("walking", "freezing")
EEG = (
    "FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "P7", "P8", "FZ",
    "CZ", "PZ", "FC1", "FC2", "CP1", "CP2", "FC5", "FC6", "CP5", "CP6",
)  # fmt: skip
"""The cap's electrodes in the order of the columns: the set's table without TP9, TP10 and IO."""
EMG = ("EMG1", "EMG2", "EMG3")
_FIRST = 2
_MUSCLES = {
    **dict.fromkeys(("001", "002", "006", "007", "008/OFF_1"), (27, 28, 31)),
    **dict.fromkeys(("003", "004", "005", "010", "011", "012"), (28, 27, 31)),
    "008/OFF_2": (27, 31, 28),
    "009": (28, 27, 30),
}
_PERSON, _TASK = re.compile(r"\d{3}"), re.compile(r"task_(\d+)\.txt", re.IGNORECASE)
_BLOCK = 1 << 24


def holds(folder: Path) -> bool:
    """Whether a folder looks like this set."""
    return bool(_paths(folder))


def sessions(folder: str | Path, people: Collection[str] = ()) -> list[Session]:
    """Find every task that somebody walked; no sample is read.

    Parameters
    ----------
    folder : path
        Holds ``001`` to ``012``, in any folder below it.
    people : collection of str, optional
        Whose lengths are told (lines are counted for it); everybody's if left out.

    Returns
    -------
    list of Session
        One a file, with the parts ``eeg``, ``emg`` (``EMG1`` to ``EMG3``) and ``reference``
        (``class``: the place in ``LABELS``).

    Raises
    ------
    DatasetError
        No task there, or one that cannot be read.
    """
    found = _paths(Path(folder))
    if not found:
        raise DatasetError(
            f"{folder} holds no FOG (001/task_1.txt …): get the filtered data from Mendeley Data "
            "(doi 10.17632/r8gmbtv7w2.3) and name the folder, or its parent, with --data"
        )
    read = Latest(_read)
    return [
        _session(who, visit, path, read, told=not people or who in people)
        for who, visit, path in found
    ]


def _paths(folder: Path) -> list[tuple[str, str, Path]]:
    """Find the tasks: the person, the person and visit, the file."""
    found = []
    for path in files_below(folder):
        place = path.relative_to(folder).parts
        people = [number for number, name in enumerate(place[:-1]) if _PERSON.fullmatch(name)]
        if _TASK.fullmatch(path.name) and people:
            found.append((place[people[-1]], "/".join(place[people[-1] : -1]), path))
    return found


def _session(
    person: str, visit: str, path: Path, read: Latest[dict[str, Samples]], *, told: bool
) -> Session:
    """Describe one task."""
    seconds = _lines(path) / RATE if told else None

    def part(name: str, columns: Sequence[str], unit: str) -> Part:
        channels = tuple(Channel(column, unit) for column in columns)
        facts = {"labels": {"class": list(LABELS)}} if name == "reference" else {}

        def recording() -> Recording:
            return Recording(read(path)[name], RATE, channels, name, person, facts=facts)

        return Part(name, name, channels, RATE, recording, seconds, (path,))

    parts = [part("eeg", EEG, "uV"), part("reference", ("class",), "")]
    if visit in _MUSCLES:
        parts.insert(1, part("emg", EMG, "uV"))
    return Session(f"{visit}/{path.stem}", person, tuple(parts))


def _lines(path: Path) -> int:
    """Count a file's lines."""
    count, last = 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                count, last = count + block.count(b"\n"), block[-1:]
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    return count + (last != b"\n")


def _read(path: Path) -> dict[str, Samples]:
    """Read EEG, muscles and label of one task, [channels, n] each."""
    place = path.parent.parts
    visit = next((name for name in ("/".join(place[-2:]), place[-1]) if name in _MUSCLES), "")
    muscles = _MUSCLES.get(visit, ())
    columns = [*range(_FIRST, _FIRST + len(EEG)), *muscles, LABEL]
    try:
        with path.open("rb") as file:
            width = len(file.readline(1 << 16).split(b","))
        if width != COLUMNS:
            raise DatasetError(f"{path} has {width} columns: {COLUMNS} are published")
        rows = np.loadtxt(path, np.float64, delimiter=",", usecols=columns, ndmin=2, comments=None)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        said = " ".join(str(error).split())
        raise DatasetError(f"{path} cannot be read as numbers: {said}") from error
    label = rows[:, -1]
    odd = label[(label != 0) & (label != 1)]
    if len(odd):
        raise DatasetError(f"{path} holds the label {odd[0]:g}: 0 and 1 are published")
    found = np.ascontiguousarray(rows.T)
    return {"eeg": found[: len(EEG)], "emg": found[len(EEG) : -1], "reference": found[-1:]}
