"""Features of breathing, as it shows in a pulse or an ECG.

Breathing moves the wave itself, the strength of the beats and the time between them: the three
modulations of Charlton et al., IEEE Reviews in Biomedical Engineering 11, 2018. Each gives a
spectrum; they are put together by how peaked each is, since which of them is there differs from
person to person. Of the whole the features say where its middle lies, how much is around its peak
and how it lies over bands of rates. A strongest frequency is now and then a drift or a harmonic,
far off, which a linear model cannot take: shares of bands it can (docs/classic.md says how far).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bioxedge.classic.beats import CLEAN, Marked, ecg, pulse
from bioxedge.classic.kind import Kind, Rows, straightened

SECONDS = 10.0
"""The shortest window that breathing is told from: one breath of the slowest."""

_STEPS = 240  # frequencies to a Hz: four to a breath a minute
_FIRST, _LAST = 24, 144  # 0.1 to 0.6 Hz, 6 to 36 breaths a minute
_AROUND = 12  # steps to either side of a peak: 0.05 Hz, what a window of 30 s blurs one to
_BANDS = (6, 12, 15, 18, 21, 24, 36)  # a minute
_LEAST = 0.01  # of a share, whose logarithm is taken
_RATE = 4.0  # Hz, of a series of beats
_FEWEST = 4  # values that a series is made of
_FLAT = 0.003  # of what is modulated: less is where samples happen to lie, and rounding
_NAMES = (
    "breathing rate (1/min)",
    "breathing regularity",
    *(f"breathing at {low}–{high} a minute (log)" for low, high in pairwise(_BANDS)),
)
RATE = _NAMES[0]
"""By which a list of names is told to have breathing in it."""


def _pulse(rows: Rows, rate: float) -> Rows:
    return _features(rows, pulse(rows, rate), rate)


def _ecg(rows: Rows, rate: float) -> Rows:
    return _features(rows, ecg(rows, rate), rate)


KINDS = {"ppg": Kind(_NAMES, _pulse), "ecg": Kind(_NAMES, _ecg)}
"""By modality."""


def _features(rows: Rows, marked: Marked, rate: float) -> Rows:
    """Features of rows whose beats are marked; NaN where no modulation has any power."""
    found = np.full((len(rows), len(_NAMES)), np.nan)
    if rows.shape[1] < SECONDS * rate:
        return found
    amplitudes, intervals = _series(marked, rate)
    whole, weights = np.zeros((len(rows), _LAST + 1 - _FIRST)), np.zeros(len(rows))
    for series, at, least in (
        (rows, rate, _FLAT),
        (amplitudes, _RATE, 0.0),
        (intervals, _RATE, 0.0),
    ):
        shares = _spectrum(series, at, least)
        weight = _peaked(shares) ** 2
        whole += weight[:, None] * shares
        weights += weight
    there = weights > 0
    found[there] = _told(whole[there] / weights[there, None])
    return found


def _told(shares: Rows) -> Rows:
    """Say what spectra tell whose shares [n, frequencies] add up to 1."""
    summed = np.cumsum(shares, axis=1)
    half = (summed >= 0.5).argmax(axis=1)
    each = np.arange(len(shares))
    over = (summed[each, half] - 0.5) / shares[each, half]
    columns = [60 / _STEPS * (_FIRST + half + 0.5 - over), _peaked(shares)]
    to_minute = _STEPS // 60
    for low, high in pairwise(_BANDS):
        last = high * to_minute + (high == _BANDS[-1])
        inside = shares[:, low * to_minute - _FIRST : last - _FIRST]
        columns.append(np.log(inside.sum(axis=1) + _LEAST))
    return np.stack(columns, axis=1)


def _series(marked: Marked, rate: float) -> tuple[Rows, Rows]:
    """Give how strong beats are and how long they last, evenly over the window.

    Returns
    -------
    amplitudes, intervals : ndarray of float64, shape [n, values]
        At :data:`_RATE`, linear between beats and held at the ends; 0 where there are too few of
        them or nothing varies. A beat that movement adds or hides is not let to rule: heights are
        cut to within half of their median, intervals must be clean.
    """
    n, samples = marked.rows.shape
    times = np.arange(int(_RATE * (samples - 1) / rate) + 1) / _RATE
    amplitudes, intervals = np.zeros((2, n, len(times)))
    for number, row in enumerate(marked.rows):
        if not row.std() > 0:
            continue
        places, heights = marked.beats(number, rate)
        if len(places) < _FEWEST:
            continue
        at, middle = places / rate, float(np.median(heights))
        heights = np.clip(heights, 0.5 * middle, 1.5 * middle)
        amplitudes[number] = _even(times, at, heights)
        steps = np.diff(at)
        clean = np.abs(steps - np.median(steps)) <= CLEAN * np.median(steps)
        between = 0.5 * (at[1:] + at[:-1])
        intervals[number] = _even(times, between[clean], steps[clean])
    return amplitudes, intervals


def _even(times: Rows, at: Rows, values: Rows) -> Rows:
    """Give values at even times; 0 where they are too few, or all alike."""
    if len(values) < _FEWEST or not values.std() > _FLAT * values.mean():
        return np.zeros(len(times))
    found: Rows = np.interp(times, at, values)
    return found


def _spectrum(rows: Rows, rate: float, least: float) -> Rows:
    """Spectrum of rows, straightened and Hann-windowed, in shares of all breathing's frequencies.

    Parameters
    ----------
    rows : ndarray of float64, shape [n, samples]
    rate : float
        In Hz.
    least : float
        Rows whose deviation within these frequencies is no more than this share of their whole
        deviation count as having no power.

    Returns
    -------
    ndarray of float64, shape [n, frequencies]
        Adding up to 1; 0 of a row that has no power.
    """
    straight = straightened(rows)
    waves = _waves(rows.shape[1], rate)
    # Row by row: a product of all of them rounds by how many there are, live there is one.
    turned = np.array([row @ waves for row in straight]).reshape(len(rows), waves.shape[1])
    real, imaginary = np.split(turned, 2, axis=1)
    power = real**2 + imaginary**2
    total = power.sum(axis=1, keepdims=True)
    taper = np.hanning(rows.shape[1] + 2)
    inside = total * 2 / (_STEPS * rate * (taper * taper).sum())
    there = inside > least**2 * (straight * straight).mean(axis=1, keepdims=True)
    found: Rows = np.divide(power, total, out=np.zeros_like(power), where=there)
    return found


@lru_cache(maxsize=4)
def _waves(samples: int, rate: float) -> Rows:
    """Tapered cosines, then sines, of breathing's frequencies, shape [samples, 2 · frequencies].

    They are the same for every window, and longer in the making than in use.
    """
    taper = np.hanning(samples + 2)[1:-1]
    frequencies = np.arange(_FIRST, _LAST + 1) / _STEPS
    angles = 2 * np.pi * np.outer(np.arange(samples) / rate, frequencies)
    found: Rows = taper[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    found.setflags(write=False)
    return found


def _peaked(shares: npt.NDArray[np.float64]) -> Rows:
    """Give the share around each row's greatest one; 0 where there is none."""
    peak = shares.argmax(axis=1)
    near = np.abs(np.arange(shares.shape[1]) - peak[:, None]) <= _AROUND
    found: Rows = np.where(near, shares, 0.0).sum(axis=1)
    return found
