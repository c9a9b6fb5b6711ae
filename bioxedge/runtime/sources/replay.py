"""A recording as a source: the deterministic one, the same chunks every time."""

from __future__ import annotations

import math

from bioxedge.errors import SourceError
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk, Recording


class ReplaySource(Managed):
    """A recording as if it came from a sensor; the same chunks every time.

    Parameters
    ----------
    recording : Recording
        NaN where a sample is missing.
    channels : tuple of str, optional
        Names of the channels to give, in this order; all of them by default.
    speed : float, optional
        1 is real time; infinity is as fast as possible. Chunk i is due ``i · chunk / (rate ·
        speed)`` seconds after the start on the monotonic clock, so pacing never drifts.
    chunk : int, optional
        Samples in a chunk.
    clock : HostClock, optional
        The clocks that pace it.

    Raises
    ------
    SignalError
        A channel that the recording does not have.
    SourceError
        A speed or a chunk that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from bioxedge.signals import Channel
    >>> recording = Recording(np.arange(5.0)[None], 64.0, (Channel("ppg_2"),), "ppg", "a")
    >>> with ReplaySource(recording, speed=float("inf"), chunk=2) as source:
    ...     [chunk.samples.tolist() for chunk in iter(source.read, None)]
    [[[0.0, 1.0]], [[2.0, 3.0]], [[4.0]]]
    """

    def __init__(
        self,
        recording: Recording,
        *,
        channels: tuple[str, ...] | None = None,
        speed: float = 1.0,
        chunk: int = 8,
        clock: HostClock = SYSTEM,
    ) -> None:
        if not speed > 0:
            raise SourceError(f"the speed of a replay is {speed:g}: it must be above 0, or max")
        if chunk < 1:
            raise SourceError(f"a replay's chunk is {chunk} samples: it must be 1 or more")
        present = tuple(channel.name for channel in recording.channels)
        self.channels = present if channels is None else tuple(channels)
        self._samples = recording.samples[recording.rows(self.channels)]
        self.rate = recording.rate
        self.name = f"replay of {recording.person}"
        self._t0, self._speed, self._chunk = recording.t0, speed, chunk
        self.waits = True
        self._clock = clock
        self._next = 0
        self._began: int | None = None

    @property
    def loss(self) -> int | None:
        """Nothing is lost on the way; what the recording lacks is NaN."""
        return 0

    def start(self) -> None:
        """Begin at sample 0."""
        self._next = 0
        self._began = self._clock.monotonic_ns()

    def read(self) -> Chunk | None:
        """Give the next chunk if it is due, one without samples if not, None at the end."""
        if self._began is None:
            raise SourceError("the replay was not started: use it in a with statement")
        first = self._next
        if first >= self._samples.shape[1]:
            return None
        now = acquired = self._clock.monotonic_ns()
        if not math.isinf(self._speed):
            acquired = self._due(self._began, first)
            if now < acquired:
                return Chunk(self._samples[:, :0], first, self.rate, self._t0)
        samples = self._samples[:, first : first + self._chunk]
        self._next = first + samples.shape[1]
        return Chunk(samples, first, self.rate, self._t0, now, acquired)

    def _due(self, began: int, sample: int) -> int:
        """Monotonic nanoseconds at which the chunk that begins with a sample is due."""
        return began + round(sample * 1e9 / (self.rate * self._speed))

    def close(self) -> None:
        """Stop; :meth:`start` begins again at sample 0."""
        self._began = None
