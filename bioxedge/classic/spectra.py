"""Features of signals that are told by their spectrum: EEG, EMG, anything else."""

from __future__ import annotations

import numpy as np

from bioxedge.classic.kind import Kind, Rows, band, changes, log, power, slope

BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
"""Of an EEG, in Hz."""

_SHARES = ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0))
"""Of half the rate, where nothing is known of a signal."""


def _brain(rows: Rows, rate: float) -> Rows:
    """Log powers of the bands, and their shares of all of them."""
    frequencies, density = power(rows, rate)
    powers = np.stack([band(frequencies, density, *edges) for edges in BANDS.values()], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = powers / powers.sum(axis=1, keepdims=True)
    return np.concatenate([log(powers), np.where(np.isfinite(shares), shares, np.nan)], axis=1)


def _muscle(rows: Rows, rate: float) -> Rows:
    """Log RMS, zero crossings, mean and median frequency (Phinyomark et al., 2012)."""
    moved = changes(rows)
    centred = moved - moved.mean(axis=1, keepdims=True)
    frequencies, density = power(rows, rate)
    total = density.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(total > 0, (density * frequencies).sum(axis=1) / total, np.nan)
        share = np.cumsum(density, axis=1) / total[:, None]
    middle = frequencies[np.argmax(share >= 0.5, axis=1)]
    signs = np.diff(np.signbit(centred), axis=1) != 0
    crossings = signs.sum(axis=1) / rows.shape[1] * rate
    rms = log(np.sqrt((centred**2).mean(axis=1)))
    return np.stack([rms, crossings, mean, np.where(total > 0, middle, np.nan)], axis=1)


def _anything(rows: Rows, rate: float) -> Rows:
    """Level, spread, slope, quartiles' distance, log powers of four shares of the spectrum."""
    frequencies, density = power(rows, rate)
    low, high = np.quantile(rows, (0.25, 0.75), axis=1)
    half = rate / 2
    # The last one holds half the rate itself.
    ends = [b * half if b < 1 else np.inf for _, b in _SHARES]
    powers = [
        log(band(frequencies, density, a * half, end))
        for (a, _), end in zip(_SHARES, ends, strict=True)
    ]
    return np.stack(
        [rows.mean(axis=1), changes(rows).std(axis=1), slope(rows, rate), high - low, *powers],
        axis=1,
    )


BRAIN = Kind((*(f"{name} (log)" for name in BANDS), *(f"{name} share" for name in BANDS)), _brain)
MUSCLE = Kind(
    ("RMS (log)", "zero crossings (1/s)", "mean frequency (Hz)", "median frequency (Hz)"), _muscle
)
ANYTHING = Kind(
    (
        "level",
        "spread",
        "slope (1/s)",
        "quartiles",
        *(f"power {a:g}–{b:g} of half the rate (log)" for a, b in _SHARES),
    ),
    _anything,
)
