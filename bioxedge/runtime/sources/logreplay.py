"""A recorded stream as a source: what was read live is read again, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from bioxedge.errors import RecordingError, SourceError
from bioxedge.recorded import About, Read, Reader, streams
from bioxedge.recorded.placing import Placer
from bioxedge.recorded.read import Told
from bioxedge.recorded.reader import Lost, Take
from bioxedge.runtime.events import Event, Kind
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk, rows_by_name


class LogReplay(Managed):
    """Gives the chunks, events and losses of a recorded stream again.

    Where a recording went on after it had ended, its takes follow each other as far apart as they
    were; the samples between them are missing, and an event says so.

    Parameters
    ----------
    folder : path
        A stream's, or a session's with several.
    channels : tuple of str, optional
        What to give, in this order; all by default.
    rate : float, optional
        What it has to be.
    stream : str, optional
        Which of a session's; left out, the only one that has the channels at the rate.
    speed : float, optional
        1 is as it was recorded; infinity is as fast as possible.
    take : int, optional
        Only this one, from 1; all by default.
    start : float, optional
        Seconds of stream time to begin at.
    clock : HostClock, optional
        The clocks that pace it.

    Raises
    ------
    RecordingError
        No recording there, or one that this bioxedge cannot read.
    SourceError
        No stream, or more than one, that fits; or a take or a speed that there is not.
    """

    watches_clock = True  # steps of the clock are in the recording, where they were

    def __init__(
        self,
        folder: str | Path,
        *,
        channels: Sequence[str] | None = None,
        rate: float | None = None,
        stream: str | None = None,
        speed: float = 1.0,
        take: int | None = None,
        start: float = 0.0,
        clock: HostClock = SYSTEM,
    ) -> None:
        if not speed > 0:
            raise SourceError(f"the speed of a replay is {speed:g}: it must be above 0, or max")
        if not 0 <= start < math.inf:
            raise SourceError(f"the start of a replay is {start:g} s: it must be 0 or more")
        self.folder = _chosen(Path(folder), stream, channels, rate)
        reader = Reader(self.folder)
        about = reader.about
        self._takes = _takes(reader, take)
        names = tuple(channel.name for channel in about.channels)
        self.channels = names if channels is None else tuple(channels)
        picked = rows_by_name(self.channels, names, f"the recording {self.folder}")
        self._picked = None if picked == list(range(len(names))) else picked
        self._width = len(names)
        self.rate = about.rate
        units = tuple(about.channels[row].unit for row in picked)
        self.units = units if about.units_known else None
        self.sensor = about.sensor
        self.name = f"replay of {about.source or about.person or self.folder}"
        self.waits = True
        self._speed, self._start, self._clock = speed, start, clock
        self._reads: Iterator[tuple[Take, Read | None]] | None = None
        self._clear()

    def _clear(self) -> None:
        """Stand before the first read."""
        self._placer = Placer(self.rate)
        self._events: list[Event] = []
        self._next: tuple[Take, Read | None] | None = None
        self._take: Take | None = None
        self._began = self._base = 0  # of the replay and of the take, monotonic nanoseconds
        self._before: int | None = 0  # lost in the takes before this one, and between them
        self._loss: int | None = 0
        self._over = False

    @property
    def loss(self) -> int | None:
        """Samples that had been lost up to here; None where the source could not know."""
        if self._before is None or self._loss is None:
            return None
        return self._before + self._loss

    def start(self) -> None:
        """Begin at the first read."""
        self._clear()
        self._reads = self._all()

    def read(self) -> Chunk | None:
        """Give the next read once its time has come; None after the last.

        Raises
        ------
        SourceError
            It was not started.
        RecordingError
            A frame that cannot be read, though it is whole.
        """
        if self._reads is None:
            raise SourceError("the replay was not started: use it in a with statement")
        while not self._over:
            if self._next is None:
                self._next = next(self._reads, None)
            if self._next is None:
                self._over = True
                break
            take, read = self._next
            now = self._clock.monotonic_ns()
            if take is not self._take:
                self._enter(take, now, now if read is None else read.at)
            if read is None:  # the end of a take
                self._next = None
                self._leave(take)
                continue
            due = now
            if not math.isinf(self._speed):
                due = self._began + round((read.at - self._base) / self._speed)
                if now < due:
                    return self._nothing()
            self._next = None
            return self._give(read, due, now)
        return None

    def take_events(self) -> list[Event]:
        """Give what was told with the reads that were given, and forget it."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Stop; :meth:`start` begins again."""
        self._reads = None

    # -- takes ------------------------------------------------------------------------------

    def _all(self) -> Iterator[tuple[Take, Read | None]]:
        """Give the reads of every take, and None at the end of each."""
        for take in self._takes:
            end = 0
            for read in take.reads():
                if isinstance(read, Lost):
                    self._events.append(self._damaged(read))
                    continue
                end = max(end, read.chunk.end)
                if end >= self._start * self.rate or take is not self._takes[0]:
                    yield take, read
            yield take, None

    def _enter(self, take: Take, now: int, at: int) -> None:
        """Begin a take, from now on."""
        self._take = take
        self._placer.begin(take.head)
        self._began, self._base = now, at

    def _leave(self, take: Take) -> None:
        """End a take as it ended."""
        if take.end is not None:
            self._loss = take.end.loss
            self._tell(take.end.told)
        self._before, self._loss = self.loss, 0

    def _damaged(self, lost: Lost) -> Event:
        facts = {"part": lost.part, "byte": lost.byte, "frames": lost.frames}
        said = f"the recording is not whole: {lost}; their samples are missing"
        return Event("recording", said, self._placer.end / self.rate, facts)

    # -- reads ------------------------------------------------------------------------------

    def _give(self, read: Read, due: int, now: int) -> Chunk:
        """Give a read, moved to this moment."""
        chunk = read.chunk
        if chunk.samples.shape[0] != self._width:
            raise RecordingError(
                f"{self.folder} holds {chunk.samples.shape[0]} channels where {self._width} are "
                "expected: it was changed"
            )
        if chunk.samples.shape[1] and self._placer.place(read):
            self._before = None if self._before is None else self._before + self._placer.missing
            self._events.append(self._goes_on(chunk.first + self._placer.offset))
        self._loss = read.loss
        self._tell(read.told)
        offset = self._placer.offset
        samples = chunk.samples if self._picked is None else chunk.samples[self._picked]
        acquired = 0
        if chunk.acquired:
            late = 0 if math.isinf(self._speed) else (read.at - chunk.acquired) / self._speed
            acquired = max(due - round(late), 1)
        return replace(
            chunk,
            samples=samples,
            first=chunk.first + offset,
            t0=chunk.t0 - offset / self.rate if offset else chunk.t0,
            arrived=now,
            acquired=acquired,
        )

    def _goes_on(self, first: int) -> Event:
        missing, seconds = self._placer.missing, self._placer.seconds
        return Event(
            "recording",
            f"the recording goes on {seconds:.1f} s after it had ended: {missing} samples are "
            "missing",
            first / self.rate,
            {"samples": missing, "seconds": round(seconds, 3)},
        )

    def _tell(self, told: Sequence[Told]) -> None:
        """Tell events on the time of the whole."""
        offset = self._placer.offset / self.rate
        for one in told:
            t = one["t"]
            moved = t if t is None or not offset else t + offset
            kind = cast(Kind, one["kind"])
            self._events.append(Event(kind, one["message"], moved, one["facts"]))

    def _nothing(self) -> Chunk:
        return Chunk(np.empty((len(self.channels), 0)), self._placer.end, self.rate)


