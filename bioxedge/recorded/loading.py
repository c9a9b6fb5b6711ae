"""A recorded stream as a :class:`~bioxedge.signals.Recording`: one array on the index line."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.recorded.placing import Placer, time_taken
from bioxedge.recorded.read import Read
from bioxedge.recorded.reader import Reader
from bioxedge.signals import Chunk, Recording, Samples

_ANCHOR = 10.0  # seconds from one anchor to the next
_SETTLED = 5.0  # seconds after which a source knows well when a sample was taken
_LINE = 30.0  # seconds of anchors that it takes to fit a line
_FOREIGN = 1.0  # seconds between the host's clock and the samples' own, as in a replay
_RUN = 4096  # reads that are made one piece
_APART = 86400.0  # seconds between two takes that are still laid on one line


def load(folder: str | Path) -> Recording:
    """Read a recorded stream.

    Every sample stands at its index; what is missing, in and between takes, is NaN. ``t0`` is the
    Unix time of index 0 on the host's clock as it was set when the recording began: where it was
    set later, ``facts["clock_steps"]`` says so, and nothing moves; of samples that were replayed it
    is the time that they came with. ``index / rate`` is not the
    time on a sensor that is slower or faster than its nominal rate: ``facts["real_rate"]`` and
    ``facts["anchors"]`` (index, Unix time, monotonic seconds; every 10 s) tell what is.

    Parameters
    ----------
    folder : path
        The stream's own.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        No stream there, or one of another format, or without a sample, or whose takes are more
        than a day apart.
    """
    reader = Reader(folder)
    gathered = _Gathered(reader)
    about = reader.about
    if not gathered.pieces:
        raise RecordingError(f"{reader.folder} holds a recording without a sample")
    _require_memory(reader.folder, len(about.channels), gathered.placer.end)
    t0, real_rate = gathered.line()
    missing = gathered.placer.end - sum(piece.shape[1] for _, piece in gathered.pieces)
    samples = _laid(gathered.pieces, len(about.channels), gathered.placer.end)
    facts: dict[str, Any] = {
        "source": about.source,
        "sensor": about.sensor,
        "takes": len(reader.takes),
        "began": about.unix,
        "boot": reader.takes[0].head.boot,
        "real_rate": real_rate,
        "drift_ppm": round((real_rate / about.rate - 1) * 1e6, 1),
        "anchors": gathered.anchors,
        "missing": missing,
        "loss": gathered.loss,
        "loss_known": gathered.loss_known,
        "marks": gathered.marks,
        "events": dict(gathered.events),
        "clock_steps": gathered.steps,
        "ended": None if reader.takes[-1].end is None else reader.takes[-1].end.why,
        "damage": [str(lost) for take in reader.takes for lost in take.lost],
    }
    return Recording(samples, about.rate, about.channels, about.modality, about.person, t0, facts)


class _Gathered:
    """What all takes hold, read once."""

    def __init__(self, reader: Reader) -> None:
        self.rate = reader.about.rate
        self._width = len(reader.about.channels)
        self.placer = Placer(self.rate)
        self.pieces: deque[tuple[int, Samples]] = deque()
        self.anchors: list[list[float]] = []
        self.marks: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.events: Counter[str] = Counter()
        self.loss: int | None = 0
        self.loss_known = True
        self._pace = math.nan
        self._wall: float | None = None
        self._runs: list[tuple[int, int]] = []  # anchors of each take
        self._run: list[Samples] = []  # reads that follow each other
        self._run_end = 0
        for take in reader.takes:
            self._take(reader, take)
        self._close_run()

    def _close_run(self) -> None:
        """Make one piece of many small ones, each of which keeps its whole part in memory."""
        if self._run:
            piece = np.concatenate(self._run, axis=1)
            self.pieces.append((self._run_end - piece.shape[1], piece))
            self._run = []

    def _take(self, reader: Reader, take: Any) -> None:
        self.placer.begin(take.head)
        begun, loss = len(self.anchors), None
        next_anchor, last = -math.inf, None
        shift: float | None = None
        foreign: bool | None = None  # whether the samples' times are not this host's
        for read in take.reads():
            if not isinstance(read, Read):
                continue
            if shift is None:  # of this take's monotonic clock to the first take's wall clock
                same = self._wall is not None and take.head.boot == reader.takes[0].head.boot
                self._wall = read.wall if self._wall is None else self._wall
                shift = self._wall if same else read.wall
            if read.chunk.samples.shape[1]:
                self._place(reader, read)
                taken = time_taken(read)
                if foreign is None:
                    foreign = abs(_said(read.chunk) - taken - read.wall) > _FOREIGN
                unix = _said(read.chunk) if foreign else taken + shift
                last = [self.placer.end - 1, unix, taken]
                if unix >= next_anchor:
                    self.anchors.append(last)
                    next_anchor = unix + _ANCHOR
            loss = read.loss
            self._told(read.told)
        if last is not None and last is not self.anchors[-1]:
            self.anchors.append(last)
        if take.end is not None:
            loss = take.end.loss
            self._told(take.end.told)
        self._runs.append((begun, len(self.anchors)))
        self.loss = None if self.loss is None or loss is None else self.loss + loss

    def _place(self, reader: Reader, read: Read) -> None:
        chunk = read.chunk
        if chunk.samples.shape[0] != self._width:
            raise RecordingError(
                f"{reader.folder} holds {chunk.samples.shape[0]} channels where {self._width} are "
                "expected: it was changed"
            )
        if self.placer.place(read) and self.placer.seconds > _APART:
            raise RecordingError(
                f"{reader.folder} holds takes that are {self.placer.seconds / 3600:.0f} h apart, "
                "which one recording cannot hold: move the parts of each into a folder of its "
                "own, with a copy of stream.json"
            )
        first = chunk.first + self.placer.offset
        if self._run and (first != self._run_end or len(self._run) >= _RUN):
            self._close_run()
        self._run.append(chunk.samples)
        self._run_end = first + chunk.samples.shape[1]
        self.loss_known &= chunk.loss_known
        if math.isfinite(chunk.real_rate):
            self._pace = chunk.real_rate

    def _told(self, told: Any) -> None:
        for event in told:
            kind, facts = event["kind"], event["facts"]
            self.events[kind] += 1
            t = event["t"]
            known = t is not None and math.isfinite(t)
            index = round(t * self.rate) + self.placer.offset if known else None
            if kind == "mark":
                self.marks.append({**facts, "text": event["message"], "index": index})
            elif kind == "clock_step":
                self.steps.append({"index": index, "seconds": facts.get("seconds")})

    def line(self) -> tuple[float, float]:
        """Unix time of index 0, and the real rate in Hz."""
        begin, end = max(self._runs, key=lambda run: self._span(*run))
        longest = np.array(self.anchors[begin:end])
        rate = self._pace if math.isfinite(self._pace) else self.rate
        if self._span(begin, end) >= _LINE:
            settled = longest[longest[:, 1] >= longest[0, 1] + _SETTLED]
            index, seconds = settled[:, 0], settled[:, 1] - settled[0, 1]
            slope, _ = np.polyfit(index - index[0], seconds, 1)
            if slope > 0 and abs(1 / slope / self.rate - 1) < 0.5:
                rate = float(1 / slope)
        first = np.array(self.anchors[self._runs[0][0] : self._runs[0][1]] or self.anchors)
        settled = first[first[:, 1] >= first[0, 1] + _SETTLED]
        first = settled if len(settled) else first
        return float(np.median(first[:, 1] - first[:, 0] / rate)), rate

    def _span(self, begin: int, end: int) -> float:
        return self.anchors[end - 1][1] - self.anchors[begin][1] if end > begin else -1.0


def _said(chunk: Chunk) -> float:
    """Unix time of a chunk's last sample, as the source says; NaN where it does not."""
    return chunk.t0 + (chunk.end - 1) / chunk.rate


def _require_memory(folder: Path, channels: int, end: int) -> None:
    """Refuse what this machine cannot hold, before it tries."""
    size, there = 8 * channels * end, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > there:
        raise RecordingError(
            f"{folder} takes {size / 1e9:.3g} GB as one recording, this machine has "
            f"{there / 1e9:.3g} GB: replay it, or move some of its parts into a folder of their "
            "own, with a copy of stream.json"
        )


def _laid(pieces: deque[tuple[int, Samples]], channels: int, end: int) -> Samples:
    """Lay pieces into one array, and let each go."""
    samples: npt.NDArray[np.float64] = np.empty((channels, end))  # pages come as they are written
    at = 0
    while pieces:
        first, piece = pieces.popleft()
        samples[:, at:first] = np.nan
        at = first + piece.shape[1]
        samples[:, first:at] = piece
    return samples
