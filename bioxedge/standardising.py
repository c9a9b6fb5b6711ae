"""The stage that tells samples as distances from their own running mean."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from bioxedge import spec
from bioxedge.filters import leaky_sums
from bioxedge.signals import Samples
from bioxedge.stage import Affine, Stage


class StandardiseStage(Stage):
    """Distance from the running mean, in running deviations; see :class:`spec.Standardise`.

    With λ = exp(−1 / memory), or 1, mean and variance are weighted by λ to the power of a sample's
    age: sums of 1, x and x² that each decay by λ (Welford's cancellation is met by taking the
    first sample off everything). 0 where nothing has varied yet.
    """

    _level: Samples | None
    _sums: Samples

    def __init__(self, parameters: spec.Standardise) -> None:
        self._keep = math.exp(-1 / parameters.memory) if parameters.memory else 1.0
        self.warmup = parameters.warmup
        self.position = Affine(Fraction(1), Fraction(self.warmup))
        self.reset()

    def push(self, samples: Samples) -> Samples:
        """Standardise, carrying the sums over."""
        if samples.shape[1] == 0:
            return samples
        width = samples.shape[0]
        if self._level is None:
            self._level = samples[:, :1].copy()
            self._sums = np.zeros(2 * width + 1)
        moved = samples - self._level
        rows = np.concatenate([moved, moved * moved, np.ones((1, samples.shape[1]))])
        sums = leaky_sums(rows, self._sums, self._keep)
        self._sums = sums[:, -1].copy()
        mean = sums[:width] / sums[-1]
        power = sums[width:-1] / sums[-1]
        variance = power - mean * mean
        # What rounding leaves of a constant is no spread.
        still = variance <= 1e-12 * power
        spread = np.sqrt(np.where(still, 1.0, variance))
        out = np.where(still, 0.0, (moved - mean) / spread)
        unsettled = min(self._unsettled, out.shape[1])
        self._unsettled -= unsettled
        return np.ascontiguousarray(out[:, unsettled:])

    def reset(self) -> None:
        """Know nothing of the wearer."""
        self._level = None
        self._unsettled = self.warmup
