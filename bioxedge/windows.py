"""Windows: what a device cuts live, and training from recordings, with the same code.

A window is the same to the last bit wherever it is cut, given the same first sample after a
start: both sides come through :class:`WindowStream`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bioxedge import spec
from bioxedge.errors import SignalError
from bioxedge.gaps import Note, SampleStream
from bioxedge.signals import Chunk, Recording, Samples

_BLOCK = 60.0  # seconds of a recording that are pushed at once


@dataclass(frozen=True)
class Window:
    """One window, ready for the model.

    Attributes
    ----------
    samples : ndarray of float32, shape [channels, length]
    start, end : Fraction
        Where it begins and ends (exclusive) in absolute input samples, linear-phase delay
        taken off.
    filled : int
        Input samples between those two that were missing and held over.
    run : int
        Differs where the stream began afresh between two windows.
    origin : int
        Absolute input sample with which its stream began.
    """

    samples: npt.NDArray[np.float32]
    start: Fraction
    end: Fraction
    filled: int
    run: int = field(default=0, compare=False)
    origin: int = 0


class WindowStream:
    """Chunks in, windows out: what a device does, and what training cuts with.

    Windows are anchored to the first settled sample after a start and follow each other by
    the hop; one is given as soon as its last sample is.

    Parameters
    ----------
    source, stream, window : parts of a manifest

    Examples
    --------
    >>> from bioxedge.spec import ChannelSpec, Input, StreamSpec, WindowSpec
    >>> source = Input(modality="ppg", channels=(ChannelSpec(name="ppg_2", unit="a.u."),), rate=64)
    >>> windows = WindowStream(source, StreamSpec(), WindowSpec(length=4, hop=2))
    >>> [w.samples.tolist() for w in windows.push(Chunk(np.arange(6.0)[None], 0, 64.0))]
    [[[0.0, 1.0, 2.0, 3.0]], [[2.0, 3.0, 4.0, 5.0]]]
    """

    def __init__(
        self, source: spec.Input, stream: spec.StreamSpec, window: spec.WindowSpec
    ) -> None:
        self._stream = SampleStream(source, stream)
        self._window = window
        self.rate = self._stream.rate
        self._clear()

    def _clear(self) -> None:
        self._buffer = np.empty((len(self._stream.channels), 0))
        self._next = 0

    def reset(self) -> None:
        """Forget everything, as if new."""
        self._stream.reset()
        self._clear()

    @property
    def gaps(self) -> dict[str, int]:
        """Samples held over, samples lost, restarts."""
        stream = self._stream
        return {"filled": stream.filled, "lost": stream.lost, "restarts": stream.restarts}

    @property
    def remembers(self) -> bool:
        """Whether a window also depends on samples before it."""
        return self._stream.remembers

    def rewind(self, at: int, why: str) -> None:
        """Begin afresh at a sample that was pushed before; see :meth:`SampleStream.rewind`."""
        self._stream.rewind(at, why)
        self._clear()

    def take_notes(self) -> list[Note]:
        """Give what happened to the samples since the last call, and forget it."""
        return self._stream.take_notes()

    def push(self, chunk: Chunk) -> list[Window]:
        """Take a chunk; give the windows that it completes.

        Raises
        ------
        SignalError
            See :meth:`SampleStream.push`.
        """
        windows: list[Window] = []
        for segment in self._stream.push(chunk):
            if segment.index == 0:
                self._clear()
            self._buffer = np.concatenate([self._buffer, segment.samples], axis=1)
            windows.extend(self._cut(segment.index + segment.samples.shape[1]))
        return windows

    def _cut(self, end: int) -> Iterator[Window]:
        """Cut every window that is complete; the buffer ends at streamed index ``end``."""
        length, hop = self._window.length, self._window.hop
        first = end - self._buffer.shape[1]
        while self._next + length <= end:
            offset = self._next - first
            samples = self._buffer[:, offset : offset + length]
            start = self._stream.locate(self._next)
            stop = self._stream.locate(self._next + length)
            yield Window(
                finish(samples, self._window.then),
                start,
                stop,
                self._stream.held(start, stop),
                self._stream.run,
                self._stream.origin,
            )
            self._next += hop
        keep = max(0, self._next - first)
        self._buffer = self._buffer[:, keep:].copy()


def cut(
    recording: Recording, source: spec.Input, stream: spec.StreamSpec, window: spec.WindowSpec
) -> list[Window]:
    """Cut a whole recording as the device would.

    Parameters
    ----------
    recording : Recording
        Its rate must be the input's; its channels are picked by the input's names.
    source, stream, window : parts of a manifest

    Returns
    -------
    list of Window
    """
    return list(cutting(recording, source, stream, window))


def cutting(
    recording: Recording, source: spec.Input, stream: spec.StreamSpec, window: spec.WindowSpec
) -> Iterator[Window]:
    """Give the windows of :func:`cut` one by one; parameters as there.

    A night is pushed a minute at a time: what it takes beside the recording does not grow with it.
    """
    cutter = WindowStream(source, stream, window)
    for chunk in _blocks(recording, source):
        yield from cutter.push(chunk)


def cut_at(
    recording: Recording,
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
    times: Sequence[float],
) -> list[npt.NDArray[np.float32] | None]:
    """Cut windows of a paired recording at the times at which another's begin.

    The samples are the same stream that :func:`cut` would give; only the places differ, each
    rounded to the nearest streamed sample (at most half a sample off).

    Parameters
    ----------
    recording : Recording
    source, stream, window : parts of a manifest
        The window's hop is not used.
    times : sequence of float
        Where windows begin, in seconds on the recording's clock (``t0`` included).

    Returns
    -------
    list of ndarray of float32 [channels, length], or None
        None where the recording has no whole settled window.
    """
    found: list[npt.NDArray[np.float32] | None] = [None] * len(times)
    for number, samples in cutting_at(recording, source, stream, window, times):
        found[number] = samples
    return found


def cutting_at(
    recording: Recording,
    source: spec.Input,
    stream: spec.StreamSpec,
    window: spec.WindowSpec,
    times: Sequence[float],
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Give the windows of :func:`cut_at` in the order of time, with the number of their time.

    Times at which there is none are passed over; parameters as there.
    """
    stages = SampleStream(source, stream)
    # In the order in which samples come, every time is looked at until it lies behind: once
    # settled samples have passed its beginning it cannot be cut whole any more.
    waiting = deque(
        (Fraction((times[number] - recording.t0) * recording.rate), number)
        for number in sorted(range(len(times)), key=lambda number: times[number])
    )
    buffer = np.empty((len(stages.channels), 0))
    end = 0
    for chunk in _blocks(recording, source):
        for segment in stages.push(chunk):
            if segment.index == 0:
                buffer = segment.samples
            else:
                buffer = np.concatenate([buffer, segment.samples], axis=1)
            end = segment.index + segment.samples.shape[1]
            first = end - buffer.shape[1]
            while waiting:
                position, number = waiting[0]
                at = stages.nearest(position)
                if at + window.length > end:
                    break
                waiting.popleft()
                if at >= first:
                    taken = buffer[:, at - first : at - first + window.length]
                    yield number, finish(taken, window.then)
            keep = end - window.length + 1
            if waiting:
                keep = min(keep, stages.nearest(waiting[0][0]))
            if keep > first:
                buffer = buffer[:, keep - first :].copy()


