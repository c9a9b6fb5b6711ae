"""Somebody who wears a sensor for as long as it takes: an endless plausible signal for a bundle.

Real signal, the bundle's golden samples, goes round with faded joints; a little noise, drawn by
the sample's index, makes every sample tell where it belongs. Any stretch can be made again.
"""

from __future__ import annotations

import numpy as np

from bioxedge.bundle import Bundle
from bioxedge.runtime.hostclock import HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk, Samples

_BLOCK = 4096
# Noise beside each channel's deviation: seen by no model, and never the same twice.
_NOISE = 0.005


class Wearer(Managed):
    """An endless source for a bundle's input.

    It gives as much as is asked for; whoever reads keeps the time. Started again, it goes on
    where the time has brought it.

    Parameters
    ----------
    bundle : Bundle
    clock : HostClock
    seconds : float
        When it ends, on the clock, after the first start.
    seed : int, optional

    Attributes
    ----------
    base : int
        Absolute index of this start's sample 0.
    """

    def __init__(self, bundle: Bundle, clock: HostClock, seconds: float, *, seed: int = 0) -> None:
        about = bundle.manifest.input
        self.name = f"a simulated wearer of {about.modality}"
        self.channels, self.rate = about.names, about.rate
        self.waits = True
        self._clock, self._seconds, self._seed = clock, seconds, seed
        self._loop = joined(list(bundle.golden.raw), round(about.rate / 2))
        self._spread = self._loop.std(axis=1, keepdims=True) * _NOISE
        self._blocks: dict[int, Samples] = {}
        self._zero: int | None = None
        self.base = self._next = 0

    @property
    def loss(self) -> int | None:
        """Nothing is lost before the board."""
        return 0

    def start(self) -> None:
        """Begin, or go on where the time has brought it."""
        now = self._clock.monotonic_ns()
        self._zero = now if self._zero is None else self._zero
        due = round((now - self._zero) / 1e9 * self.rate)
        self.base = max(self.base + self._next, due)
        self._next = 0

    def read(self) -> Chunk | None:
        """Give the next second; None once the time is over."""
        assert self._zero is not None
        if self._clock.monotonic_ns() - self._zero > self._seconds * 1e9:
            return None
        first, count = self._next, max(round(self.rate), 1)
        self._next += count
        begin = self.base + first
        return Chunk(self.samples(begin, begin + count), first, self.rate)

    def samples(self, begin: int, end: int) -> Samples:
        """Make samples [channels, end − begin], by absolute index."""
        index = np.arange(begin, end) % self._loop.shape[1]
        noise = [
            self._block(block)[:, max(begin - block * _BLOCK, 0) : end - block * _BLOCK]
            for block in range(begin // _BLOCK, (end - 1) // _BLOCK + 1)
        ]
        if not noise:
            return np.empty((len(self._loop), 0))
        return np.ascontiguousarray(self._loop[:, index] + np.concatenate(noise, axis=1))

    def _block(self, block: int) -> Samples:
        """One block's noise; a few are kept."""
        if block not in self._blocks:
            rng = np.random.default_rng([self._seed, block])
            if len(self._blocks) >= 16:
                del self._blocks[min(self._blocks)]
            self._blocks[block] = rng.standard_normal((len(self._loop), _BLOCK)) * self._spread
        return self._blocks[block]


def joined(pieces: list[Samples], overlap: int) -> Samples:
    """Put pieces [channels, n] in a ring, each faded into the next over ``overlap`` samples."""
    overlap = min(overlap, min(piece.shape[1] for piece in pieces) // 4)
    rise = (np.arange(overlap) + 1) / (overlap + 1)
    out = []
    for number, piece in enumerate(pieces):
        before = pieces[number - 1]
        begin = before[:, before.shape[1] - overlap :] * (1 - rise) + piece[:, :overlap] * rise
        out += [begin, piece[:, overlap : piece.shape[1] - overlap]]
    return np.concatenate(out, axis=1)
