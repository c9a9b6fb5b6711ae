"""Classic features: what somebody would compute of a window without a foundation model.

Each window is described alone, from raw samples, so that a device could do the same. A feature that
a window does not allow (a rate without beats) is NaN: what takes them must fill it in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.classic import beats, slow, spectra
from bioxedge.errors import SignalError
from bioxedge.signals import Samples

__all__ = ["describe", "names"]

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
