"""How near a model's answers are to golden ones, and whether they tell windows apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TIE = 2e-4
"""Probabilities nearer than this may change places between two machines."""

LEAST_SPREAD = 1e-3
"""Golden answers that differ by less between windows do not tell a model from a constant."""
ALIVE = 0.1
"""A model whose answers differ by less than this share of the golden ones' is as good as one."""


def parted(answers: Any, sizes: Sequence[int]) -> list[Any]:
    """Part answers [windows, numbers] into those of each task."""
    return np.split(answers, np.cumsum(sizes)[:-1], axis=1)


def agreement_of(found: Any, golden: Any) -> float:
    """Give the share of windows whose label is the golden one, or tied with it."""
    rows = np.arange(len(golden))
    lead = golden.max(axis=1).astype(np.float64) - golden[rows, found.argmax(axis=1)]
    return float((lead <= TIE).mean())


def spread_of(answers: Any) -> float:
    """Give how far answers differ between windows, at most."""
    return float(np.ptp(answers.astype(np.float64), axis=0).max())


def tells_apart(found: Any, golden: Any) -> bool:
    """Say whether answers differ between windows where golden ones do.

    Where golden answers hardly differ nobody can tell, and nothing is held against a model.
    """
    wanted = spread_of(golden)
    return wanted < LEAST_SPREAD or spread_of(found) >= ALIVE * wanted
