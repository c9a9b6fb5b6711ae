"""ISRUC-Sleep: nights of six EEG signals with an ECG at 200 Hz, scored in epochs of 30 s.

Khalighi et al., *ISRUC-Sleep*, Computer Methods and Programs in Biomedicine 124, 2016. As
published, for group 1: ``subject1.mat`` … (extracted channels: for each signal a matrix
[epochs, 6000], ``F3_A2`` and others, ``X2`` the ECG, filtered by its authors), and in a folder of
the person's number ``1.rec`` (the whole recording, EDF) and ``1_1.txt`` (the first scorer: a line
an epoch, 0 wake, 1 to 3 N1 to N3, 5 REM). The matrices end 30 epochs before the scorer's text
does, which the set's page says to leave out. Where somebody has no ``.mat``, the ``.rec`` is read;
where a signal or the scorer's text is not there, the night is told without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bioxedge import units
from bioxedge.datasets.finding import files_below
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError, RecordingError, SignalError
from bioxedge.readers import edf, mat
from bioxedge.signals import Channel, Recording, Samples

RATE, EPOCH = 200.0, 30
EEG = ("F3", "C3", "O1", "F4", "C4", "O2")
ECG = "X2"
LABELS = ("sleep", "wake")
STAGES = ("wake", "N1", "N2", "N3", "REM")
_STAGE = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4}  # 4 is what N3 was parted into before 2007
_LEFT_OUT = 30  # epochs at the end of the scorer's text that the matrices do not have
_OTHERS = {"X2": ("X2", "25"), **{name: (name,) for name in EEG}}
"""What a signal is called: some recordings number the channels that have no electrode."""
_MAT, _REC = re.compile(r"subject(\d+)\.mat", re.IGNORECASE), re.compile(r"(\d+)\.rec", re.I)
_TEXT = re.compile(r"(\d+)_1\.txt", re.IGNORECASE)


def holds(folder: Path) -> bool:
    """Whether a folder looks like this set."""
    return bool(_files(folder, _TEXT)) and bool(_files(folder, _MAT) or _files(folder, _REC))


def sessions(folder: str | Path) -> list[Session]:
    """Find every night; no sample is read.

    Parameters
    ----------
    folder : path
        Holds ``subjectN.mat`` or ``N.rec``, and ``N_1.txt``, in any folders below it.

    Returns
    -------
    list of Session
        One a person, with the parts ``eeg`` (``F3`` … against the other side's mastoid), ``ecg``
        (``X2``) and ``reference`` at 1 Hz: ``class`` (the place in ``LABELS``) and ``stage`` (in
        ``STAGES``).

    Raises
    ------
    DatasetError
        No night there, or one whose matrices and scorer's text do not fit.
    """
    folder = Path(folder)
    mats, recs, texts = (_files(folder, kind) for kind in (_MAT, _REC, _TEXT))
    found = []
    for number in sorted({*mats, *recs}):
        path = mats.get(number) or recs[number]
        found.append(_session(number, path, texts.get(number), matrix=number in mats))
    if not found:
        raise DatasetError(
            f"{folder} holds no ISRUC-Sleep (subject1.mat and 1_1.txt …): get group 1 from its "
            "page and name the folder, or its parent, with --data"
        )
    return found


def _files(folder: Path, kind: re.Pattern[str]) -> dict[int, Path]:
    """Find files of a kind by the person's number; the first in the order of paths."""
    found: dict[int, Path] = {}
    for path in files_below(folder):
        if (match := kind.fullmatch(path.name)) and path.is_file():
            found.setdefault(int(match[1]), path)
    return found


def _session(number: int, path: Path, text: Path | None, *, matrix: bool) -> Session:
    """Describe one night."""
    person = f"subject{number}"
    labels = [] if text is None else _scored(text)
    held = _looked(path, matrix=matrix)
    seconds = min(held.values(), default=0.0)
    if matrix and text is not None:
        rows = int(seconds) // EPOCH
        if held and not len(labels) - 2 * _LEFT_OUT <= rows <= len(labels):
            raise DatasetError(
                f"{path} has {rows} epochs and {text.name} {len(labels)} lines: it ends "
                f"{_LEFT_OUT} epochs earlier, as published; are both of one person?"
            )
        labels = labels[:rows]
    read = _of_matrix if matrix else _of_edf

    def part(name: str, columns: Sequence[str]) -> Part:
        channels = tuple(Channel(column, "uV") for column in columns)

        def recording() -> Recording:
            return Recording(read(path, columns), RATE, channels, name, person)

        return Part(name, name, channels, RATE, recording, seconds, (path,))

    parts = [
        part(name, columns)
        for name, columns in (("eeg", EEG), ("ecg", (ECG,)))
        if all(_called(tuple(held), column) for column in columns)
    ]
    if labels and text is not None:
        files = (text, path) if matrix else (text,)
        parts.append(_reference(person, labels, files))
    return Session(person, person, tuple(parts))


def _reference(person: str, labels: list[int], files: tuple[Path, ...]) -> Part:
    """Describe what the first scorer says, one sample a second: shares of a window are counted."""
    known = {"class": list(LABELS), "stage": list(STAGES)}
    channels = tuple(Channel(column, "") for column in known)

    def read() -> Recording:
        stage = np.repeat(np.asarray(labels, np.float64), EPOCH)
        wake = (stage == STAGES.index("wake")).astype(np.float64)
        rows, facts = np.stack([wake, stage]), {"labels": known}
        return Recording(rows, 1.0, channels, "reference", person, facts=facts)

    seconds = float(EPOCH * len(labels))
    return Part("reference", "reference", channels, 1.0, read, seconds, files)


def _scored(path: Path) -> list[int]:
    """Read the scorer's text: the place in ``STAGES`` of each epoch."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    odd = next((line for line in lines if line not in map(str, _STAGE)), None)
    if odd is not None or not lines:
        raise DatasetError(
            f"{path} holds {odd[:20]!r}: a scorer's text has a line of 0, 1, 2, 3 or 5 an epoch"
            if odd is not None
            else f"{path} is empty: a scorer's text has a line an epoch"
        )
    return [_STAGE[int(line)] for line in lines]


def _looked(path: Path, *, matrix: bool) -> dict[str, float]:
    """Say for each signal of a file how many seconds it has."""
    try:
        if not matrix:
            streams = edf.look(path).streams
            return {one.name: each.seconds for each in streams for one in each.channels}
        held = mat.shapes(path)
    except RecordingError as error:
        raise DatasetError(str(error)) from error
    width = EPOCH * int(RATE)
    for wanted in (*EEG, ECG):
        name = _called(tuple(held), wanted)
        if name and (len(held[name]) != 2 or held[name][1] != width):
            raise DatasetError(f"{path}: {name} is {list(held[name])}: [epochs, {width}] is wanted")
    return {
        name: float(EPOCH * held[name][0])
        for name in (_called(tuple(held), wanted) for wanted in (*EEG, ECG))
        if name
    }


def _called(names: Sequence[str], wanted: str) -> str:
    """Find a signal by its electrode, whatever mastoid it is held against; else empty."""
    for said in _OTHERS[wanted]:
        for name in names:
            if re.fullmatch(rf"{said}([-_][AM][12])?", name, re.IGNORECASE):
                return name
    return ""


def _of_matrix(path: Path, wanted: Sequence[str]) -> Samples:
    """Read signals of a file of matrices, epochs one behind the other, [channels, n]."""
    try:
        names = [_called(tuple(mat.shapes(path)), name) for name in wanted]
        found = mat.arrays(path, names)
    except RecordingError as error:
        raise DatasetError(str(error)) from error
    shortest = min(len(found[name]) for name in names)
    return np.stack([found[name][:shortest].reshape(-1) for name in names])


def _of_edf(path: Path, wanted: Sequence[str]) -> Samples:
    """Read signals of a whole recording, in microvolts, [channels, n]."""
    try:
        streams = edf.look(path).streams
        held = {one.name: each for each in streams for one in each.channels}
        rows = []
        for name in (_called(tuple(held), each) for each in wanted):
            stream = held[name]
            if stream.rate != RATE:
                raise DatasetError(f"{path}: {name} has {stream.rate:g} Hz: {RATE:g} are published")
            place = [channel.name for channel in stream.channels].index(name)
            rows.append(stream.read()[place] * units.factor(stream.channels[place].unit, "uV"))
    except SignalError as error:
        raise DatasetError(
            f"{path}: {error}" if str(path) not in str(error) else str(error)
        ) from error
    return np.stack(rows)
