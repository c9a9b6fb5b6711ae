"""A source whose reads are written down, by a thread that never holds up a window."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bioxedge
from bioxedge.errors import BioxedgeError, RecordingError, SourceError
from bioxedge.recorded import About, End, Read, Writer
from bioxedge.runtime.clockwatch import ClockWatch
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Channel, Chunk

# Seconds from one writing to the next: what is in memory is all that a kill takes.
EVERY = 0.1
# Seconds from one call for the disk to the next: what a power cut takes.
SYNC = 1.0
# Bytes that wait for a disk that is slow: minutes of most boards.
HELD = 32 << 20
# Seconds that a source which can wait, waits for the disk; and that the end waits for it.
PATIENCE = 10.0
_FRONT = 200  # bytes that a read takes beside its samples, about
_TEXT = 1000  # characters of a mark


@dataclass(frozen=True)
class Progress:
    """How far a recording is.

    Attributes
    ----------
    folder : Path
        The stream's.
    samples : int
        Recorded in this take.
    bytes : int
        On the disk, earlier takes included.
    left_out : int
        Samples that the disk was too slow for.
    marks : int
    ended : str or None
        Why it ended; None while it goes on.
    """

    folder: Path
    samples: int
    bytes: int
    left_out: int
    marks: int
    ended: str | None


class Recorded(Managed):
    """Passes on what another source gives, and records it.

    Every read goes on as it was, with the events that came with it. Where the recording ends
    before the source does (a full disk, the limit), an event says so and the source goes on.

    Parameters
    ----------
    source : Source
    folder : path
        The session's: the stream is written into the folder ``role`` in it, which is what a
        recipe reads as one side of a pair. A recording that is there goes on, if it is of the
        same sensor and person.
    role : str, optional
        ``source``, ``target`` …
    modality, person : str, optional
    fresh : bool, optional
        Whether a recording that is there is an error instead.
    limit_bytes : int, optional
        Of this stream on the disk; no bound by default.
    keep_free : int, optional
        Bytes to leave free on the disk: 500 MB or a twentieth of it, whichever is less.
    clock : HostClock, optional
        The source's.

    Attributes
    ----------
    folder : Path
        The stream's.
    """

    # Whoever runs this need not: the steps are told here, so that they are recorded, too.
    watches_clock = True

    def __init__(
        self,
        source: Source,
        folder: str | Path,
        *,
        role: str = "source",
        modality: str = "",
        person: str = "",
        fresh: bool = False,
        limit_bytes: int | None = None,
        keep_free: int | None = None,
        clock: HostClock = SYSTEM,
    ) -> None:
        self._source, self._clock = source, clock
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.units, self.sensor, self.waits = source.units, source.sensor, source.waits
        self.folder = Path(folder) / role
        self._modality, self._person, self._fresh = modality, person, fresh
        self._limits = limit_bytes, keep_free
        self._log: _Log | None = None  # while it is open
        self._done: _Log | None = None  # and when it is closed
        self._watch = ClockWatch(clock)
        self._lock = threading.Lock()
        self._marks: list[Event] = []
        self._events: list[Event] = []
        self._last: Chunk | None = None
        self._end = self._marked = 0
        self._loss: int | None = 0
        self._why = "stopped"
        self._told_end = False

    @property
    def loss(self) -> int | None:
        """Samples lost on the way so far; None where the source cannot know."""
        return self._source.loss

    @property
    def progress(self) -> Progress:
        """How far it is; may be asked in any thread."""
        log = self._log or self._done
        if log is None:
            return Progress(self.folder, 0, 0, 0, self._marked, None)
        return Progress(self.folder, log.samples, log.bytes, log.left_out, self._marked, log.ended)

    def start(self) -> None:
        """Open the recording, then begin.

        Raises
        ------
        RecordingError
            It cannot be recorded into the folder.
        SourceError
            What the source says; then nothing is left in the folder.
        """
        self.close()
        units = self.units or ("a.u.",) * len(self.channels)
        about = About(
            channels=tuple(map(Channel, self.channels, units)),
            rate=self.rate,
            modality=self._modality,
            person=self._person,
            sensor=self.sensor,
            source=self.name,
            units_known=self.units is not None,
            bioxedge=bioxedge.__version__,
            unix=self._clock.time(),
            monotonic_ns=self._clock.monotonic_ns(),
        )
        limit, keep = self._limits
        writer = Writer(self.folder, about, fresh=self._fresh, limit_bytes=limit, keep_free=keep)
        try:
            self._source.start()
        except BaseException:
            writer.discard()
            raise
        self._last, self._end, self._loss = None, 0, 0
        self._events, self._why, self._told_end = [], "stopped", False
        self._watch = ClockWatch(self._clock)
        self._log = _Log(writer, patience=PATIENCE if self.waits else 0.0)

    def read(self) -> Chunk | None:
        """Give what the source gives.

        Raises
        ------
        SourceError
            What the source says.
        """
        try:
            chunk = self._source.read()
        except SourceError as error:
            self._why = str(error)
            self._note(None)
            raise
        if chunk is None:
            self._why = "the source ended"
        self._note(chunk)
        return chunk

    def take_events(self) -> list[Event]:
        """Give what happened in the source, what was marked, and what the recording says."""
        events, self._events = self._events, []
        return events

    def mark(self, text: str) -> None:
        """Mark this moment; may be called in any thread.

        Parameters
        ----------
        text : str
            One line of up to 1000 characters.
        """
        now, last = self._clock.monotonic_ns(), self._last
        said = " ".join(text.split())[:_TEXT]
        facts = {"unix": self._clock.time(), "monotonic_ns": now}
        t = None
        if last is not None:  # the sample that the sensor takes now, though it is not here yet
            pace = last.real_rate if math.isfinite(last.real_rate) else self.rate
            taken = last.acquired or last.arrived or now
            t = max(last.end - 1 + round((now - taken) / 1e9 * pace), 0) / self.rate
        with self._lock:
            self._marks.append(Event("mark", said, t, facts))
            self._marked += 1

    def close(self) -> None:
        """Let go of the source, and end the recording."""
        self._source.close()
        log, self._log = self._log, None
        if log is None:
            return
        self._done = log
        at = self._clock.monotonic_ns()
        told = [_told(event) for event in self._take_marks()]
        log.close(End(self._why, at, self._loss, told))

    # -- one read ---------------------------------------------------------------------------

    def _note(self, chunk: Chunk | None) -> None:
        """Write down a read and what came with it."""
        at, log = self._clock.monotonic_ns(), self._log
        step = self._watch.look(self._end / self.rate)
        events = [] if step is None else [step]
        events += self._source.take_events()
        events += self._take_marks()
        self._loss = self._source.loss
        if log is not None:
            left_out = log.take_left_out()
            if left_out is not None:
                events.append(self._left_out(*left_out))
        self._events += events
        has_samples = chunk is not None and bool(chunk.samples.shape[1])
        if chunk is not None and has_samples:
            self._last, self._end = chunk, chunk.end
        if log is None:
            return
        if has_samples or events:
            if chunk is None:
                chunk = Chunk(np.empty((len(self.channels), 0)), self._end, self.rate)
            told = [_told(event) for event in events]
            log.put(Read(chunk, at, self._watch.offset, self._loss, told))
        if log.failed is not None and not self._told_end:
            self._told_end = True
            facts = {"bytes": log.bytes, "samples": log.samples}
            t = self._end / self.rate
            self._events.append(Event("recording", str(log.failed), t, facts))

    def _take_marks(self) -> list[Event]:
        if not self._marks:  # nearly always: no lock
            return []
        with self._lock:
            marks, self._marks = self._marks, []
        return marks

    def _left_out(self, reads: int, samples: int) -> Event:
        return Event(
            "recording",
            f"{samples} samples ({samples / self.rate:.1f} s) were not recorded before this: the "
            "disk was too slow",
            self._end / self.rate,
            {"reads": reads, "samples": samples},
        )


class _Log:
    """The queue and the threads between a source and its writer.

    What is read and what is written are each counted by one thread alone, so that the reading
    one takes no lock and wakes nobody.
    """

    def __init__(self, writer: Writer, patience: float) -> None:
        self._writer, self._patience = writer, patience
        self._queue: deque[tuple[Read, int]] = deque()
        self._put = self._got = 0  # bytes
        self._missed_reads = self._missed_samples = 0  # since it was last told
        self.left_out = self.samples = 0
        self._last_at = 0  # of the last read that was written
        self._last_loss: int | None = 0
        self.failed: BioxedgeError | None = None
        self._refused: RecordingError | None = None  # by the disk, and not yet heeded
        self.ended: str | None = None
        self._end: End | None = None
        self._ending = threading.Event()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="record", daemon=True),
            threading.Thread(target=self._sync, name="record sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def bytes(self) -> int:
        """On the disk."""
        return self._writer.bytes

    def put(self, read: Read) -> None:
        """Queue a read; where there is no room it is left out, and counted."""
        if self.failed is not None:
            return
        size = read.chunk.samples.nbytes + _FRONT
        if self._put - self._got + size > HELD and not self._room(size):
            self._missed_reads += 1
            self._missed_samples += read.chunk.samples.shape[1]
            self.left_out += read.chunk.samples.shape[1]
            return
        self._put += size
        self._queue.append((read, size))

    def _room(self, size: int) -> bool:
        """Wait for room, where the source can; a read that is larger than all goes alone."""
        limit = time.monotonic() + self._patience
        while self._put > self._got and self._put - self._got + size > HELD:
            if time.monotonic() >= limit or self.failed is not None:
                return False
            time.sleep(EVERY / 10)
        return True

    def take_left_out(self) -> tuple[int, int] | None:
        """Give the reads and samples that were left out, once there is room again."""
        if not self._missed_reads or self._put - self._got > HELD // 2:
            return None
        missed = self._missed_reads, self._missed_samples
        self._missed_reads = self._missed_samples = 0
        return missed

    def close(self, end: End) -> None:
        """Write what waits and how it ended, within a bound."""
        self._end = end
        self._ending.set()
        limit = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(limit - time.monotonic(), 0.0))
        if not self._over.is_set():
            self.ended = f"{self._writer.folder}: the disk did not take the last of it in time"

    def _work(self) -> None:
        """Write what has come, from time to time."""
        try:
            while not self._ending.wait(EVERY):
                self._write()
            self._write()
            if self.failed is None and self._end is not None:
                self._writer.end(self._end)
                self.ended = self._end.why
        finally:
            self._writer.close()
            self._over.set()

    def _write(self) -> None:
        """Write what waits; a disk that refuses ends the recording."""
        count = len(self._queue)
        if self.failed is not None:
            return
        if self._refused is not None:
            self._fail(self._refused)
            return
        if not count:
            return
        batch = [self._queue.popleft() for _ in range(count)]
        try:
            self._writer.write([read for read, _ in batch])
        except RecordingError as error:
            self._fail(error)
            return
        for read, size in batch:
            self._got += size
            self.samples += read.chunk.samples.shape[1]
            self._last_at, self._last_loss = read.at, read.loss

    def _fail(self, error: RecordingError) -> None:
        """End the recording; whoever reads is told at the next read."""
        self.failed, self.ended = error, str(error)
        self._queue.clear()
        self._writer.end(End(str(error), self._last_at, self._last_loss))

    def _sync(self) -> None:
        """Have the disk keep what was written: beside the writing, which goes on meanwhile."""
        while not self._over.wait(SYNC):
            try:
                self._writer.sync()
                self._writer.look()
            except OSError as error:
                why = error.strerror or str(error)
                self._refused = RecordingError(
                    f"{self._writer.folder} cannot be recorded into: {why}; what was written "
                    "before stands"
                )
                return
            except RecordingError as error:
                self._refused = error
                return


def _told(event: Event) -> dict[str, object]:
    """Give an event in plain values."""
    return {
        "kind": event.kind,
        "message": event.message,
        "t": event.t,
        "facts": dict(event.facts),
    }
