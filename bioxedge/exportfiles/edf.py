"""A recording as an EDF+ file.

EDF has no word for a missing sample, and the records of EDF+D, which may lie apart, are read by
many programs as if they did not. So the file is continuous (EDF+C): what is missing is written as
the lowest number, -32768, which no sample that is there has, and an annotation says from when to
when. Numbers have 16 bits: the range is each channel's own, and so is its resolution.

One file holds one stream. Two sensors have two quartzes, and a file has one time: at their nominal
rates in one file they would slip against each other by seconds in an hour.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge import atomic
from bioxedge.errors import MissingExtraError, RecordingError
from bioxedge.signals import Channel, Recording

LOWEST, HIGHEST = -32768, 32767
"""What a missing sample is, and the largest number there is."""
FIRST_YEAR, LAST_YEAR = 1985, 2084
"""EDF writes a year with two digits."""
_LONGEST = 60  # seconds a record may take until its samples are whole
_LARGEST = 9_999_999.0  # that eight characters hold with a sign
# A range that eight characters would cut to nothing, in a unit that fits.
_FINER = {"V": ("uV", 1e6), "mV": ("uV", 1e3)}
_SMALL = 0.1


@dataclass(frozen=True)
class Written:
    """What became of a recording.

    Attributes
    ----------
    path : Path
    steps : dict of str to str
        Each channel's resolution with its unit: what 16 bits make of its range.
    missing, added : int
        Samples that are missing in some channel; and those that fill up the last record.
    annotations : int
    """

    path: Path
    steps: dict[str, str]
    missing: int
    added: int
    annotations: int


def write_edf(recording: Recording, path: str | Path) -> Written:
    """Write a recording as EDF+C, atomically and for its owner only.

    Of the person the file says the code, and nothing else. Times are UTC.

    Parameters
    ----------
    recording : Recording
        Its facts' ``marks`` and ``clock_steps`` become annotations.
    path : path

    Raises
    ------
    MissingExtraError
        edfio is not installed.
    RecordingError
        A date, a rate or a value that EDF cannot hold.
    """
    try:
        import edfio
    except ModuleNotFoundError as error:
        raise MissingExtraError("edfio", "data") from error
    path = Path(path)
    began = _began(recording)
    duration, count = _record(recording)
    padded = -(-recording.samples.shape[1] // count) * count
    signals, steps = [], {}
    for channel, values in zip(recording.channels, recording.samples, strict=True):
        known, unit, span = _spanned(channel, values)
        signal = edfio.EdfSignal.from_digital(
            np.full(padded, LOWEST, np.int16),
            count / duration,
            label=_ascii(channel.name, 16),
            physical_dimension=_ascii(unit, 8),
            physical_range=span,
            digital_range=(LOWEST, HIGHEST),
            transducer_type=_ascii(str(recording.facts.get("sensor") or ""), 80),
        )
        # As the header has it: to eight characters.
        low, step = signal.physical_min, _step(signal.physical_min, signal.physical_max)
        numbers = np.rint((known - low) / step) + LOWEST
        there = np.flatnonzero(np.isfinite(values))
        signal.digital[there] = np.clip(numbers, LOWEST + 1, HIGHEST).astype(np.int16)
        steps[channel.name] = f"{step:.3g} {unit}"
        signals.append(signal)
    notes = [
        edfio.EdfAnnotation(onset, length, text)
        for onset, length, text in notes_of(recording, padded)
    ]
    person = _word(recording.person) or "X"
    edf = edfio.Edf(
        signals,
        patient=edfio.Patient(code=person),
        recording=edfio.Recording(startdate=began.date(), equipment_code="bioxedge"),
        starttime=began.time(),
        data_record_duration=duration,
        annotations=notes,
    )
    atomic.write_file(path, edf.to_bytes())
    path.chmod(0o600)
    gone = int((~np.isfinite(recording.samples)).any(axis=0).sum())
    return Written(path, steps, gone, padded - recording.samples.shape[1], len(notes))


def notes_of(recording: Recording, padded: int) -> list[tuple[float, float | None, str]]:
    """Give onset, duration and text of marks, of settings of the clock and of what is missing.

    They are on the file's own time, in which a sample's is its index over the nominal rate.
    """
    rate, facts = recording.rate, recording.facts
    notes: list[tuple[float, float | None, str]] = []
    real = facts.get("real_rate")
    if real:
        notes.append((0.0, None, f"real rate {real:.6g} Hz, nominal {rate:g} Hz"))
    for mark in facts.get("marks", ()):
        if mark.get("index") is not None:
            notes.append((max(mark["index"], 0) / rate, None, _text(str(mark["text"])) or "mark"))
    for step in facts.get("clock_steps", ()):
        said = f"the host's clock was set by {step['seconds']:+.3f} s"
        notes.append((step["index"] / rate, None, said))
    there: npt.NDArray[np.bool_] = np.isfinite(recording.samples)
    whole: npt.NDArray[np.bool_] = ~np.any(there, axis=0)
    for first, end in _runs(whole):
        notes.append((first / rate, (end - first) / rate, f"missing: {end - first} samples"))
    for channel, row in zip(recording.channels, there, strict=True):
        for first, end in _runs(~row & ~whole):
            said = f"missing in {_text(channel.name)}: {end - first} samples"
            notes.append((first / rate, (end - first) / rate, said))
    length = recording.samples.shape[1]
    if padded > length:
        notes.append((length / rate, (padded - length) / rate, "end: the last record is filled up"))
    return sorted(notes, key=lambda note: note[0])


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where runs of true begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _began(recording: Recording) -> datetime.datetime:
    """Give the start in UTC, if EDF has a date for it."""
    try:
        began = datetime.datetime.fromtimestamp(recording.t0, datetime.timezone.utc)
        known = FIRST_YEAR <= began.year <= LAST_YEAR
    except (ValueError, OverflowError, OSError):
        known = False
    if not known:
        raise RecordingError(
            f"{recording.person or 'this'}'s recording begins at {recording.t0:g} s of Unix time: "
            f"EDF has dates from {FIRST_YEAR} to {LAST_YEAR}; set t0 to when it was recorded"
        )
    return began


def _record(recording: Recording) -> tuple[float, int]:
    """Give the seconds of a record, such that its samples are whole, and their number."""
    rate = Fraction(recording.rate).limit_denominator(_LONGEST)
    if not math.isclose(float(rate), recording.rate, rel_tol=1e-9):
        raise RecordingError(
            f"{recording.rate:.9g} Hz fill no record of up to {_LONGEST} s with whole samples, as "
            "EDF needs: resample it"
        )
    return float(rate.denominator), rate.numerator


def _spanned(
    channel: Channel, values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], str, tuple[float, float]]:
    """Give a channel's values without what is missing, their unit, and the range to write."""
    known, unit = values[np.isfinite(values)], channel.unit
    peak = float(np.abs(known).max(initial=0.0))
    if 0 < peak < _SMALL and unit in _FINER:
        unit, gain = _FINER[unit]
        known, peak = known * gain, peak * gain
    if peak > _LARGEST:
        raise RecordingError(
            f"{channel.name} reaches {peak:.3g} {unit}: EDF's header holds up to {_LARGEST:.0f}; "
            "scale it, or leave the channel out with --channels"
        )
    if not len(known):
        return known, unit, _range(0.0, 0.0)
    return known, unit, _range(float(known.min()), float(known.max()))


