"""A source that somebody else's code pushes samples into."""

from __future__ import annotations

import threading
from collections import deque

import numpy.typing as npt

from bioxedge.errors import SignalError, SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.runtime.sources.feed import Feed
from bioxedge.runtime.sources.intake import Packet
from bioxedge.signals import Chunk

HELD = 60.0  # seconds of signal that wait for a reader


class PushSource(Managed):
    """Samples from a callback, for :func:`bioxedge.runtime.run`.

    ``push`` and ``end`` may be called from any thread, or from an event loop: they never wait for
    the reader. What is pushed before ``start`` and after ``close`` is left out.

    Parameters
    ----------
    channels : sequence of str
    rate : float
        Nominal rate in Hz.
    units : sequence of str, optional
    pattern : Pattern, optional
        How the counter goes that is pushed, where it comes round: ``Pattern(256)``. Without it,
        one that falls is taken to have come round at 1, 2 or 4 bytes.
    name : str, optional
    held : float, optional
        Seconds of signal that wait for a reader; of more, the oldest are left out, and counted.
    clock : HostClock, optional

    Attributes
    ----------
    left_out : int
        Samples that nobody read in time.

    Examples
    --------
    ::

        source = PushSource(["ecg"], 130.0, ["uV"])
        source.push(microvolts, stamps=seconds_of_the_last)  # in the callback
    """

    def __init__(
        self,
        channels: tuple[str, ...] | list[str],
        rate: float,
        units: tuple[str, ...] | list[str] | None = None,
        *,
        pattern: Pattern | None = None,
        name: str = "push",
        held: float = HELD,
        clock: HostClock = SYSTEM,
    ) -> None:
        self.name, self.channels, self.rate = name, tuple(channels), float(rate)
        self.units = None if units is None else tuple(units)
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise SignalError(f"channels are one name or more, all distinct, got {self.channels}")
        if self.units is not None and len(self.units) != len(self.channels):
            raise SignalError(
                f"{len(self.units)} units for {len(self.channels)} channels: give one for each"
            )
        if not 0 < self.rate < 1e9:
            raise SignalError(f"the rate is {rate} Hz: it must be positive")
        if not held > 0:
            raise SignalError(f"held is {held} s: it must be positive")
        self._pattern, self._host = pattern, clock
        self._most = max(int(held * self.rate), 1)
        self._lock = threading.Lock()
        self._running = False
        self._clear()

    def _clear(self) -> None:
        """Stand before the first sample."""
        self._feed = Feed(len(self.channels), self.rate, pattern=self._pattern, clock=self._host)
        self._queue: deque[Packet] = deque()
        self._gone: Packet | None = None
        self._waiting = 0  # samples in the queue
        self._events: list[Event] = []
        self.left_out = self._dropped = 0
        self._ended = self._flushed = False

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where neither stamps nor a counter can tell."""
        return self._feed.loss

    def start(self) -> None:
        """Begin: sample 0 is the first one that is pushed after this."""
        with self._lock:
            if not self._running:
                self._clear()
            self._running = True

    def push(
        self,
        samples: npt.ArrayLike,
        *,
        stamps: npt.ArrayLike | None = None,
        counter: npt.ArrayLike | None = None,
    ) -> None:
        """Take samples; never waits.

        Parameters
        ----------
        samples : array, shape [channels, n], or [n] for one channel
        stamps : float or array of shape [n], optional
            Seconds on the sender's clock, of each sample or of the last one.
        counter : int or array of shape [n], optional
            A number that rises by one a sample, or by one a packet.

        Raises
        ------
        SignalError
            Of other shapes, or with other witnesses than so far; nothing is taken then.
        SourceError
            After :meth:`end`.
        """
        with self._lock:
            if not self._running:
                return
            if self._ended:
                raise SourceError(f"{self.name} was ended: start it again to push")
            taken = self._feed.intake.take(samples, stamps, counter, self._host.monotonic_ns())
            self._queue += taken
            self._waiting += sum(packet.samples.shape[1] for packet in taken)
            while self._waiting > self._most and len(self._queue) > len(taken):
                old = self._queue.popleft()
                n = old.samples.shape[1]
                self._waiting -= n
                self.left_out += n
                self._dropped += n
                self._gone = old

    def end(self) -> None:
        """End in order: what was pushed is read, and then None."""
        with self._lock:
            self._ended = True

    def read(self) -> Chunk | None:
        """Give what has come since the last call; None once it was ended and all was read."""
        ready = self._feed.pop()
        if ready is not None:
            return ready
        with self._lock:
            if not self._running:
                raise SourceError(f"{self.name} was not started: use it in a with statement")
            queue, self._queue, self._waiting = self._queue, deque(), 0
            dropped, gone, self._dropped, self._gone = self._dropped, self._gone, 0, None
            ended = self._ended
        if dropped and gone is not None:
            self._miss(dropped, gone)
        for packet in queue:
            self._feed.put(packet)
        if not queue:
            self._feed.wait()
        if ended and not self._flushed:
            self._feed.flush()
            self._flushed = True
        ready = self._feed.pop()
        if ready is None and ended:
            return None
        return ready or self._feed.empty()

    def _miss(self, dropped: int, gone: Packet) -> None:
        """Count what nobody read in time, and say so."""
        self._feed.leave_out(gone, dropped)
        self._events.append(
            Event(
                "gap",
                f"nobody read for {dropped / self.rate:.1f} s and more: the oldest {dropped} "
                "samples were left out",
                facts={"left_out": dropped},
            )
        )

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        events, self._events = self._events, []
        return [*events, *self._feed.take_events()]

    def close(self) -> None:
        """Take no more; what waits is let go."""
        with self._lock:
            self._running = False
            self._queue.clear()
            self._waiting = 0
