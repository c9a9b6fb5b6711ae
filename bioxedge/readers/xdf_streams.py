"""Streams of an XDF file laid out at their rate, one for each kind of signal that they hold."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Stream
from bioxedge.readers.names import distinct, modality_of
from bioxedge.readers.text_stamps import places_of, rate_of, real_rate
from bioxedge.signals import Channel, Samples

_KINDS = {
    "eeg": "eeg", "ecg": "ecg", "ekg": "ecg", "emg": "emg", "eog": "eog", "ppg": "ppg",
    "eda": "eda", "gsr": "eda", "acc": "acceleration", "accelerometer": "acceleration",
    "gyro": "rotation", "gyroscope": "rotation", "temperature": "temperature",
    "resp": "respiration", "respiration": "respiration",
}  # fmt: skip
_UNITS = {"microvolts": "uV", "microvolt": "uV", "millivolts": "mV", "volts": "V"}
_FAR = 31 * 86400.0  # s from the rest: a stamp that cannot be
_APART = 2.0  # s from those beside it
_EMPTIEST = 50  # a stream that is this many times as long as what was recorded in it is two
_FIRST = 1000  # stamps by which the start is told
_MANY = 50  # values of a stream without a rate that make a signal of it


def is_signal(each: Any) -> bool:
    """Tell whether what pyxdf read of a stream is a signal, not markers."""
    info = each["info"]
    if info["channel_format"][0] == "string":
        return False
    if float(info["nominal_srate"][0]) > 0:
        return True
    # Some senders of signals state no rate.
    return _text(info, "type").lower() in _KINDS and len(each["time_stamps"]) > _MANY


def streams_of(name: str, each: Any, shift: float, dated: bool, remarks: list[str]) -> list[Stream]:
    """Lay out what pyxdf read of a stream.

    Parameters
    ----------
    name : str
    each : dict
        One stream as pyxdf gives it.
    shift : float
        What to add to its stamps.
    dated : bool
        Whether they are Unix time then.
    remarks : list of str
        What had to be assumed is added.

    Raises
    ------
    RecordingError
        Stamps that cannot be laid out.
    """
    info = each["info"]
    times = np.asarray(each["time_stamps"], np.float64)
    rows = np.asarray(each["time_series"])
    times, rows = _ordered(name, times, rows, remarks)
    rate = _rate(name, float(info["nominal_srate"][0]), times, remarks)
    places = places_of(times, rate)
    total = int(places[-1]) + 1
    if total > 86400 * rate and total > _EMPTIEST * len(places):
        raise RecordingError(
            f"it holds {len(places) / rate / 60:.0f} minutes within {total / rate / 86400:.1f} "
            "days: a clock slipped, or it is several recordings"
        )
    if total > len(places):
        remarks.append(f"{name}: {total - len(places)} samples are missing, by the stamps")
    labels, units, kinds = _channels(info, rows.shape[1])
    groups: dict[str, list[int]] = {}
    for column, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(column)
    if "" in groups:
        which = "" if len(groups) == 1 else f"{', '.join(labels[k] for k in groups[''][:8])} of "
        remarks.append(f"of what kind {which}{name} is is not told")
    real = real_rate(times, places) if len(times) > 2 else 0.0
    return [
        Stream(
            name=name if len(groups) == 1 else f"{name}-{kind or 'other'}",
            modality=kind,
            rate=rate,
            channels=tuple(Channel(labels[k], units[k]) for k in columns),
            samples=total,
            read=partial(_laid_out, rows, columns, places),
            t0=_start(times, places, real or rate) + shift,
            dated=dated,
            facts={"real_rate": real} if real else {},
        )
        for kind, columns in groups.items()
    ]


def _ordered(
    name: str, times: npt.NDArray[np.float64], rows: npt.NDArray[Any], remarks: list[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Leave out stamps that cannot be, and put the others in their order."""
    finite = np.isfinite(times)
    if not finite.any():
        raise RecordingError("none of its stamps is a number")
    right = finite & (np.abs(times - np.median(times[finite])) < _FAR)
    # One that stands apart while those beside it follow each other: a bit that flipped.
    steps, across = np.abs(np.diff(times)), np.abs(times[2:] - times[:-2])
    right[1:-1] &= ~((steps[1:] > _APART) & (steps[:-1] > _APART) & (across < 1.0))
    if not right.all():
        remarks.append(
            f"{name}: {int((~right).sum())} samples have stamps that cannot be: left out"
        )
        times, rows = times[right], rows[right]
    if (np.diff(times) < 0).any():
        remarks.append(f"{name}: stamps go back, as where a clock was reset: put in order")
        order = np.argsort(times, kind="stable")
        times, rows = times[order], rows[order]
    return times, rows


def _rate(name: str, nominal: float, times: npt.NDArray[np.float64], remarks: list[str]) -> float:
    """Tell the rate to lay out at: the one that is stated, where the stamps agree."""
    try:
        measured = rate_of(times) if len(times) > 10 else nominal
    except RecordingError:
        measured = nominal
    if not measured > 0:
        raise RecordingError("it states no rate, and its stamps show none")
    if not nominal:
        remarks.append(f"{name} states no rate: {measured:g} Hz by its stamps")
        return measured
    if abs(measured - nominal) > 0.1 * nominal:
        remarks.append(
            f"{name} says {nominal:g} Hz, its stamps {measured:g} Hz: these are believed"
        )
        return measured
    return nominal


def _start(times: npt.NDArray[np.float64], places: npt.NDArray[np.int64], rate: float) -> float:
    """Tell when sample 0 was, by the first stamps together: each of them jitters."""
    start = float(np.median(times[:_FIRST] - places[:_FIRST] / rate))
    return start if abs(start - times[0]) < 1.0 else float(times[0])


def _channels(info: Any, count: int) -> tuple[list[str], list[str], list[str]]:
    """Give the channels' names, units and kinds, as far as they are described."""
    try:
        described = list(info["desc"][0]["channels"][0]["channel"])
    except (KeyError, IndexError, TypeError):
        described = []
    if len(described) != count or not all(hasattr(one, "get") for one in described):
        described = [{}] * count
    labels = [_text(one, "label") or f"channel_{k + 1}" for k, one in enumerate(described)]
    units = [_text(one, "unit") for one in described]
    overall = _KINDS.get(_text(info, "type").lower(), "")
    kinds = []
    for one, label in zip(described, labels, strict=True):
        words = re.findall("[a-z]+", label.lower())
        own = [_KINDS[word] for word in (_text(one, "type").lower(), *words) if word in _KINDS]
        kinds.append(own[0] if own else overall or modality_of(label))
    if not any(kinds):
        kinds = [modality_of(_text(info, "name"))] * count
    return distinct(labels), [_UNITS.get(unit.lower(), unit) or "a.u." for unit in units], kinds


def _text(info: Any, key: str) -> str:
    """Give the first text under a key, as pyxdf nests it."""
    found = info.get(key) or [""]
    return str(found[0] or "").strip() if isinstance(found[0], str) else ""


def _laid_out(rows: npt.NDArray[Any], columns: list[int], places: npt.NDArray[np.int64]) -> Samples:
    """Put some columns of rows at their places, by channel; what lies between is missing."""
    found: Samples = np.full((len(columns), int(places[-1]) + 1), np.nan)
    for row, column in zip(found, columns, strict=True):
        row[places] = rows[:, column]
    return found
