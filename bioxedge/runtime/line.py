"""Samples against the monotonic clock: when one is due, and how fast they really come.

What arrives is late, never early. So the truth lies along the lower edge of the arrivals, and
the rate is the slope of the lower convex hull's edge under their middle: of all lines below
every arrival it is the nearest to them (S. B. Moon, P. Skelly, D. Towsley, "Estimation and
removal of clock skew from network delay measurements", INFOCOM 1999).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from bioxedge.runtime.sources.counters import Floats, Ints

FIGURE = 10.0  # seconds of arrivals before a rate is told
_FEW = 4  # points that it takes besides
SURE = 30.0  # and before a sensor is said to be off
_TRIAL = 5.0  # and before it is used in here
_BIN = 0.5  # seconds of which the soonest row is remembered, for what is due next
_RECENT = 4  # such rows
_FORMER = 10  # and those that tell how much they scatter
_STRIDE = 1.0  # the same for the rate
_MOST = 600  # such rows; the older half is forgotten then, so that a drift is followed

Point = tuple[int, float]


class Line:
    """Index against seconds.

    Parameters
    ----------
    pace : float
        Nominal samples per second.
    """

    def __init__(self, pace: float) -> None:
        self.nominal = self.pace = pace
        self.clear()

    def clear(self) -> None:
        """Forget the rows, not the pace."""
        self._recent: deque[Point] = deque(maxlen=_RECENT)
        self._former: deque[Point] = deque(maxlen=_FORMER)
        self._bin = -math.inf
        self._points: list[Point] = []
        self._hull: list[Point] = []
        self._edge: tuple[Point, float] | None = None
        self._told = False

    @property
    def known(self) -> bool:
        """Whether any row has been seen."""
        return bool(self._recent)

    @property
    def figure(self) -> float:
        """Measured samples per second; NaN until there is enough to go by."""
        return self.pace if self._told else math.nan

    @property
    def sure(self) -> bool:
        """Whether the figure stands on enough to say that a sensor is off."""
        seconds = self._hull[-1][1] - self._hull[0][1] if self._told else 0.0
        return seconds >= SURE and len(self._points) >= SURE / _STRIDE / 2

    @property
    def doubt(self) -> float:
        """By how much of itself the pace may be wrong."""
        return 0.01 if self._told else 0.03

    @property
    def scatter(self) -> float:
        """By how many seconds the soonest rows of half a second are late, one time and another."""
        if len(self._former) < 2:
            return 0.0
        late = sorted(heard - index / self.pace for index, heard in self._former)
        return late[len(late) // 2] - late[0]

    def due(self, index: int) -> float:
        """When a sample should come, by the soonest of the rows that came last."""
        return min(heard + (index - at) / self.pace for at, heard in self._recent)

    def note(self, index: Ints, heard: Floats) -> None:
        """Remember the soonest of these rows."""
        slack = heard - index / self.pace
        best = int(np.argmin(slack))
        point = int(index[best]), float(heard[best])
        if point[1] - self._bin >= _BIN or not self._recent:
            self._bin = point[1]
            if self._recent:
                self._former.append(self._recent[-1])
            self._recent.append(point)
            return
        at, before = self._recent[-1]
        if point[1] - before < (point[0] - at) / self.pace:
            self._recent[-1] = point

    def arrive(self, index: int, arrived: float) -> None:
        """Take the last row of a drain, whose arrival is the only one that is not much too late."""
        point = index, arrived
        if self._points and arrived - self._points[-1][1] < _STRIDE:
            # The newest is still open: keep the sooner one of the two.
            at, before = self._points[-1]
            sooner = arrived - before < (index - at) / self.pace
            if sooner and len(self._points) > 1 and arrived - self._points[-2][1] < 2 * _STRIDE:
                self._points[-1] = point
            return
        self._close()
        self._points.append(point)

    def _close(self) -> None:
        """Add the newest point, which will not change any more, and take the slope anew."""
        if not self._points:
            return
        if len(self._points) > _MOST:
            self._points = self._points[_MOST // 2 :]
            self._hull = []
            for point in self._points:
                self._bend(point)
        else:
            self._bend(self._points[-1])
        span = self._hull[-1][1] - self._hull[0][1]
        if span < _TRIAL or len(self._hull) < 2:
            return
        middle = (self._hull[0][0] + self._hull[-1][0]) / 2
        right = next(n for n, (at, _) in enumerate(self._hull) if n and at >= middle)
        (x, y), (x1, y1) = self._hull[right - 1], self._hull[right]
        if x1 > x and y1 > y:
            self.pace = (x1 - x) / (y1 - y)
            self._edge = (x, y), self.pace
        self._told = span >= FIGURE and len(self._points) >= _FEW

    def _bend(self, point: Point) -> None:
        """Keep the hull convex from below."""
        hull = self._hull
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2:]
            if (bx - ax) * (point[1] - ay) > (by - ay) * (point[0] - ax):
                break
            hull.pop()
        hull.append(point)

    def acquired(self, index: int, arrived: float) -> float:
        """When a sample was taken: by the line, and never after it arrived."""
        if self._edge is not None and self._told:
            (at, when), pace = self._edge
            return min(when + (index - at) / pace, arrived)
        return min(self.due(index), arrived) if self._recent else arrived
