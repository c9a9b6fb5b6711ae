"""What the features of one kind of signal are called, and what computes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]
"""float64 [rows, samples] in, [rows, features] out."""


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
    t = (np.arange(rows.shape[1]) - (rows.shape[1] - 1) / 2) / rate
    found: Rows = (rows * t).sum(axis=1) / (t * t).sum()
    return found


def straightened(rows: Rows) -> Rows:
    """Take the straight line through each row off it."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    t = np.arange(rows.shape[1]) - (rows.shape[1] - 1) / 2
    found: Rows = centred - np.outer((centred * t).sum(axis=1) / max((t * t).sum(), 1.0), t)
    return found


def power(rows: Rows, rate: float) -> tuple[Rows, Rows]:
    """Periodogram of each row, straightened and Hann-windowed: frequencies in Hz, densities."""
    taper = np.hanning(rows.shape[1])
    spectrum = np.fft.rfft(straightened(rows) * taper, axis=1)
    density: Rows = np.abs(spectrum) ** 2 / (rate * (taper * taper).sum())
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
