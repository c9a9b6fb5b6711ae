"""Classic features: what somebody would compute of a window without a foundation model.

Each window is described alone, from raw samples, so that a device could do the same. A feature that
a window does not allow (a rate without beats) is NaN: what takes them must fill it in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bioxedge.classic import beats, slow, spectra
from bioxedge.errors import SignalError
from bioxedge.signals import Samples

__all__ = ["describe", "held", "names", "of_window", "stretch"]

Features = npt.NDArray[np.float64]

_KINDS = {
    "ppg": beats.PULSE,
    "ecg": beats.ECG,
    "eda": slow.CONDUCTANCE,
    "temperature": slow.LEVEL,
    "acceleration": slow.MOVEMENT,
    "eeg": spectra.BRAIN,
    "eog": spectra.BRAIN,
    "emg": spectra.MUSCLE,
}


def describe(windows: Samples, rate: float, modality: str) -> Features:
    """Describe raw windows.

    Parameters
    ----------
    windows : ndarray of float64, shape [n, channels, samples]
        In the sensor's unit, finite.
    rate : float
        In Hz.
    modality : str
        One without features of its own gets level, spread, slope and log band powers.

    Returns
    -------
    ndarray of float64, shape [n, features]
        Named by :func:`names`; NaN where a window does not allow one.

    Raises
    ------
    SignalError
        Windows of another shape.
    """
    if windows.ndim != 3:
        raise SignalError(f"windows are [n, channels, samples], got {list(windows.shape)}")
    kind = _KINDS.get(modality, spectra.ANYTHING)
    n, channels, samples = windows.shape
    rows = kind.of(windows.reshape(n * channels, samples), rate)
    return rows.reshape(n, channels * len(kind.names))


def names(modality: str, channels: Sequence[str]) -> tuple[str, ...]:
    """Name the features, in order: of the first channel, then of the next."""
    kind = _KINDS.get(modality, spectra.ANYTHING)
    return tuple(f"{channel} {name}" for channel in channels for name in kind.names)


def of_window(raw: Samples, rate: float, modality: str) -> Features:
    """Describe one raw window, whose missing values are held over.

    Parameters
    ----------
    raw : ndarray of float64, shape [channels, samples]
        Those that :func:`stretch` names; NaN where one is missing.
    rate : float
        In Hz.
    modality : str

    Returns
    -------
    ndarray of float64, shape [features]
    """
    found: Features = describe(held(raw)[None], rate, modality)[0]
    return found


def stretch(start: Fraction, end: Fraction) -> tuple[int, int]:
    """Say which raw samples ``[first, last)`` a window is described by, whoever cut it.

    Parameters
    ----------
    start, end : Fraction
        Where it begins and ends, in input samples. Windows of one kind all get as many samples.
    """
    first = math.ceil(start)
    return first, first + math.floor(end - start)


def held(raw: Samples) -> Samples:
    """Hold the last real value over what is missing, and the first one before it.

    Parameters
    ----------
    raw : ndarray of float64, shape [channels, samples]
        A channel without any real value is left as it is.
    """
    if np.isfinite(raw).all():
        return raw
    found: Samples = raw.copy()
    for row in found:
        real = np.flatnonzero(np.isfinite(row))
        if len(real):
            last = np.searchsorted(real, np.arange(len(row)), "right") - 1
            row[:] = row[real[np.maximum(last, 0)]]
    return found
