"""Headers of EDF, EDF+, BDF and BDF+ files, with what is wrong in them told apart.

A field on which the place of every sample depends must be right; one that only says what the
numbers mean may be missing, and then they are taken as they are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from bioxedge.errors import RecordingError

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
"""Labels of the signals that hold times and texts."""

_FIXED = 256  # bytes before the signals' headers, and bytes of each of those
_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes of each signal's header, in their order
_MOST = 4096  # signals
_FASTEST = 1e6  # Hz


@dataclass(frozen=True)
class Signal:
    """One signal's header.

    Parameters
    ----------
    label, unit, prefilter : str
    bottom, top : float
        Physical values of the digital ``low`` and ``high``; NaN where the header has no number.
    low, high : float
    count : int
        Samples in a record.
    offset : int
        Of its first sample in a record, in samples.
    """

    label: str
    unit: str
    bottom: float
    top: float
    low: float
    high: float
    prefilter: str
    count: int
    offset: int

    @property
    def scaled(self) -> bool:
        """Whether the header says what the numbers mean."""
        if not self.low < self.high or self.bottom == self.top:
            return False
        return math.isfinite(self.gain) and math.isfinite(self.bottom)

    @property
    def gain(self) -> float:
        """Physical units a digital step; may be negative."""
        return (self.top - self.bottom) / (self.high - self.low)


@dataclass(frozen=True)
class Header:
    """What a header says, checked against the file.

    Parameters
    ----------
    path : Path
    wide : bool
        24 bits a sample (BDF), else 16.
    plus : bool
        EDF+ or BDF+.
    interrupted : bool
        Records do not follow each other without gaps.
    patient, recording : str
    day, clock : str
        As they stand: ``dd.mm.yy`` and ``hh.mm.ss``.
    first : int
        Byte of the first record.
    records : int
        Whole ones that are there.
    duration : float
        Seconds of a record.
    signals : tuple of Signal
    width : int
        Samples of all signals in a record.
    remarks : tuple of str
    """

    path: Path
    wide: bool
    plus: bool
    interrupted: bool
    patient: str
    recording: str
    day: str
    clock: str
    first: int
    records: int
    duration: float
    signals: tuple[Signal, ...]
    width: int
    remarks: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        return 3 if self.wide else 2

    @property
    def fastest(self) -> int:
        """Most samples in a record that a signal has; 0 where all are annotations."""
        return max((s.count for s in self.signals if s.label not in ANNOTATIONS), default=0)

    @property
    def kind(self) -> str:
        """The format in the field's words."""
        kind = "BDF" if self.wide else "EDF"
        return f"{kind}+{'D' if self.interrupted else 'C'}" if self.plus else kind


def read_header(path: Path) -> Header:
    """Read and check a header.

    Raises
    ------
    RecordingError
        A file that cannot be read, ends too early, or whose header cannot be right.
    """
    fixed, rest, total = _bytes(path)
    wide, kind = fixed[:1] == b"\xff", text_of(fixed[192:236])
    remarks: list[str] = []
    signals = _signals(path, rest)
    for signal in signals:
        if not (signal.scaled or signal.label in ANNOTATIONS):
            remarks.append(f"{signal.label} states no scale: its numbers are taken as they are")
    width = sum(signal.count for signal in signals)
    if width == 0:
        raise RecordingError(f"{path} says that its records are empty: it is damaged")
    duration = _needed(fixed[244:252], path, "seconds of a record")
    if not 0 <= duration < 1e7:
        raise RecordingError(f"{path} says a record lasts {duration} s: it is damaged")
    fastest = max((s.count for s in signals if s.label not in ANNOTATIONS), default=0)
    if 0 < duration < fastest / _FASTEST:
        raise RecordingError(
            f"{path} says a record of {fastest} samples lasts {duration} s: it is damaged"
        )
    stated, first = _whole(fixed[236:244], path, "number of records"), _FIXED + len(rest)
    if _number(fixed[184:192]) != first:
        remarks.append(f"its header is {first} bytes and says {text_of(fixed[184:192])!r}")
    there, over = divmod(max(total - first, 0), width * (3 if wide else 2))
    if stated < 0:
        remarks.append(f"does not say how many records it has: {there} are there")
    elif there != stated or over:
        also = ", and a part of one" if over else ""
        remarks.append(f"says it has {stated} records, {there} whole ones are there{also}")
    return Header(
        path=path,
        wide=wide,
        plus=kind.startswith(("EDF+", "BDF+")),
        interrupted=kind.startswith(("EDF+D", "BDF+D")),
        patient=text_of(fixed[8:88]),
        recording=text_of(fixed[88:168]),
        day=text_of(fixed[168:176]),
        clock=text_of(fixed[176:184]),
        first=first,
        # A recorder that died leaves -1, or 0, where the number is written at the end.
        records=min(there, stated) if stated > 0 else there,
        duration=duration,
        signals=signals,
        width=width,
        remarks=tuple(remarks),
    )


def text_of(field: bytes) -> str:
    """Read a header's text; ASCII by the format, and in fact UTF-8 or Latin-1."""
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).strip()


def _bytes(path: Path) -> tuple[bytes, bytes, int]:
    """Read a header's first part, the signals' part, and the file's size."""
    try:
        with path.open("rb") as file:
            fixed = file.read(_FIXED)
            if len(fixed) < _FIXED:
                raise RecordingError(f"{path} ends within its header: it was cut off")
            count = _whole(fixed[252:256], path, "number of signals")
            if not 0 < count <= _MOST:
                raise RecordingError(f"{path} says it has {count} signals: it is damaged")
            rest = file.read(_FIXED * count)
        total = path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if len(rest) < _FIXED * count:
        raise RecordingError(f"{path} ends within its header: it was cut off")
    return fixed, rest, total


def _signals(path: Path, rest: bytes) -> tuple[Signal, ...]:
    """Read the signals' headers, which lie field by field."""
    number = len(rest) // _FIXED
    columns: list[list[bytes]] = []
    place = 0
    for width in _FIELDS:
        columns.append([rest[place + k * width : place + (k + 1) * width] for k in range(number)])
        place += width * number
    signals: list[Signal] = []
    offset = 0
    for k in range(number):
        count = _whole(columns[8][k], path, "samples in a record")
        if count < 0:
            raise RecordingError(f"{path} says a record holds {count} samples: it is damaged")
        bottom, top, low, high = (_number(columns[column][k]) for column in (3, 4, 5, 6))
        label = text_of(columns[0][k]) or f"signal {k + 1}"
        unit, prefilter = text_of(columns[2][k]), text_of(columns[7][k])
        signals.append(Signal(label, unit, bottom, top, low, high, prefilter, count, offset))
        offset += count
    return tuple(signals)


def _number(field: bytes) -> float:
    """Read a number, NaN where there is none; some write a comma for the point."""
    try:
        value = float(text_of(field).replace(",", "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _needed(field: bytes, path: Path, what: str) -> float:
    """Read a number that must be there."""
    value = _number(field)
    if math.isnan(value):
        raise RecordingError(f"{path} says {text_of(field)!r} for its {what}: it is damaged")
    return value


def _whole(field: bytes, path: Path, what: str) -> int:
    """Read a whole number that must be there."""
    value = _needed(field, path, what)
    if value != int(value):
        raise RecordingError(f"{path} says {value} for its {what}: it is damaged")
    return int(value)
