"""The line of lags on which blocks of two tracks are most alike.

One block of a calm heart fits a beat early or late nearly as well: alone it tells nothing. So no
block decides; the likeness of all blocks is summed along every line of lag over time, and the
best line must beat, over the blocks, each line that lies elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from bioxedge.datasets.pulse import RATE

Floats = npt.NDArray[np.float64]

BLOCK, STEP = 120.0, 60.0
"""Seconds of a block, and from one to the next."""
FEWEST = 3
"""Blocks below which nothing is said."""

STEEPEST = 2e-3
"""No two devices' crystals differ by more, in seconds a second."""

_REAL = 0.6  # share of a block that must be signal, on both sides
_ALIKE = 0.25  # correlation below which a block says nothing
_APART = 0.15  # of it, by which a block must prefer another lag to contradict
_MEET = 0.2  # share of the blocks at which two lines may meet and be two
_BEAT = 0.3  # s: nearer lags are the same answer
_NEAR = 0.25  # s from the line within which a block agrees
_JUMP = 0.5  # s from the line at which a block contradicts it
# BIDMC, 34 recordings of hearts that machines breathe for, twice each, and 66 pairs of strangers:
# strangers reach 0.24 along a line, and no wrong line was 2.0 errors or 0.04 better than others.
_TOLD, _CLEAR = 3.0, 0.1  # standard errors, or correlation, by which a line must beat others
_LEAST = 0.3  # correlation along the line, below which nothing is told
_MANY = 200  # blocks by which the line is sought; all of them count then


@dataclass(frozen=True)
class Blocks:
    """How alike two tracks are, block by block, at every lag.

    Attributes
    ----------
    times : ndarray, shape [blocks]
        Where each begins, in seconds from the tracks' first sample.
    alike : ndarray of float32, shape [blocks, lags]
        Correlations; 0 where they cannot be told.
    margin : int
        Samples of lag on either side: ``lags = 2 · margin + 1``.
    most : int
        Samples of lag on either side that the line may have in the middle.
    """

    times: Floats
    alike: npt.NDArray[np.float32]
    margin: int
    most: int


@dataclass(frozen=True)
class Line:
    """A line of lags, and how the blocks stand to it.

    Attributes
    ----------
    lag, drift : float
        Seconds at the tracks' first sample; seconds a second.
    scatter : float
        Median distance of the agreeing blocks, in seconds.
    agreeing : int
    wrong : tuple of float
        Where blocks begin that clearly say another lag.
    told : bool
        Whether the line beats all others.
    """

    lag: float
    drift: float
    scatter: float
    agreeing: int
    wrong: tuple[float, ...]
    told: bool


def margin_of(seconds: float, most: float) -> int:
    """Count the samples of lag on either side that tracks need, for lags up to ``most`` seconds.

    Where two clocks drift, what is within it in the middle is not at the ends.
    """
    return round((most + STEEPEST * seconds / 2 + 1.0) * RATE)


def alike(mine: Floats, theirs: Floats, margin: int, most: float) -> Blocks:
    """Hold blocks of one track against another at every lag.

    Parameters
    ----------
    mine : ndarray, shape [n]
        NaN where there is no signal.
    theirs : ndarray, shape [n + 2 · margin]
        Begins ``margin`` samples earlier.
    margin : int
        See :func:`margin_of`.
    most : float
        Seconds of lag in the middle.
    """
    size, step = round(BLOCK * RATE), round(STEP * RATE)
    times, rows = [], []
    for first in range(0, len(mine) - size + 1, step):
        row = _correlated(mine[first : first + size], theirs[first : first + size + 2 * margin])
        if row is not None:
            times.append(first / RATE)
            rows.append(row.astype(np.float32))
    stacked = np.array(rows, np.float32).reshape(len(rows), 2 * margin + 1)
    return Blocks(np.array(times, np.float64), stacked, margin, min(round(most * RATE), margin))


def _correlated(block: Floats, other: Floats) -> Floats | None:
    """Correlate a block with each stretch of another track; None where there is no signal."""
    size = len(block)
    real, there = np.isfinite(block), np.isfinite(other)
    if real.mean() < _REAL:
        return None
    block = np.where(real, block - block[real].mean(), 0.0)
    if not there.any() or not block.any():
        return None
    other = np.where(there, other - other[there].mean(), 0.0)
    sums = signal.fftconvolve(other, block[::-1], "valid")
    total = np.cumsum(np.insert(other, 0, 0.0))
    squares = np.cumsum(np.insert(other**2, 0, 0.0))
    count = np.cumsum(np.insert(there.astype(np.float64), 0, 0.0))
    held = count[size:] - count[:-size]
    mean = (total[size:] - total[:-size]) / size
    spread = np.maximum((squares[size:] - squares[:-size]) - size * mean**2, 0.0)
    scale = np.sqrt(spread) * np.linalg.norm(block)
    usable = (held >= _REAL * size) & (scale > 1e-9 * np.linalg.norm(block) * np.abs(other).max())
    if not usable.any():
        return None
    found: Floats = np.divide(sums, scale, out=np.zeros_like(sums), where=usable)
    return found


