"""What a stretch of raw samples looks like: a handful of figures for each channel, cheap.

A window is looked at in blocks of about a second (32 samples at least), each freed of its own
straight line, so that drift, offsets and a single jolt say little:

``span``
    Median over blocks of highest less lowest value, in the channel's unit, drift taken off.
``level``
    Median over blocks of the mean, in the channel's unit.
``hiss``
    The most white noise that the quietest block can hold, in the channel's unit: the root mean
    square of its second differences over √6.
``roughness``
    Median over blocks of the root mean square of the steps from sample to sample over that of
    the block: 1.4 for white noise, near 0 for what is slow beside the rate.
``crest``
    Median over blocks of highest less lowest over root mean square: 2.8 for a sine, more for
    beats that stand out.
``run``
    Share of the window that its longest run of one value takes.
``edge``
    Share of the window that lies in plateaus at its own highest or lowest value.
``mains``
    Share of the blocks' power within 2 Hz of 50 or 60 Hz; 0 where the rate is too low for it.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Samples
from bioxedge.spec import Measure

MEASURES: tuple[Measure, ...] = get_args(Measure)

FEWEST = 16
"""Real samples below which nothing can be said of a channel."""

_PLATEAU = 3  # values in a row at an extreme: two may be a peak that was sampled twice
_NEAR = 0.005  # share of the window's range: a rail that was resampled is no longer one value
_MAINS = (50.0, 60.0)
_BESIDE = 2.0  # Hz: what a second's block tells apart, and a clock that is off by 2 %


def block_of(rate: float) -> int:
    """Samples in one block."""
    return max(round(rate), 32)


def measure(samples: Samples, rate: float) -> list[dict[str, float] | None]:
    """Look at every channel.

    Parameters
    ----------
    samples : ndarray of float64, shape [channels, n]
        Values that are not finite are left out.
    rate : float
        Hz.

    Returns
    -------
    list of dict of str to float, or None
        One for each channel; None where fewer than ``FEWEST`` samples are real.
    """
    real = np.isfinite(samples)
    whole = real.all(axis=1)
    found: list[dict[str, float] | None] = [None] * len(samples)
    if samples.shape[1] >= FEWEST and whole.any():
        table = _table(samples[whole], rate)
        for column, row in enumerate(np.flatnonzero(whole)):
            found[row] = {name: float(values[column]) for name, values in table.items()}
    for row in np.flatnonzero(~whole):
        left = samples[row, real[row]]  # what is left, put together
        if len(left) >= FEWEST:
            table = _table(left[None], rate)
            found[row] = {name: float(values[0]) for name, values in table.items()}
    return found


def _table(x: Samples, rate: float) -> dict[str, npt.NDArray[np.float64]]:
    """Measure channels of real samples [channels, n]."""
    n = x.shape[1]
    size = min(block_of(rate), n)
    blocks = x[:, : n - n % size].reshape(len(x), -1, size)
    flat = _level(blocks)
    span = flat.max(axis=2) - flat.min(axis=2)
    rms = np.sqrt((flat * flat).mean(axis=2))
    steps = np.diff(blocks, axis=2)
    bends = np.diff(steps, axis=2)
    return {
        "span": np.median(span, axis=1),
        "level": np.median(blocks.mean(axis=2), axis=1),
        "hiss": np.sqrt((bends * bends).mean(axis=2).min(axis=1) / 6),
        "roughness": np.median(_over(np.sqrt((steps * steps).mean(axis=2)), rms), axis=1),
        "crest": np.median(_over(span, rms), axis=1),
        "run": np.array([_longest(row) + 1 for row in x[:, 1:] == x[:, :-1]]) / n,
        "edge": _edge(x) / n,
        "mains": _mains(flat, rate),
    }


def _level(blocks: Samples) -> Samples:
    """Take each block's straight line off it [channels, blocks, size]."""
    size = blocks.shape[2]
    t = np.arange(size) - (size - 1) / 2
    centred: Samples = blocks - blocks.mean(axis=2, keepdims=True)
    slope = (centred * t).sum(axis=2, keepdims=True) / max(float((t * t).sum()), 1.0)
    straight: Samples = slope * t
    return centred - straight


def _over(part: Samples, whole: Samples) -> Samples:
    """Divide; 0 where there is nothing to divide by."""
    share: Samples = np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)
    return share


def _longest(flags: npt.NDArray[np.bool_]) -> int:
    """Length of the longest run of true ones."""
    breaks = np.flatnonzero(~flags)
    if not len(breaks):
        return len(flags)
    between = np.diff(breaks)
    return max(int(breaks[0]), len(flags) - 1 - int(breaks[-1]), int(between.max(initial=1)) - 1)


def _edge(x: Samples) -> npt.NDArray[np.float64]:
    """Samples in plateaus at each channel's highest or lowest value, whichever is more."""
    counts = []
    lowest, highest = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    near = _NEAR * (highest - lowest)
    for at in (x >= highest - near, x <= lowest + near):
        inside = at[:, 2:] & at[:, 1:-1] & at[:, :-2]
        starts = inside[:, :1].sum(axis=1) + (inside[:, 1:] & ~inside[:, :-1]).sum(axis=1)
        counts.append(inside.sum(axis=1) + (_PLATEAU - 1) * starts)
    worst: Samples = np.maximum(*counts).astype(np.float64)
    return worst


def _mains(flat: Samples, rate: float) -> npt.NDArray[np.float64]:
    """Share of power near the mains' frequency, the stronger of the two."""
    size = flat.shape[2]
    bin_of = size / rate
    found = np.zeros(len(flat))
    if rate < 2 * (_MAINS[0] + _BESIDE) or size < rate / 2:
        return found
    weight = np.hanning(size)
    spectrum = np.abs(np.fft.rfft(flat * weight)) ** 2
    power = spectrum.sum(axis=1)
    total = power.sum(axis=1)
    for hertz in _MAINS:
        low, high = (hertz - _BESIDE) * bin_of, (hertz + _BESIDE) * bin_of
        near = power[:, math.ceil(low) : math.floor(high) + 1].sum(axis=1)
        found = np.maximum(found, _over(near, total))
    return found
