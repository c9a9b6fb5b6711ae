"""Tracks that rise with each beat of a heart, whatever sensor shows it.

An ECG has its beats in the QRS complex, 5 to 20 Hz, either way up; a pulse has them in its steepest
slope shortly after its foot, upwards for blood volume and pressure, downwards for raw light.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import signal

from bioxedge.signals import Recording

Floats = npt.NDArray[np.float64]

ELECTRIC = ("ecg",)
MECHANIC = ("ppg", "bvp", "pressure", "abp")
RATE = 50.0
"""Hz of a track."""

_PIECE, _MARGIN = 600.0, 10.0  # s: a night is filtered in pieces, so that no copy of it is made
_LONGEST = 1.0  # s: what is missing for longer is no signal
_SLOWEST = 15.0  # Hz: at less an ECG shows no QRS, a pulse no slope
_TRIED = 6  # channels of which the one with the clearest beats is taken
_LOUD = 4.0  # times the usual rise, above which a rise counts no more: an artefact


def shown(recording: Recording) -> bool:
    """Whether a recording's kind of signal shows a heart's beats."""
    return recording.modality in (*ELECTRIC, *MECHANIC)


def beats(recording: Recording, times: Floats) -> Floats:
    """Give a track that rises with each beat, at some times.

    Parameters
    ----------
    recording : Recording
    times : ndarray, shape [n]
        On its nominal line, rising, :data:`RATE` a second.

    Returns
    -------
    ndarray, shape [n]
        NaN where the recording has no signal.
    """
    found = np.full(len(times), np.nan)
    if recording.rate < _SLOWEST or not recording.samples.shape[1]:
        return found
    row = _clearest(recording)
    sign = 1.0 if recording.modality in ELECTRIC else _upwards(recording, row)
    for part, piece in _pieces(recording, times):
        first, last = piece
        samples = recording.samples[row, first:last]
        index = (times[part] - recording.t0) * recording.rate - first
        found[part] = _track(sign * samples, recording, index)
    return found


def _pieces(recording: Recording, times: Floats) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Give parts of the times, and from which sample to which each needs."""
    size = round(_PIECE * RATE)
    for begin in range(0, len(times), size):
        part = slice(begin, min(begin + size, len(times)))
        low, high = times[part][0] - _MARGIN, times[part][-1] + _MARGIN
        first = max(0, int((low - recording.t0) * recording.rate))
        last = min(recording.samples.shape[1], int((high - recording.t0) * recording.rate) + 1)
        if last - first >= 4 * recording.rate:
            yield part, (first, last)


def _track(samples: Floats, recording: Recording, index: Floats) -> Floats:
    """Make the track of a stretch of samples, at some of its places."""
    real = np.flatnonzero(np.isfinite(samples))
    if len(real) < recording.rate:
        return np.full(len(index), np.nan)
    rise = _rise(samples, real, recording)
    # One loud artefact must not outweigh the beats around it.
    usual = float(np.quantile(rise, 0.9))
    track = np.minimum(rise, _LOUD * usual) if usual > 0 else rise
    found = np.interp(index, np.arange(len(track)), np.sqrt(track), np.nan, np.nan)
    # What lies in a hole is drawn straight through it: no signal.
    after = np.minimum(np.searchsorted(real, index), len(real) - 1)
    hole = real[after] - real[np.maximum(after - 1, 0)] > _LONGEST * recording.rate
    found[hole | (index > real[-1] + 1) | (index < real[0] - 1)] = np.nan
    return found


def _rise(samples: Floats, real: npt.NDArray[np.intp], recording: Recording) -> Floats:
    """Give what rises with a beat, at the samples' own rate, never negative."""
    rate, electric = recording.rate, recording.modality in ELECTRIC
    held = np.interp(np.arange(len(samples)), real, samples[real])
    low, high = (5.0, 20.0) if electric else (0.5, 5.0)
    band = (low, min(high, 0.45 * rate))
    seen = signal.sosfiltfilt(signal.butter(2, band, "bandpass", fs=rate, output="sos"), held)
    energy = np.abs(seen) if electric else np.maximum(np.gradient(seen), 0.0)
    smooth = signal.butter(2, min(8.0, 0.4 * rate), fs=rate, output="sos")
    found: Floats = np.maximum(signal.sosfiltfilt(smooth, energy), 0.0)
    return found


def _upwards(recording: Recording, row: int) -> float:
    """Tell which way up a pulse is: blood comes faster than it goes."""
    steep = []
    for first, last in _looks(recording):
        samples = recording.samples[row, first:last]
        real = np.flatnonzero(np.isfinite(samples))
        if len(real) < len(samples) / 2:
            continue
        held = np.interp(np.arange(len(samples)), real, samples[real])
        band = (0.5, min(5.0, 0.45 * recording.rate))
        sections = signal.butter(2, band, "bandpass", fs=recording.rate, output="sos")
        low, high = np.quantile(np.gradient(signal.sosfiltfilt(sections, held)), [0.02, 0.98])
        steep.append((high + low) / max(high - low, 1e-300))
    return -1.0 if steep and np.median(steep) < 0 else 1.0


def _clearest(recording: Recording) -> int:
    """Choose the channel whose beats repeat most clearly."""
    count = len(recording.samples)
    if count == 1:
        return 0
    scores = []
    for row in range(min(count, _TRIED)):
        found = []
        for first, last in _looks(recording):
            samples = recording.samples[row, first:last]
            real = np.flatnonzero(np.isfinite(samples))
            if len(real) < len(samples) / 2 or np.ptp(samples[real]) == 0:
                found.append(0.0)
                continue
            rise = _rise(samples, real, recording)
            step = max(int(recording.rate // RATE), 1)
            found.append(_repeats(rise[::step], recording.rate / step))
        scores.append(float(np.median(found)) if found else 0.0)
    return int(np.argmax(scores))


def _repeats(track: Floats, rate: float) -> float:
    """How much of a track comes again after 0.33 to 1.5 s, a beat's time."""
    track = track - track.mean()
    power = float(track @ track)
    if power == 0:
        return 0.0
    lags = range(int(0.33 * rate) + 1, int(1.5 * rate) + 1)
    return max((float(track[lag:] @ track[:-lag]) / power for lag in lags), default=0.0)


def _looks(recording: Recording) -> list[tuple[int, int]]:
    """Give a few short stretches all over a recording."""
    length = recording.samples.shape[1]
    size = min(length, round(15 * recording.rate))
    if size < 4 * recording.rate:
        return []
    return [(first, first + size) for first in np.linspace(0, length - size, 8).astype(int)]
