"""What lies between true samples and rows: the sensor's time, the driver's numbers and stamps."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.signals import Samples

# Seconds of true samples that are kept, to know a channel's level and spread.
_RECENT = 4.0


class SensorTime:
    """When a sensor takes its samples, at a rate that may change.

    Parameters
    ----------
    now : float
        Monotonic nanoseconds at which sample 0 begins.
    pace : float
        Samples a second.
    wall : float
        Unix time less monotonic time, in seconds.
    """

    def __init__(self, now: float, pace: float, wall: float) -> None:
        self._base, self._now, self._pace, self._wall = 0.0, now, pace, wall
        self._edges: deque[tuple[float, float, float, float]] = deque(maxlen=64)
        self._edges.append((0.0, now, pace, wall))

    def change(self, at: float, *, pace: float | None = None, wall: float | None = None) -> None:
        """Let the sensor go at another rate, or the host's clock be set, from a time on."""
        self._base += (at - self._now) * self._pace / 1e9
        self._now = at
        self._pace = self._pace if pace is None else pace
        self._wall = self._wall if wall is None else wall
        self._edges.append((self._base, at, self._pace, self._wall))

    def taken(self, until: float) -> int:
        """Count the samples that are taken by a time."""
        return int(self._base + (until - self._now) * self._pace / 1e9 + 1e-6)

    def at(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Monotonic nanoseconds at which the samples before an index are taken."""
        since = (index.astype(np.float64) - self._base) * (1e9 / self._pace)
        return np.asarray(self._now + since, np.float64)

    def unix(self, index: int) -> tuple[float, ...]:
        """Unix time of the same, by every setting of the host's clock from then until now."""
        edges = [edge for edge in self._edges if edge[0] <= index] or [self._edges[0]]
        base, at, pace, _ = edges[-1]
        taken = at / 1e9 + (index - base) / pace
        later = [edge for edge in self._edges if edge[1] / 1e9 > taken]
        return tuple(taken + edge[3] for edge in [edges[-1], *later])


class Driver:
    """Numbers and stamps rows as a pattern says.

    Parameters
    ----------
    pattern : Pattern
    rng : numpy Generator
        Chooses the first number: a device counts on from anywhere.
    now : float
        Monotonic nanoseconds.
    """

    def __init__(self, pattern: Pattern, rng: np.random.Generator, now: float) -> None:
        self._pattern = pattern
        self._start = int(rng.integers(0, 256))
        self._told = 0  # rows that the host has numbered
        self._before = now  # when the last packet was parsed

    def numbers(self, packet: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number packets; on a blind board the host does it later."""
        pattern, count = self._pattern, self._start + packet
        if pattern.low_byte:  # and above it the packets of every kind
            return (count // 2) % 65536 * 256 + count % 256
        if pattern.turn is not None:
            count = count % (pattern.turn // pattern.rows)
        return pattern.base + count * pattern.step

    def another(self, number: float, rng: np.random.Generator) -> float:
        """Give any number but the right one: one that there is, or one that there is not."""
        pattern = self._pattern
        there = (pattern.turn or 2**16 * pattern.rows) // pattern.rows
        right = (int(number) - pattern.base) // pattern.step
        other = (right + int(rng.integers(1, min(there, 2**16)))) % there
        wrong = float(pattern.base + other * pattern.step)
        return wrong if rng.random() < 0.5 else wrong * 977.5 + 0.25

    def stamp(self, table: Samples, when: npt.NDArray[np.float64], wall: float) -> None:
        """Write the stamps, and on a blind board the numbers, of rows that arrive.

        Parameters
        ----------
        table : ndarray, shape [width, rows]
            Its last row holds when each was taken, in monotonic nanoseconds, and the stamps
            afterwards.
        when : ndarray, shape [rows]
            Monotonic nanoseconds of their arrival.
        wall : float
            Unix time less monotonic time, in seconds.
        """
        pattern = self._pattern
        if pattern.stamps in ("row", "burst"):
            table[-1] = wall + when / 1e9
        elif pattern.stamps == "unknown":
            table[-1] = 0.0
        elif pattern.stamps == "spread":  # over the time since the packet before
            parsed = when[:: pattern.rows]
            since = np.diff(parsed, prepend=self._before)
            part = np.arange(1, pattern.rows + 1) / pattern.rows
            spread = (parsed - since)[:, None] + since[:, None] * part
            table[-1] = wall + spread.reshape(-1) / 1e9
        else:
            table[-1] = wall + table[-1] / 1e9
        self._before = float(when[-1])
        if pattern.blind:
            table[-2] = self._told + np.arange(table.shape[1])
            self._told += table.shape[1]


class Feed:
    """True samples, as many at a time as the board asks for.

    Attributes
    ----------
    ended : bool
        Whether the source has.
    recent : ndarray, shape [channels, n]
        The last few seconds that were given.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        width = len(source.channels)
        self._samples: Samples = np.empty((width, 0))
        self._absent: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._end: int | None = None
        self.recent: Samples = np.empty((width, 0))
        self.ended = False

    def take(self, count: int, rows: int) -> tuple[Samples, npt.NDArray[np.bool_]]:
        """Give up to ``count`` samples, whole packets, and which are absent in the source."""
        while self._samples.shape[1] < count and not self.ended:
            chunk = self._source.read()
            if chunk is None:
                self.ended = True
                break
            if not chunk.samples.shape[1]:
                break
            skipped = 0 if self._end is None else chunk.first - self._end
            self._end = chunk.end
            hole = np.full((len(self._samples), skipped), np.nan)
            absent = np.arange(skipped + chunk.samples.shape[1]) < skipped
            self._samples = np.concatenate([self._samples, hole, chunk.samples], axis=1)
            self._absent = np.concatenate([self._absent, absent])
        count = min(count, int(self._samples.shape[1])) // rows * rows
        samples, absent = self._samples[:, :count], self._absent[:count]
        self._samples, self._absent = self._samples[:, count:], self._absent[count:]
        recent = np.concatenate([self.recent, samples], axis=1)
        self.recent = recent[:, -round(_RECENT * self._source.rate) :]
        return samples, absent.reshape(-1, rows).any(axis=1).repeat(rows)


class Wire:
    """Rows on their way, in order.

    Parameters
    ----------
    width : int
        Rows of a table.
    """

    def __init__(self, width: int) -> None:
        self._nothing: Samples = np.empty((width, 0))
        self._queue: deque[tuple[npt.NDArray[np.float64], Samples]] = deque()

    @property
    def waiting(self) -> bool:
        """Whether anything is."""
        return bool(self._queue)

    def send(self, when: npt.NDArray[np.float64], table: Samples) -> None:
        """Put rows [width, n] on the way, which arrive at these monotonic nanoseconds."""
        self._queue.append((when, table))

    def take(self, now: float) -> Samples:
        """Give what has arrived."""
        taken = [self._nothing]
        while self._queue:
            arrived, table = self._queue[0]
            count = int(np.searchsorted(arrived, now, side="right"))
            taken.append(table[:, :count])
            if count < len(arrived):
                self._queue[0] = (arrived[count:], table[:, count:])
                break
            self._queue.popleft()
        return np.concatenate(taken, axis=1)

    def cut(self, at: float) -> int:
        """Lose what has not arrived by then; gives how many rows that is."""
        lost = sum(int((when > at).sum()) for when, _ in self._queue)
        self._queue = deque((when[when <= at], table[:, when <= at]) for when, table in self._queue)
        return lost
