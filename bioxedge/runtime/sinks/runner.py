"""A thread and a bounded queue for one sink, so that it delays neither a window nor another sink.

::

    runners = [SinkRunner(sink) for sink in sinks]
    for runner in runners:
        runner.start(info)  # raises where a sink cannot be opened
    ...
    runner.emit(record)  # at once, whatever the sink does
    ...
    close(runners)
    errors = [runner.failed for runner in runners if runner.failed]
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bioxedge.errors import BioxedgeError, SinkError
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import RunInfo, SignalSink, Sink, TellingSink
from bioxedge.signals import Chunk

# Records that wait for a sink: over an hour of windows a second, and a few MB.
SIZE = 4096
# Values of the signal that wait for a sink which wants them: a few MB. What is beyond is not given.
SIGNAL = 1 << 19
# Seconds that the end of a run waits for its sinks, all of them together.
PATIENCE = 10.0
# Seconds that an opening may take before the run goes on without it: a pipe waits for a reader.
OPENING = 2.0


class SinkRunner:
    """Hands records to one sink, in order, in a thread of its own.

    Parameters
    ----------
    sink : Sink
    size : int, optional
        Records that may wait. Beyond that the oldest are left out, and the sink is told so by an
        event in their place.
    patience : float, optional
        Seconds that :meth:`emit` waits for room while the sink still takes records: for a
        recording, which can wait. The default, 0, is for a live source, which cannot.
    hurry : callable, optional
        Tells whether a wait, that one or for the opening, is to end now: the run has been told to.

    Attributes
    ----------
    name : str
        The sink's.
    left_out : int
        Records that a sink which works was not given, because it was too slow.
    failed : BioxedgeError or None
        Why the sink takes no more.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        size: int = SIZE,
        patience: float = 0.0,
        hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = sink.name
        self.left_out = 0
        self.failed: BioxedgeError | None = None
        self._sink, self._size = sink, size
        self._signal = sink.signal if isinstance(sink, SignalSink) else None
        self._values = 0  # of the signal, that wait
        self._records = 0  # predictions and events that wait
        self._tell = sink.take_events if isinstance(sink, TellingSink) else None
        self._patience, self._hurry = patience, hurry
        self._queue: deque[Prediction | Event | Chunk] = deque()
        self._changed = threading.Condition()
        self._missing = 0  # left out since the sink was last told
        self._opened = self._ending = self._told = self._stuck = False
        self._thread: threading.Thread | None = None

    def start(self, run: RunInfo, *, timeout: float = OPENING) -> None:
        """Open the sink.

        An opening that takes longer than ``timeout`` seconds, or than the run is willing to wait,
        goes on beside it.

        Raises
        ------
        BioxedgeError
            It cannot be opened.
        """
        self._thread = threading.Thread(
            target=self._work, args=(run,), name=f"sink {self.name}", daemon=True
        )
        self._thread.start()
        limit = time.monotonic() + timeout
        with self._changed:
            while not self._opened and self.failed is None:
                if time.monotonic() >= limit or self._hurry():
                    break
                self._changed.wait(0.05)
        if self.failed is not None:
            raise self.failed

    def emit(self, record: Prediction | Event) -> None:
        """Queue a record; where there is no room, the oldest is left out."""
        with self._changed:
            if self.failed is not None:
                return
            limit = time.monotonic() + self._patience
            while self._records >= self._size and self.failed is None and not self._stuck:
                self._stuck = time.monotonic() >= limit or self._hurry()
                if not self._stuck:
                    self._changed.wait(0.05)
            while self._records >= self._size:
                if not isinstance(self._pop(), Chunk):
                    self.left_out += 1
                    self._missing += 1
            self._records += 1
            self._queue.append(record)
            self._changed.notify_all()

    def signal(self, chunk: Chunk) -> None:
        """Queue samples for a sink that wants them; where there is no room, they are left out.

        What is said of the signal matters more than the signal: it takes no record's place, and
        the sink is woken by :meth:`wake`, or by a record, once the window was answered.
        """
        if self._signal is None:
            return
        with self._changed:
            if self.failed is None and self._values + chunk.samples.size <= SIGNAL:
                self._values += chunk.samples.size
                self._queue.append(chunk)

    def wake(self) -> None:
        """Let the sink take samples that wait."""
        if self._signal is not None and self._values:
            with self._changed:
                self._changed.notify_all()

    def take_events(self) -> list[Event]:
        """Give what the sink has to say to the others."""
        return [] if self._tell is None or self.failed is not None else self._tell()

    def take_failure(self) -> BioxedgeError | None:
        """Give the sink's failure the first time that it is asked for."""
        with self._changed:
            if self.failed is None or self._told:
                return None
            self._told = True
            return self.failed

    def end(self) -> None:
        """Let the thread close the sink once it has handed over what is queued; do not wait."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Hand over what is queued and close the sink, within ``timeout`` seconds.

        Left out, they are :data:`PATIENCE`. A sink that takes longer is left behind as failed.
        May be called without :meth:`start`.
        """
        self.end()
        if self._thread is None:
            return
        self._thread.join(max(PATIENCE if timeout is None else timeout, 0.0))
        with self._changed:
            if self._thread.is_alive() and self.failed is None:
                waiting = self._records + self._opened  # and the one that it holds
                self._queue.clear()
                self.failed = SinkError(
                    f"{self.name} is blocked, up to {waiting} records were not written: does "
                    "anything read it, and is its disk well?"
                )

    def _work(self, run: RunInfo) -> None:
        """Open, hand over, close; what goes wrong is kept for whoever asks."""
        try:
            self._sink.open(run)
            with self._changed:
                self._opened = True
                self._changed.notify_all()
            while (record := self._next()) is not None:
                if not isinstance(record, Chunk):
                    self._sink.emit(record)
                elif self._signal is not None:
                    self._signal(record)
        except Exception as error:
            self._fail(error)
        try:
            self._sink.close()
        except Exception as error:
            self._fail(error)

    def _pop(self) -> Prediction | Event | Chunk:
        """Take the oldest out of the queue."""
        oldest = self._queue.popleft()
        if isinstance(oldest, Chunk):
            self._values -= oldest.samples.size
        else:
            self._records -= 1
        return oldest

    def _next(self) -> Prediction | Event | Chunk | None:
        """Wait for the next record; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._missing or self._ending)
            self._stuck = False
            if self._missing:
                missing, self._missing = self._missing, 0
                return Event(
                    "sink_failed",
                    f"{missing} records were left out here: {self.name} took no more",
                    facts={"sink": self.name, "left_out": missing},
                )
            record = self._pop() if self._queue else None
            self._changed.notify_all()
            return record

    def _fail(self, error: Exception) -> None:
        """Keep the first error, and let nothing more be queued."""
        with self._changed:
            if self.failed is None:
                self.failed = explained(self.name, error)
                self._queue.clear()
            self._changed.notify_all()


def explained(name: str, error: Exception) -> BioxedgeError:
    """Give an error of a sink as one line that names it."""
    if isinstance(error, BioxedgeError):
        return error
    if isinstance(error, OSError):
        what = f"{error.strerror or error}; check the path, its permissions and space"
    else:  # a sink of somebody's own may raise anything
        what = f"the sink failed with {type(error).__name__}: {error}"
    made = SinkError(f"{name}: {what}")
    made.__cause__ = error
    return made


def close(runners: Sequence[SinkRunner], timeout: float | None = None) -> None:
    """Close several at once, so that they wait for the slowest and not for one after another."""
    for runner in runners:
        runner.end()
    limit = time.monotonic() + (PATIENCE if timeout is None else timeout)
    for runner in runners:
        runner.close(limit - time.monotonic())
