"""Drained rows into chunks: on the sample clock, cut where samples are missing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.runtime.clock import SampleClock
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.order import GARBLED, STALE, Placed
from bioxedge.runtime.sources.counters import Floats, Pattern
from bioxedge.runtime.sources.stamps import Hearing
from bioxedge.signals import Chunk

OFF = 0.0195  # how far the real rate may be off: 2 %, to the digits that it is measured by


class RowReader:
    """Takes tables of rows as a board gives them, and gives chunks.

    Parameters
    ----------
    rows : sequence of int
        Rows of the table that are the channels, in order.
    counter, stamp : int
        Rows of the counter and of the time stamps.
    rate : float
        Nominal rate in Hz.
    pattern : Pattern or None
        How the counter goes; None to learn it.
    clock : HostClock, optional
    pace : float, optional
        Rows per second of stamps and arrivals, where that is not the rate.
    start : int, optional
        Index of the first sample.
    t0 : float, optional
        Unix time of sample 0 where that is known, as in a recording.
    named : str, optional
        What numbers the rows, for messages.
    """

    def __init__(
        self,
        rows: Sequence[int],
        *,
        counter: int,
        stamp: int,
        rate: float,
        pattern: Pattern | None,
        clock: HostClock = SYSTEM,
        pace: float | None = None,
        start: int = 0,
        t0: float | None = None,
        named: str = "the board's counter",
    ) -> None:
        self._rows, self._counter, self._stamp = list(rows), counter, stamp
        self._rate, self._host, self._t0 = rate, clock, t0
        pace = rate if pace is None else pace
        self._clock = SampleClock(rate, pattern, pace=pace, start=start)
        self._hearing = Hearing("row" if pattern is None else pattern.stamps, pace, clock)
        self._recorded = self._hearing.kind == "recorded"
        self._samples: Floats = np.empty((len(self._rows), 0))
        self._arrived: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._chunks: deque[Chunk] = deque()
        self._off = False
        if pattern is None:
            said = f"{named} has to be learnt: until then, losses are not known"
            self._clock.journal.counter(said, start)
        elif pattern.blind:
            said = f"{named} shows no loss: losses are not known"
            self._clock.journal.counter(said, start)

    @property
    def next(self) -> int:
        """Index of the next sample."""
        return self._clock.next

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where the counter cannot tell."""
        return self._clock.loss

    @property
    def counts(self) -> bool:
        """Whether the counter shows losses."""
        return self._clock.counts

    @property
    def real_rate(self) -> float:
        """Measured samples per second; NaN until there is enough to go by."""
        if self._recorded:
            return self._rate
        return self._clock.line.figure * self._rate / self._clock.line.nominal

    def take(self, table: Floats, arrived: int, *, overflow: bool = False) -> None:
        """Take a drain, an empty one too: with time, held rows come out.

        Parameters
        ----------
        table : ndarray of float64, shape [width, rows]
        arrived : int
            Monotonic nanoseconds.
        overflow : bool, optional
            The ring was full: older rows may have been thrown away before these.
        """
        if overflow:
            self._clock.journal.tell(
                "gap",
                f"the ring was full with {table.shape[1]} rows: those before them may be gone",
                self._clock.next,
                ring=table.shape[1],
            )
        heard = self._hearing.take(table[self._stamp], arrived / 1e9)
        count = table.shape[1]
        if count:
            samples, came = table[self._rows], np.full(count, arrived, np.int64)
            if len(self._arrived):
                samples = np.concatenate([self._samples, samples], axis=1)
                came = np.concatenate([self._arrived, came])
            self._samples, self._arrived = samples, came
        elif not len(self._arrived):
            return
        placed = self._clock.take(
            table[self._counter],
            heard.seconds,
            arrived / 1e9,
            stamped=heard.stamped,
            exact=self._recorded,
        )
        self._give(placed)

    def flush(self) -> None:
        """Let held rows out: no more will come."""
        self._give(self._clock.flush())

    def use(self, pattern: Pattern, said: str | None = None) -> None:
        """Go by another pattern from the next row on, and say why."""
        self.flush()
        self._clock.use(pattern)
        self._clock.journal.counter(said, self._clock.next)

    def skip(self, samples: int, why: str) -> None:
        """Leave out samples that are known to be gone, before the next row."""
        self.flush()
        self._clock.skip(samples, why)

    def tell(self, message: str, **facts: object) -> None:
        """Say that counter, stamps and arrival do not agree."""
        self._clock.journal.tell("contradiction", message, self._clock.next, **facts)

    def pop(self) -> Chunk | None:
        """Give the next chunk; None where there is none."""
        return self._chunks.popleft() if self._chunks else None

    def empty(self, arrived: int) -> Chunk:
        """Give a chunk without samples, where nothing is new."""
        return self._chunk(self._samples[:, :0], self._clock.next, arrived)

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        return self._clock.journal.take()

    def _give(self, placed: list[Placed]) -> None:
        """Queue the rows that found their place, cut where samples are missing."""
        if not placed:
            return
        if len(placed) == 1 and placed[0].plain:
            self._plain(placed[0])
            return
        begins = np.cumsum([0, *(some.consumed for some in placed)])
        order = np.concatenate([some.order + at for some, at in zip(placed, begins, strict=False)])
        index = np.concatenate([some.samples for some in placed])
        state = np.concatenate([some.state for some in placed])
        samples = self._samples[:, order]
        samples[:, state == GARBLED] = math.nan
        pattern = self._clock.pattern
        if pattern is not None and pattern.stale and (state == STALE).any():
            old = np.array([row in pattern.stale for row in self._rows])
            samples[np.ix_(old, state == STALE)] = math.nan
        arrived = self._arrived[order]
        self._samples = self._samples[:, begins[-1] :]
        self._arrived = self._arrived[begins[-1] :]
        cuts = np.flatnonzero(np.diff(index) != 1) + 1
        for part in np.split(np.arange(len(index)), cuts):
            if len(part):
                came = int(arrived[part].max())
                self._chunks.append(self._chunk(samples[:, part], int(index[part[0]]), came))
        self._watch()

    def _plain(self, some: Placed) -> None:
        """Queue rows that came as they should."""
        rows = some.consumed
        came, first = int(self._arrived[rows - 1]), int(some.samples[0])
        self._chunks.append(self._chunk(self._samples[:, :rows], first, came))
        self._samples, self._arrived = self._samples[:, rows:], self._arrived[rows:]
        self._watch()

    def _chunk(self, samples: Floats, first: int, arrived: int) -> Chunk:
        line, end = self._clock.line, first + samples.shape[1]
        acquired = arrived
        if not self._recorded and end > 0:
            acquired = round(line.acquired(end - 1, arrived / 1e9) * 1e9)
        t0 = self._t0
        if t0 is None:
            t0 = self._hearing.offset + acquired / 1e9 - (end - 1) / self._rate
        return Chunk(
            samples,
            first,
            self._rate,
            t0,
            arrived,
            acquired=acquired,
            real_rate=self.real_rate,
            loss_known=self._clock.counts,
        )

    def _watch(self) -> None:
        """Say so where the real rate is not the nominal one."""
        if self._recorded or not self._clock.line.sure:
            return
        ratio = self.real_rate / self._rate
        off = abs(ratio - 1) >= (OFF if not self._off else OFF * 0.75)
        if off != self._off:
            self._off = off
            what = "is off the nominal one" if off else "is the nominal one again"
            self._clock.journal.tell(
                "rate",
                f"the real rate {what}: {self.real_rate:.2f} Hz, {ratio - 1:+.1%} of "
                f"{self._rate:g} Hz",
                self._clock.next,
                rate=round(self.real_rate, 3),
                nominal=self._rate,
            )
