"""A wearer's own baseline: features as distances from what this body has shown so far.

People differ more from each other than a person under stress differs from the same person at
rest. A running mean and deviation of each feature, learnt from the wearer's past windows alone and
without a label, takes that difference out. It is causal, so a device keeps it; training goes
through the same class, person by person, in the order in which windows were worn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bioxedge.errors import SignalError
from bioxedge.spec import BaselineSpec, FeaturesSpec

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

_STILL = 1e-9
"""Share of a feature's size below which its deviation is rounding."""

_LEAST, _MOST = (float(getattr(np.finfo(np.float32), name)) for name in ("tiny", "max"))
"""What a deviation must reach, and nothing may pass: one over it must be a number in float32."""


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a baseline knows, as plain values.

    Attributes
    ----------
    windows : int
        Seen so far.
    count, mean, square : tuple of float
        Of each feature: its windows, its mean, its mean square distance from that.
    """

    windows: int
    count: tuple[float, ...]
    mean: tuple[float, ...]
    square: tuple[float, ...]


@dataclass(frozen=True)
class Scale:
    """What a window's features are scaled by.

    Attributes
    ----------
    mean, inverse : ndarray of float32, shape [features]
        ``inverse`` is one over the deviation; 0 where a feature has shown none.
    """

    mean: Singles
    inverse: Singles


class Baseline:
    """Running mean and deviation of a wearer's features, each over windows that had it.

    The weight of a new window is ``max(1 / n, 1 − exp(−1 / memory))`` (``1 / n`` without a memory):
    at first a plain mean of all, later an exponential one.

    Parameters
    ----------
    spec : BaselineSpec
    features : int

    Attributes
    ----------
    windows : int
        Seen so far.
    """

    def __init__(self, spec: BaselineSpec, features: int) -> None:
        self.spec, self._features = spec, features
        self._least = -math.expm1(-1 / spec.memory) if spec.memory else 0.0
        self.reset()

    def reset(self) -> None:
        """Know nothing of the wearer."""
        self.windows = 0
        self._count = np.zeros(self._features)
        self._mean = np.zeros(self._features)
        self._square = np.zeros(self._features)

    @property
    def settled(self) -> bool:
        """Whether enough was seen for a window to be answered."""
        return self.windows >= self.spec.settle

    def scale(self) -> Scale:
        """Give what the next window is scaled by."""
        size = np.sqrt(self._square + self._mean * self._mean)
        spread = np.sqrt(self._square)
        varies = (spread > _STILL * size) & (spread >= _LEAST)
        inverse = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
        return Scale(self._mean.astype(np.float32), inverse.astype(np.float32))

    def push(self, features: npt.NDArray[np.floating[Any]]) -> None:
        """Learn from a window.

        Parameters
        ----------
        features : ndarray, shape [features]
            As they are; NaN where the window did not allow one.

        Raises
        ------
        SignalError
            Another number of features.
        """
        if features.shape != (self._features,):
            raise SignalError(
                f"a baseline of {self._features} features was given {list(features.shape)}"
            )
        now = np.asarray(features, np.float64)
        has = np.isfinite(now)
        self.windows += 1
        self._count = self._count + has
        weight = np.where(has, np.maximum(1 / np.maximum(self._count, 1.0), self._least), 0.0)
        step = np.where(has, now, 0.0) - np.where(has, self._mean, 0.0)
        self._mean = self._mean + weight * step
        self._square = (1 - weight) * (self._square + weight * step * step)

    def known(self) -> Known:
        """Give what it knows, to be kept."""
        parts = (self._count, self._mean, self._square)
        return Known(self.windows, *(tuple(part.tolist()) for part in parts))

    def take(self, known: Known) -> None:
        """Go on from what was kept.

        Raises
        ------
        SignalError
            It is of other features, or not what a baseline gives.
        """
        parts = [np.array(part, np.float64) for part in (known.count, known.mean, known.square)]
        if any(part.shape != (self._features,) for part in parts):
            raise SignalError(f"what was kept is not of {self._features} features")
        count, mean, square = parts
        if known.windows < 0 or not all(np.isfinite(part).all() for part in parts):
            raise SignalError("what was kept holds a number that is not finite, or below 0")
        if (square < 0).any() or (count < 0).any() or (count > known.windows).any():
            raise SignalError("what was kept holds counts or squares that cannot be")
        if (np.abs(mean) > _MOST).any() or (np.sqrt(square) > _MOST).any():
            raise SignalError("what was kept holds features beyond float32")
        self.windows, self._count, self._mean, self._square = known.windows, count, mean, square


def beside(spec: FeaturesSpec, classic: Floats, scale: Scale | None) -> Singles:
    """Lay out what a graph takes beside a window: classic features, means, inverse deviations.

    A classic feature that the window did not allow is its wearer's mean, or where there is no
    baseline (or it has never seen one) what training showed in the middle.

    Parameters
    ----------
    spec : FeaturesSpec
    classic : ndarray of float64, shape [classic features]
        NaN where one is not possible.
    scale : Scale or None
        None where the bundle has no baseline.

    Returns
    -------
    ndarray of float32, shape [beside]
    """
    if not spec.classic:
        filled = np.empty(0, np.float32)
    else:
        usual = np.array(spec.fill, np.float64)
        if scale is not None:
            own = scale.mean[spec.encoder :].astype(np.float64)
            usual = np.where(scale.inverse[spec.encoder :] > 0, own, usual)
        filled = np.where(np.isfinite(classic), classic, usual).astype(np.float32)
    if scale is None:
        return filled
    return np.concatenate([filled, scale.mean, scale.inverse])


def scaled(features: Singles, scale: Scale, clip: float) -> Singles:
    """Scale features as the graph does, in float32.

    Parameters
    ----------
    features : ndarray of float32, shape [features]
        None missing.
    scale : Scale
    clip : float
    """
    limit = np.float32(clip)
    found: Singles = np.clip((features - scale.mean) * scale.inverse, -limit, limit)
    return found
