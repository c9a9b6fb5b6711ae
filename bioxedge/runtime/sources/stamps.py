"""When rows came: by their stamps where these can be true, by the drain where not.

Stamps are wall clock, which steps when somebody sets it. They are moved to the monotonic clock
by the difference of the two as it is at each drain, and as it was at the drain before; a stamp
that lies between the two drains by neither cannot be true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bioxedge.runtime.hostclock import HostClock
from bioxedge.runtime.sources.counters import Floats, Stamps

_SLACK = {"row": 0.02, "burst": 0.02, "device": 0.5}  # seconds outside the drains
_SET = 0.02  # seconds by which a wall clock moves that was set
_CLOSE = 2_000_000  # nanoseconds that a look at both clocks may take


@dataclass(frozen=True)
class Heard:
    """When the rows of one drain came.

    Attributes
    ----------
    seconds : ndarray of float64, shape [rows]
        Monotonic clock; stamps as they are where they are true sample times.
    stamped : bool
        By stamps.
    """

    seconds: Floats
    stamped: bool


class Hearing:
    """Moves stamps to the monotonic clock.

    Parameters
    ----------
    kind : str
        What the stamps are.
    pace : float
        Rows per second, by which rows of a drain without usable stamps are laid out.
    clock : HostClock
    """

    def __init__(self, kind: Stamps, pace: float, clock: HostClock) -> None:
        self.kind = kind
        self._pace = pace
        self._clock = clock
        self.offset = math.nan  # Unix time less monotonic, now
        self._before = math.nan
        self._drained = math.nan
        self._last = math.nan  # when the last row came

    def take(self, stamps: Floats, arrived: float) -> Heard:
        """Take a drain's stamps, or none, and the monotonic seconds at which it was."""
        self._look()
        since, self._drained = self._drained, arrived
        if self.kind == "recorded":
            return Heard(stamps, True)
        seconds = arrived - np.arange(len(stamps))[::-1] / self._pace
        slack = _SLACK.get(self.kind)
        if slack is None or not len(stamps):
            return Heard(seconds, False)
        least = (since if math.isfinite(since) else -math.inf) - slack
        moved = self._moved(stamps, least, arrived + slack)
        if moved is None:
            self._last = float(seconds[-1])
            return Heard(seconds, False)
        self._last = float(moved[-1])
        return Heard(np.minimum(moved, arrived), True)

    def _moved(self, stamps: Floats, least: float, most: float) -> Floats | None:
        """Move a drain's stamps to the monotonic clock; None where they cannot be true.

        Where the clock was set since the drain before, those in front were stamped earlier: up to
        where the stamps themselves jump by as much, or none, or all, whichever goes on best from
        the row before. A step of a second would look like a loss otherwise.
        """
        step = self.offset - self._before
        splits = [0]
        if abs(step) > _SET:
            jumps = np.abs(np.diff(stamps) - step - 1 / self._pace)
            splits += [len(stamps), *([int(jumps.argmin()) + 1] if len(jumps) else [])]
        best, cost = None, math.inf
        for split in splits:
            moved = stamps - self.offset
            moved[:split] += step if split else 0.0
            if moved.min() < least or moved.max() > most:
                continue
            before = self._last if math.isfinite(self._last) else moved[0]
            spacing = np.diff(moved, prepend=before) - 1 / self._pace
            odd = float(np.abs(spacing[[0, *([split] if 0 < split < len(moved) else [])]]).sum())
            odd += float(np.maximum(-np.diff(moved), 0.0).sum())
            if odd < cost:
                best, cost = moved, odd
        return best

    def _look(self) -> None:
        """Read both clocks at once."""
        begin = self._clock.monotonic_ns()
        wall = self._clock.time()
        end = self._clock.monotonic_ns()
        if not math.isfinite(self.offset) or end - begin <= _CLOSE:
            self._before, self.offset = self.offset, wall - (begin + end) / 2e9
