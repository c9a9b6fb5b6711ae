"""What a user would do without a bridge: a linear model on classic features, or on true labels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import MissingExtraError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_ROUNDS = 1000
_FAR = 5.0
"""Deviations beyond which a feature is cut: a new person's gain must not decide alone."""


def linear(train: Floats, labels: Labels, test: Floats, classes: int) -> tuple[Floats, int]:
    """Fit a logistic regression (L2, C = 1), every class weighing the same.

    Parameters
    ----------
    train : ndarray, shape [n, features]
        NaN where a feature is not possible: the median of the training windows stands there.
    labels : ndarray of int64, shape [n]
    test : ndarray, shape [m, features]
    classes : int

    Returns
    -------
    ndarray of float64, shape [m, classes]
        Probabilities; 0 for a class that no training window has.
    int
        How many parameters were trained.
    """
    shown = np.unique(labels)
    found = np.zeros((len(test), classes))
    if len(shown) < 2:
        found[:, shown[0] if len(shown) else 0] = 1.0
        return found, 0
    models, ended = _models()
    known, asked = scaled(train, test)
    with warnings.catch_warnings():
        # Features of an encoder may tell the classes wholly: then no round is the last.
        warnings.simplefilter("ignore", ended)
        model = models.LogisticRegression(max_iter=_ROUNDS, class_weight="balanced")
        model.fit(known, labels)
    found[:, shown] = model.predict_proba(asked)
    return found, (train.shape[1] + 1) * (1 if len(shown) == 2 else len(shown))


def values(train: Floats, wanted: Floats, test: Floats) -> tuple[Floats, int]:
    """Fit a ridge regression (penalty 1); parameters as for `linear`.

    Returns
    -------
    ndarray of float64, shape [m]
        Values, none beyond those of the training windows.
    int
        How many parameters were trained.
    """
    models, _ = _models()
    known, asked = scaled(train, test)
    answered = models.Ridge().fit(known, wanted).predict(asked)
    return np.clip(answered, wanted.min(), wanted.max()), train.shape[1] + 1


def scaled(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Fill holes in features and bring them to one size, by what the training windows show.

    Returns
    -------
    ndarray of float64, shape [n, features]
    ndarray of float64, shape [m, features]
        Of the training windows and of the others; 0 for a feature that is never possible.
    """
    missing = np.isnan(train)
    empty = missing.all(axis=0)
    middle = np.nanmedian(np.where(empty, 0.0, train), axis=0)
    filled = np.where(missing, middle, train)
    mean, spread = filled.mean(axis=0), filled.std(axis=0)
    # Of one value only: rounding is no spread.
    spread = np.where(spread > 1e-12 * np.abs(mean), spread, np.inf)
    both = [
        np.clip((np.where(np.isnan(given) | empty, middle, given) - mean) / spread, -_FAR, _FAR)
        for given in (train, test)
    ]
    return both[0], both[1]


def _models() -> tuple[Any, type[Warning]]:
    """Give scikit-learn's linear models, and how they say that rounds ran out."""
    try:
        from sklearn import linear_model
        from sklearn.exceptions import ConvergenceWarning
    except ModuleNotFoundError as error:
        raise MissingExtraError("sklearn", "train") from error
    return linear_model, ConvergenceWarning