def _step(low: float, high: float) -> float:
    return (high - low) / (HIGHEST - LOWEST)


def _range(least: float, most: float) -> tuple[float, float]:
    """Give a range whose ends eight characters hold, the lower one a step below all values.

    That step is what is missing.
    """
    low, high = _eight(least, math.floor), _eight(most, math.ceil)
    if high <= low:
        high = _eight(low + 1.0, math.ceil)
    while low + 1.25 * _step(low, high) > least:
        low = _eight(min(least - 1.5 * _step(low, high), low - 1e-4), math.floor)
    return low, high


def _eight(value: float, rounded: Any) -> float:
    """Round to what eight characters hold, down or up."""
    for digits in range(6, -1, -1):
        scale = 10.0**digits
        near = rounded(value * scale) / scale + 0.0
        if len(repr(near)) <= 8 and "e" not in repr(near):
            return float(near)
        if not digits:
            return float(int(near))
    raise AssertionError("no digits are left")  # pragma: no cover


def _ascii(text: str, length: int) -> str:
    """Write a header's field."""
    return text.replace("µ", "u").replace("μ", "u").encode("ascii", "replace").decode()[:length]


def _word(text: str) -> str:
    """Write a field in which blanks would end it."""
    return re.sub(r"[^!-~]+", "_", text.strip())[:60]


def _text(text: str) -> str:
    """Write an annotation: UTF-8, without what divides annotations."""
    return re.sub(r"[\x00-\x1f]+", " ", text).strip()[:200]
