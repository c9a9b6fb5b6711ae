"""What the features of one kind of signal are called, and what computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
"""float64 [rows, samples] in, [rows, features] out."""

_ROUNDING = 1e-12  # of a row's size: what is left of a straight line


@dataclass(frozen=True)
class Kind:
    """Features of one kind of signal.

    Attributes
    ----------
    names : tuple of str
        With units, in order.
    of : callable
        Takes rows [n, samples] and their rate in Hz; gives [n, len(names)].
    """

    names: tuple[str, ...]
    of: Callable[[Rows, float], Rows]


def slope(rows: Rows, rate: float) -> Rows:
    """Slope of the straight line through each row (least squares), per second."""
    t = _times(rows.shape[1]) / rate
    found: Rows = (changes(rows) * t).sum(axis=1) / max(float((t * t).sum()), 1e-30)
    return found


def changes(rows: Rows) -> Rows:
    """Take each row's first sample off it: one that does not change becomes exactly 0."""
    found: Rows = rows - rows[:, :1]
    return found


def straightened(rows: Rows) -> Rows:
    """Take the straight line through each row off it; what rounding leaves of one is 0."""
    moved = changes(rows)
    t = _times(rows.shape[1])
    centred = moved - moved.mean(axis=1, keepdims=True)
    found: Rows = centred - np.outer((centred * t).sum(axis=1) / max((t * t).sum(), 1.0), t)
    left = np.abs(found).max(axis=1) <= _ROUNDING * np.abs(rows).max(axis=1)
    found[left] = 0.0
    return found


def _times(samples: int) -> Rows:
    """Number samples around 0."""
    return np.arange(samples, dtype=np.float64) - (samples - 1) / 2


def power(rows: Rows, rate: float) -> tuple[Rows, Rows]:
    """Periodogram of each row, straightened and Hann-windowed: frequencies in Hz, densities.

    One-sided: the densities add up to the row's variance.
    """
    taper = np.hanning(rows.shape[1] + 2)[1:-1]  # without its zeros: three samples have power, too
    spectrum = np.fft.rfft(straightened(rows) * taper, axis=1)
    density: Rows = np.abs(spectrum) ** 2 / (rate * (taper * taper).sum())
    density[:, 1 : (rows.shape[1] + 1) // 2] *= 2  # not the mean, nor half the rate
    frequencies: Rows = np.fft.rfftfreq(rows.shape[1], 1 / rate).astype(np.float64)
    return frequencies, density


def band(frequencies: Rows, density: Rows, low: float, high: float) -> Rows:
    """Power of each row between two frequencies, in the unit's square."""
    inside = (frequencies >= low) & (frequencies < high)
    step = frequencies[1] - frequencies[0] if len(frequencies) > 1 else 1.0
    found: Rows = density[:, inside].sum(axis=1) * step
    return found


def log(values: Rows) -> Rows:
    """Natural logarithm; NaN where there is nothing to take it of."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Rows = np.where(values > 0, np.log(values), np.nan)
    return found
