"""The run loop: a source's chunks through a stream into sinks, and what came of it.

One thread reads, cuts and asks the model; every sink has a thread of its own, so that none of
them delays a window or another sink.
"""

from __future__ import annotations

import platform
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

import numpy as np
import onnxruntime

import bioxedge
from bioxedge import windows
from bioxedge.bundle import Bundle
from bioxedge.errors import SinkError, SourceError
from bioxedge.runtime.clockwatch import ClockWatch
from bioxedge.runtime.desk import Desk
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.interrupts import Interrupts
from bioxedge.runtime.sinks.base import RunInfo, Sink
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.stream import Due, Stream
from bioxedge.runtime.systemd import Watchdog
from bioxedge.runtime.tally import Tally
from bioxedge.runtime.waiting import Waiting
from bioxedge.signals import Chunk

__all__ = ["Late", "RunInfo", "Tally", "about", "run", "samples_needed"]

# Seconds that a source which can wait is held up by a sink that takes its time.
SLOW = 60.0
# Seconds of signal between two words about a model that cannot keep up.
SAY_LATE = 60.0

Late = Literal["all", "latest"]


def about(source: Source, stream: Stream, clock: HostClock = SYSTEM) -> RunInfo:
    """Describe a run for its sinks."""
    manifest = stream.bundle.manifest
    return RunInfo(
        labels=manifest.output.labels,
        bundle=manifest.name,
        digest=manifest.digest,
        source=source.name,
        sensor=source.sensor,
        rate=source.rate,
        started=clock.time(),
        monotonic_ns=clock.monotonic_ns(),
        versions={
            "bioxedge": bioxedge.__version__,
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        checks=manifest.absent,
        engine=stream.engine.settings,
        modality=manifest.input.modality,
        channels=manifest.input.names,
        units=tuple(channel.unit for channel in manifest.input.channels),
        window=manifest.window.length * stream.hop / manifest.window.hop,
        hop=stream.hop,
        value=manifest.output.value,
        others={other.name: other.output for other in manifest.others or ()},
    )


def run(
    source: Source,
    stream: Stream,
    sinks: Sequence[Sink],
    *,
    info: RunInfo | None = None,
    seconds: float | None = None,
    late: Late = "all",
    tally: Tally | None = None,
    clock: HostClock = SYSTEM,
    stop: threading.Event | None = None,
    watchdog: Watchdog | None = None,
) -> Tally:
    """Read a source to its end and send every prediction and event to every sink.

    The source is started and closed here, and the sinks are opened once it streams, and closed,
    whatever happens in between.

    Parameters
    ----------
    source, stream, sinks
    info : RunInfo, optional
        What sinks are told; :func:`about` by default.
    seconds : float, optional
        Stop after so much signal (not time), for every chunking at the same sample.
    late : {"all", "latest"}
        Where the model cannot keep up: answer every window, however old, or only the latest
        one, and count those that are left out.
    tally : Tally, optional
        Filled while running, so that an interrupted run can tell what it did.
    clock : HostClock, optional
        The source's clock.
    stop : threading.Event, optional
        Ends the run, in order, when it is set: for one that goes on beside others.
    watchdog : Watchdog, optional
        Told that the run turns; systemd's own by default.

    Returns
    -------
    Tally

    Raises
    ------
    SourceError, SignalError, BundleError
        What the source, the stream or the model raise.
    SinkError
        A sink failed; raised at the end, because the others go on, or at once where it was the
        last one or cannot be opened.
    """
    tally = Tally() if tally is None else tally
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.callback(_whole, interrupts, source.close)
        _whole(interrupts, source.start)  # a board that is prepared is known to be
        desk = Desk(info or about(source, stream, clock), tally)
        stack.callback(_whole, interrupts, desk.close)
        patience = SLOW if source.waits else 0.0
        # a thread that is torn while it starts can be neither joined nor told to end
        _whole(interrupts, lambda: desk.open(sinks, patience=patience, hurry=interrupts.pending))
        _Run(source, stream, desk, seconds, late, clock, interrupts, stop).go(watchdog)
    if desk.failures:
        raise SinkError("; ".join(desk.failures))
    return tally


def samples_needed(bundle: Bundle) -> int:
    """Count the input samples, none missing, that it takes to give a first window."""
    about = bundle.manifest
    return windows.samples_needed(about.input, about.stream, about.window)


def _whole(interrupts: Interrupts, step: Callable[[], None]) -> None:
    """Do something that no signal may tear."""
    with interrupts.held():
        step()


class _Run:
    """One run, step by step."""

    def __init__(
        self,
        source: Source,
        stream: Stream,
        desk: Desk,
        seconds: float | None,
        late: Late,
        clock: HostClock,
        interrupts: Interrupts,
        stop: threading.Event | None,
    ) -> None:
        self._source, self._stream, self._desk, self._clock = source, stream, desk, clock
        self._held_back = interrupts.held
        self._tally = desk.tally
        self._most = None if seconds is None else round(seconds * source.rate)
        self._first: int | None = None  # a replay may begin in the middle of a recording
        self._end = 0
        self._late, self._stop = late, stop
        self._waiting: deque[Due] = deque()
        self._wait = Waiting()
        self._cost = 0.0  # seconds that an answer takes, lately
        self._said_late = -SAY_LATE
        # What records, or gives a recording again, tells it where it belongs.
        watched = getattr(source, "watches_clock", False)
        self._watch = None if watched else ClockWatch(clock)

    def go(self, watchdog: Watchdog | None) -> None:
        """Read until the source ends or enough signal was seen."""
        watchdog = watchdog or Watchdog()  # real time, whatever the clock of the run
        watchdog.ready()
        try:
            while not self._ended():
                watchdog.alive()
                with self._held_back():  # a signal inside a driver's call would be lost in it
                    chunk = self._read()
                    self._step(chunk)
                if chunk is None:
                    return
                if not chunk.samples.shape[1]:
                    self._clock.sleep(self._wait.seconds(self._clock.monotonic_ns()))
            with self._held_back():
                self._answer_waiting()
        finally:
            watchdog.stopping()

    def _ended(self) -> bool:
        """Whether enough was seen, or somebody said so."""
        if self._stop is not None and self._stop.is_set():
            return True
        return self._most is not None and self._tally.samples >= self._most

    def _read(self) -> Chunk | None:
        """Read; where the source fails, what came before is answered all the same."""
        try:
            return self._source.read()
        except SourceError:
            self._pass_on(self._source.take_events())
            self._answer_waiting()
            raise

    def _step(self, chunk: Chunk | None) -> None:
        """Take what was read all the way."""
        self._look_at_clock()
        self._pass_on(self._source.take_events())
        more = False
        if chunk is not None and chunk.samples.shape[1]:
            self._first = chunk.first if self._first is None else self._first
            chunk = _trim(chunk, None if self._most is None else self._first + self._most)
            began = self._clock.monotonic_ns()
            due = self._stream.take(chunk)
            self._desk.signal(chunk)
            if due:
                self._wait.completed(began)
            self._end = chunk.end
            self._tally.samples = chunk.end - self._first
            self._pass_on(self._stream.take_events())
            self._waiting.extend(due)
            # Behind by more than half a hop, the source may hold newer windows: look first.
            more = self._late == "latest" and self._behind(chunk) > self._stream.hop / 2
        if not more:
            self._answer_waiting()
        self._tally.loss, self._tally.gaps = self._source.loss, self._stream.gaps
        self._desk.look()

    def _behind(self, chunk: Chunk) -> float:
        """Seconds since the chunk's last sample was acquired."""
        return (self._clock.monotonic_ns() - (chunk.acquired or chunk.arrived)) / 1e9

    def _answer_waiting(self) -> None:
        """Answer the windows that wait: all, or the latest where there is no time for all."""
        if self._late == "latest" and len(self._waiting) * self._cost > self._stream.hop:
            while len(self._waiting) > 1:
                due = self._waiting.popleft()
                self._tally.left_out += 1
                self._say_late(due)
        while self._waiting:
            due = self._waiting.popleft()
            began = self._clock.monotonic_ns()
            prediction = self._stream.answer(due)
            took = (self._clock.monotonic_ns() - began) / 1e9
            self._cost = took if not self._cost else 0.5 * (self._cost + took)
            self._pass_on(self._stream.take_events())
            if self._late == "all" and prediction.age > self._stream.hop < self._cost:
                self._say_late(due)
            self._desk.emit(prediction)

    def _say_late(self, due: Due) -> None:
        """Say that the model is slower than the hop, at most once a minute of signal."""
        t = float(due.window.end) / self._source.rate
        if t - self._said_late < SAY_LATE:
            return
        self._said_late = t
        hop, count = self._stream.hop, self._tally.left_out
        said = f"cannot keep up: {self._cost:.1f} s a window, {hop:.1f} s a hop"
        if self._late == "latest":
            said += f"; {count} window{'s' if count != 1 else ''} left out so far"
        facts = {"seconds_a_window": self._cost, "seconds_a_hop": hop, "left_out": count}
        self._desk.emit(Event("late", said, t, facts))

    def _pass_on(self, events: Sequence[Event]) -> None:
        for event in events:
            self._desk.emit(event)

    def _look_at_clock(self) -> None:
        """Notice that somebody set the wall clock."""
        if self._watch is not None:
            event = self._watch.look(self._end / self._source.rate)
            if event is not None:
                self._desk.emit(event)


def _trim(chunk: Chunk, limit: int | None) -> Chunk:
    """Leave off what lies beyond the limit."""
    if limit is None or chunk.end <= limit:
        return chunk
    keep = max(limit - chunk.first, 0)
    beyond = chunk.samples.shape[1] - keep
    return replace(
        chunk,
        samples=chunk.samples[:, :keep],
        first=min(chunk.first, limit),
        acquired=chunk.acquired and chunk.acquired - round(beyond * 1e9 / chunk.rate),
    )
