"""EDF, EDF+, BDF and BDF+: continuous or not, signals of several rates, annotations.

Kemp et al., Electroenceph. Clin. Neurophysiol. 82, 1992 (EDF); Kemp and Olivan, Clin.
Neurophysiol. 114, 2003 (EDF+); BioSemi (BDF: 24 bits). Read here and not with a library because
those that are kept read interrupted files (EDF+D) as if they went on: each record is placed by its
own time-keeping annotation, and what lies between is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.edf_header import ANNOTATIONS, Header, Signal, read_header
from bioxedge.readers.edf_status import status_of, triggers_of
from bioxedge.readers.edf_times import notes_of, onsets_of, started
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import channels_of, distinct, modality_of, safe
from bioxedge.signals import Samples


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes, which both formats fix."""
    return head[:8] == b"0       " or head[:8] == b"\xffBIOSEMI"


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    header = read_header(path)
    raw = _records(header)
    remarks = list(header.remarks)
    notes = notes_of(header, raw)
    onsets, runs = onsets_of(header, notes, remarks)
    clock, dated = started(header, remarks)
    marks = tuple(
        Mark(clock + note.onset, text, note.seconds)
        for signal in notes
        for record in signal
        for note in record
        for text in note.texts
        if text
    )
    marks += triggers_of(header, raw, clock + onsets, remarks)
    person = _person(header, remarks)
    streams = _streams(header, raw, onsets, runs, clock, dated, remarks)
    if not streams and not marks:
        raise RecordingError(f"{path} holds no samples and no annotations")
    return Found(path, header.kind, streams, marks, person, tuple(remarks), (path,))


def _person(header: Header, remarks: list[str]) -> str:
    """Give the patient's code; names and birth dates stay where they are."""
    if not header.patient.strip("Xx "):
        return ""
    if not header.plus:
        remarks.append("what it says of its patient is free text: not carried on")
        return ""
    code = header.patient.split(" ")[0]
    person = "" if code in ("X", "x") else code
    if person:
        remarks.append("its person is its patient's code; a name or birth date is not carried on")
    else:
        remarks.append("its patient has no code; a name or birth date is not carried on")
    return person


def _records(header: Header) -> npt.NDArray[np.uint8]:
    """Map the records, [records, bytes]."""
    shape = (header.records, header.width * header.size)
    if not header.records:
        return np.empty(shape, np.uint8)
    try:
        return np.memmap(header.path, np.uint8, "r", header.first, shape)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{header.path} cannot be read: {error}") from error


def _streams(
    header: Header,
    raw: npt.NDArray[np.uint8],
    onsets: npt.NDArray[np.float64],
    runs: list[tuple[int, int]],
    clock: float,
    dated: bool,
    remarks: list[str],
) -> tuple[Stream, ...]:
    """Group signals by rate and kind."""
    status = status_of(header)
    groups: dict[tuple[int, str], list[Signal]] = {}
    for signal in header.signals:
        if signal.label not in ANNOTATIONS and signal.count and signal is not status:
            groups.setdefault((signal.count, modality_of(signal.label)), []).append(signal)
    if not header.duration or not header.records:
        if groups:
            remarks.append("its records hold no time: no signal can be read")
        return ()
    names = distinct(
        safe(modality or signals[0].label, "signal") for (_, modality), signals in groups.items()
    )
    found = []
    for name, ((count, modality), signals) in zip(names, groups.items(), strict=True):
        rate = count / header.duration
        places = _places(onsets, runs, count, rate)
        filters = {one.label: one.prefilter for one in signals if one.prefilter}
        units = [one.unit if one.scaled else "a.u." for one in signals]
        found.append(
            Stream(
                name=name,
                modality=modality,
                rate=rate,
                channels=channels_of([one.label for one in signals], units, modality),
                samples=places[-1] + (runs[-1][1] - runs[-1][0]) * count,
                read=_reader(header, raw, signals, runs, places),
                t0=clock + float(onsets[0]),
                dated=dated,
                facts={"prefilter": filters} if filters else {},
            )
        )
    return tuple(found)


def _places(
    onsets: npt.NDArray[np.float64], runs: list[tuple[int, int]], count: int, rate: float
) -> list[int]:
    """Give the sample at which each unbroken stretch starts."""
    places: list[int] = []
    free = 0
    for first, last in runs:
        # Where a device's clock drifts against its samples, none is written over another.
        place = max(round(float(onsets[first] - onsets[0]) * rate), free)
        places.append(place)
        free = place + (last - first) * count
    return places


def _reader(
    header: Header,
    raw: npt.NDArray[np.uint8],
    signals: Sequence[Signal],
    runs: list[tuple[int, int]],
    places: list[int],
) -> Callable[[], Samples]:
    """Give what reads some signals of one rate, gaps and all."""
    count = signals[0].count

    def read() -> Samples:
        total = places[-1] + (runs[-1][1] - runs[-1][0]) * count
        found: Samples = np.full((len(signals), total), np.nan)
        # One signal at a time: beside what is returned, no more than a share is in memory.
        for row, signal in zip(found, signals, strict=True):
            for (first, last), place in zip(runs, places, strict=True):
                _values(
                    header, raw[first:last], signal, row[place : place + (last - first) * count]
                )
        return found

    return read


def _values(header: Header, raw: npt.NDArray[np.uint8], signal: Signal, into: Samples) -> None:
    """Write some records of one signal, in its unit, to where they belong."""
    first, last = signal.offset * header.size, (signal.offset + signal.count) * header.size
    part = np.ascontiguousarray(raw[:, first:last])
    if header.wide:
        # Three bytes to the upper ones of four: the sign comes with them.
        padded = np.zeros((part.size // 3, 4), np.uint8)
        padded[:, 1:] = part.reshape(-1, 3)
        into[:] = padded.view("<i4")[:, 0] >> 8
    else:
        into[:] = part.view("<i2").reshape(-1)
    if signal.scaled:
        into -= signal.low
        into *= signal.gain
        into += signal.bottom
