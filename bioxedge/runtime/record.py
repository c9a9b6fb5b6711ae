"""A source whose reads are written down, by a thread that never holds up a window."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bioxedge
from bioxedge.errors import RecordingError, SourceError
from bioxedge.recorded import STREAM, About, End, Read, Writer
from bioxedge.runtime.clockwatch import ClockWatch
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.recordlog import PATIENCE, Log
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Channel, Chunk

STOPPED, ENDED = "stopped", "the source ended"
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

    def line(self) -> str:
        """Say it in a line for people."""
        said = f"recorded {self.samples} samples, {self.bytes / 1e6:.1f} MB, in {self.folder}"
        if self.marks:
            said += f"; {self.marks} mark{'s' if self.marks > 1 else ''}"
        if self.left_out:
            said += f"; {self.left_out} samples left out: the disk was too slow"
        if self.ended not in (None, STOPPED, ENDED):
            said += f"; it ended because {self.ended}"
        return said


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
        self._log: Log | None = None  # while it is open
        self._done: Log | None = None  # and when it is closed
        self._watch = ClockWatch(clock)
        self._lock = threading.Lock()
        self._marks: list[Event] = []
        self._events: list[Event] = []
        self._last: Chunk | None = None
        self._end = self._marked = 0
        self._loss: int | None = 0
        self._why = STOPPED
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
        session = self.folder.parent
        if (session / STREAM).exists():
            raise RecordingError(
                f"{session} is a stream of a session: name the session, {session.parent}"
            )
        limit, keep = self._limits
        writer = Writer(self.folder, about, fresh=self._fresh, limit_bytes=limit, keep_free=keep)
        try:
            self._source.start()
        except BaseException:
            writer.discard()
            raise
        self._last, self._end, self._loss = None, 0, 0
        self._events, self._why, self._told_end = [], STOPPED, False
        self._watch = ClockWatch(self._clock)
        self._log = Log(writer, patience=PATIENCE if self.waits else 0.0)

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
            self._why = ENDED
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


def _told(event: Event) -> dict[str, object]:
    """Give an event in plain values."""
    return {
        "kind": event.kind,
        "message": event.message,
        "t": event.t,
        "facts": dict(event.facts),
    }
