"""CSV of a Muse headband: muse-lsl (one stream a file) and Mind Monitor (all in one).

muse-lsl stamps are made even by LSL, with a gap where packets were lost. Mind Monitor writes a row
whenever something came, stamped in bursts by the phone; its columns of band powers and of how the
band sits are computed by the app.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import safe
from bioxedge.readers.text_rows import Text, read_rows, times_of
from bioxedge.readers.text_stamps import laid_out, places_of, rate_of, real_rate
from bioxedge.signals import Channel, Samples

_EEG = ("TP9", "AF7", "AF8", "TP10", "Right AUX", "AUX")
_RATE = 256.0
# Mind Monitor's columns by prefix: stream, kind, unit.
_GROUPS = (
    ("RAW_", "eeg", "eeg", "uV"),
    ("Accelerometer_", "acc", "acceleration", "g"),
    ("Gyro_", "gyro", "rotation", "deg/s"),
    ("Optics", "optics", "ppg", "a.u."),
    ("PPG_", "ppg", "ppg", "a.u."),
    ("Heart_Rate", "hr", "rate", "bpm"),
)
_ROWS = {"PPG1": "ppg_1", "PPG2": "ppg_2", "PPG3": "ppg_3", "X": "x", "Y": "y", "Z": "z"}


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the header."""
    first = head.split(b"\n", 1)[0].decode("latin-1").strip()
    names = [name.strip() for name in first.split(",")]
    lsl = names[0] == "timestamps" and len(set(names) & {*_EEG, *_ROWS}) >= 3
    return lsl or (names[0] == "TimeStamp" and any(name.startswith("RAW_") for name in names))


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    text = read_rows(path, delimiter=",")
    try:
        if text.header[0] == "timestamps":
            return _lsl(text, told.get("modality"))
        return _mind_monitor(text)
    except RecordingError as error:
        said = str(error)
        raise RecordingError(said if said.startswith(str(path)) else f"{path}: {said}") from error


def _lsl(text: Text, told: str | None) -> Found:
    """Look into what muse-lsl wrote."""
    times, dated = _times(text)
    remarks: list[str] = []
    own = [k for k, name in enumerate(text.header) if name in _EEG]
    kind, name, unit = "eeg", "eeg", "uV"
    if not own:
        own = [k for k, label in enumerate(text.header) if label in _ROWS]
        optical = text.header[own[0]].startswith("PPG")
        kind, name, unit = ("ppg", "ppg", "a.u.") if optical else ("acceleration", "acc", "a.u.")
        if not optical and told:
            kind, name = told, safe(told)
        elif not optical:
            remarks.append(
                "does not say whether it is acceleration (g) or rotation (deg/s): taken for the "
                "first; give --modality rotation otherwise"
            )
    nominal = _RATE if kind == "eeg" else rate_of(times)
    places = places_of(times, nominal)
    lost = int(places[-1]) + 1 - len(places)
    if lost:
        remarks.append(f"{lost} samples are missing, by the stamps")
    rows = np.stack([_numbers(text, k) for k in own])
    names = [_ROWS.get(text.header[k], text.header[k]) for k in own]
    stream = Stream(
        name, kind, nominal, tuple(Channel(each, unit) for each in names),
        int(places[-1]) + 1, _reader(rows, places), float(times[0]), dated,
        {"real_rate": real_rate(times, places), "device": "Muse"},
    )  # fmt: skip
    marks = []
    at = text.column("Marker", "Marker0")
    if at is not None:
        values = text.columns[at]
        marks = [
            Mark(float(t), value)
            for t, value in zip(times, values, strict=True)
            if value not in ("", "0", "0.0", "nan")
        ]
    return Found(text.path, "muse-lsl", (stream,), tuple(marks), "", tuple(remarks), (text.path,))


def _mind_monitor(text: Text) -> Found:
    """Look into what Mind Monitor wrote."""
    times, dated = _times(text)
    remarks = ["its clock names no zone: taken as UTC"]
    marks = []
    events = text.column("Elements")
    if events is not None:
        marks = [
            Mark(float(t), value)
            for t, value in zip(times, text.columns[events], strict=True)
            if value
        ]
    streams = []
    for prefix, name, kind, unit in _GROUPS:
        own = [k for k, label in enumerate(text.header) if label.startswith(prefix)]
        columns = {k: _numbers(text, k) for k in own}
        columns = {k: column for k, column in columns.items() if np.isfinite(column).any()}
        if not columns:
            continue
        there = np.isfinite(np.stack(list(columns.values()))).any(axis=0)
        stamps = times[there]
        nominal = _RATE if kind == "eeg" and len(stamps) > 1000 else rate_of(stamps)
        if kind == "eeg" and abs(rate_of(stamps) - _RATE) > 0.1 * _RATE:
            nominal = rate_of(stamps)
            remarks.append(f"EEG was written at {nominal:g} Hz, not at the headband's 256")
        places = places_of(stamps, nominal)
        rows = np.stack(list(columns.values()))[:, there]
        streams.append(
            Stream(
                name, kind, nominal,
                tuple(Channel(text.header[k].removeprefix(prefix) or name, unit) for k in columns),
                int(places[-1]) + 1, _reader(rows, places), float(stamps[0]), dated,
                {"real_rate": real_rate(stamps, places), "device": "Muse"},
            )
        )  # fmt: skip
    if not streams:
        raise RecordingError("has no column of raw samples: record them with Mind Monitor's RAW")
    left = [name for name in text.header if name.split("_")[0] in
            ("Delta", "Theta", "Alpha", "Beta", "Gamma")]  # fmt: skip
    if left:
        remarks.append(f"{len(left)} columns of band powers are computed by the app: left out")
    return Found(
        text.path, "Mind Monitor", tuple(streams), tuple(marks), "", tuple(remarks), (text.path,)
    )


def _times(text: Text) -> tuple[Any, bool]:
    """Read the first column."""
    found = times_of(text.columns[0])
    if found is None or not np.isfinite(found[0]).all():
        raise RecordingError(f"{text.header[0]} holds what is no time")
    return found[0], found[1]


def _numbers(text: Text, k: int) -> Any:
    """Give a column of numbers."""
    found = text.numbers(k)
    if found is None:
        raise RecordingError(f"{text.header[k]} holds what is no number")
    return found


def _reader(rows: Samples, places: Any) -> Any:
    """Give what lays rows out."""
    return lambda: laid_out(rows, places)
