"""EDF, EDF+, BDF and BDF+: continuous or not, signals of several rates, annotations.

Kemp et al., Electroenceph. Clin. Neurophysiol. 82, 1992 (EDF); Kemp and Olivan, Clin.
Neurophysiol. 114, 2003 (EDF+); BioSemi (BDF: 24 bits). Read here and not with a library because
those that are kept read interrupted files (EDF+D) as if they went on: each record is placed by its
own time-keeping annotation, and what lies between is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import channels_of, distinct, modality_of, safe
from bioxedge.signals import Samples

_FIXED = 256
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes of each signal's header, in their order
_LONGEST = 31 * 24 * 3600.0  # s: an interrupted file that spans more is a slip of a clock
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14")


@dataclass(frozen=True)
class _Signal:
    """One signal's header."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    prefilter: str
    count: int  # samples in a record
    offset: int  # of its first sample in a record


@dataclass(frozen=True)
class _Header:
    """What the header says."""

    path: Path
    wide: bool  # 24 bits
    plus: bool
    interrupted: bool
    patient: str
    recording: str
    start: tuple[str, str]
    first: int  # byte of the first record
    records: int
    duration: float
    signals: tuple[_Signal, ...]
    per_record: int  # samples of all signals
    remarks: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        return 3 if self.wide else 2


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes, which both formats fix."""
    return head[:8] == b"0       " or head[:8] == b"\xffBIOSEMI"


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    header = _read_header(path)
    raw = _records(header)
    remarks = list(header.remarks)
    tals = [_tals(header, raw, one) for one in header.signals if one.label in _ANNOTATIONS]
    onsets = _onsets(header, tals[0] if tals else None, remarks)
    t0, dated = _started(header, remarks)
    if len(onsets):
        t0 += float(onsets[0])
    streams = _streams(header, raw, onsets, t0, dated, remarks)
    begin = t0 - (float(onsets[0]) if len(onsets) else 0.0)
    marks = tuple(
        Mark(begin + onset, text, seconds)
        for each in tals
        for record in each
        for onset, seconds, texts in record
        for text in texts
        if text
    )
    kind = ("BDF" if header.wide else "EDF") + ("+" if header.plus else "")
    kind += ("D" if header.interrupted else "C") if header.plus else ""
    person = header.patient.split(" ")[0] if header.plus and header.patient else ""
    return Found(
        path, kind, streams, marks, "" if person in ("X", "x") else person, tuple(remarks), (path,)
    )


def _read_header(path: Path) -> _Header:
    """Read and check a header."""
    try:
        with path.open("rb") as file:
            fixed = file.read(_FIXED)
            if len(fixed) < _FIXED:
                raise RecordingError(f"{path} ends within its header: it was cut off")
            count = _whole(fixed[252:256], path, "number of signals")
            if not 0 < count < 4096:
                raise RecordingError(f"{path} says it has {count} signals: it is damaged")
            rest = file.read(_FIXED * count)
        total = path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if len(rest) < _FIXED * count:
        raise RecordingError(f"{path} ends within its header: it was cut off")
    wide = fixed[:1] == b"\xff"
    kind = fixed[192:236].decode("latin-1")
    columns, place = [], 0
    for width in _FIELDS:
        columns.append([rest[place + k * width : place + (k + 1) * width] for k in range(count)])
        place += width * count
    signals: list[_Signal] = []
    offset = 0
    for k in range(count):
        size = _whole(columns[8][k], path, "samples in a record")
        if size < 0:
            raise RecordingError(f"{path} says a record holds {size} samples: it is damaged")
        signals.append(
            _Signal(
                _text(columns[0][k]),
                _text(columns[2][k]),
                (_number(columns[3][k], path), _number(columns[4][k], path)),
                (_whole(columns[5][k], path, "digital minimum"),
                 _whole(columns[6][k], path, "digital maximum")),
                _text(columns[7][k]),
                size,
                offset,
            )
        )  # fmt: skip
        offset += size
    duration = _number(fixed[244:252], path)
    first, stated = _FIXED * (count + 1), _whole(fixed[236:244], path, "number of records")
    if not (math.isfinite(duration) and duration >= 0):
        raise RecordingError(f"{path} says a record lasts {duration} s: it is damaged")
    if offset == 0:
        raise RecordingError(f"{path} says that its records are empty: it is damaged")
    there, over = divmod(total - first, offset * (3 if wide else 2))
    remarks = []
    if stated < 0:
        remarks.append(f"does not say how many records it has: {there} are there")
    elif there != stated or over:
        remarks.append(f"says it has {stated} records, {there} whole ones are there")
    return _Header(
        path=path,
        wide=wide,
        plus=kind.startswith(("EDF+", "BDF+")),
        interrupted=kind.startswith(("EDF+D", "BDF+D")),
        patient=_text(fixed[8:88]),
        recording=_text(fixed[88:168]),
        start=(_text(fixed[168:176]), _text(fixed[176:184])),
        first=first,
        records=there if stated < 0 else min(there, stated),
        duration=duration,
        signals=tuple(signals),
        per_record=offset,
        remarks=tuple(remarks),
    )


def _text(field: bytes) -> str:
    """Read a header's text; what is no ASCII is shown as it may be meant."""
    return field.decode("latin-1").strip(" \x00")


