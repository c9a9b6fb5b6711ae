"""Sample numbers from a sender's stamps: what is missing shows, whatever the real rate.

A stamp divided by the nominal rate is no sample number: the real rate is another, and stamps
jitter. So the sender's own line is followed, stamp against sample, over the last half minute
(slope: P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968), and
how far stamps scatter about it is learnt. A stamp that is late by half of the smallest loss that
can happen, where scatter is far below that, is a loss. Where stamps scatter too much, or were
made as the data came in, a stall looks like a loss: then they count nothing, and say so.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from bioxedge.runtime.line import Line
from bioxedge.runtime.sources.counters import Floats, Ints

_OFF = 0.05  # by how much of itself the real rate may differ from the nominal one
_POINTS = 64  # stamps that the slope goes by
_STRIDE = 0.5  # seconds between them, once there are a few
_FEW = 8
_SPAN = 1.5  # seconds that the slope must go by
_NEAR = 9  # stamps whose median says where the line is
_LOOK = 128  # stamps that tell how far they scatter
_EVERY = 8  # packets from one look at the scatter to the next, where there is nothing odd
_OWN = 0.001  # seconds that stamps may scatter which are a clock's of the sensor
_MOVED = 3  # stamps in a row, all as far off, that show that the line moved
_BURST = 256  # stamps for which a sender that caught up is not believed
_JUMP = 1.0  # seconds by which stamps that count nothing may be off before the line begins anew
_MADE = 0.25  # scatter against arrival, in that of arrivals, below which stamps were made by it
_FLOOR = 2e-4  # seconds of scatter of arrivals below which that cannot be told
_STEP = 0.25  # seconds by which stamps and arrival may disagree before the clock was set
_MICRO = 1e6


class Stamping:
    """Numbers samples by the stamps of whoever sent them.

    Parameters
    ----------
    rate : float
        Nominal rate in Hz.

    Attributes
    ----------
    counts : bool
        Whether a loss of the smallest size that can happen would show: a packet where one stamp
        is given for each, a sample where every sample has one.
    steps : int
        How often the sender's clock was set, as far as that shows.

    Examples
    --------
    >>> import numpy as np
    >>> stamping = Stamping(100.0)
    >>> numbers, heard = stamping.take(np.array([np.nan, 7.01]), 100.0)
    >>> numbers.tolist()
    [0.0, 1.0]
    """

    def __init__(self, rate: float) -> None:
        self._nominal = self._period = 1.0 / rate
        self._number = -1  # of the last row
        self._at = -1  # number of the last row that had a stamp
        self._rows = 0  # rows since then
        self._near: deque[tuple[int, float]] = deque(maxlen=_NEAR)
        self._points: deque[tuple[int, float]] = deque(maxlen=_POINTS)
        self._off: deque[float] = deque(maxlen=_LOOK)  # how far stamps were off the line
        self._aside: list[float] = []  # those that were far off, and may be a new line
        self._behind: deque[float] = deque(maxlen=_LOOK)  # stamp less arrival
        self._sizes: deque[int] = deque(maxlen=_LOOK)
        self._doubted = 0  # stamps that are not believed yet
        self._since_loss = _LOOK
        self._looks = self._late = 0
        self._learnt = False
        self._scatter = math.inf
        self._offset = Line(_MICRO)
        self._stamp = self._came = math.nan
        self.counts = False
        self.steps = 0

    @property
    def rate(self) -> float:
        """Samples per second of the sender's clock; the nominal rate until it is learnt."""
        return 1.0 / self._period

    def take(self, stamps: Floats, arrived: float) -> tuple[Floats, Floats]:
        """Number the rows of a packet, or of several that came together.

        Parameters
        ----------
        stamps : ndarray of float64, shape [n]
            Seconds on the sender's clock; NaN for a sample without one.
        arrived : float
            Seconds of this host's monotonic clock.

        Returns
        -------
        numbers : ndarray of float64, shape [n]
            Whole numbers that rise by one a sample, and by more where some are missing.
        heard : ndarray of float64, shape [n]
            When each sample left the sender, in seconds of the monotonic clock; never later than
            it arrived.
        """
        rows = len(stamps)
        marks = np.flatnonzero(np.isfinite(stamps))
        numbers: Floats = self._number + np.arange(1, rows + 1, dtype=np.float64)
        if not rows:
            return numbers, np.empty(0)
        if not len(marks):
            self._number += rows
            self._rows += rows
            heard: Floats = arrived - np.arange(rows, dtype=np.float64)[::-1] * self._period
            return numbers, heard
        begun = self._stamp
        sizes = np.diff(marks, prepend=-1)
        sizes[0] += self._rows
        if not self._alike(numbers[marks], stamps[marks], sizes):
            for mark, size in zip(marks.tolist(), sizes.tolist(), strict=True):
                lost = self._one(int(numbers[mark]), float(stamps[mark]), size)
                numbers[max(mark - size + 1, 0) :] += lost
        last = int(marks[-1])
        self._number, self._at = int(numbers[-1]), int(numbers[last])
        self._rows = rows - 1 - last
        self._behind.append(float(stamps[last]) - arrived)
        self._judge()
        sent = self._heard(float(stamps[last]), begun, arrived)
        known = np.interp(np.arange(rows), marks, stamps[marks])
        known[: marks[0]] -= np.arange(marks[0], 0, -1) * self._period
        known[last:] += np.arange(rows - last) * self._period
        heard = sent + (known - known[last]) * (_MICRO / self._offset.pace)
        return numbers, np.minimum(heard, arrived)

    # -- against the line --------------------------------------------------------------------

    def _due(self, number: int) -> float:
        """When a sample should be stamped."""
        base = self._near[-1][0]
        offs = sorted(stamp - (at - base) * self._period for at, stamp in self._near)
        middle = (offs[(len(offs) - 1) // 2] + offs[len(offs) // 2]) / 2
        return middle + (number - base) * self._period

    @property
    def _least(self) -> int:
        """The smallest loss that can happen, in samples: a packet where all are of one size."""
        least = min(self._sizes, default=1)
        return least if least == max(self._sizes, default=1) else 1

    @property
    def _bound(self) -> float:
        """Seconds within which a stamp is where it should be."""
        half = self._least * self._period / 2
        return half if self.counts else _JUMP

    def _alike(self, numbers: Floats, stamps: Floats, sizes: Ints) -> bool:
        """Take many stamps at once, where all of them are where they should be."""
        if len(stamps) < 4 or not self._learnt or not self._near:
            return False
        first = int(numbers[0])
        off = stamps - self._due(first) - (numbers - first) * self._period
        if np.abs(off).max() >= min(self._bound, max(3 * self._scatter, 1e-6)):
            return False
        self._sizes.extend(sizes[-_LOOK:].tolist())
        some = np.unique(np.linspace(0, len(stamps) - 1, 8).astype(int))
        self._off.extend(np.abs(off[some]).tolist())
        for at in some.tolist():
            self._note(int(numbers[at]), float(stamps[at]))
        self._stamp = float(stamps[-1])
        self._doubted = max(self._doubted - len(stamps), 0)
        self._since_loss += len(stamps)
        return True

    def _one(self, number: int, stamp: float, size: int) -> int:
        """Take one stamp; give the samples that are missing before it."""
        self._stamp = stamp
        self._doubted = max(self._doubted - 1, 0)
        self._since_loss += 1
        if not self._near:
            self._note(number, stamp)
            return 0
        off = stamp - self._due(number)
        bound = self._bound
        lost = 0
        if self.counts and off >= bound:
            lost = self._missing(off)
            off -= lost * self._period
            self._since_loss = 0
        elif self.counts and off <= -bound and self._since_loss < _NEAR:
            # What seemed lost was only late, and comes now: such stamps tell nothing.
            self._late += 1
            self._doubted = _BURST * 16 ** min(self._late - 1, 8)
        self._sizes.append(size)
        # What is no whole number of samples is no loss alone: the clock was set, too.
        if abs(off) >= bound or (lost and abs(off) > max(4 * self._scatter, 1e-4)):
            self.steps += 1
            self._anew()
            self._aside.clear()
        elif len(self._points) >= 3 or len(self._off):
            self._weigh(off)
        self._note(number + lost, stamp)
        return lost

    def _weigh(self, off: float) -> None:
        """Take how far a stamp was off for scatter, unless the line moved for good."""
        usual = math.inf
        if self._learnt and len(self._off) >= 4:
            usual = 5 * sorted(self._off)[len(self._off) // 2] + 1e-6
        aside = self._aside
        if abs(off) <= usual:
            self._off.extend([*(abs(other) for other in aside), abs(off)])
            aside.clear()
            return
        aside.append(off)
        if len(aside) < _MOVED:
            return
        if max(aside) - min(aside) <= min(abs(other) for other in aside) / 2:
            for kept in (self._near, self._points):  # what came before lies on another line
                recent = list(kept)[1 - _MOVED :]
                kept.clear()
                kept.extend(recent)
        else:
            self._off.extend(abs(other) for other in aside)
        aside.clear()

    def _missing(self, off: float) -> int:
        """How many samples a deviation is: whole packets, where all are of one size."""
        samples = off / self._period
        whole = round(samples / self._least) * self._least
        near = abs(samples - whole) * self._period <= max(4 * self._scatter, 1e-3)
        return whole if near else round(samples)

    def _anew(self) -> None:
        """Begin another line with the same slope: the clock was set."""
        self._near.clear()
        self._points.clear()

    def _note(self, number: int, stamp: float) -> None:
        """Let the line go by one more stamp."""
        self._near.append((number, stamp))
        points = self._points
        far = not points or stamp - points[-1][1] >= _STRIDE
        if not far and len(points) >= _FEW:
            return
        points.append((number, stamp))
        if len(points) < 3:
            return
        line = np.array(points)
        steps = line[None] - line[:, None]
        i, j = np.triu_indices(len(points), 1)
        slope = float(np.median(steps[i, j, 1] / steps[i, j, 0]))
        span = float(line[-1, 1] - line[0, 1])
        # Stamps so close together that scatter hides the slope would only spoil it.
        if self._learnt and span < _SPAN:
            return
        self._period = min(max(slope, self._nominal * (1 - _OFF)), self._nominal * (1 + _OFF))
        self._learnt = self._learnt or (span >= _SPAN and len(points) >= _FEW)

    def _judge(self) -> None:
        """Say whether a loss would show."""
        self._looks += 1
        if not self._learnt or len(self._off) < 4:
            return
        settled = len(self._off) == _LOOK and self.counts and not self._doubted
        if settled and self._looks % _EVERY:
            return
        off = np.array(self._off)
        self._scatter = float(np.quantile(off, 0.95))
        slack = 1.5 if self.counts else 1.0  # what counts does not cease to for a trifle
        enough = 3 * self._scatter <= 0.3 * slack * self._least * self._period
        own = self._scatter <= slack * _OWN and not self._made()
        self.counts = enough and own and not self._doubted

    def _made(self) -> bool:
        """Whether stamps were made as the data came in: a stall shows in them as in arrival."""
        behind = np.array(self._behind)
        if len(behind) < _FEW:
            return False
        behind = np.abs(behind - np.median(behind))
        least = float(np.quantile(behind, 0.9))
        off = float(np.quantile(np.array(self._off), 0.9))
        return off > _FLOOR and least < _MADE * off

    # -- on this host's clock ------------------------------------------------------------------

    def _heard(self, stamp: float, before: float, arrived: float) -> float:
        """Move a stamp to the monotonic clock: by the least delayed ones, and their drift."""
        gone, passed = stamp - before, arrived - self._came
        self._came = arrived
        micros = round(stamp * _MICRO)
        if math.isfinite(gone) and self._offset.known:
            early = self._offset.acquired(micros, math.inf) - arrived
            # Never early; and not late by what stamps went back.
            if (early > _STEP and gone - passed > _STEP) or gone < -_STEP:
                self._offset.clear()
        self._offset.note(np.array([micros]), np.array([arrived]))
        self._offset.arrive(micros, arrived)
        return self._offset.acquired(micros, arrived)
