"""A board that fails: true samples in, rows out as a driver would hand them over, with faults.

Rows have a counter, the host's stamps and the channels, and come at the time at which a radio
would bring them. What was done to which samples is written down in marks, which are for whoever
checks and never reach a reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.faultplan import Fault
from bioxedge.runtime.hostclock import HostClock, SimulatedClock
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.signals import Samples

FOREVER = 2**62
# Seconds of true samples from which a spoiled channel's level and spread are taken.
_RECENT = 4.0
# Packets that pass before the first one is repeated, swapped or garbled: a reader's first rows.
_QUIET = 16


@dataclass
class Mark:
    """What one fault did.

    Attributes
    ----------
    fault : Fault
    number : int
        Of the fault in the plan.
    session : int
        Which start of the board it falls into, from 0.
    first, end : int
        The true samples that it touched (end exclusive), counted since that start.
    harm : ``removed``, ``spoiled`` or ``none``
        Whether those samples are not there, are wrong, or are right all the same.
    """

    fault: Fault
    number: int
    session: int
    first: int
    end: int
    harm: Literal["removed", "spoiled", "none"]
    level: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    spread: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    hold: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    noise: Samples | None = field(default=None, repr=False)


@dataclass
class Session:
    """One start of the board: true samples ``[origin, end)`` were delivered."""

    origin: int | None = None
    end: int = 0


def spoil(mark: Mark, samples: Samples, first: int, rate: float) -> Samples:
    """Give samples [channels, n] as the mark's fault makes them; index ``first`` is column 0."""
    begin, end = max(first, mark.first), min(first + samples.shape[1], mark.end)
    if begin >= end:
        return samples
    out = samples.copy()
    rows = slice(None) if mark.fault.channel is None else slice(
        mark.fault.channel, mark.fault.channel + 1
    )  # fmt: skip
    where = slice(begin - first, end - first)
    if mark.fault.kind == "nan":
        out[rows, where] = np.nan
    elif mark.fault.kind == "rail":
        out[rows, where] = (mark.level + 20 * mark.spread)[rows]
    elif mark.fault.kind == "flat":
        out[rows, where] = mark.hold[rows]
    elif mark.fault.kind == "unit":
        out[rows, where] *= mark.fault.size
    else:
        if mark.noise is None:
            rng = np.random.default_rng([mark.number, mark.first])
            mark.noise = rng.standard_normal((len(samples), mark.end - mark.first))
        t = np.arange(begin, end) / rate
        hum = (
            20 * np.sin(2 * np.pi * 50 * t)
            + 5 * mark.noise[:, begin - mark.first : end - mark.first]
        )
        out[rows, where] = (mark.level + mark.spread * hum)[rows]
    return out


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
        self.gone = self.ended = False
        self._next = self._sent = 0
        self._base, self._base_ns = 0.0, float(now)
        self._samples: Samples = np.empty((self.width - 2, 0))
        self._absent: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._recent = self._samples
        self._fetched: int | None = None
        self._queue: deque[tuple[npt.NDArray[np.float64], Samples]] = deque()
        self._held: list[Samples] | None = None
        self._stalled_until = FOREVER
        self._latest = float(now)
        self._drop = 0
        self._tricks: deque[tuple[int, Fault]] = deque()
        self._spoiling: list[Mark] = []
        self._silence: Mark | None = None
        self._start = int(self._rng.integers(0, 256))  # a device counts on from anywhere
        self._told = 0  # rows that the host has numbered
        self._before = float(now)  # when the last packet was parsed
        self._wall = self._clock.time() - now / 1e9
        self._edges = deque([(0.0, float(now), self._pace, self._wall)], maxlen=64)
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
        taken: list[Samples] = []
        while self._queue:
            arrived, table = self._queue[0]
            count = int(np.searchsorted(arrived, now, side="right"))
            if count:
                taken.append(table[:, :count])
            if count < len(arrived):
                self._queue[0] = (arrived[count:], table[:, count:])
                break
            self._queue.popleft()
        return np.concatenate(taken, axis=1) if taken else np.empty((self.width, 0))

    @property
    def idle(self) -> bool:
        """Whether the source has ended and everything was taken."""
        return self.ended and not self._queue and self._held is None

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
                self._change_pace(self.rate, until)
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
        lasts = at + fault.seconds * 1e9
        if fault.kind == "loss":
            rows = self._pattern.rows
            self._drop += -(-int(fault.size) // rows) * rows
            self._mark(number, fault, self._drop, "removed")
        elif fault.kind == "silence":
            self._silent, self._silent_until = fault, lasts
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
            self._away_until = int(lasts)
            self.gone = True
            self._queue = deque(
                (when[when <= at], table[:, when <= at]) for when, table in self._queue
            )
            self._held = None
            self._mark(number, fault, FOREVER - self._next, "removed")
        elif fault.kind == "rate":
            self._change_pace(self.rate * (1 + fault.size / 100), at)
            self._rate_until = lasts if fault.seconds else FOREVER
            self._mark(number, fault, self._rows(fault.seconds), "none")
        elif fault.kind == "clock":
            assert isinstance(self._clock, SimulatedClock)
            self._clock.step(fault.size)
            self._wall += fault.size
            self._change_pace(self._pace, at)
            self._mark(number, fault, 0, "none")
        else:
            harm: Literal["removed", "spoiled"] = "removed" if fault.kind == "nan" else "spoiled"
            mark = self._mark(number, fault, max(self._rows(fault.seconds), 1), harm)
            recent = self._recent if self._recent.shape[1] else np.zeros((self.width - 2, 1))
            mark.level = recent.mean(axis=1, keepdims=True)
            mark.spread = recent.std(axis=1, keepdims=True) + 1e-9
            mark.hold = recent[:, -1:].copy()
            self._spoiling.append(mark)

    def _mark(
        self, number: int, fault: Fault, rows: int, harm: Literal["removed", "spoiled", "none"]
    ) -> Mark:
        """Write down what the fault does to the next rows."""
        session = len(self.sessions) - 1
        mark = Mark(fault, number, session, self._next, self._next + rows, harm)
        self.marks.append(mark)
        return mark

    def _rows(self, seconds: float) -> int:
        return round(seconds * self._pace)

    def _change_pace(self, pace: float, at: float) -> None:
        """Let the sensor run at another rate from a time on."""
        self._base += (at - self._base_ns) * self._pace / 1e9
        self._base_ns, self._pace = at, pace
        self._edges.append((self._base, at, pace, self._wall))

    def taken_at(self, index: int) -> tuple[float, ...]:
        """Unix time at which the samples before one were taken, by every setting of the clock
        from then until now.
        """
        edges = [edge for edge in self._edges if edge[0] <= index] or [self._edges[0]]
        base, at, pace, _ = edges[-1]
        taken = at / 1e9 + (index - base) / pace
        later = [edge for edge in self._edges if edge[1] / 1e9 > taken]
        return tuple(taken + edge[3] for edge in [edges[-1], *later])

    def _release(self, at: float) -> None:
        """Hand over what was held back: all at once, stamped as it comes."""
        held, self._held, self._stalled_until = self._held or [], None, FOREVER
        if held:
            table = np.concatenate(held, axis=1)
            when = at + 2e3 * np.arange(table.shape[1])  # two microseconds a row
            self._send(when, table)

    # -- rows ------------------------------------------------------------------------------

    def _produce(self, until: float) -> None:
        """Make the packets that are complete by then."""
        rows = self._pattern.rows
        due = int(self._base + (until - self._base_ns) * self._pace / 1e9 + 1e-6)
        count = (due - self._next) // rows * rows
        if count <= 0 or (self._tricks and count < 2 * rows):
            return
        count = self._fetch(count) // rows * rows
        if not count:
            return
        first = self._next
        samples, absent = self._samples[:, :count], self._absent[:count]
        absent = absent.reshape(-1, rows).any(axis=1).repeat(rows)  # a packet is whole or not there
        self._samples, self._absent = self._samples[:, count:], self._absent[count:]
        recent = np.concatenate([self._recent, samples], axis=1)
        self._recent = recent[:, -round(_RECENT * self.rate) :]
        self._next += count
        index = np.arange(first, first + count)
        packet = index // rows
        end = self._base_ns + ((packet + 1) * rows - self._base) * 1e9 / self._pace
        late = self._rng.exponential(self._jitter, -(-count // rows)).repeat(rows)[:count]
        when = np.maximum(np.maximum.accumulate(end + late), self._latest)
        self._latest = float(when[-1])
        for mark in self._spoiling:
            samples = spoil(mark, samples, first, self.rate)
        self._spoiling = [mark for mark in self._spoiling if mark.end > self._next]
        table = np.empty((self.width, count))
        table[:-2] = samples
        table[-2] = self._numbers(packet)
        table[-1] = self._base_ns + (index + 1 - self._base) * 1e9 / self._pace
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

    def _numbers(self, packet: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Number packets as this board does; on a blind one the host does it later."""
        pattern, count = self._pattern, self._start + packet
        if pattern.low_byte:  # and above it the packets of every kind
            return (count // 2) % 65536 * 256 + count % 256
        if pattern.turn is not None:
            count = count % (pattern.turn // pattern.rows)
        return pattern.base + count * pattern.step

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
        # Anything but the right one: another number that there is, or one that there is not.
        there = (self._pattern.turn or 2**16 * rows) // rows
        right = (int(table[-2, one[0]]) - self._pattern.base) // self._pattern.step
        other = (right + int(self._rng.integers(1, min(there, 2**16)))) % there
        number = self._pattern.base + other * self._pattern.step
        table[-2, one] = number if self._rng.random() < 0.5 else number * 977.5 + 0.25
        return order

    def _send(self, when: npt.NDArray[np.float64], table: Samples) -> None:
        """Stamp rows as this board's driver does at their arrival, and queue them.

        The last row of the table holds when they were taken, in monotonic nanoseconds.
        """
        pattern = self._pattern
        if pattern.stamps == "row" or pattern.stamps == "burst":
            table[-1] = self._wall + when / 1e9
        elif pattern.stamps == "unknown":
            table[-1] = 0.0
        elif pattern.stamps == "spread":
            parsed = when[:: pattern.rows]
            since = np.diff(parsed, prepend=self._before)
            part = np.arange(1, pattern.rows + 1) / pattern.rows
            spread = (parsed - since)[:, None] + since[:, None] * part
            table[-1] = self._wall + spread.reshape(-1) / 1e9
        else:
            table[-1] = self._wall + table[-1] / 1e9
        self._before = float(when[-1])
        if pattern.blind:
            table[-2] = self._told + np.arange(table.shape[1])
            self._told += table.shape[1]
        self._queue.append((when, table))

    def _fetch(self, count: int) -> int:
        """Have ``count`` true samples at hand, or as many as there are."""
        while self._samples.shape[1] < count and not self.ended:
            chunk = self._source.read()
            if chunk is None:
                self.ended = True
                break
            if not chunk.samples.shape[1]:
                break
            skipped = 0 if self._fetched is None else chunk.first - self._fetched
            self._fetched = chunk.end
            hole = np.full((self.width - 2, skipped), np.nan)
            absent = np.arange(skipped + chunk.samples.shape[1]) < skipped
            self._samples = np.concatenate([self._samples, hole, chunk.samples], axis=1)
            self._absent = np.concatenate([self._absent, absent])
        return min(count, self._samples.shape[1])
