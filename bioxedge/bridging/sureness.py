"""How far probabilities are from how often they are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_BINS = 10


def calibration_errors(
    probabilities: npt.NDArray[np.floating[Any]],
    truth: npt.NDArray[np.int64],
    people: npt.NDArray[np.str_] | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Give the expected calibration error (Guo et al., ICML 2017), and that of draws of people.

    Bins hold as many windows each (Nguyen and O'Connor, EMNLP 2015; bins of equal width leave
    most of them empty where all answers are sure), but equal probabilities stay in one bin.

    Parameters
    ----------
    probabilities : ndarray, shape [n, classes]
    truth : ndarray of int64, shape [n]
    people : ndarray of str, shape [n], optional
    draws, seed : int

    Returns
    -------
    float
    ndarray of float64, shape [draws]
        Empty without people. Few windows lie off by chance: draws lean upwards.
    """
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.unique(np.quantile(sure, np.arange(1, _BINS) / _BINS))
    bins = np.searchsorted(edges, sure, side="right")
    off = sure.astype(np.float64) - right
    whole = np.abs(np.bincount(bins, off, _BINS)).sum() / len(truth)
    if people is None:
        return float(whole), np.empty(0)
    names, number = np.unique(people, return_inverse=True)
    apart = np.zeros((len(names), _BINS))
    np.add.at(apart, (number, bins), off)
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    weights = (drawn[:, :, None] == np.arange(len(names))).sum(axis=1)
    found = np.abs(weights @ apart).sum(axis=1) / (weights @ np.bincount(number))
    return float(whole), found
