"""Several sources recorded at once into one session, each in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bioxedge.errors import BioxedgeError, RecordingError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources import together
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.runtime.track import Track
from bioxedge.signals import Chunk

__all__ = ["Recorder", "Track"]

# Seconds between two looks at a source that has nothing new, and at what is recorded.
POLL, LOOK = 0.01, 0.2
_EVENTS = 1000  # that wait to be shown
_ENDS = 1024  # bytes at most that a stream takes for its end


class _Linked(Managed):
    """A source that was started by the innermost of all recordings that are being opened.

    Each recording opens its folder, then starts its source, which here is to open the next one:
    so all folders are open before any board is asked, and if anything fails all are taken back.
    """

    def __init__(self, source: Source, before: Callable[[], None]) -> None:
        self._source, self._before = source, before
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.units, self.sensor, self.waits = source.units, source.sensor, source.waits

    @property
    def loss(self) -> int | None:
        """What the source says."""
        return self._source.loss

    def start(self) -> None:
        """Open the next recording, or start all sources."""
        self._before()

    def read(self) -> Chunk | None:
        """Give what the source gives."""
        return self._source.read()

    def take_events(self) -> list[Event]:
        """Give what the source tells."""
        return self._source.take_events()

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


class Recorder:
    """Records sources into a session until it is told to end.

    Parameters
    ----------
    folder : path
        The session's.
    tracks : sequence of Track
        With a role of its own each.
    person : str, optional
    max_bytes : int, optional
        Of all streams together.
    keep_free : int, optional
        Bytes to leave free on the disk.
    clock : HostClock, optional

    Attributes
    ----------
    tracks : sequence of Track
    marks : int

    Examples
    --------
    ::

        recorder = Recorder("anna-monday", [Track("source", ppg), Track("target", ecg)])
        with recorder:
            recorder.mark("lights off")
            recorder.wait(600)
    """

    def __init__(
        self,
        folder: str | Path,
        tracks: Sequence[Track],
        *,
        person: str = "",
        max_bytes: int | None = None,
        keep_free: int | None = None,
        clock: HostClock = SYSTEM,
    ) -> None:
        self.folder, self.tracks, self.marks = Path(folder), tracks, 0
        self._max, self._clock = max_bytes, clock
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._threads: list[threading.Thread] = []
        self._told: deque[tuple[str, Event]] = deque(maxlen=_EVENTS)
        self._began = 0
        begin: Callable[[], None] = self._start_all
        for track in tracks:
            linked = _Linked(track.source, begin)
            track.recorded = Recorded(
                linked,
                self.folder,
                role=track.role,
                modality=track.modality,
                person=person,
                limit_bytes=max_bytes,
                keep_free=keep_free,
                clock=clock,
            )
            begin = track.recorded.start
        self._begin = begin

    # -- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Open all recordings, then connect and start all sources, then read them.

        Raises
        ------
        RecordingError, SourceError
            One cannot be recorded or started: then nothing was recorded of any.
        """
        self._begin()
        self._began = self._clock.monotonic_ns()
        for track in self.tracks:
            track.heard = self._began
            thread = threading.Thread(target=self._read, args=[track], name=f"of {track.role}")
            self._threads.append(thread)
            thread.start()

    def _start_all(self) -> None:
        """Connect all boards, then start all sources, or none."""
        try:
            with together.connected(track.source for track in self.tracks):
                for track in self.tracks:
                    track.source.start()
        except BaseException:
            for track in self.tracks:
                track.source.close()
            raise

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until nothing is recorded any more; give whether that is so."""
        self._woken.wait(seconds)
        return self.over

    def stop(self) -> None:
        """End all streams, write what waits, and let go of the sources; may be called twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        for track in self.tracks:
            if track.recorded is not None:
                track.recorded.close()

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what it knows ------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing is recorded any more."""
        return self._stop.is_set() or all(track.over is not None for track in self.tracks)

    @property
    def seconds(self) -> float:
        """Since the start, on the monotonic clock."""
        return (self._clock.monotonic_ns() - self._began) / 1e9

    def silent(self, track: Track) -> float:
        """Seconds since a stream's last sample."""
        return (self._clock.monotonic_ns() - track.heard) / 1e9

    @property
    def bytes(self) -> int:
        """On the disk, earlier takes included."""
        return sum(one.recorded.progress.bytes for one in self.tracks if one.recorded is not None)

    @property
    def failures(self) -> list[BioxedgeError]:
        """Why streams ended that should have gone on."""
        return [one.failed for one in self.tracks if one.failed is not None]

    def mark(self, text: str) -> None:
        """Mark this moment in every stream; may be called in any thread."""
        self.marks += 1
        for track in self.tracks:
            if track.recorded is not None:
                track.recorded.mark(text)

    def take_events(self) -> list[tuple[str, Event]]:
        """Give roles and what happened to their streams since the last call."""
        told = []
        while self._told:
            told.append(self._told.popleft())
        return told

    def to_dict(self) -> dict[str, Any]:
        """Give what came of it, for a program."""
        return {
            "folder": str(self.folder),
            "marks": self.marks,
            "bytes": self.bytes,
            "streams": [track.to_dict() for track in self.tracks],
        }

    # -- one source -----------------------------------------------------------------------------

    def _read(self, track: Track) -> None:
        """Read a source to its end, or ours."""
        assert track.recorded is not None
        try:
            self._read_all(track, track.recorded)
        except BioxedgeError as error:
            track.failed = error
            track.over = str(error)
            if isinstance(error, RecordingError):  # the others' disk is the same
                self._stop.set()
            self._told.append((track.role, Event("recording", f"{error}: this stream ends")))
        finally:
            if track.over is None:
                track.over = "stopped"
            if self.over:
                self._woken.set()

    def _read_all(self, track: Track, recorded: Recorded) -> None:
        looked, size = self._clock.monotonic_ns(), self.bytes
        while not self._stop.is_set():
            chunk = recorded.read()
            now = self._clock.monotonic_ns()
            if chunk is not None and chunk.samples.shape[1]:
                track.take(chunk, now)
            track.loss = recorded.loss
            self._note(track, recorded.take_events())
            if chunk is None:
                track.over = "the source ended"
                return
            if now - looked > LOOK * 1e9:
                looked = now
                size = self._look(track, recorded, size)
                if track.over is not None:
                    self._stop.set()
                    return
            if not chunk.samples.shape[1]:
                self._clock.sleep(POLL)

    def _note(self, track: Track, events: Sequence[Event]) -> None:
        for event in events:
            track.events[event.kind] += 1
            self._told.append((track.role, event))

    def _look(self, track: Track, recorded: Recorded, before: int) -> int:
        """End all where the disk, or what may be taken of it, is at its end; give what is taken.

        What all streams took since this one was looked at before may come twice more until the
        next look, and all of them still write their ends.
        """
        size, why = self.bytes, recorded.progress.ended
        then = size + 2 * max(size - before, 0) + _ENDS * len(self.tracks)
        if self._max is not None and (then > self._max or (why and size > self._max / 2)):
            track.over = f"--max-size is reached: {size / 1e6:.3g} of {self._max / 1e6:g} MB"
        elif why is not None:
            raise RecordingError(why)
        return size
