"""Rows that carry a time, laid out at a rate: what did not arrive is missing, at its length."""

from __future__ import annotations

from itertools import pairwise

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
_LARGEST = 1 << 28  # samples that gaps may fill up to: a fortnight at 200 Hz
_BURST = 1.0  # s within which a burst ends: its last row is the least late
_AGAIN = 4  # times that the period of bursts is told anew; each halves what it is off by
_EVEN = 0.9  # of the rows keep to their period, where stamps are not those of bursts
_FEW = 32  # rows whose lateness is compared
_HELD_BACK = 5.0  # s that a radio may hold rows back, and then send them


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
        raise RecordingError(
            "its times do not go on: give its rate with --rate, or join a date with its time of day"
        )
    middle = float(np.median(steps))
    real = 1.0 / _measured(steps, bool(np.mean(np.abs(steps - middle) < 0.5 * middle) > _EVEN))[0]
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
    A sensor whose clock is off drifts against the nominal rate without losing anything; so what is
    looked for is a lateness that begins with a step and stays. A row that came late, or a radio
    that held rows back and then sent them all, is on time again soon after. Stamps that keep to
    their period show each lost row; stamps of arrival, in bursts, show a burst that was lost.
    """
    order = np.arange(len(times), dtype=np.int64)
    if not np.isfinite(times).all():
        at = int(np.flatnonzero(~np.isfinite(times))[0])
        raise RecordingError(f"row {at + 2} has no time")
    if len(times) < 2:
        return order
    steps = np.diff(times)
    if (steps < 0).any():
        at = int(np.flatnonzero(steps < 0)[0])
        raise RecordingError(
            f"its times go back by {-steps[at]:.3g} s at row {at + 3}: the clock was set, or rows "
            "are out of order"
        )
    if (times[-1] - times[0]) * rate > _LARGEST:
        raise RecordingError(f"its times span {(times[-1] - times[0]) / 86400:.0f} days: a slip")
    even = bool(np.mean(np.abs(steps - 1 / rate) < 0.5 / rate) > _EVEN)
    period, unsure = _measured(steps, even)
    if not 3 * unsure < abs(period - 1 / rate) <= _NEAR / rate:
        period = 1 / rate
    places = order + _missing(times, period, even, rate)
    if even:
        return places
    # With what is missing in its place, a line through all bursts tells their period better.
    for _ in range(_AGAIN):
        again = 1.0 / (real_rate(times, places) or rate)
        if abs(again * rate - 1) > _NEAR:
            break
        before, places = places, order + _missing(times, again, even, rate)
        if np.array_equal(before, places):
            break
    return places


def turned(places: Whole, times: Floats, rate: float, turn: int) -> Whole:
    """Add the whole turns of a counter that passed in gaps, which it cannot show itself.

    Parameters
    ----------
    places : ndarray of int64, shape [n]
        By the counter: right but for whole turns.
    times : ndarray of float64, shape [n]
        Seconds, as rows arrived.
    rate : float
    turn : int
        Rows until the counter comes round.

    Returns
    -------
    ndarray of int64, shape [n]

    Raises
    ------
    RecordingError
        Times that no recording spans.
    """
    if len(places) < 2 or not np.isfinite(times).all():
        return places
    if (times[-1] - times[0]) * rate > _LARGEST:
        raise RecordingError(f"its times span {(times[-1] - times[0]) / 86400:.0f} days: a slip")
    late = times - times[0] - (places - places[0]) / rate
    whole, far = turn / rate, max(_FEW, round(_HELD_BACK * rate))
    starts = np.flatnonzero(np.diff(late) > 0.5 * whole) + 1
    return places + turn * _lasting(late, starts, whole, whole, (far, far, 0.0))


def _missing(times: Floats, period: float, even: bool, rate: float) -> Whole:
    """Count the rows that are missing before each."""
    far = max(_FEW, round(_HELD_BACK * rate))
    late = times - times[0] - np.arange(len(times)) * period
    steps = np.diff(times)
    if even:
        starts = np.flatnonzero(steps > 1.5 * period) + 1
        return _lasting(late, starts, period, period, (_FEW, far, 0.25))
    burst = float(np.quantile(steps[steps > 0], 0.95))
    least = max(8 * period, 1.5 * burst)
    near = max(_FEW, round(max(_BURST, 2 * burst) * rate))
    starts = np.flatnonzero(steps > least) + 1
    return _lasting(late, starts, period, least, (near, max(near, far), 0.0))


def _lasting(
    late: Floats, starts: Whole, unit: float, least: float, around: tuple[int, int, float]
) -> Whole:
    """Count, in units, by how much rows came later from some on, and stayed so."""
    near, far, share = around
    missing = np.zeros(len(late), np.int64)
    since = 0
    for start, end in pairwise([*starts.tolist(), len(late)]):
        before = _level(late[max(since, start - near) : start], share)
        rise = _level(late[start : min(start + near, end)], share) - before
        soon = float(late[start : start + far].min()) - before
        if soon < 0.5 * rise:  # what was held back has been sent
            rise = soon if soon > 0.2 * rise else 0.0
        if rise > 0.5 * least:
            missing[start] = round(rise / unit)
            since = start
    found: Whole = np.cumsum(missing)
    return found


def _measured(steps: Floats, even: bool) -> tuple[float, float]:
    """Measure the sensor's own period in seconds, and by how much that may be off.

    Pauses and lost rows tell nothing of it.
    """
    if not even:
        # A burst tells nothing of it either; many of them do.
        rows = max(1, min(256, len(steps) // 8))
        count = len(steps) // rows
        steps = steps[: count * rows].reshape(count, rows).mean(axis=1)
        if not (steps > 0).any():
            return float(steps.mean()), 0.0
        steps = steps[steps > 0]
    middle = float(np.median(steps))
    # A row that came late has a short step after its long one: both go, or neither.
    near = steps[np.abs(steps - middle) < (0.5 if even else 0.25) * middle]
    near = near if len(near) else steps[steps <= middle]
    return float(near.mean()), float(near.std() / np.sqrt(len(near)))


def _level(late: Floats, share: float) -> float:
    """Tell how late rows are, by those that are least so."""
    at = int(share * (len(late) - 1))
    return float(np.partition(late, at)[at])


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
