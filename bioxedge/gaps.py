"""Chunks in, settled samples at the streamed rate out, and what happens where some are missing."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bioxedge import spec
from bioxedge.dsp import Stages
from bioxedge.errors import SignalError
from bioxedge.signals import Chunk, Samples


@dataclass(frozen=True)
class Segment:
    """Settled samples at the streamed rate, consecutive since one start.

    Attributes
    ----------
    samples : ndarray of float64, shape [channels, n]
    index : int
        Index of the first one since the stream's last start.
    """

    samples: Samples
    index: int


@dataclass(frozen=True)
class Note:
    """Something that happened to the samples.

    Attributes
    ----------
    kind : str
        ``missing``: channels gave no value, from sample ``at`` on; said when it ends, and once
        before, when it has lasted longer than can be held over. ``restart``: the stream began
        afresh at sample ``at``, after a gap or, where ``samples`` is 0, because it was rewound.
    at : int
        Absolute input sample.
    samples : int
        How many were missing, so far where ``open``.
    channels : tuple of str
        Which gave no value; empty for a restart.
    open : bool
        Whether it goes on.
    why : str
        Why it was rewound.
    """

    kind: str
    at: int
    samples: int
    channels: tuple[str, ...] = ()
    open: bool = False
    why: str = ""


# Notes that nobody takes (training cuts whole recordings) do not pile up.
_NOTES = 4096


class SampleStream:
    """Chunks in, settled samples at the streamed rate out; gaps treated on the way.

    A sample that is missing (an index that jumped, or a value that is not finite in any
    channel) is held over from the last real one if no more than ``max_gap`` are missing in a
    row; more than that starts the stream afresh at the next real sample. What to do is known
    only when the next real sample is there, so fills leave with it, for every chunking.

    Attributes
    ----------
    filled, lost, restarts : int
        Samples held over, samples in gaps that are too long (the present one is counted as it
        lasts), and starts after the first.
    run : int
        Differs between windows that were not cut in one go.
    """

    def __init__(self, source: spec.Input, stream: spec.StreamSpec) -> None:
        self._stages = Stages(stream.stages, source)
        self._max_gap = stream.max_gap
        self._names = source.names
        self._width = len(source.channels)
        self._rate = source.rate
        self.rate, self.channels = self._stages.rate, self._stages.channels
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if new."""
        self.filled = self.restarts = self.run = 0
        self._ended = 0
        self._known = self._watched = 0  # what lies before was counted, when it was first pushed
        self._expected: int | None = None
        self._missing = 0
        self._silent = np.zeros(self._width, np.int64)
        # Each with the sample at which it was known, so that their order is that of the samples.
        self._notes: deque[tuple[int, int, Note]] = deque(maxlen=_NOTES)
        self._start()

    @property
    def lost(self) -> int:
        """Samples in gaps that are too long to be held over, the present one included."""
        going_on = self._last is not None and self._missing > self._max_gap
        return self._ended + (self._missing if going_on else 0)

    def take_notes(self) -> list[Note]:
        """Give what happened since the last call, and forget it."""
        notes = sorted(self._notes, key=lambda one: one[:2])
        self._notes.clear()
        return [note for _, _, note in notes]

    @property
    def origin(self) -> int:
        """Absolute input sample with which the present start began; 0 before there is one."""
        return 0 if self._anchor is None else self._anchor

    @property
    def remembers(self) -> bool:
        """Whether any stage carries what came before into what comes after."""
        return any(self._stages.warmups)

    def rewind(self, at: int, why: str) -> None:
        """Begin afresh at a sample that was pushed before; it, and all after it, come again.

        What they were counted for, they are not counted for again.

        Parameters
        ----------
        at : int
            Absolute input sample.
        why : str
            Goes into the note.
        """
        assert self._expected is not None and at <= self._expected
        self._known = max(self._known, self._expected)
        self._expected, self._missing = at, 0
        self.restarts += 1
        self._notes.append((at, 1, Note("restart", at, 0, why=why)))
        self._start()

    def _start(self) -> None:
        """Begin a stream whose first sample is still to come."""
        self.run += 1
        self._stages.reset()
        self._anchor: int | None = None
        self._last: Samples | None = None
        self._index = 0
        self._holds: list[tuple[int, int]] = []

    def push(self, chunk: Chunk) -> Iterator[Segment]:
        """Take a chunk; give segments of streamed samples, one for each unbroken run.

        Raises
        ------
        SignalError
            Another rate or number of channels, or samples that were pushed before. The
            stream is left as it was.
        """
        if chunk.samples.shape[0] != self._width:
            raise SignalError(
                f"the stream takes {self._width} channels, the chunk has {chunk.samples.shape[0]}"
            )
        if chunk.rate != self._rate:
            raise SignalError(
                f"the stream takes {self._rate:g} Hz, the chunk has {chunk.rate:g} Hz"
            )
        if self._expected is not None and chunk.first < self._expected:
            raise SignalError(
                f"the chunk starts at sample {chunk.first}, but samples up to "
                f"{self._expected} were pushed already"
            )
        return self._run(chunk)

    def _run(self, chunk: Chunk) -> Iterator[Segment]:
        """Go through a chunk's real and missing runs."""
        if self._expected is not None:
            self._missing += chunk.first - self._expected
        self._expected = chunk.end
        finite = np.asarray(np.isfinite(chunk.samples))
        seen = max(self._watched - chunk.first, 0)
        if seen < finite.shape[1]:
            self._watch(finite[:, seen:], chunk.first + seen)
            self._watched = chunk.end
        real: npt.NDArray[np.bool_] = np.asarray(finite.all(axis=0))
        edges = np.flatnonzero(np.diff(real)) + 1
        for begin, end in itertools.pairwise([0, *edges.tolist(), len(real)]):
            if begin == end:
                continue
            if not real[begin]:
                self._missing += end - begin
                continue
            yield from self._bridge_gap(chunk.first + begin)
            if self._anchor is None:
                self._anchor = chunk.first + begin
            samples = np.ascontiguousarray(chunk.samples[:, begin:end])
            self._last = samples[:, -1:].copy()
            yield from self._feed(samples)

    def _bridge_gap(self, here: int) -> Iterator[Segment]:
        """Hold over, or start afresh, now that a real sample is here."""
        missing, self._missing = self._missing, 0
        if missing == 0 or self._last is None:
            return
        new = here >= self._known
        if missing > self._max_gap:
            if new:
                self._ended += missing
                self.restarts += 1
                self._notes.append((here, 1, Note("restart", here, missing)))
            self._start()
            return
        self.filled += missing if new else 0
        self._holds.append((here - missing, here))
        yield from self._feed(np.repeat(self._last, missing, axis=1))

    def _watch(self, finite: npt.NDArray[np.bool_], first: int) -> None:
        """Note which channels give no value, alike for every chunking."""
        if finite.all() and not self._silent.any():
            return
        found: dict[tuple[int, bool, int, int], list[str]] = {}
        for row, (name, values) in enumerate(zip(self._names, list(finite), strict=True)):
            run = int(self._silent[row])
            edges = np.flatnonzero(np.diff(values)) + 1
            for begin, end in itertools.pairwise([0, *edges.tolist(), len(values)]):
                if begin == end:
                    continue
                if values[begin]:
                    if run:
                        key = (first + begin, False, first + begin - run, run)
                        found.setdefault(key, []).append(name)
                    run = 0
                    continue
                if run <= self._max_gap < run + end - begin:
                    at = first + begin - run
                    key = (at + self._max_gap, True, at, self._max_gap + 1)
                    found.setdefault(key, []).append(name)
                run += end - begin
            self._silent[row] = run
        for (known, going_on, at, samples), names in sorted(found.items()):
            self._notes.append((known, 0, Note("missing", at, samples, tuple(names), going_on)))

    def _feed(self, samples: Samples) -> Iterator[Segment]:
        """Pass samples through the stages."""
        out = self._stages.push(samples)
        if out.shape[1]:
            segment = Segment(out, self._index)
            self._index += out.shape[1]
            yield segment

    def locate(self, index: int) -> Fraction:
        """Absolute input position of a streamed index of the present start."""
        assert self._anchor is not None
        return self._anchor + self._stages.position(index)

    def nearest(self, position: Fraction) -> int:
        """Streamed index of the present start that stands nearest to an input position."""
        assert self._anchor is not None
        where = self._stages.position
        return round((position - self._anchor - where.offset) / where.scale)

    def held(self, start: Fraction, end: Fraction) -> int:
        """Samples held over in ``[start, end)`` of the present start; forgets older ones."""
        self._holds = [hold for hold in self._holds if hold[1] > start]
        return sum(
            max(0, min(math.ceil(end), b) - max(math.ceil(start), a)) for a, b in self._holds
        )
