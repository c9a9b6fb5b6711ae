"""One acquisition, several readers: each has a source of its own, and none delays another.

Whoever reads drains the sensor, under a lock, and hands what came to all. No thread is needed, no
sample waits for one, and as long as one of them reads, the sensor is read.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Chunk, rows_by_name

HELD = 60.0
"""Seconds of signal that wait for a reader."""

TOGETHER = 5.0
"""Seconds that the first reader waits for the others, so that all begin with the same sample."""


@dataclass
class _Read:
    """What one read of the source gave."""

    chunk: Chunk
    loss: int | None
    events: list[Event] = field(default_factory=list)


class Tee:
    """Gives one source to several readers.

    Parameters
    ----------
    source : Source
        Started with the first of its views, closed with the last.
    held : float, optional
        Seconds of signal that wait for a view. Of more, a live source's oldest are left out of
        that view, which is told; a recording waits for it instead.
    clock : HostClock, optional

    Attributes
    ----------
    once : bool
        Whether it is over for good at the source's end; left out, who starts then has it from the
        front.

    Examples
    --------
    ::

        tee = Tee(board)
        stress, alarm = tee.view(), tee.view(("ecg_1",))
    """

    def __init__(self, source: Source, *, held: float = HELD, clock: HostClock = SYSTEM) -> None:
        self._source, self._clock = source, clock
        self._most = max(int(held * source.rate), 1)
        self._lock = threading.Lock()
        self._views: list[View] = []
        self._ended = False
        self._error: SourceError | None = None
        self._next = 0  # index of the next sample
        self._began = 0
        self._begun = self.once = False

    def view(self, channels: tuple[str, ...] | None = None, name: str = "") -> View:
        """Make a source for one more reader, before any of them starts.

        Parameters
        ----------
        channels : tuple of str, optional
            In the order wanted; all by default.
        name : str, optional
            The reader's, for messages.

        Raises
        ------
        SignalError
            A channel that the source does not have.
        """
        made = View(self, self._source, channels, name)
        self._views.append(made)
        return made

    # -- for views: all of it under the lock -------------------------------------------------

    def _start(self, view: View) -> None:
        with self._lock:
            if self.once and self._ended:
                raise SourceError(f"{self._source.name} has come to its end")
            if not any(one.streams for one in self._views):
                self._source.start()
                self._ended, self._error, self._next = False, None, 0
                self._began = self._clock.monotonic_ns()
                for one in self._views:  # once: later, who starts again is waited for by nobody
                    one.missing = not self._begun
                self._begun = True
            view.begin(self._next, self._source.loss)

    def _close(self, view: View) -> None:
        with self._lock:
            was, view.streams, view.missing = view.streams, False, False
            view.queue.clear()
            if was and not any(one.streams for one in self._views):
                self._source.close()

    def _fill(self, view: View) -> None:
        """Read the source for all, if it is time to."""
        with self._lock:
            view.missing = False
            if view.queue or self._ended or self._error is not None:
                return
            late = self._clock.monotonic_ns() - self._began > TOGETHER * 1e9
            if not late and any(one.missing for one in self._views):
                return
            open_ones = [one for one in self._views if one.streams]
            if self._source.waits and any(one.waiting > self._most for one in open_ones):
                return
            try:
                chunk = self._source.read()
            except SourceError as error:
                self._error = error
                self._hand(None)
                return
            self._ended = chunk is None
            self._hand(chunk)

    def _hand(self, chunk: Chunk | None) -> None:
        """Hand over to everybody what a read gave."""
        events, loss = self._source.take_events(), self._source.loss
        if chunk is None:
            if not events:
                return
            nothing = np.empty((len(self._source.channels), 0))
            chunk = Chunk(nothing, self._next, self._source.rate)
        self._next = max(self._next, chunk.end)
        if not events and not chunk.samples.shape[1]:
            return
        for one in self._views:
            if one.streams:
                one.put(_Read(chunk, loss, events), self._most, waits=self._source.waits)

    def _state(self, view: View) -> tuple[_Read | None, bool, SourceError | None]:
        """Give a view's next read, and how the source stands."""
        with self._lock:
            if view.queue:
                view.told, view.pending = view.told + view.pending, 0
                return view.take(), False, None
            return None, self._ended, self._error


