"""A board that fails: true samples in, rows out as a driver would hand them over, with faults.

Rows have a counter, the host's stamps and the channels, and come at the time at which a radio
would bring them. What was done to which samples is written down in marks, which are for whoever
checks and never reach a reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.faults.marks import Harm, Mark, Session, spoil
from bioxedge.runtime.faults.plan import Fault
from bioxedge.runtime.faults.wire import Driver, Feed, SensorTime, Wire
from bioxedge.runtime.hostclock import HostClock, SimulatedClock
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.signals import Samples

FOREVER = 2**62
# Packets that pass before the first one is repeated, swapped or garbled: a reader's first rows.
_QUIET = 16


class FaultyBoard:
    """Turns a source's true samples into a board's rows.

    Parameters
    ----------
    source : Source
        Started and closed by whoever owns the board.
    faults : iterable of Fault
        In the order of their times.
    clock : HostClock
    pattern : Pattern
        How it counts and stamps.
    seed : int
    jitter : float
        Mean seconds from a packet's end to its arrival.
    """

    def __init__(
        self,
        source: Source,
        faults: Iterable[Fault],
        *,
        clock: HostClock,
        pattern: Pattern,
        seed: int,
        jitter: float,
    ) -> None:
        self._source, self._clock, self._pattern = source, clock, pattern
        self._jitter = jitter * 1e9
        self._todo = deque(enumerate(sorted(faults, key=lambda fault: fault.at)))
        stepping = any(fault.kind == "clock" for _, fault in self._todo)
        if stepping and not isinstance(clock, SimulatedClock):
            raise SourceError("the host's own clock is not set by a test: use a SimulatedClock")
        self.rate = source.rate
        self.width = len(source.channels) + 2
        odd = [f for _, f in self._todo if (f.channel or 0) >= len(source.channels)]
        if odd:
            raise SourceError(
                f"a fault on channel {odd[0].channel}: the source has {len(source.channels)}, "
                "counted from 0"
            )
        self._rng = np.random.default_rng([seed, 1])
        self.marks: list[Mark] = []
        self.sessions: list[Session] = []
        self.applied: dict[str, int] = {}
        self._began: int | None = None
        self._pace = self.rate
        self._silent_until = self._stalled_until = self._rate_until = FOREVER
        self._silent: Fault | None = None
        self._away_until = 0

    # -- from start to start --------------------------------------------------------------

    def require_in_reach(self) -> None:
        """Refuse to start while the board is away.

        Raises
        ------
        SourceError
        """
        if self._clock.monotonic_ns() < self._away_until:
            raise SourceError("the board is out of reach: bring it back, or wait")

    def begin(self) -> None:
        """Start afresh; the faults' time goes on."""
        now = self._clock.monotonic_ns()
        self._began = now if self._began is None else self._began
        self.gone = False
        self._next = self._sent = 0
        self._feed = Feed(self._source)
        self._driver = Driver(self._pattern, self._rng, float(now))
        self._wire = Wire(self.width)
        self._held: list[Samples] | None = None
        self._stalled_until = FOREVER
        self._latest = float(now)
        self._drop = 0
        self._tricks: deque[tuple[int, Fault]] = deque()
        self._spoiling: list[Mark] = []
        self._silence: Mark | None = None
        self._wall = self._clock.time() - now / 1e9
        self._time = SensorTime(float(now), self._pace, self._wall)
        self.sessions.append(Session())
        while self._todo and self._began + self._todo[0][1].at * 1e9 <= now:
            number, fault = self._todo.popleft()  # nothing was on the air
            if fault.kind in ("clock", "rate"):
                self._apply(number, fault, now)

    def poll(self, now: int) -> Samples:
        """Give the rows [width, n] that have arrived by ``now`` and were not taken yet.

        The last two rows are the counter and the stamps.
        """
        now = self._advance(now)
        return self._wire.take(now)

    @property
    def idle(self) -> bool:
        """Whether the source has ended and everything was taken."""
        return self._feed.ended and not self._wire.waiting and self._held is None

    # -- time ------------------------------------------------------------------------------

    def _advance(self, now: int) -> int:
        """Let time pass until ``now``, fault by fault; gives the time afterwards."""
        assert self._began is not None
        while not self.gone:
            fault_at = self._began + self._todo[0][1].at * 1e9 if self._todo else FOREVER
            until = min(fault_at, self._silent_until, self._stalled_until, self._rate_until)
            if until > now:
                break
            self._produce(until)
            if until == self._silent_until:
                self._silent, self._silence, self._silent_until = None, None, FOREVER
            elif until == self._stalled_until:
                self._release(until)
            elif until == self._rate_until:
                self._pace = self.rate
                self._time.change(until, pace=self._pace)
                self._rate_until = FOREVER
            else:
                number, fault = self._todo.popleft()
                self._apply(number, fault, until)
                if fault.kind == "pause":  # nobody polls meanwhile
                    left = until + fault.seconds * 1e9 - self._clock.monotonic_ns()
                    self._clock.sleep(max(left, 0) / 1e9)
                    now = self._clock.monotonic_ns()
        if not self.gone:
            self._produce(now)
        return now

    def _apply(self, number: int, fault: Fault, at: float) -> None:
        """Begin one fault."""
        self.applied[fault.kind] = self.applied.get(fault.kind, 0) + 1
        lasts = round(at + fault.seconds * 1e9)
        if fault.kind == "loss":
            rows = self._pattern.rows
            self._drop += -(-int(fault.size) // rows) * rows
            self._mark(number, fault, self._drop, "removed")
        elif fault.kind == "silence":
            before = 0 if self._silent_until == FOREVER else self._silent_until
            self._silent, self._silent_until = fault, max(lasts, before)
            self._silence = self._mark(number, fault, 0, "removed")
        elif fault.kind == "stall":
            self._held = [] if self._held is None else self._held
            before = 0 if self._stalled_until == FOREVER else self._stalled_until
            self._stalled_until = max(lasts, before)
            self._mark(number, fault, self._rows(fault.seconds), "none")
        elif fault.kind == "pause":
            self._mark(number, fault, self._rows(fault.seconds), "none")
        elif fault.kind in ("duplicate", "swap", "garble"):
            self._tricks.append((number, fault))
        elif fault.kind == "disconnect":
            self._away_until = lasts
            self.gone = True
            lost = sum(table.shape[1] for table in self._held or [])  # what was on the way
            lost += self._wire.cut(at)
            self._held = None
            self._next -= lost
            self.sessions[-1].end = min(self.sessions[-1].end, self._next)
            self._mark(number, fault, FOREVER - self._next, "removed")
        elif fault.kind == "rate":
            self._pace = self.rate * (1 + fault.size / 100)
            self._time.change(at, pace=self._pace)
            self._rate_until = lasts if fault.seconds else FOREVER
            self._mark(number, fault, self._rows(fault.seconds), "none")
        elif fault.kind == "clock":
            assert isinstance(self._clock, SimulatedClock)
            self._clock.step(fault.size)
            self._wall += fault.size
            self._time.change(at, wall=self._wall)
            self._mark(number, fault, 0, "none")
        else:
            harm: Harm = "removed" if fault.kind == "nan" else "spoiled"
            mark = self._mark(number, fault, max(self._rows(fault.seconds), 1), harm)
            recent = self._feed.recent
            recent = recent if recent.shape[1] else np.zeros((self.width - 2, 1))
            mark.level = recent.mean(axis=1, keepdims=True)
            mark.spread = recent.std(axis=1, keepdims=True) + 1e-9
            mark.hold = recent[:, -1:].copy()
            self._spoiling.append(mark)

    def _mark(self, number: int, fault: Fault, rows: int, harm: Harm) -> Mark:
        """Write down what the fault does to the next rows."""
        session = len(self.sessions) - 1
        mark = Mark(fault, number, session, self._next, self._next + rows, harm)
        self.marks.append(mark)
        return mark

    def _rows(self, seconds: float) -> int:
        return round(seconds * self._pace)

    def taken_at(self, index: int) -> tuple[float, ...]:
        """Unix time at which the samples before one were taken, by every setting of the clock
        from then until now.
        """
        return self._time.unix(index)

    def _release(self, at: float) -> None:
        """Hand over what was held back: all at once, stamped as it comes."""
        held, self._held, self._stalled_until = self._held or [], None, FOREVER
        if held:
            table = np.concatenate(held, axis=1)
            when = at + 2e3 * np.arange(table.shape[1], dtype=np.float64)  # two microseconds a row
            self._send(when, table)

    # -- rows ------------------------------------------------------------------------------

    def _produce(self, until: float) -> None:
        """Make the packets that are complete by then."""
        rows = self._pattern.rows
        due = self._time.taken(until)
        count = (due - self._next) // rows * rows
        if count <= 0 or (self._tricks and count < 2 * rows):
            return
        samples, absent = self._feed.take(count, rows)
        count = samples.shape[1]
        if not count:
            return
        first = self._next
        self._next += count
        index = np.arange(first, first + count)
        packet = index // rows
        end = self._time.at((packet + 1) * rows)
        late = self._rng.exponential(self._jitter, -(-count // rows)).repeat(rows)[:count]
        when = np.maximum(np.maximum.accumulate(end + late), self._latest)
        self._latest = float(when[-1])
        for mark in self._spoiling:
            samples = spoil(mark, samples, first, self.rate)
        self._spoiling = [mark for mark in self._spoiling if mark.end > self._next]
        table = np.empty((self.width, count))
        table[:-2] = samples
        table[-2] = self._driver.numbers(packet)
        table[-1] = self._time.at(index + 1)
        keep = ~absent
        if self._drop:
            keep[: self._drop] = False
            self._drop = max(self._drop - count, 0)
        if self._silent is not None:
            keep[:] = False
            if self._silence is not None:
                self._silence.end = self._next
        order = np.flatnonzero(keep)
        while self._tricks and len(order) >= 2 * rows and self._sent >= _QUIET * rows:
            order = self._trick(*self._tricks.popleft(), order, table, first)
        self._sent += len(order)
        if not len(order):
            return
        session = self.sessions[-1]
        session.origin = int(index[order[0]]) if session.origin is None else session.origin
        session.end = self._next
        if self._held is not None:
            self._held.append(table[:, order])
        else:
            self._send(when[np.sort(order)], table[:, order])

    def _trick(
        self, number: int, fault: Fault, order: npt.NDArray[np.intp], table: Samples, first: int
    ) -> npt.NDArray[np.intp]:
        """Repeat, swap or garble one packet of those that will be sent."""
        rows = self._pattern.rows
        at = int(self._rng.integers(0, len(order) // rows - 1)) * rows
        one, two = order[at : at + rows], order[at + rows : at + 2 * rows]
        mark = self._mark(number, fault, 0, "none")
        mark.first, mark.end = first + int(one[0]), first + int(two[-1]) + 1
        if fault.kind == "duplicate":
            again = [one] * int(fault.size)
            return np.concatenate([order[: at + rows], *again, order[at + rows :]])
        if fault.kind == "swap":
            return np.concatenate([order[:at], two, one, order[at + 2 * rows :]])
        mark.harm, mark.end = "removed", first + int(one[-1]) + 1
        table[-2, one] = self._driver.another(float(table[-2, one[0]]), self._rng)
        return order

    def _send(self, when: npt.NDArray[np.float64], table: Samples) -> None:
        """Let the driver stamp rows at their arrival, and queue them."""
        self._driver.stamp(table, when, self._wall)
        self._wire.send(when, table)