def _number(field: bytes, path: Path) -> float:
    """Read a header's number; a comma stands for a point in some."""
    text = _text(field).replace(",", ".")
    try:
        return float(text)
    except ValueError as error:
        raise RecordingError(f"{path} says {text[:16]!r} where a number stands: damaged") from error


def _whole(field: bytes, path: Path, what: str) -> int:
    """Read a header's whole number."""
    value = _number(field, path)
    if not math.isfinite(value) or value != int(value):
        raise RecordingError(f"{path} says {value} for its {what}: it is damaged")
    return int(value)


def _records(header: _Header) -> npt.NDArray[np.uint8]:
    """Map the records, [records, bytes]."""
    shape = (header.records, header.per_record * header.size)
    if not header.records:
        return np.empty(shape, np.uint8)
    return np.memmap(header.path, np.uint8, "r", header.first, shape)


def _tals(
    header: _Header, raw: npt.NDArray[np.uint8], signal: _Signal
) -> list[list[tuple[float, float | None, list[str]]]]:
    """Read one annotation signal: for each record its onsets, lengths and texts."""
    first, last = signal.offset * header.size, (signal.offset + signal.count) * header.size
    found = []
    for record in raw[:, first:last]:
        entries: list[tuple[float, float | None, list[str]]] = []
        for piece in record.tobytes().split(b"\x00"):
            match = _ONSET.match(piece)
            if match is None:
                continue
            texts = piece[match.end() :].split(b"\x14")
            entries.append(
                (
                    float(match[1]),
                    None if match[2] is None else float(match[2]),
                    [text.decode("utf-8", "replace").strip() for text in texts],
                )
            )
        found.append(entries)
    return found


def _onsets(
    header: _Header,
    tals: list[list[tuple[float, float | None, list[str]]]] | None,
    remarks: list[str],
) -> npt.NDArray[np.floating[Any]]:
    """Give the second at which each record starts, from the file's start on."""
    even: npt.NDArray[np.floating[Any]] = np.arange(header.records) * header.duration
    if tals is None:
        if header.interrupted:
            remarks.append("is interrupted and does not say where: records follow each other")
        return even
    given = np.array([record[0][0] if record else math.nan for record in tals], np.float64)
    if not np.isfinite(given).any():
        return even
    if not header.interrupted:
        first = int(np.flatnonzero(np.isfinite(given))[0])
        even += given[first] - even[first]
        return even
    lost = int((~np.isfinite(given)).sum())
    if lost:
        remarks.append(f"{lost} records do not say when they start: placed after those before")
        for k in range(len(given)):
            if not math.isfinite(given[k]):
                given[k] = given[k - 1] + header.duration if k else 0.0
    if (np.diff(given) < header.duration * 0.99).any():
        raise RecordingError(f"{header.path} has records that overlap in time: it is damaged")
    if len(given) and given[-1] - given[0] > _LONGEST:
        raise RecordingError(
            f"{header.path} spans {(given[-1] - given[0]) / 86400:.0f} days: a clock slipped"
        )
    return given