def _chosen(
    folder: Path, stream: str | None, channels: Sequence[str] | None, rate: float | None
) -> Path:
    """Choose a stream of a session."""
    found = streams(folder)
    if not found or (stream is None and len(found) == 1):
        chosen = next(iter(found.values()), folder)
        about = About.read(chosen)  # says what is wrong where there is none
        if rate is not None and about.rate != rate:
            raise SourceError(
                f"the recording {chosen} is at {about.rate:g} Hz, the bundle takes {rate:g} Hz: "
                f"use a bundle built for {about.rate:g} Hz"
            )
        return chosen
    if stream is not None:
        if stream not in found:
            there = ", ".join(name or "only itself" for name in found)
            raise SourceError(f"{folder} has no stream {stream!r}: it has {there}")
        return _chosen(found[stream], None, channels, rate)
    abouts = {name: About.read(path) for name, path in found.items()}
    fitting = [
        name
        for name, about in abouts.items()
        if rate in (None, about.rate)
        and set(channels or ()) <= {channel.name for channel in about.channels}
    ]
    if len(fitting) == 1:
        return found[fitting[0]]
    there = "; ".join(_said(name, about) for name, about in abouts.items())
    many = "more than one fits" if fitting else "none fits"
    raise SourceError(
        f"{folder} holds several streams and {many}: {there}; say which, as stream={min(found)}"
    )


def _takes(reader: Reader, take: int | None) -> list[Take]:
    if take is None:
        return reader.takes
    chosen = [one for one in reader.takes if one.head.take == take]
    if not chosen:
        there = ", ".join(str(one.head.take) for one in reader.takes)
        raise SourceError(f"{reader.folder} has no take {take}: it has {there}")
    return chosen


def _said(name: str, about: About) -> str:
    names = ", ".join(channel.name for channel in about.channels)
    return f"{name} ({names} at {about.rate:g} Hz)"
