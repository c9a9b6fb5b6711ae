"""Text of Polar Sensor Logger: one file a stream, fields between semicolons.

The sensor's own stamp (nanoseconds since 2000) shows what was lost; the phone's shows when it
came. The first row's phone stamp dates the stream. Heart rate and intervals are computed in the
sensor: they are streams of their own where a file of them is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import name_and_unit
from bioxedge.readers.text_rows import Text, read_rows, times_of
from bioxedge.readers.text_stamps import laid_out, places_of, rate_of, real_rate
from bioxedge.signals import Channel, Samples

_PHONE = "phone timestamp"
_SENSOR = "sensor timestamp [ns]"
# By a column that only they have: stream, kind, columns and their names, unit, scale.
_KINDS: tuple[tuple[str, str, str, dict[str, str], str, float], ...] = (
    ("ecg [uv]", "ecg", "ecg", {"ecg [uv]": "ecg"}, "uV", 1.0),
    ("channel 0", "ppg", "ppg", {"channel 0": "ppg_1", "channel 1": "ppg_2", "channel 2": "ppg_3",
                                 "ambient": "ambient"}, "a.u.", 1.0),
    ("x [mg]", "acc", "acceleration", {"x [mg]": "acc_x", "y [mg]": "acc_y", "z [mg]": "acc_z"},
     "g", 1e-3),
    ("x [dps]", "gyro", "rotation", {"x [dps]": "gyro_x", "y [dps]": "gyro_y",
                                     "z [dps]": "gyro_z"}, "deg/s", 1.0),
)  # fmt: skip
_LONGEST = 31 * 86400.0  # s
_MARKER, _PPI, _HR = "marker start/stop", "pp-interval [ms]", "hr [bpm]"


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first field of the header."""
    return head[:40].decode("latin-1").lower().startswith(_PHONE + ";")


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    text = read_rows(path, delimiter=";")
    remarks = ["its clock names no zone: taken as UTC"]
    given = times_of(text.columns[0])
    if given is None or not given[1]:
        raise RecordingError(f"{path}: {text.header[0]} holds what is no date")
    phone = given[0]
    if text.column(_MARKER) is not None:
        column = text.columns[text.column(_MARKER) or 0]
        marks = tuple(Mark(float(t), name) for t, name in zip(phone, column, strict=True))
        return Found(path, "Polar Sensor Logger", (), marks, "", tuple(remarks), (path,))
    try:
        stream = _stream(text, phone, remarks)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
    return Found(path, "Polar Sensor Logger", (stream,), (), "", tuple(remarks), (path,))


def _stream(text: Text, phone: Any, remarks: list[str]) -> Stream:
    """Lay out one file's rows."""
    for key, name, modality, columns, unit, scale in _KINDS:
        if text.column(key) is None:
            continue
        times = _sensor(text)
        known = [own for own in columns if text.column(own) is not None]
        rows = np.stack([_numbers(text, own) for own in known]) * scale
        nominal = rate_of(times)
        places = places_of(times, nominal)
        lost = int(places[-1]) + 1 - len(places)
        if lost:
            remarks.append(f"{lost} samples are missing, by the sensor's stamps")
        return Stream(
            name=name,
            modality=modality,
            rate=nominal,
            channels=tuple(Channel(columns[own], unit) for own in known),
            samples=int(places[-1]) + 1,
            read=_reader(rows, places),
            t0=float(phone[0]),
            facts={"real_rate": real_rate(times, places), "device": "Polar"},
        )
    for key in (_PPI, _HR):
        at = text.column(key)
        if at is not None:
            _, unit = name_and_unit(text.header[at])
            remarks.append("is computed in the sensor, beat by beat: laid out once a second")
            return _each_second(phone, _numbers(text, key), "ppi" if key == _PPI else "hr", unit)
    raise RecordingError(f"its columns are none of Polar Sensor Logger's ({text.named})")


def _sensor(text: Text) -> Any:
    """Give the sensor's own stamps in seconds."""
    at = text.column(_SENSOR)
    if at is None:
        raise RecordingError("has no column of the sensor's stamps")
    try:
        whole = [int(field) for field in text.columns[at]]
    except ValueError as error:
        raise RecordingError(f"a sensor stamp is no whole number: {error}") from error
    # Nanoseconds since 2000 are more than a float64 holds.
    return np.array([stamp - whole[0] for stamp in whole], np.float64) / 1e9


def _numbers(text: Text, name: str) -> Any:
    """Give a column of numbers."""
    found = text.numbers(text.column(name) or 0)
    if found is None:
        raise RecordingError(f"{name} holds what is no number")
    return found


def _each_second(times: Any, values: Any, name: str, unit: str) -> Stream:
    """Hold values that come now and then, once a second, until the next; 5 s at most."""
    # Values that came together are stamped in no order.
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    if times[-1] - times[0] > _LONGEST:
        raise RecordingError("its times span more than a month: the clock was set")
    start = float(np.floor(times[0]))
    seconds = start + np.arange(int(times[-1] - start) + 1)
    at = np.searchsorted(times, seconds + 1.0) - 1
    held = np.where(seconds - times[np.maximum(at, 0)] <= 5.0, values[np.maximum(at, 0)], np.nan)
    row = np.where(at >= 0, held, np.nan)[None]
    return Stream(name, "rate", 1.0, (Channel(name, unit),), row.shape[1], lambda: row, start)


def _reader(rows: Samples, places: Any) -> Any:
    """Give what lays rows out."""
    return lambda: laid_out(rows, places)
