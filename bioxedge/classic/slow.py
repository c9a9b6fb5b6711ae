"""Features of slow signals: skin conductance, temperature, movement."""

from __future__ import annotations

import numpy as np

from bioxedge.classic.kind import Kind, Rows, changes, log, slope, straightened
from bioxedge.classic.peaks import peaks

_RESPONSE = 0.01
"""Least rise of a skin conductance response, in µS (Boucsein et al., Psychophysiology 49, 2012:
0.01 to 0.05)."""


def _conductance(rows: Rows, rate: float) -> Rows:
    """Level, slope, spread, and responses: how many a minute, how high."""
    found = np.zeros((len(rows), 6))
    found[:, 0], found[:, 1] = rows.mean(axis=1), slope(rows, rate)
    found[:, 2] = straightened(rows).std(axis=1)
    found[:, 5] = np.abs(np.diff(rows, axis=1)).max(axis=1, initial=0.0) * rate
    minutes = rows.shape[1] / rate / 60
    for number, row in enumerate(rows):
        _, heights = peaks(row, prominence=_RESPONSE, distance=max(round(rate), 1))
        found[number, 3] = len(heights) / minutes
        found[number, 4] = heights.mean() if len(heights) else 0.0
    return found


def _level(rows: Rows, rate: float) -> Rows:
    """Level, slope, spread."""
    return np.stack([rows.mean(axis=1), slope(rows, rate), straightened(rows).std(axis=1)], axis=1)


def _movement(rows: Rows, rate: float) -> Rows:
    """Level (posture), spread, and the log energy of what changes from sample to sample."""
    steps = np.diff(rows, axis=1) * rate
    energy = log((steps**2).mean(axis=1)) if steps.shape[1] else np.full(len(rows), np.nan)
    return np.stack([rows.mean(axis=1), changes(rows).std(axis=1), energy], axis=1)


CONDUCTANCE = Kind(
    (
        "level",
        "slope (1/s)",
        "spread",
        "responses (1/min)",
        "response amplitude",
        "steepest (1/s)",
    ),
    _conductance,
)
LEVEL = Kind(("level", "slope (1/s)", "spread"), _level)
MOVEMENT = Kind(("level", "spread", "movement (log)"), _movement)