class View(Managed):
    """What one reader has of a :class:`Tee`: see :meth:`Tee.view`."""

    def __init__(
        self, tee: Tee, source: Source, channels: tuple[str, ...] | None, name: str
    ) -> None:
        self.tee, self._of = tee, name or "a reader"
        self.channels = source.channels if channels is None else channels
        self._rows = rows_by_name(self.channels, source.channels, source.name)
        self._whole = self._rows == list(range(len(source.channels)))
        self.name, self.rate, self.sensor = source.name, source.rate, source.sensor
        self.waits = source.waits
        self.watches_clock = getattr(source, "watches_clock", False)
        units = source.units
        self.units = None if units is None else tuple(units[row] for row in self._rows)
        self.queue: deque[_Read] = deque()
        self.streams = self.missing = False
        self.waiting = 0
        self._base = self._end = self._dropped = 0
        self.pending = self.told = 0  # samples left out, and those of them to be told now
        self._lost: int | None = 0  # before this view began
        self._loss: int | None = 0
        self._events: list[Event] = []

    @property
    def loss(self) -> int | None:
        """Samples lost since this view's start; None where the source cannot know."""
        if self._loss is None or self._lost is None:
            return None
        return self._loss - self._lost + self._dropped

    @property
    def over(self) -> bool:
        """Whether the source has come to its end: who starts now would have it from the front."""
        return self.tee._ended

    def begin(self, base: int, loss: int | None) -> None:
        """Stand before the first sample (called by the tee)."""
        self.queue.clear()
        self._events.clear()
        self.waiting = self._dropped = self.pending = self.told = 0
        self._base, self._end = base, 0
        self._lost = self._loss = loss
        self.streams = True

    def put(self, read: _Read, most: int, *, waits: bool) -> None:
        """Take what came (called by the tee); where there is no room, the oldest goes."""
        self.queue.append(read)
        self.waiting += read.chunk.samples.shape[1]
        while self.waiting > most and len(self.queue) > 1 and not waits:
            gone = self.queue.popleft()
            samples = gone.chunk.samples.shape[1]
            self.waiting -= samples
            self._dropped += samples
            self.pending += samples
            self.queue[0].events = [*gone.events, *self.queue[0].events]

    def take(self) -> _Read:
        """Give the oldest (called by the tee)."""
        read = self.queue.popleft()
        self.waiting -= read.chunk.samples.shape[1]
        return read

    def start(self) -> None:
        """Begin; sample 0 is the first one after this.

        Raises
        ------
        SourceError
            The source did not start, or is over for good.
        """
        self.tee._start(self)

    def read(self) -> Chunk | None:
        """Give what has come; None at the end.

        Raises
        ------
        SourceError
            The source failed, or was not started.
        """
        if not self.streams:
            raise SourceError(f"{self.name} was not started: use it in a with statement")
        self.tee._fill(self)
        read, ended, error = self.tee._state(self)
        if read is None:
            if error is not None:
                raise error
            return None if ended else self._nothing()
        self._loss = read.loss
        if self.told:
            left, self.told = self.told, 0
            self._events.append(
                Event(
                    "gap",
                    f"{self._of} was too slow: {left} samples that waited for it were left out",
                    self._end / self.rate,
                    {"samples": left, "left_out": left},
                )
            )
        since = self._base / self.rate
        self._events += [
            event if event.t is None else replace(event, t=event.t - since) for event in read.events
        ]
        chunk = read.chunk
        first = max(chunk.first - self._base, self._end)
        self._end = first + chunk.samples.shape[1]
        if self._whole and not self._base:
            return chunk
        samples = chunk.samples if self._whole else chunk.samples[self._rows]
        return replace(chunk, samples=samples, first=first, t0=chunk.t0 + since)

    def _nothing(self) -> Chunk:
        return Chunk(np.empty((len(self.channels), 0)), self._end, self.rate)

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Let go; the last one closes the source."""
        self.tee._close(self)
