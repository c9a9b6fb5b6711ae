"""Disturbances that a good answer survives, and labels that follow them.

A few dozen labelled people are soon known by the shape of their beats. So windows are played
faster or slower, passed through a random short filter that changes the beats' shape and not
their times (random convolution: Xu et al., ICLR 2021), and given noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bioxedge.errors import ModelError

STRETCH = 1.5
"""Greatest factor by which a window is played faster or slower."""

SHAPED = 0.8
"""Share of the windows that pass through a random filter."""

FILTER_SECONDS = 0.2
"""Length of that filter: a QRS complex or a pulse's upstroke, not a beat."""

NOISE = 0.3
"""Greatest deviation of the added noise, in deviations of the signal."""


@dataclass(frozen=True)
class Targets:
    """What is known of each window, and which class that is.

    Attributes
    ----------
    values : Tensor of float32, shape [n]
        Class numbers, or with ``bounds`` the value that they cut into bands.
    classes : int
    bounds : Tensor of float32, shape [classes − 1], optional
        Rising.
    rate : bool
        The value is a rate: a window played s times as fast has s times the value.
    """

    values: Tensor
    classes: int
    bounds: Tensor | None = None
    rate: bool = False

    def factors(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw how fast windows are played: all 1 unless the labels can follow."""
        if not self.rate:
            return torch.ones(count)
        return draw_factors(count, generator)

    def of(self, indices: Tensor, factors: Tensor) -> Tensor:
        """Classes [n] of the indexed windows when played at these factors."""
        values = self.values[indices]
        if self.bounds is None:
            return values.long()
        return torch.bucketize(values * factors if self.rate else values, self.bounds, right=True)

    def played(self, indices: Tensor, factors: Tensor) -> Tensor:
        """Values [n] of the indexed windows when played at these factors."""
        values = self.values[indices]
        return values * factors if self.rate else values

    def weights(self, *, seed: int) -> Tensor:
        """Inverse frequency of each class as training will meet it, 1 on average.

        Raises
        ------
        ModelError
            A class that no window shows.
        """
        generator = torch.Generator().manual_seed(seed)
        indices = torch.arange(len(self.values)).repeat(16 if self.rate else 1)
        labels = self.of(indices, self.factors(len(indices), generator))
        counts = torch.bincount(labels, minlength=self.classes)
        if (counts == 0).any():
            missing = torch.nonzero(counts == 0).flatten().tolist()
            raise ModelError(
                f"no labelled window is of class {missing}: the people who train the head must "
                "show every class; give it more people or other bounds"
            )
        return len(labels) / (self.classes * counts.float())


def draw_factors(count: int, generator: torch.Generator) -> Tensor:
    """Factors between 1/STRETCH and STRETCH, uniform in their logarithm."""
    return torch.exp((2 * torch.rand(count, generator=generator) - 1) * math.log(STRETCH))


def standardise(windows: Tensor) -> Tensor:
    """Zero mean and unit deviation of each channel, as the device's z-score does."""
    centred = windows - windows.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)


def stretch(windows: Tensor, factors: Tensor, generator: torch.Generator) -> Tensor:
    """Play each window [n, channels, samples] at a factor, from a random place on.

    Linear interpolation; a window is a ring, so one played faster passes its seam.
    """
    n, channels, samples = windows.shape
    start = samples * torch.rand(n, 1, generator=generator)
    where = (start + factors[:, None] * torch.arange(samples)) % samples
    left = where.floor().long().clamp(max=samples - 1)
    weight = (where - left)[:, None, :]
    right = (left + 1) % samples
    shape = (n, channels, samples)
    before = windows.gather(2, left[:, None, :].expand(shape))
    after = windows.gather(2, right[:, None, :].expand(shape))
    return before * (1 - weight) + after * weight


def disturb(windows: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Change shapes and add noise; ``rate`` in Hz sets the filter's length in samples."""
    n, channels, samples = windows.shape
    taps = 2 * max(1, round(FILTER_SECONDS * rate / 2)) + 1
    kernel = torch.randn(n, 1, taps, generator=generator) * torch.hann_window(taps, periodic=False)
    kernel = kernel.repeat_interleave(channels, 0)
    shaped = F.conv1d(
        windows.reshape(1, n * channels, samples), kernel, padding=taps // 2, groups=n * channels
    ).reshape(n, channels, samples)
    chosen = torch.rand(n, 1, 1, generator=generator) < SHAPED
    out = torch.where(chosen, standardise(shaped), windows)
    strength = NOISE * torch.rand(n, 1, 1, generator=generator)
    return out + strength * torch.randn(windows.shape, generator=generator)
