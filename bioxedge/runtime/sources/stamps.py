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
        for offset in (self.offset, self._before):
            moved = stamps - offset
            good = (moved >= least) & (moved <= arrived + slack)
            if good.all():
                return Heard(np.minimum(moved, arrived), True)
        new, old = stamps - self.offset, stamps - self._before
        good_new = (new >= least) & (new <= arrived + slack)
        good_old = (old >= least) & (old <= arrived + slack)
        if (good_new | good_old).all():  # set between two rows of this drain
            return Heard(np.minimum(np.where(good_old, old, new), arrived), True)
        return Heard(seconds, False)

    def _look(self) -> None:
        """Read both clocks at once."""
        begin = self._clock.monotonic_ns()
        wall = self._clock.time()
        end = self._clock.monotonic_ns()
        if not math.isfinite(self.offset) or end - begin <= _CLOSE:
            self._before, self.offset = self.offset, wall - (begin + end) / 2e9
