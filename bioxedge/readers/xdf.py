"""XDF, as LabRecorder writes it: several streams, their stamps on one clock, markers.

Read by pyxdf with its own synchronisation of clocks: a clock that was reset starts a new piece,
whose offset is its own. What did not arrive shows in the stamps. Streams without a footer (the
recorder was killed) are read as far as they go.
"""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import MissingExtraError, RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import distinct, modality_of, safe
from bioxedge.readers.text_stamps import laid_out, places_of, rate_of, real_rate
from bioxedge.signals import Channel, Samples

_KINDS = {
    "eeg": "eeg", "ecg": "ecg", "emg": "emg", "eog": "eog", "ppg": "ppg", "eda": "eda",
    "gsr": "eda", "acc": "acceleration", "accelerometer": "acceleration", "gyro": "rotation",
    "gyroscope": "rotation", "temperature": "temperature", "respiration": "respiration",
}  # fmt: skip
_UNITS = {"microvolts": "uV", "microvolt": "uV", "millivolts": "mV", "volts": "V"}


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes."""
    return head[:4] == b"XDF:"


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    try:
        import pyxdf
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyxdf", "data") from error
    remarks: list[str] = []
    loud = logging.getLogger("pyxdf")
    before, heard = loud.level, _Heard(remarks)
    loud.setLevel(logging.WARNING)
    loud.addHandler(heard)
    spread, loud.propagate = loud.propagate, False
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            streams, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    except MemoryError as error:
        raise RecordingError(f"{path} says it is larger than memory: it is damaged") from error
    except Exception as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise RecordingError(f"{path} cannot be read as XDF: {said}") from error
    finally:
        loud.setLevel(before)
        loud.removeHandler(heard)
        loud.propagate = spread
    found: list[Stream] = []
    marks: list[Mark] = []
    names = distinct(safe(_first(each["info"], "name"), "stream") for each in streams)
    for name, each in zip(names, streams, strict=True):
        texts = each["info"].get("channel_format", [""])[0] == "string"
        if not len(each["time_stamps"]):
            remarks.append(f"{name} has no samples: left out")
        elif texts:
            marks += _marks(each)
        elif not float(_first(each["info"], "nominal_srate") or 0):
            remarks.append(f"{name} has no rate: its values are marks")
            marks += _marks(each)
        else:
            try:
                found.append(_stream(name, each, remarks))
            except RecordingError as error:
                remarks.append(f"{name}: {error}: left out")
    if not found and not marks:
        raise RecordingError(f"{path} holds no samples in {len(streams)} streams")
    if found:
        remarks.append("its clock is the recorder's: seconds since that machine started, no date")
    return Found(
        path, "XDF", tuple(found), tuple(marks), "", tuple(dict.fromkeys(remarks)), (path,)
    )


class _Heard(logging.Handler):
    """Keeps what the library warns of."""

    def __init__(self, remarks: list[str]) -> None:
        super().__init__()
        self._remarks = remarks

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning in one line."""
        self._remarks.append(" ".join(record.getMessage().split())[:160])


def _first(info: Any, key: str) -> str:
    """Give the first text under a key, as pyxdf nests it."""
    found = info.get(key) or [""]
    return str(found[0] or "")


def _stream(name: str, each: Any, remarks: list[str]) -> Stream:
    """Lay out one stream."""
    info = each["info"]
    times = np.asarray(each["time_stamps"], np.float64)
    rows = np.ascontiguousarray(np.asarray(each["time_series"], np.float64).T)
    order = np.argsort(times, kind="stable")
    if (order != np.arange(len(order))).any():
        remarks.append(f"{name}: stamps go back, as where a clock was reset: put in order")
        times, rows = times[order], rows[:, order]
    nominal = float(_first(info, "nominal_srate"))
    try:
        measured = rate_of(times) if len(times) > 10 else nominal
    except RecordingError:
        measured = nominal
    if abs(measured - nominal) > 0.1 * nominal:
        remarks.append(f"{name} says {nominal:g} Hz, its stamps {measured:g} Hz")
    places = places_of(times, nominal)
    lost = int(places[-1]) + 1 - len(places)
    if lost:
        remarks.append(f"{name}: {lost} samples are missing, by the stamps")
    labels, units = _labels(info, len(rows))
    kind = _KINDS.get(_first(info, "type").lower(), "") or modality_of(labels[0])
    if not kind:
        remarks.append(f"of what kind {name} is is not told")
    return Stream(
        name=name,
        modality=kind,
        rate=nominal,
        channels=tuple(
            Channel(label, _UNITS.get(unit.lower(), unit) or "a.u.")
            for label, unit in zip(labels, units, strict=True)
        ),
        samples=int(places[-1]) + 1,
        read=_reader(rows, places),
        t0=float(times[0]),
        dated=False,
        facts={"real_rate": real_rate(times, places)} if len(times) > 2 else {},
    )


def _labels(info: Any, count: int) -> tuple[list[str], list[str]]:
    """Give the channels' names and units, as far as they are described."""
    try:
        described = info["desc"][0]["channels"][0]["channel"]
    except (KeyError, IndexError, TypeError):
        described = []
    labels = [_first(one, "label") or f"channel_{k + 1}" for k, one in enumerate(described)]
    units = [_first(one, "unit") for one in described]
    if len(labels) != count:
        labels, units = [f"channel_{k + 1}" for k in range(count)], [""] * count
    return distinct(labels), units


def _marks(each: Any) -> list[Mark]:
    """Read a stream of markers."""
    return [
        Mark(float(t), " ".join(str(value) for value in np.atleast_1d(values)).strip())
        for t, values in zip(each["time_stamps"], each["time_series"], strict=True)
    ]


def _reader(rows: Samples, places: Any) -> Any:
    """Give what lays rows out."""
    return lambda: laid_out(rows, places)
