"""When the records of an EDF+ or BDF+ file start, and what was noted in it.

Kemp and Olivan, Clin. Neurophysiol. 114, 2003: a record's first list of annotations begins with
the second at which it starts, counted from the header's clock, and an empty text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.edf_header import ANNOTATIONS, Header

_ONSET = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15(\d{1,12}(?:\.\d{0,12})?))?\x14")
_STARTDATE = re.compile(r"Startdate (\d\d)-([A-Za-z]{3})-(\d{4})\b", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_EMPTIEST = 50.0  # a file that is this many times as long as what was recorded in it is two
_DAY = 86400.0


@dataclass(frozen=True)
class Note:
    """One time-stamped list of annotations: second from the header's clock, length, texts."""

    onset: float
    seconds: float | None
    texts: tuple[str, ...]


def notes_of(header: Header, raw: npt.NDArray[np.uint8]) -> list[list[list[Note]]]:
    """Read the annotation signals.

    Parameters
    ----------
    header : Header
    raw : ndarray of uint8, shape [records, bytes]

    Returns
    -------
    list
        By signal, then by record.
    """
    found = []
    for signal in header.signals:
        if signal.label in ANNOTATIONS:
            first, last = signal.offset * header.size, (signal.offset + signal.count) * header.size
            found.append([_parsed(record.tobytes()) for record in raw[:, first:last]])
    return found


def _parsed(record: bytes) -> list[Note]:
    """Read one record's annotations; what is none is passed over."""
    notes = []
    for piece in record.split(b"\x00"):
        match = _ONSET.match(piece)
        if match is not None:
            texts = piece[match.end() :].split(b"\x14")
            notes.append(
                Note(
                    float(match[1]),
                    None if match[2] is None else float(match[2]),
                    tuple(" ".join(text.decode("utf-8", "replace").split()) for text in texts),
                )
            )
    return notes


def onsets_of(
    header: Header, notes: list[list[list[Note]]], remarks: list[str]
) -> tuple[npt.NDArray[np.float64], list[tuple[int, int]]]:
    """Tell when records start, and which follow each other without a gap.

    Parameters
    ----------
    header : Header
    notes : list
        As :func:`notes_of` gives them.
    remarks : list of str
        What had to be assumed is added.

    Returns
    -------
    onsets : ndarray of float64, shape [records]
        Seconds from the header's clock.
    runs : list of (int, int)
        First record of each unbroken stretch, and the one after its last.

    Raises
    ------
    RecordingError
        Records that overlap, or that lie so far apart that a clock must have slipped.
    """
    number, duration = header.records, header.duration
    even: npt.NDArray[np.float64] = np.arange(number, dtype=np.float64) * duration
    whole = [(0, number)] if number else []
    # Only an empty text makes it the record's own time.
    given = np.array(
        [r[0].onset if r and r[0].texts[:1] == ("",) else math.nan for r in notes[0]]
        if notes
        else [math.nan] * number
    )
    told = np.flatnonzero(np.isfinite(given))
    if not len(told):
        if header.interrupted and number:
            remarks.append("is interrupted and does not say where: records follow each other")
        return even, whole
    even += given[told[0]] - even[told[0]]
    # So far off is no rounding: some that are interrupted say that they are not.
    slipped = bool((np.abs(given[told] - even[told]) > min(0.5 * duration, 0.5)).any())
    if duration == 0 or not (header.interrupted or slipped):
        return even, whole
    if not header.interrupted:
        remarks.append("says it has no gaps, and its records' times have: placed by their times")
    if len(told) < number:
        remarks.append(
            f"{number - len(told)} records do not say when they start: placed after those before"
        )
        for k in range(number):
            if math.isnan(given[k]):
                given[k] = given[k - 1] + duration if k else even[0]
    return given, _runs(header, given)


def _runs(header: Header, given: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Find the unbroken stretches."""
    duration = header.duration
    # Times are rounded when they are written, to a millisecond in most: that is no gap.
    half = 0.5 * duration / max(header.fastest, 1)
    near = 1.01 * min(max(0.001, min(half, 0.01)), duration / 2)
    steps = np.diff(given) - duration
    if (steps < -near).any():
        at = int(np.flatnonzero(steps < -near)[0])
        raise RecordingError(
            f"{header.path} has records that overlap in time: record {at + 2} starts at "
            f"{given[at + 1]:g} s, the one before at {given[at]:g} s and lasts {duration:g} s"
        )
    span, recorded = float(given[-1] - given[0]) + duration, len(given) * duration
    if span > _DAY and span > _EMPTIEST * recorded:
        raise RecordingError(
            f"{header.path} holds {recorded / 60:.0f} minutes within {span / _DAY:.1f} days: a "
            "clock slipped, or it is several recordings: part it"
        )
    breaks = [0, *(np.flatnonzero(steps > near) + 1).tolist(), len(given)]
    return list(pairwise(breaks))


def started(header: Header, remarks: list[str]) -> tuple[float, bool]:
    """Tell when the header's clock starts in Unix seconds, and whether that is a date."""
    parts = re.findall(r"\d+", header.day, re.ASCII)
    time = re.findall(r"\d+", header.clock, re.ASCII)
    exact = _STARTDATE.search(header.recording) if header.plus else None
    if exact and exact[2].upper() in _MONTHS:
        parts = [exact[1], str(_MONTHS.index(exact[2].upper()) + 1), exact[3]]
    elif len(parts) == 3:
        if [int(part) for part in parts] == [1, 1, 85]:
            remarks.append("its date is the one of files that were made anonymous: it starts at 0")
            return 0.0, False
        if int(parts[2]) < 100:  # two digits, 1985 to 2084
            parts[2] = str(int(parts[2]) + (1900 if int(parts[2]) >= 85 else 2000))
    try:
        day, month, year, hour, minute, second = (int(part) for part in (*parts, *time))
        start = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        remarks.append(f"its start {header.day!r} {header.clock!r} is no date: it starts at 0")
        return 0.0, False
    remarks.append("its clock names no zone: taken as UTC")
    return start.timestamp(), True
