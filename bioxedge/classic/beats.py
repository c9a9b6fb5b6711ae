"""Features of a pulse: its rate, how it varies, how strong it is.

Rate and variability of beat-to-beat intervals as defined by the Task Force of the ESC and NASPE,
Circulation 93(5), 1996, from *clean* intervals alone: those within a fifth of the window's median,
since an arm that moves adds beats and hides some. In windows of some seconds they describe the
window, not the person: the frequency bands of variability need minutes and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge.classic.kind import Kind, Rows, band, changes, log, power, straightened
from bioxedge.classic.peaks import peaks

SLOWEST, FASTEST = 0.6, 3.5
"""Beats a second that are looked for: 36 to 210 a minute."""

_NAMES = (
    "rate (bpm)",
    "SDNN (s)",
    "RMSSD (s)",
    "beat amplitude",
    "beat amplitude spread",
    "clean beats",
    "rise",
    "regularity",
    "spectral peak (Hz)",
    "pulse power (log)",
    "breathing power (log)",
    "spread",
)
_QRS = (8.0, 20.0)  # Hz
_SOFT, _SHARP = 4, 16
_BREATHING = (0.1, 0.5)  # Hz
_FEWEST = 3  # beats, of which two intervals are made
CLEAN = 0.2
"""Of the median interval, within which one is of two beats that follow each other."""
_DEVIATION = 1.4826  # a normal deviation over the median of distances from the middle


@dataclass(frozen=True)
class Marked:
    """Rows in which beats stand out.

    Attributes
    ----------
    rows : ndarray of float64, shape [n, samples]
    least : callable
        Takes one of them; gives how far a peak stands out at least to be a beat.
    """

    rows: Rows
    least: Callable[[Rows], float]

    def beats(self, number: int, rate: float) -> tuple[Rows, Rows]:
        """Find the beats of a row that is not flat.

        Returns
        -------
        places : ndarray of float64, shape [beats]
            In samples, between them.
        heights : ndarray of float64, shape [beats]
            How far each stands out.
        """
        row = self.rows[number]
        places, heights = peaks(
            row, height=0.0, distance=max(round(rate / FASTEST), 1), prominence=self.least(row)
        )
        return _between(row, places), heights


def pulse(rows: Rows, rate: float) -> Marked:
    """Mark the beats of a pulse wave, which are slow.

    What is a beat is told by the median of the wave, which a burst of movement hardly changes.
    """

    def least(row: Rows) -> float:
        return 0.5 * _DEVIATION * float(np.median(np.abs(row)))

    return Marked(_passed(rows, rate, 0.8 * SLOWEST, 8.0, _SOFT), least)


def ecg(rows: Rows, rate: float) -> Marked:
    """Mark the beats of an ECG: where its fast part has energy (Pan and Tompkins, 1985).

    The band is that of Elgendi et al., BIOSIGNALS 2010: a tall T wave has little in it.
    """
    fast = _passed(rows, rate, *_QRS, _SHARP) ** 2
    width = max(round(0.15 * rate), 1)
    kernel = np.hanning(width + 2)[1:-1]
    energy = np.apply_along_axis(np.convolve, 1, fast, kernel / kernel.sum(), "same")
    return Marked(np.sqrt(np.maximum(energy, 0.0)), lambda row: 0.6 * float(row.std()))


PULSE = Kind(_NAMES, lambda rows, rate: _features(rows, pulse(rows, rate), rate))
ECG = Kind(_NAMES, lambda rows, rate: _features(rows, ecg(rows, rate), rate))


def _passed(rows: Rows, rate: float, low: float, high: float, power: int) -> Rows:
    """Keep the frequencies between two, of the whole window at once, without a phase.

    The gain is that of a Butterworth band, forward and backward; ``power`` is twice its order. A
    sharp edge would spread one jerk of the arm over the whole window; a soft one lets a tall T wave
    through.
    """
    frequencies = np.fft.rfftfreq(rows.shape[1], 1 / rate)
    with np.errstate(divide="ignore"):
        gain = 1 / ((1 + (low / frequencies) ** power) * (1 + (frequencies / high) ** power))
    found: Rows = np.fft.irfft(
        np.fft.rfft(straightened(rows), axis=1) * gain, rows.shape[1], axis=1
    )
    return found


def _features(rows: Rows, marked: Marked, rate: float) -> Rows:
    """Features of rows whose beats are marked."""
    at = {name: number for number, name in enumerate(_NAMES)}
    frequencies, density = power(rows, rate)
    found = np.full((len(rows), len(_NAMES)), np.nan)
    found[:, at["pulse power (log)"]] = log(band(frequencies, density, SLOWEST, 2 * FASTEST))
    found[:, at["breathing power (log)"]] = log(band(frequencies, density, *_BREATHING))
    found[:, at["spread"]] = changes(rows).std(axis=1)
    pulses = (frequencies >= SLOWEST) & (frequencies <= FASTEST)
    if pulses.any():
        alive = density[:, pulses].max(axis=1) > 0
        peak = frequencies[pulses][density[alive][:, pulses].argmax(axis=1)]
        found[alive, at["spectral peak (Hz)"]] = peak
    regular = _regularity(marked.rows, rate)
    for number, row in enumerate(marked.rows):
        if not row.std() > 0:
            continue
        found[number, at["regularity"]] = regular[number]
        found[number, at["rise"]] = float((np.diff(row) > 0).mean())
        places, heights = marked.beats(number, rate)
        if len(places) >= _FEWEST:
            found[number, :6] = _beats(np.diff(places) / rate, heights)
    return found


def _beats(intervals: Rows, heights: Rows) -> Rows:
    """Rate, SDNN, RMSSD, amplitude and its spread, and the share of clean intervals.

    Parameters
    ----------
    intervals : ndarray of float64, shape [beats − 1]
        In seconds.
    heights : ndarray of float64, shape [beats]
    """
    middle = np.median(intervals)
    clean = np.abs(intervals - middle) <= CLEAN * middle
    own = intervals[clean] if clean.any() else np.array([middle])
    steps = np.diff(intervals)[clean[1:] & clean[:-1]]
    low, amplitude, high = np.quantile(heights, (0.25, 0.5, 0.75))
    return np.array(
        [
            60.0 / own.mean(),
            own.std(),
            np.sqrt(np.mean(steps**2)) if len(steps) else 0.0,
            amplitude,
            (high - low) / amplitude,
            clean.mean(),
        ]
    )


def _between(row: Rows, peaks: npt.NDArray[np.intp]) -> Rows:
    """Place peaks between samples, on the parabola through each and its neighbours."""
    before, at, after = row[peaks - 1], row[peaks], row[peaks + 1]
    bend = before - 2 * at + after
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(bend < 0, 0.5 * (before - after) / bend, 0.0)
    found: Rows = peaks + np.clip(off, -0.5, 0.5)
    return found


def _regularity(rows: Rows, rate: float) -> Rows:
    """Highest autocorrelation at the lag of a beat, 1 for a pulse that repeats itself exactly."""
    samples = rows.shape[1]
    spectrum = np.fft.rfft(rows - rows.mean(axis=1, keepdims=True), 2 * samples, axis=1)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :samples]
    correlation /= np.maximum(correlation[:, :1], 1e-30)
    first, last = round(rate / FASTEST), min(round(rate / SLOWEST) + 1, samples)
    if first >= last:
        return np.full(len(rows), np.nan)
    found: Rows = correlation[:, first:last].max(axis=1)
    return found