def _blocks(recording: Recording, source: spec.Input) -> Iterator[Chunk]:
    """Present a recording in the chunks of a source that gives one a minute."""
    whole = as_chunk(recording, source)
    step = max(round(_BLOCK * recording.rate), 1)
    for first in range(0, whole.samples.shape[1], step):
        yield Chunk(whole.samples[:, first : first + step], first, whole.rate, whole.t0)


def samples_needed(
    source: spec.Input, stream: spec.StreamSpec, window: spec.WindowSpec, *, windows: int = 1
) -> int:
    """Count the input samples, none missing, that it takes to give that many windows.

    Parameters
    ----------
    source, stream, window : parts of a manifest
    windows : int
    """
    width = len(source.channels)

    def count(step: int, start: int) -> int:
        """Push zeros, ``start`` at once and then by steps, until all windows are there."""
        cutter = WindowStream(source, stream, window)
        pushed, found, size = 0, 0, start or step
        while found < windows:
            found += len(cutter.push(Chunk(np.zeros((width, size)), pushed, source.rate)))
            pushed, size = pushed + size, step
        return pushed

    block = max(round(source.rate / 4), 1)
    return count(1, count(block, 0) - block)


def as_chunk(recording: Recording, source: spec.Input) -> Chunk:
    """Present a recording as the one chunk that a source with these channels would give.

    Raises
    ------
    SignalError
        Another rate, or a channel that is not there.
    """
    if recording.rate != source.rate:
        raise SignalError(
            f"{recording.person}'s recording is at {recording.rate:g} Hz, "
            f"the input at {source.rate:g} Hz"
        )
    rows = recording.rows(source.names)
    return Chunk(rows_of(recording.samples, rows), 0, recording.rate, recording.t0)


def rows_of(samples: Samples, rows: Sequence[int]) -> Samples:
    """Pick rows of samples [channels, n]; no copy is made of those that follow each other."""
    if rows and list(rows) == list(range(rows[0], rows[0] + len(rows))):
        return samples[rows[0] : rows[0] + len(rows)]
    return samples[list(rows)]


def finish(samples: Samples, then: Sequence[spec.WindowStage]) -> npt.NDArray[np.float32]:
    """Apply the pure stages to one window [channels, length]; float32, C order, a new array."""
    samples = np.ascontiguousarray(samples)
    for stage in then:
        samples = zscore(samples) if isinstance(stage, spec.ZScore) else rank(samples)
    return np.array(samples, dtype=np.float32, order="C")


def zscore(samples: Samples) -> Samples:
    """(x − mean) / std of each channel, by n; 0 where the deviation is 0."""
    centred = samples - samples.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=1, keepdims=True))
    # A constant that is no binary fraction leaves rounding behind, which is not a signal.
    level = np.abs(samples).max(axis=1, keepdims=True)
    flat = spread <= 1e-12 * level
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))


def rank(samples: Samples) -> Samples:
    """Average ranks (0-based) over n − 1, mapped to [−1, 1]."""
    out = np.empty_like(samples)
    for row, values in enumerate(samples):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        mean_rank = np.cumsum(counts) - (counts + 1) / 2
        out[row] = 2.0 * mean_rank[inverse] / max(len(values) - 1, 1) - 1.0
    return out