def best_line(blocks: Blocks) -> tuple[float, float, Floats]:
    """Find the line along which blocks are most alike.

    Returns
    -------
    lag, drift : float
        In seconds at the first sample, and in seconds a second.
    others : ndarray, shape [blocks]
        Likeness of each block along the best line that lies elsewhere.
    """
    picked = np.unique(np.linspace(0, len(blocks.times) - 1, _MANY).round().astype(int))
    times = blocks.times[picked] + BLOCK / 2
    middle, span = float(times.mean()), float(np.ptp(times))
    rows, width = blocks.alike[picked], 2 * blocks.most + 1
    steps = int(np.ceil(STEEPEST * span / 2 * RATE))
    slopes = np.arange(-steps, steps + 1) / RATE / max(span / 2, 1e-9)
    shifts = np.round(np.outer(slopes, times - middle) * RATE).astype(int)
    sums = np.zeros((len(slopes), width), np.float32)
    edge = blocks.margin - blocks.most
    for total, each in zip(sums, (shifts + edge).tolist(), strict=True):
        for row, first in zip(rows, each, strict=True):
            total += row[first : first + width]
    best, level = np.unravel_index(int(sums.argmax()), sums.shape)
    # Elsewhere: further than a beat's breadth away at most of the blocks.
    reach = round(_BEAT * RATE)
    few = shifts[:, :: max(len(picked) // 32, 1)] - shifts[best, :: max(len(picked) // 32, 1)]
    for offset in range(-4 * reach, 4 * reach + 1):
        if 0 <= level + offset < width:
            same = (np.abs(few + offset) <= reach).mean(axis=1) > _MEET
            sums[same, level + offset] = -np.inf
    other, elsewhere = np.unravel_index(int(sums.argmax()), sums.shape)
    drift = float(slopes[best])
    lag = (float(level) - blocks.most) / RATE - drift * middle
    away = slopes[other] * (blocks.times + BLOCK / 2 - middle) * RATE
    places = np.round(elsewhere + edge + away).astype(int)
    return lag, drift, _peaks(blocks.alike, places, 1)[1]


def _peaks(
    rows: npt.NDArray[np.float32], places: npt.NDArray[np.int_], reach: int
) -> tuple[Floats, Floats]:
    """Find the summit of each row near a place: where, between samples, and how high."""
    width = rows.shape[1]
    where, high = np.full(len(rows), np.nan), np.zeros(len(rows))
    for number, (row, place) in enumerate(zip(rows, places.tolist(), strict=True)):
        low, top = max(place - reach, 0), min(place + reach + 1, width)
        if low >= top:
            continue
        at = low + int(row[low:top].argmax())
        where[number], high[number] = at, row[at]
        if 0 < at < width - 1:
            before, peak, after = (float(value) for value in row[at - 1 : at + 2])
            bend = before - 2 * peak + after
            if bend < 0:
                where[number] += float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
    return where, high


def laid(blocks: Blocks, found: tuple[float, float, Floats]) -> Line:
    """Lay the line through what each block says near it, and count who agrees."""
    lag, drift, others = found
    times = blocks.times + BLOCK / 2
    top = blocks.alike.max(axis=1)
    for reach in (_BEAT, _NEAR, _NEAR):
        places = np.round((lag + drift * times) * RATE).astype(int) + blocks.margin
        where, high = _peaks(blocks.alike, places, round(reach * RATE))
        lags = (where - blocks.margin) / RATE
        says = np.isfinite(lags) & (high >= _ALIKE) & (high >= (1 - _APART) * top)
        if says.sum() >= FEWEST:
            lag, drift = _robust(times[says], lags[says], lag, drift)
    off = np.abs(np.nan_to_num(lags, nan=np.inf) - (lag + drift * times))
    agrees = says & (off <= _NEAR)
    against = (top >= 1.5 * _ALIKE) & (high < (1 - _APART) * top)
    against &= _elsewhere(blocks, lag + drift * times)
    counted = ~against
    beats_by = (high - others)[counted]
    # Neighbouring blocks share half of their beats.
    error = beats_by.std() / np.sqrt(max(len(beats_by) / 2, 1)) if len(beats_by) else np.inf
    told = bool(
        agrees.sum() >= FEWEST
        and agrees.sum() > against.sum()
        and high[counted].mean() >= _LEAST
        and beats_by.mean() > min(_TOLD * error, _CLEAR)
    )
    return Line(
        lag=float(lag),
        drift=float(drift),
        scatter=float(np.median(off[agrees])) if agrees.any() else 0.0,
        agreeing=int(agrees.sum()),
        wrong=tuple(blocks.times[against].tolist()),
        told=told,
    )


def _elsewhere(blocks: Blocks, lags: Floats) -> npt.NDArray[np.bool_]:
    """Say which blocks are most alike well away from the line."""
    best = (blocks.alike.argmax(axis=1) - blocks.margin) / RATE
    far: npt.NDArray[np.bool_] = np.abs(best - lags) > _JUMP
    return far


def _robust(times: Floats, lags: Floats, lag: float, drift: float) -> tuple[float, float]:
    """Fit a line by least absolute distances, from a first guess (weights made anew ten times)."""
    for _ in range(10):
        off = np.abs(lags - (lag + drift * times))
        weight = 1 / np.maximum(off, 0.005)
        middle = float(np.average(times, weights=weight))
        level = float(np.average(lags, weights=weight))
        spread = float(np.sum(weight * (times - middle) ** 2))
        if spread > 0:
            drift = float(np.sum(weight * (times - middle) * (lags - level)) / spread)
            drift = float(np.clip(drift, -STEEPEST, STEEPEST))
        lag = level - drift * middle
    return lag, drift
