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
    Share of the blocks' power within 2 Hz of 50 or 60 Hz; 0 where the rate is too low for it,
    or the signal too smooth for a share of a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Samples
from bioxedge.spec import Measure

MEASURES: tuple[Measure, ...] = get_args(Measure)

FEWEST = 16
"""Real samples below which nothing can be said of a channel."""

_CACHED = 20_000  # samples looked at in one go, so that they stay in the processor's cache
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

    def look(rows: Sequence[int], x: Samples) -> None:
        """Measure channels of real samples."""
        if x.shape[1] >= FEWEST:
            table = {name: values.tolist() for name, values in _table(x, rate).items()}
            for column, row in enumerate(rows):
                found[row] = {name: values[column] for name, values in table.items()}

    together = max(1, _CACHED // max(samples.shape[1], 1))
    rows = np.flatnonzero(whole).tolist()
    for i in range(0, len(rows), together):
        look(rows[i : i + together], samples[rows[i : i + together]])
    for row in np.flatnonzero(~whole).tolist():
        look([row], samples[row, real[row]][None])  # what is left, put together
    return found


def _table(x: Samples, rate: float) -> dict[str, npt.NDArray[np.float64]]:
    """Measure channels of real samples [channels, n]."""
    n = x.shape[1]
    size = min(block_of(rate), n)
    blocks = x[:, : n - n % size].reshape(len(x), -1, size)
    flat = _level(blocks)
    span = flat.max(axis=2) - flat.min(axis=2)
    rms = np.sqrt((flat * flat).mean(axis=2))
    steps = blocks[:, :, 1:] - blocks[:, :, :-1]
    bends = steps[:, :, 1:] - steps[:, :, :-1]
    roughness = _over(np.sqrt((steps * steps).mean(axis=2)), rms)
    middle = np.median(np.stack([span, blocks.mean(axis=2), roughness, _over(span, rms)]), axis=2)
    return {
        "span": middle[0],
        "level": middle[1],
        "hiss": np.sqrt((bends * bends).mean(axis=2).min(axis=1) / 6),
        "roughness": middle[2],
        "crest": middle[3],
        "run": _longest(x) / n,
        "edge": _edge(x) / n,
        "mains": _mains(flat, middle[2], rate),
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


def _longest(x: Samples) -> npt.NDArray[np.float64]:
    """Length of each channel's longest run of one value."""
    begins = np.ones((len(x), x.shape[1] + 1), dtype=np.bool_)
    np.not_equal(x[:, 1:], x[:, :-1], out=begins[:, 1:-1])
    # Runs of all channels in one line; between two channels lies one of length 1.
    lengths = np.append(np.diff(np.flatnonzero(begins)), 1)
    counts = np.count_nonzero(begins, axis=1)
    longest = np.maximum.reduceat(lengths, np.cumsum(counts) - counts)
    return longest.astype(np.float64)


def _edge(x: Samples) -> npt.NDArray[np.float64]:
    """Samples amid plateaus at each channel's highest or lowest values, whichever are more."""
    lowest, highest = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    near = _NEAR * (highest - lowest)
    counts = []
    for at in (x >= highest - near, x <= lowest + near):
        amid = at[:, 2:] & at[:, 1:-1] & at[:, :-2]  # alone or in pairs they are only peaks
        counts.append(np.count_nonzero(amid, axis=1))
    worst: Samples = np.maximum(*counts).astype(np.float64)
    return worst


def _mains(flat: Samples, roughness: Samples, rate: float) -> Samples:
    """Share of power near the mains' frequency, the stronger of the two."""
    size = flat.shape[2]
    found = np.zeros(len(flat))
    if rate < 2 * (_MAINS[0] + _BESIDE) or size < rate / 2:
        return found
    # A tenth of the power at that frequency makes steps of at least this size.
    least = math.sqrt(0.1) * 2 * math.sin(math.pi * (_MAINS[0] - _BESIDE) / rate)
    chosen = np.flatnonzero(roughness >= least)
    if len(chosen):
        spectrum = np.fft.rfft(flat[chosen] * np.hanning(size))
        power = (spectrum.real * spectrum.real + spectrum.imag * spectrum.imag).sum(axis=1)
        total = power.sum(axis=1)
        for hertz in _MAINS:
            low, high = ((hertz + beside) * size / rate for beside in (-_BESIDE, _BESIDE))
            near = power[:, math.ceil(low) : math.floor(high) + 1].sum(axis=1)
            found[chosen] = np.maximum(found[chosen], _over(near, total))
    return found
