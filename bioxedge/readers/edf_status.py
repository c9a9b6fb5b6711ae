"""Triggers in the Status channel of a BioSemi BDF file, as marks.

Its lower 16 bits are the trigger inputs, the upper ones the device's own state
(https://www.biosemi.com/faq/trigger_signals.htm).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioxedge.readers.edf_header import Header, Signal
from bioxedge.readers.found import Mark

_LABEL = "status"
_RECORDS = 512  # that are looked at together
_MOST = 20_000  # changes: more are no events, but a signal that somebody wired there


def status_of(header: Header) -> Signal | None:
    """Give a file's Status channel; None where it has none."""
    if not header.wide:
        return None
    return next((one for one in header.signals if one.label.lower() == _LABEL and one.count), None)


def triggers_of(
    header: Header, raw: npt.NDArray[np.uint8], starts: npt.NDArray[np.float64], remarks: list[str]
) -> tuple[Mark, ...]:
    """Read the moments at which the trigger inputs change to something.

    Parameters
    ----------
    header : Header
    raw : ndarray of uint8, shape [records, bytes]
    starts : ndarray of float64, shape [records]
        Seconds at which records start, on the clock of the marks.
    remarks : list of str
        What was left out is added.
    """
    signal = status_of(header)
    if signal is None or not header.records or not header.duration:
        return ()
    first, last = signal.offset * 3, (signal.offset + signal.count) * 3
    found: list[tuple[float, int]] = []
    before = -1
    for begin in range(0, header.records, _RECORDS):
        part = np.ascontiguousarray(raw[begin : begin + _RECORDS, first:last])
        codes = part.reshape(-1, 3)[:, :2].astype(np.int32) @ np.array([1, 256], np.int32)
        changed = np.flatnonzero(np.diff(codes, prepend=np.int32(before)))
        before = int(codes[-1])
        record, sample = np.divmod(changed, signal.count)
        times = starts[begin + record] + sample * (header.duration / signal.count)
        found += zip(times.tolist(), codes[changed].tolist(), strict=True)
        if len(found) > _MOST:
            remarks.append(f"{signal.label} changes more than {_MOST} times: no marks are made")
            return ()
    # What it begins with is how the inputs rest, and no event.
    rest = found[0][1]
    marks = tuple(Mark(time, str(code)) for time, code in found[1:] if code not in (0, rest))
    remarks.append(f"{signal.label}: its {len(marks)} triggers are marks, by their numbers")
    return marks
