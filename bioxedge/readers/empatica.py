"""Folders of an Empatica E4, as its manager exports them.

Each file holds its start (Unix seconds, UTC) in the first row and its rate in the second. The
acceleration counts 1/64 g. Heart rate and beat intervals are computed by the maker's software
from the pulse, some seconds late, and are no sensor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.signals import Channel, Samples

_G = 64.0  # counts
_DATED = 1e8  # s since 1970: whoever took names out may have moved the start to 0
_SENSORS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "BVP.csv": ("bvp", "ppg", ("bvp",), "a.u."),
    "EDA.csv": ("eda", "eda", ("eda",), "uS"),
    "TEMP.csv": ("temp", "temperature", ("temp",), "degC"),
    "ACC.csv": ("acc", "acceleration", ("acc_x", "acc_y", "acc_z"), "g"),
}
_DERIVED = {
    "HR.csv": "HR.csv is computed by the maker from the pulse: left out",
    "IBI.csv": "IBI.csv is computed by the maker from the pulse: left out",
}


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the names of the files in a folder, two of them at least, and how one begins."""
    if not path.is_dir():
        return False
    there = [path / name for name in (*_SENSORS, *_DERIVED) if (path / name).is_file()]
    return len(there) >= 2 and not all(map(_headed, there))


def _headed(path: Path) -> bool:
    """Whether a file begins with the names of columns, as other tables do; an E4's does not."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline().split(",")[0].strip()
    except OSError:
        return False
    return path.name not in _DERIVED and first[:1].isalpha()


def look(path: Path, **told: Any) -> Found:
    """Look into a folder; see :func:`bioxedge.readers.find`."""
    streams, files, remarks = [], [], []
    for file, about in _SENSORS.items():
        place = path / file
        if not place.is_file():
            remarks.append(f"there is no {file}")
            continue
        stream = _stream(place, *about, remarks)
        if stream is None:
            remarks.append(f"{file} is empty: left out")
            continue
        streams.append(stream)
        files.append(place)
    if not streams:
        raise RecordingError(f"{path} holds no sensor's file with samples in it")
    remarks += [why for file, why in _DERIVED.items() if (path / file).is_file()]
    marks = []
    for place in sorted(path.glob("tags*.csv")):
        files.append(place)
        marks += _tags(place, remarks)
    return Found(path, "Empatica E4", tuple(streams), tuple(marks), "", tuple(remarks),
                 tuple(files))  # fmt: skip


def _stream(
    path: Path,
    name: str,
    modality: str,
    channels: tuple[str, ...],
    unit: str,
    remarks: list[str],
) -> Stream | None:
    """Read one sensor's two first rows."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            rows = [file.readline(), file.readline()]
            count, last = 0, ""
            for line in file:
                if line.strip():
                    count, last = count + 1, line
        start, rate = (float(row.split(",")[0]) for row in rows)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        if not any(row.strip() for row in rows):
            return None
        raise RecordingError(
            f"{path} does not begin with its start and its rate, as an E4's file does: "
            f"{rows[0].strip()[:40]!r}"
        ) from error
    if not (0 < rate < 1e5 and np.isfinite(start)):
        raise RecordingError(f"{path} says its rate is {rate:g} Hz: it is damaged")
    if count and last.count(",") != len(channels) - 1:
        count -= 1
        remarks.append(f"{path.name}: its last row was cut off: left out")
    if not count:
        return None
    return Stream(
        name=name,
        modality=modality,
        rate=rate,
        channels=tuple(Channel(channel, unit) for channel in channels),
        samples=count,
        read=_reader(path, len(channels), count, _G if modality == "acceleration" else 1.0),
        t0=start,
        dated=start > _DATED,
        facts={"device": "Empatica E4"},
    )


def _reader(path: Path, columns: int, rows: int, scale: float) -> Callable[[], Samples]:
    """Give what reads a sensor's samples."""

    def read() -> Samples:
        try:
            found = np.loadtxt(path, np.float64, delimiter=",", skiprows=2, max_rows=rows, ndmin=2)
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:120]
            raise RecordingError(f"{path} cannot be read: {said}") from error
        if found.shape[1] != columns:
            raise RecordingError(f"{path} has {found.shape[1]} columns, an E4's has {columns}")
        return np.ascontiguousarray(found.T) / scale

    return read


def _tags(path: Path, remarks: list[str]) -> list[Mark]:
    """Read the moments at which the button was pressed."""
    marks = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    for line in lines:
        text = line.split(",")[0].strip()
        if not text:
            continue
        try:
            marks.append(Mark(float(text), "tag"))
        except (ValueError, RecordingError):
            remarks.append(f"{path.name}: {text[:40]!r} is no time: left out")
    return marks
