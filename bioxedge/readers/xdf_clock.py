"""Stamps of an XDF stream brought to the recorder's clock, piece by piece where its own was reset.

While it records, the recorder measures every few seconds by how much each sender's clock is behind
its own; a line through those measurements tells it for every stamp. A sender's machine that was
started again has another clock: its measurements jump, in time and in value.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LATE = 5.0  # s between measurements, more than usual: a machine that starts again takes longer
_JUMP = 1.0  # s in the value: no clock drifts that far in between
_EXACT = 1e-4  # s: errors above it, of a busy network, count by their size and not its square
_STEEPEST = 5e-4  # no clock is that far off its rate; a line that is was drawn through noise
_ROUNDS = 50


def synchronised(times: Floats, clock: list[tuple[float, float]]) -> tuple[Floats, int]:
    """Bring stamps to the recorder's clock.

    Parameters
    ----------
    times : ndarray of float64, shape [n]
        By the sender's clock, in the order of the file.
    clock : list of (float, float)
        Measurements in their order: time by the sender's clock, seconds to add.

    Returns
    -------
    times : ndarray of float64, shape [n]
    resets : int
        How often the sender's clock was reset.
    """
    if not clock or not len(times):
        return times, 0
    at, value = (np.array(one) for one in zip(*clock, strict=True))
    steps, jumps = np.diff(at), np.abs(np.diff(value))
    late = steps > _LATE + (float(np.median(steps)) if len(steps) else 0.0)
    resets = np.flatnonzero((steps < 0) | (late & (jumps > _JUMP))) + 1
    if len(at) > 2 and jumps[-1] > _JUMP and len(at) - 1 not in resets:
        # A sender that ends while it is measured leaves a last value that means nothing.
        at, value = at[:-1], value[:-1]
    found = times.copy()
    first = 0
    pieces = list(pairwise([0, *resets.tolist(), len(at)]))
    for number, (start, stop) in enumerate(pieces):
        last = len(times)
        if number + 1 < len(pieces):
            left = times[first:]
            nearer = np.abs(left - at[stop]) < np.abs(left - at[stop - 1])
            last = first + int(np.argmax(nearer)) if nearer.any() else len(times)
        offset, slope, middle = _line(at[start:stop], value[start:stop])
        part = times[first:last]
        found[first:last] = part + offset + slope * (part - middle)
        first = last
    return found, len(resets)


def _line(at: Floats, value: Floats) -> tuple[float, float, float]:
    """Fit a line that late measurements do not bend; gives its middle value, slope and middle.

    Iteratively reweighted least squares with Huber's weights (Huber, Ann. Math. Statist. 35,
    1964).
    """
    middle = float(at.mean())
    if len(at) < 2 or float(np.ptp(at)) <= 0:
        return float(np.median(value)), 0.0, middle
    x = at - middle
    # Far values would leave no digits for small ones.
    level = float(np.median(value))
    y = value - level
    weights = np.ones(len(at))
    offset = slope = 0.0
    for _ in range(_ROUNDS):
        total = weights.sum()
        mx, my = float(weights @ x / total), float(weights @ y / total)
        spread = float(weights @ (x - mx) ** 2)
        if spread <= 0:
            break
        before = (offset, slope)
        slope = float(weights @ ((x - mx) * (y - my))) / spread
        offset = my - slope * mx
        if np.allclose(before, (offset, slope), rtol=0, atol=1e-12):
            break
        weights = np.minimum(1.0, _EXACT / np.maximum(np.abs(y - offset - slope * x), 1e-300))
    if abs(slope) > _STEEPEST:
        return level, 0.0, middle
    return level + offset, slope, middle
