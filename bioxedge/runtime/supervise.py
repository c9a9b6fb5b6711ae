"""A source that is let go, waited for and started again, for as long as it takes.

Boards stop without an error, run out of battery, leave the room and come back. The samples
after such a hole go on where time says that they belong, so that the hole is counted like any
other gap, and nobody has to start a run again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Chunk

# Different messages told of one outage: what a driver makes up anew each time is not told for ever.
_TOLD = 20


class Supervised(Managed):
    """A source, started again whenever it fails after it has streamed.

    ``read`` gives empty chunks while the board is away, so that whoever reads stays awake. The
    first start, and a failure before the first sample, are raised as they are: a wrong port does
    not become right by waiting.

    Parameters
    ----------
    source : Source
        One that can be closed and started again.
    clock : HostClock, optional
    first_delay, longest_delay : float, optional
        Seconds of the first wait, doubled at every attempt up to the longest; at most half of a
        wait is taken off by chance, so that many devices do not ask at once.
    limit : float, optional
        Seconds of being away after which the source's error is raised; never, by default.
    background : bool, optional
        Whether closing and starting, which take a driver seconds, happen beside the reader in a
        thread. Left out: where the clock is this machine's own. Under a simulated clock they
        take no time, and a thread would make a run differ from the next.
    seed : int, optional
        Of the chance in the waits.
    """

    def __init__(
        self,
        source: Source,
        *,
        clock: HostClock = SYSTEM,
        first_delay: float = 0.5,
        longest_delay: float = 30.0,
        limit: float = math.inf,
        background: bool | None = None,
        seed: int | None = None,
    ) -> None:
        self._source, self._clock = source, clock
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.units, self.sensor, self.waits = source.units, source.sensor, source.waits
        self._delays = first_delay, longest_delay
        self._limit = limit
        self._random = random.Random(seed)
        self._aside = clock is SYSTEM if background is None else background
        self._open = False
        self._clear()

    def _clear(self) -> None:
        """Stand before the first start."""
        self._events: list[Event] = []
        self._offset = 0  # of this session's sample 0 in the whole
        self._end = 0  # one past the last sample given
        self._seen = 0  # monotonic ns at which that sample was taken
        self._pace = self.rate
        self._last: Chunk | None = None
        self._placed = False  # whether this session has given a sample
        self._lost: int | None = 0  # in former sessions and between them
        self._error: SourceError | None = None  # why the source is away
        self._job: Future[None] | None = None
        self._starting = False
        self._attempts = 0
        self._again = 0  # monotonic ns of the next attempt
        self._told: set[str] = set()

    @property
    def loss(self) -> int | None:
        """Samples lost so far, in and between sessions; None where a session could not know.

        While the source is away the time that passes counts; what was missing is settled by the
        first sample that comes.
        """
        if self._lost is None:
            return None
        if not self._placed and self._last is not None:
            return self._lost + max(self._due(self._clock.monotonic_ns()) - self._end, 0)
        return _sum(self._lost, self._source.loss)

    def start(self) -> None:
        """Begin; a source that does not start now is not waited for.

        Raises
        ------
        SourceError
            What the source says.
        """
        self.close()
        self._clear()
        self._source.start()
        self._open = True

    def read(self) -> Chunk | None:
        """Give what has come, or nothing while the source is away; None once it has ended.

        Raises
        ------
        SourceError
            The source failed before its first sample, or is away for longer than the limit.
        """
        if self._error is not None and not self._back():
            return self._nothing()
        try:
            chunk = self._source.read()
        except SourceError as error:
            if self._last is None or not self._open:
                raise
            self._fail(error)
            return self._nothing()
        if chunk is None:
            return None
        return self._place(chunk) if self._placed or chunk.samples.shape[1] else self._nothing()

    def take_events(self) -> list[Event]:
        """Give what happened in the source and to it, on the time of the whole."""
        if self._error is None and (self._placed or self._last is None):
            self._gather(self._offset)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Let go of the source, also of one that is just being started."""
        self._open = False
        job, self._job, error = self._job, None, None
        if job is not None:
            error = job.exception()  # waits: nothing can be released while a driver prepares it
        self._error = None
        self._source.close()
        if error is not None and not isinstance(error, SourceError):
            raise error

    # -- while it streams --------------------------------------------------------------------

    def _place(self, chunk: Chunk) -> Chunk:
        """Move a session's chunk to where it lies in the whole."""
        if not self._placed:
            self._join(chunk)
        first = chunk.first + self._offset
        moved = replace(chunk, first=first, t0=chunk.t0 - self._offset / self.rate)
        if chunk.samples.shape[1]:
            self._end, self._seen, self._last = moved.end, _taken(chunk, self._clock), moved
            if math.isfinite(chunk.real_rate):
                self._pace = chunk.real_rate
        return moved

    def _join(self, chunk: Chunk) -> None:
        """Say where a session's first chunk lies: where time has brought it, past all others."""
        self._placed = True
        if self._last is None:
            return
        taken = _taken(chunk, self._clock)
        first = max(self._due(taken) + 1 - chunk.samples.shape[1], self._end)
        self._offset = first - chunk.first
        # What the session itself lost before this chunk is in its own count.
        self._lost = _sum(self._lost, max(self._offset - self._end, 0))
        away, samples = (taken - self._seen) / 1e9, first - self._end
        self._events.append(
            Event(
                "reconnect",
                f"{self.name} streams again, {away:.1f} s after its last sample, at attempt "
                f"{self._attempts}: {samples} samples are missing",
                first / self.rate,
                {"seconds": round(away, 3), "attempts": self._attempts, "samples": samples},
            )
        )
        self._attempts, self._told = 0, set()

    def _due(self, moment: int) -> int:
        """Index of the sample that was taken at a moment of the monotonic clock."""
        return self._end - 1 + round((moment - self._seen) / 1e9 * self._pace)

    def _gather(self, offset: int) -> None:
        """Take the source's events over to the time of the whole."""
        for event in self._source.take_events():
            t = None if event.t is None else event.t + offset / self.rate
            self._events.append(replace(event, t=t))

    def _nothing(self) -> Chunk:
        """An empty chunk behind the last sample."""
        last = self._last
        return Chunk(
            np.empty((len(self.channels), 0)),
            self._end,
            self.rate,
            math.nan if last is None else last.t0,
            self._clock.monotonic_ns(),
            real_rate=math.nan if last is None else last.real_rate,
            loss_known=last is None or last.loss_known,
        )

    # -- while it is away --------------------------------------------------------------------

    def _fail(self, error: SourceError) -> None:
        """Let a source go that has streamed, and begin to wait for it."""
        self._gather(self._offset if self._placed else self._end)
        if self._placed:
            self._lost = _sum(self._lost, self._source.loss)
        self._placed = self._starting = False
        self._error = error
        self._tell(error)
        self._do(self._source.close)
        self._wait()

    def _back(self) -> bool:
        """Go on with getting the source back; whether it is started."""
        now = self._clock.monotonic_ns()
        if self._job is not None:
            if not self._job.done():
                return False
            job, self._job = self._job, None
            try:
                job.result()
            except SourceError as error:
                self._error = error
                self._tell(error)
                self._wait()
                return False
            if self._starting:
                self._starting, self._error = False, None
                return True
        if self._error is not None and now - self._seen > self._limit * 1e9:
            raise self._error
        if now >= self._again:
            self._attempts, self._starting = self._attempts + 1, True
            self._do(self._source.start)
            return self._job is not None and self._job.done() and self._back()
        return False

    def _do(self, step: Callable[[], None]) -> None:
        """Let a step of the driver happen, beside the reader where it may take long."""
        if self._aside:
            pool = ThreadPoolExecutor(1, "supervise")
            self._job = pool.submit(step)
            pool.shutdown(wait=False)  # the step is done first
            return
        job: Future[None] = Future()
        try:
            step()
        except SourceError as error:
            job.set_exception(error)
        else:
            job.set_result(None)
        self._job = job  # only now: one that is never done would be waited for

    def _wait(self) -> None:
        """Set when the next attempt is."""
        first, longest = self._delays
        delay = min(first * 2.0 ** min(self._attempts, 60), longest)
        delay *= 1 - self._random.random() / 2
        self._again = self._clock.monotonic_ns() + round(delay * 1e9)

    def _tell(self, error: SourceError) -> None:
        """Say why it is away, the same words once an outage."""
        message = str(error)
        if message in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(message)
        silent = (self._clock.monotonic_ns() - self._seen) / 1e9
        self._events.append(
            Event(
                "stall",
                f"{message}; {silent:.1f} s without a sample, starting it again",
                self._end / self.rate,
                {"seconds": round(silent, 3), "attempts": self._attempts},
            )
        )


def _taken(chunk: Chunk, clock: HostClock) -> int:
    """When a chunk's last sample was taken, as well as it can be told."""
    return chunk.acquired or chunk.arrived or clock.monotonic_ns()


def _sum(one: int | None, other: int | None) -> int | None:
    """Add losses; what is unknown stays so."""
    return None if one is None or other is None else one + other
