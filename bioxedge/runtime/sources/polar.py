"""Frames of Polar's measurement service (PMD), as its published specification states them.

A frame is one byte of measurement (0: ECG, 2: acceleration), the time of its last sample as 8
bytes, little-endian, in nanoseconds since 2000 by the sensor's clock, one byte of frame type, and
the samples. Of frame type 0, ECG samples are 3 bytes each, little-endian, signed, in microvolts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioxedge.errors import SignalError
from bioxedge.runtime.sources.counters import Floats

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
START_ECG = bytes([2, 0, 0, 1, 130, 0, 1, 1, 14, 0])  # start, ECG: 130 Hz, 14 bits
STOP_ECG = bytes([3, 0])
RATE = 130.0

_HEAD, _SAMPLE = 10, 3
_MOST = 512  # bytes: the longest value that Bluetooth's attribute protocol carries
_KINDS = {
    1: "PPG",
    2: "acceleration",
    3: "pulse intervals",
    5: "rotation",
    6: "magnetic field",
}


@dataclass(frozen=True)
class Ecg:
    """One frame of ECG.

    Attributes
    ----------
    samples : ndarray of float64, shape [1, n]
        Microvolts.
    stamp : float
        Seconds since 2000 by the sensor's clock, at which it took the last one.
    """

    samples: Floats
    stamp: float


@dataclass(frozen=True)
class Ignored:
    """A frame that holds no ECG.

    Attributes
    ----------
    reason : str
    """

    reason: str


def decode(frame: bytes | bytearray) -> Ecg | Ignored:
    """Read one notification.

    Raises
    ------
    SignalError
        Bytes that are no such frame.

    Examples
    --------
    >>> frame = bytes([0]) + (10**9).to_bytes(8, "little") + bytes([0, 0xFF, 0xFF, 0xFF])
    >>> decode(frame).samples.tolist(), decode(frame).stamp
    ([[-1.0]], 1.0)
    """
    size = len(frame)
    if not _HEAD < size <= _MOST:
        raise SignalError(
            f"a frame of {size} bytes: {_HEAD + 1} to {_MOST} are one of the sensor's; "
            "subscribe to its PMD data"
        )
    if frame[0] != 0:
        what = _KINDS.get(frame[0], f"measurement {frame[0]}")
        return Ignored(f"a frame of {what}: only ECG is read")
    if frame[9] != 0:
        raise SignalError(f"an ECG frame of type {frame[9]}: type 0 is the one that is published")
    if (size - _HEAD) % _SAMPLE:
        raise SignalError(
            f"an ECG frame with {size - _HEAD} bytes of samples: each takes {_SAMPLE}; it was cut"
        )
    stamp = int.from_bytes(frame[1:9], "little") / 1e9
    parts = np.frombuffer(bytes(frame[_HEAD:]), np.uint8).reshape(-1, _SAMPLE).astype(np.int32)
    value = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    value -= (value >= 1 << 23) * np.int32(1 << 24)
    return Ecg(value[None].astype(np.float64), stamp)