def _started(header: _Header, remarks: list[str]) -> tuple[float, bool]:
    """Tell when the file starts, and whether that is a date."""
    day, clock = header.start
    parts = re.findall(r"\d+", day)
    time = [int(part) for part in re.findall(r"\d+", clock)[:3]]
    if len(parts) != 3 or len(time) != 3:
        remarks.append(f"its start {day!r} {clock!r} is no date: it starts at 0")
        return 0.0, False
    date, month, year = (int(part) for part in parts)
    year += 1900 if year >= 85 else 2000
    exact = re.search(r"Startdate (\d\d)-([A-Za-z]{3})-(\d{4})", header.recording)
    if header.plus and exact and exact[2].upper() in _MONTHS:
        date, month, year = int(exact[1]), _MONTHS.index(exact[2].upper()) + 1, int(exact[3])
    elif (date, month, year) == (1, 1, 1985):
        remarks.append("its date is the one of files that were made anonymous: it starts at 0")
        return 0.0, False
    try:
        hour, minute, second = time
        start = datetime(year, month, date, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        remarks.append(f"its start {day!r} {clock!r} is no date: it starts at 0")
        return 0.0, False
    remarks.append("its clock names no zone: taken as UTC")
    return start.timestamp(), True


def _streams(
    header: _Header,
    raw: npt.NDArray[np.uint8],
    onsets: npt.NDArray[np.floating[Any]],
    t0: float,
    dated: bool,
    remarks: list[str],
) -> tuple[Stream, ...]:
    """Group signals by rate and kind."""
    groups: dict[tuple[int, str], list[_Signal]] = {}
    for signal in header.signals:
        if signal.label in _ANNOTATIONS or not signal.count:
            continue
        if signal.digital[0] >= signal.digital[1] or signal.physical[0] == signal.physical[1]:
            remarks.append(f"{signal.label} states no scale: its numbers are taken as they are")
        groups.setdefault((signal.count, modality_of(signal.label)), []).append(signal)
    if not header.duration or not header.records:
        if groups:
            remarks.append("its records hold no time: no signal can be read")
        return ()
    names = distinct(
        safe(modality or signals[0].label, "signal") for (_, modality), signals in groups.items()
    )
    unknown = [s.label for (_, modality), group in groups.items() if not modality for s in group]
    if unknown:
        remarks.append(f"of what kind {', '.join(unknown[:8])} are is not told")
    found = []
    for name, ((count, modality), signals) in zip(names, groups.items(), strict=True):
        rate = count / header.duration
        places = np.round((onsets - onsets[0]) * rate).astype(np.int64)
        filters = {one.label: one.prefilter for one in signals if one.prefilter}
        found.append(
            Stream(
                name=name,
                modality=modality,
                rate=rate,
                channels=channels_of(
                    [one.label for one in signals], [_unit(one) for one in signals], modality
                ),
                samples=int(places[-1]) + count,
                read=_reader(header, raw, signals, places),
                t0=t0,
                dated=dated,
                facts={"prefilter": filters} if filters else {},
            )
        )
    return tuple(found)


def _unit(signal: _Signal) -> str:
    """Give a signal's unit, as far as it has a scale."""
    scaled = signal.digital[0] < signal.digital[1] and signal.physical[0] != signal.physical[1]
    return signal.unit if scaled else "a.u."


def _reader(
    header: _Header,
    raw: npt.NDArray[np.uint8],
    signals: Sequence[_Signal],
    places: npt.NDArray[np.int64],
) -> Any:
    """Give what reads some signals of one rate, gaps and all."""

    def read() -> Samples:
        count = signals[0].count
        found = np.full((len(signals), int(places[-1]) + count), np.nan)
        whole = bool((np.diff(places) == count).all())
        for row, signal in zip(found, signals, strict=True):
            values = _values(header, raw, signal)
            if whole:
                row[:] = values.reshape(-1)
            else:
                for place, record in zip(places.tolist(), values, strict=True):
                    row[place : place + count] = record
        return found

    return read


def _values(
    header: _Header, raw: npt.NDArray[np.uint8], signal: _Signal
) -> npt.NDArray[np.float64]:
    """Read one signal in its unit, [records, samples]."""
    first, last = signal.offset * header.size, (signal.offset + signal.count) * header.size
    part = np.ascontiguousarray(raw[:, first:last])
    if header.wide:
        split = part.reshape(header.records, signal.count, 3).astype(np.int32)
        digital = split[..., 0] | (split[..., 1] << 8) | (split[..., 2] << 16)
        digital -= (digital >= 1 << 23) * (1 << 24)
    else:
        digital = part.view("<i2").reshape(header.records, signal.count)
    low, high = signal.digital
    bottom, top = signal.physical
    values = digital.astype(np.float64)
    if low < high and bottom != top:
        values -= low
        values *= (top - bottom) / (high - low)
        values += bottom
    return values
