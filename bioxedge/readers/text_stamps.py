"""Rows that carry a time, laid out at a rate: what did not arrive is missing, at its length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.signals import Samples

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

KNOWN_RATES = (
    0.2, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 8.0, 10.0, 12.5, 16.0, 20.0, 25.0, 26.0, 32.0, 40.0, 50.0,
    52.0, 55.0, 60.0, 64.0, 75.0, 80.0, 100.0, 104.0, 120.0, 125.0, 128.0, 130.0, 135.0, 150.0,
    160.0, 176.0, 200.0, 208.0, 220.0, 240.0, 250.0, 256.0, 300.0, 360.0, 400.0, 416.0, 480.0,
    500.0, 512.0, 600.0, 700.0, 800.0, 833.0, 1000.0, 1024.0, 1200.0, 1250.0, 2000.0, 2048.0,
    2500.0, 4000.0, 4096.0, 5000.0,
)  # fmt: skip
"""Rates in Hz that sensors are set to."""

_NEAR = 0.02  # of a known rate: a clock is never that far off
_LARGEST = 1 << 31  # samples that a gap may fill up to


def rate_of(times: Floats) -> float:
    """Tell the nominal rate of stamped rows, in Hz.

    Parameters
    ----------
    times : ndarray of float64, shape [n]
        Seconds; in bursts, too.

    Raises
    ------
    RecordingError
        Fewer than three rows, or times that do not go on.
    """
    steps = np.diff(times)
    steps = steps[np.isfinite(steps)]
    if len(steps) < 2 or not (steps > 0).any():
        raise RecordingError("its times do not go on: give its rate with --rate")
    middle = float(np.median(steps))
    # Pauses tell nothing of the rate; stamps that were rounded, or came in bursts, do on average.
    near = steps < 4 * middle if middle > 0 else np.ones(len(steps), bool)
    real = int(near.sum()) / float(steps[near].sum())
    nearest = min(KNOWN_RATES, key=lambda known: abs(known - real) / known)
    return nearest if abs(nearest - real) <= _NEAR * nearest else round(real, 6)


def places_of(times: Floats, rate: float) -> Whole:
    """Lay stamped rows out at a nominal rate.

    Parameters
    ----------
    times : ndarray of float64, shape [n]
        Seconds, finite.
    rate : float

    Returns
    -------
    ndarray of int64, shape [n]
        Index of each, rising; where it jumps, rows are missing.

    Raises
    ------
    RecordingError
        Times that go back, or that span more than any recording.

    Notes
    -----
    A sensor whose clock is off drifts against the nominal rate without losing anything; so steps
    are looked for, not distance. Stamps that keep to their period show each lost row; stamps of
    arrival, which come in bursts, show a loss as a lasting lateness of the earliest.
    """
    if len(times) < 2:
        return np.arange(len(times), dtype=np.int64)
    steps = np.diff(times)
    if (steps < 0).any():
        at = int(np.flatnonzero(steps < 0)[0])
        raise RecordingError(
            f"its times go back by {-steps[at]:.3g} s at row {at + 2}: the clock was set, or rows "
            "are out of order"
        )
    if (times[-1] - times[0]) * rate > _LARGEST:
        raise RecordingError(f"its times span {(times[-1] - times[0]) / 86400:.0f} days: a slip")
    period = 1.0 / rate
    even = np.mean(np.abs(steps - period) < 0.5 * period) > 0.9
    if even:
        missing = np.maximum(np.round(steps * rate) - 1, 0)
    else:
        late = times - np.arange(len(times)) * period
        earliest = np.minimum.accumulate(late[::-1])[::-1]
        rises = np.diff(earliest)
        missing = np.where(rises > max(8 * period, 0.25), np.round(rises * rate), 0)
    jumps = np.concatenate([[0], np.cumsum(missing)]).astype(np.int64)
    return np.arange(len(times), dtype=np.int64) + jumps


def laid_out(rows: Samples, places: Whole) -> Samples:
    """Put rows [channels, n] at their places; what lies between is NaN."""
    if not len(places) or places[-1] == len(places) - 1:
        return rows
    found = np.full((len(rows), int(places[-1]) + 1), np.nan)
    found[:, places] = rows
    return found


def real_rate(times: Floats, places: Whole) -> float:
    """Estimate the real rate in Hz, by a line through all stamps."""
    if len(times) < 3 or places[-1] == places[0]:
        return 0.0
    slope = np.polyfit(places - places[0], times - times[0], 1)[0]
    return float(1.0 / slope) if slope > 0 else 0.0
