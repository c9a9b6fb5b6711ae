"""Streams of an XDF file laid out at their rate, one for each kind of signal that they hold."""

from __future__ import annotations

import mmap
import re
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Stream
from bioxedge.readers.names import distinct, modality_of
from bioxedge.readers.text_stamps import places_of, rate_of, real_rate
from bioxedge.readers.xdf_chunks import Raw
from bioxedge.readers.xdf_samples import values_into
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
_ENOUGH = 200_000  # stamps that tell a rate
_FIRST = 1000  # stamps by which the start is told
_MANY = 50  # values of a stream without a rate that make a signal of it

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


def is_signal(raw: Raw) -> bool:
    """Tell whether a stream is a signal, not markers."""
    if raw.form == "string":
        return False
    # Some senders of signals state no rate.
    many = sum(block.count for block in raw.blocks) > _MANY
    return raw.rate > 0 or (many and text_of(raw.info, "type").lower() in _KINDS)


def streams_of(
    name: str,
    content: mmap.mmap,
    raw: Raw,
    times: Floats,
    shift: float,
    dated: bool,
    remarks: list[str],
) -> list[Stream]:
    """Lay out a stream of numbers.

    Parameters
    ----------
    name : str
    content : mmap
        The file.
    raw : Raw
    times : ndarray of float64, shape [n]
        Its stamps on the recorder's clock, in the order of the file.
    shift : float
        What to add to them.
    dated : bool
        Whether they are Unix time then.
    remarks : list of str
        What had to be assumed is added.

    Raises
    ------
    RecordingError
        Stamps that cannot be laid out.
    """
    order = _order(name, times, remarks)
    in_order = times if order is None else times[order]
    rate = _rate(name, raw.rate, in_order, remarks)
    places = places_of(in_order, rate)
    total = int(places[-1]) + 1
    if total > 86400 * rate and total > _EMPTIEST * len(places):
        raise RecordingError(
            f"it holds {len(places) / rate / 60:.0f} minutes within {total / rate / 86400:.1f} "
            "days: a clock slipped, or it is several recordings"
        )
    if total > len(places):
        remarks.append(f"{name}: {total - len(places)} samples are missing, by the stamps")
    targets = places
    if order is not None:
        targets = np.full(len(times), -1, np.int64)
        targets[order] = places
    labels, units, kinds = _channels(raw)
    groups: dict[str, list[int]] = {}
    for column, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(column)
    few = slice(None, None, 1 + len(places) // _ENOUGH)
    real = real_rate(in_order[few], places[few]) if len(places) > 2 else 0.0
    return [
        Stream(
            name=name if len(groups) == 1 else f"{name}-{kind or 'other'}",
            modality=kind,
            rate=rate,
            channels=tuple(Channel(labels[k], units[k]) for k in columns),
            samples=total,
            read=partial(_read, content, raw, columns, targets, total),
            t0=_start(in_order, places, real or rate) + shift,
            dated=dated,
            facts={"real_rate": real} if real else {},
        )
        for kind, columns in groups.items()
    ]


def text_of(info: Element, key: str) -> str:
    """Give the text under a key, on one line."""
    return " ".join((info.findtext(key) or "").split())


def _order(name: str, times: Floats, remarks: list[str]) -> Whole | None:
    """Tell which samples to lay out, in the order of their stamps; None for all as they are."""
    steps = np.diff(times)
    if np.isfinite(times).all() and (len(steps) == 0 or 0 <= steps.min() <= steps.max() < _APART):
        return None
    finite = np.isfinite(times)
    if not finite.any():
        raise RecordingError("none of its stamps is a number")
    right = finite & (np.abs(times - np.median(times[finite])) < _FAR)
    # One that stands apart while those beside it follow each other: a bit that flipped.
    known = np.where(right, times, np.inf)
    with np.errstate(invalid="ignore"):
        steps, across = np.abs(np.diff(known)), np.abs(known[2:] - known[:-2])
        right[1:-1] &= ~((steps[1:] > _APART) & (steps[:-1] > _APART) & (across < 1.0))
    order = np.flatnonzero(right).astype(np.int64)
    if len(order) < len(times):
        left = len(times) - len(order)
        remarks.append(f"{name}: {left} samples have stamps that cannot be: left out")
    if (np.diff(times[order]) < 0).any():
        remarks.append(f"{name}: stamps go back, as where a clock was reset: put in order")
        order = order[np.argsort(times[order], kind="stable")]
    return order


def _rate(name: str, nominal: float, times: Floats, remarks: list[str]) -> float:
    """Tell the rate to lay out at: the one that is stated, where the stamps agree."""
    try:
        measured = rate_of(times[:_ENOUGH]) if len(times) > 10 else nominal
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


def _start(times: Floats, places: Whole, rate: float) -> float:
    """Tell when sample 0 was, by the first stamps together: each of them jitters."""
    start = float(np.median(times[:_FIRST] - places[:_FIRST] / rate))
    return start if abs(start - times[0]) < 1.0 else float(times[0])


def _channels(raw: Raw) -> tuple[list[str], list[str], list[str]]:
    """Give the channels' names, units and kinds, as far as they are described."""
    described = raw.info.findall("desc/channels/channel")
    if len(described) != raw.channels:
        described = [Element("channel")] * raw.channels
    labels = [text_of(one, "label") or f"channel_{k + 1}" for k, one in enumerate(described)]
    units = [text_of(one, "unit") for one in described]
    overall = _KINDS.get(text_of(raw.info, "type").lower(), "")
    kinds = []
    for one, label in zip(described, labels, strict=True):
        words = re.findall("[a-z]+", label.lower())
        own = [_KINDS[word] for word in (text_of(one, "type").lower(), *words) if word in _KINDS]
        kinds.append(own[0] if own else overall or modality_of(label))
    if not any(kinds):
        kinds = [modality_of(text_of(raw.info, "name"))] * raw.channels
    return distinct(labels), [_UNITS.get(unit.lower(), unit) or "a.u." for unit in units], kinds


def _read(content: mmap.mmap, raw: Raw, columns: list[int], targets: Whole, total: int) -> Samples:
    """Read some columns of a stream, by channel; what is not there is missing."""
    found: Samples = np.full((len(columns), total), np.nan)
    values_into(found, content, raw.blocks, raw.form, columns, targets)
    return found
