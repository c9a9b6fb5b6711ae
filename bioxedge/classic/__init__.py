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
from bioxedge.classic import breathing as _breathing
from bioxedge.classic.kind import Kind
from bioxedge.errors import SignalError
from bioxedge.signals import Samples

__all__ = ["BREATH", "BREATHING", "breathes", "describe", "held", "names", "of_window", "stretch"]

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
BREATHING = tuple(_breathing.KINDS)
"""Modalities that have features of breathing."""
BREATH = _breathing.SECONDS
"""The shortest window that has them, in seconds."""


def describe(windows: Samples, rate: float, modality: str, *, breathing: bool = False) -> Features:
    """Describe raw windows.

    Parameters
    ----------
    windows : ndarray of float64, shape [n, channels, samples]
        In the sensor's unit, finite.
    rate : float
        In Hz.
    modality : str
        One without features of its own gets level, spread, slope and log band powers.
    breathing : bool
        Whether it is by breathing, in place of what the sensor is described by otherwise; in
        windows shorter than 10 s that is not possible.

    Returns
    -------
    ndarray of float64, shape [n, features]
        Named by :func:`names`; NaN where a window does not allow one.

    Raises
    ------
    SignalError
        Windows of another shape; breathing of a modality that shows none.
    """
    if windows.ndim != 3:
        raise SignalError(f"windows are [n, channels, samples], got {list(windows.shape)}")
    kind = _kind(modality, breathing)
    n, channels, samples = windows.shape
    rows = kind.of(windows.reshape(n * channels, samples), rate)
    return rows.reshape(n, channels * len(kind.names))


def names(modality: str, channels: Sequence[str], *, breathing: bool = False) -> tuple[str, ...]:
    """Name the features, in order: of the first channel, then of the next.

    Raises
    ------
    SignalError
        Breathing of a modality that shows none.
    """
    kind = _kind(modality, breathing)
    return tuple(f"{channel} {name}" for channel in channels for name in kind.names)


def breathes(names: Sequence[str]) -> bool:
    """Say whether features that are named are those of breathing."""
    return any(name.endswith(f" {_breathing.RATE}") for name in names)


def _kind(modality: str, breathing: bool) -> Kind:
    """Give the features that a channel is described by."""
    if not breathing:
        return _KINDS.get(modality, spectra.ANYTHING)
    if modality not in _breathing.KINDS:
        raise SignalError(
            f"breathing is told from {' or '.join(BREATHING)}, not from {modality}: ask for the "
            "sensor's own features"
        )
    return _breathing.KINDS[modality]


def of_window(raw: Samples, rate: float, modality: str, *, breathing: bool = False) -> Features:
    """Describe one raw window, whose missing values are held over.

    Parameters
    ----------
    raw : ndarray of float64, shape [channels, samples]
        Those that :func:`stretch` names; NaN where one is missing.
    rate : float
        In Hz.
    modality : str
    breathing : bool
        As :func:`describe` takes it.

    Returns
    -------
    ndarray of float64, shape [features]
    """
    found: Features = describe(held(raw)[None], rate, modality, breathing=breathing)[0]
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
