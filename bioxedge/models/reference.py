"""Published preprocessing, exactly: zero-phase filters and statistics of whole recordings.

No device can compute it, because it needs samples that have not come yet. It is here so that
published figures can be reproduced and held beside those of the causal stages that a bundle
carries (figures made with it are called ``reference``, the others ``streaming``).

Facts from Li et al., *BioX-Bridge*, ICLR 2026, and its reference experiments.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
from scipy import signal

from bioxedge.errors import SignalError
from bioxedge.signals import Samples
from bioxedge.stage import Affine
from bioxedge.windows import rank, zscore


class Step(ABC):
    """One step over a whole recording, or over a window where that is what was published.

    Attributes
    ----------
    windowed : bool
        Published for a window: done to each of them once they are cut, never before.
    """

    windowed: ClassVar[bool] = False

    def rate(self, rate: float) -> float:
        """Rate in Hz of what comes out."""
        return rate

    def place(self, count: int, rate: float) -> Affine:
        """Say where each sample that comes out stands among ``count`` that go in."""
        return Affine()

    @abstractmethod
    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""


@dataclass(frozen=True)
class Linear(Step):
    """Resample to ``to`` Hz by linear interpolation.

    Of n samples, ``floor(n · to / rate)`` come out; the old ones stand evenly between the
    first and the last of them, so the clock is stretched by up to a sample.
    """

    to: float

    def rate(self, rate: float) -> float:
        """Rate in Hz of what comes out."""
        return self.to

    def place(self, count: int, rate: float) -> Affine:
        """Stretch the first to the first, the last to the last."""
        found = _count(count, rate, self.to)
        return Affine(Fraction(count - 1, found - 1)) if min(count, found) > 1 else Affine()

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        count = _count(samples.shape[1], rate, self.to)
        old = np.linspace(0, count - 1, samples.shape[1])
        return np.stack([np.interp(np.arange(count), old, row) for row in samples])


@dataclass(frozen=True)
class Fourier(Step):
    """Resample to ``to`` Hz by cutting or padding the spectrum."""

    to: float

    def rate(self, rate: float) -> float:
        """Rate in Hz of what comes out."""
        return self.to

    def place(self, count: int, rate: float) -> Affine:
        """Part the same time evenly: a spectrum is that of a signal that comes round again."""
        return Affine(Fraction(count, _count(count, rate, self.to)))

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        count = _count(samples.shape[1], rate, self.to)
        return np.asarray(signal.resample(samples, count, axis=1))


@dataclass(frozen=True)
class ForwardBackwardFIR(Step):
    """Band-pass by a windowed FIR (Hamming, unit gain at the band's centre), both ways.

    The ends are extended oddly by ``pad`` samples.
    """

    low: float
    high: float
    taps: int
    pad: int

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        _long_enough(samples, self.pad)
        taps = signal.firwin(self.taps, [self.low, self.high], pass_zero=False, fs=rate)
        return np.asarray(signal.filtfilt(taps, 1.0, samples, axis=1, padlen=self.pad))


@dataclass(frozen=True)
class ForwardBackwardChebyshev(Step):
    """Band-pass by a Chebyshev filter of the first kind, both ways; ``order`` is the prototype's.

    The ends are extended oddly by ``pad`` samples.
    """

    low: float
    high: float
    order: int
    ripple: float
    pad: int

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        _long_enough(samples, self.pad)
        band = [self.low, self.high]
        b, a = signal.cheby1(self.order, self.ripple, band, "bandpass", fs=rate)
        return np.asarray(signal.filtfilt(b, a, samples, axis=1, padlen=self.pad))


@dataclass(frozen=True)
class Standardise(Step):
    """Zero mean and unit deviation (by n) of each channel, over all that is given."""

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        return zscore(samples)


@dataclass(frozen=True)
class Ranks(Step):
    """Average ranks of each channel's samples, mapped linearly to [−1, 1]."""

    windowed: ClassVar[bool] = True

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        return rank(samples)


def prepare(steps: Sequence[Step], samples: Samples, rate: float) -> tuple[Samples, float]:
    """Carry published steps out.

    Parameters
    ----------
    steps : sequence of Step
        ``card(name).contract.reference``.
    samples : ndarray of float64, shape [channels, n]
        Not written to.
    rate : float
        In Hz.

    Returns
    -------
    samples : ndarray of float64, shape [channels, m]
    rate : float
        In Hz, after the last step.

    Raises
    ------
    SignalError
        Missing samples, or too few for a filter's ends.
    """
    samples = np.array(samples, dtype=np.float64, ndmin=2)
    if not np.isfinite(samples).all():
        raise SignalError(
            "samples are missing: published preprocessing has no rule for gaps; cut the "
            "recording where they are, or use the streaming form"
        )
    for step in steps:
        samples, rate = np.ascontiguousarray(step.apply(samples, rate)), step.rate(rate)
    return samples, rate


def _count(samples: int, rate: float, to: float) -> int:
    """How many samples there are at another rate, rounded down; exact for rational rates."""
    return max(1, math.floor(samples * Fraction(to) / Fraction(rate)))


def _long_enough(samples: Samples, pad: int) -> None:
    """Refuse what is no longer than the extension of its ends."""
    if samples.shape[1] <= pad:
        raise SignalError(
            f"{samples.shape[1]} samples are too few: filtering both ways extends the ends by "
            f"{pad} samples each; give more than that"
        )
