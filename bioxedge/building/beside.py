"""What a user would do without a bridge: a linear model on classic features, or on true labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import MissingExtraError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_ROUNDS = 1000


def linear(train: Floats, labels: Labels, test: Floats, classes: int) -> tuple[Floats, int]:
    """Fit a logistic regression, every class weighing the same, and give its probabilities.

    Parameters
    ----------
    train : ndarray, shape [n, features]
        NaN where a feature is not possible: the training windows' median stands there.
    labels : ndarray of int64, shape [n]
    test : ndarray, shape [m, features]
    classes : int

    Returns
    -------
    ndarray of float64, shape [m, classes]
    int
        How many parameters were trained.
    """
    shown = np.unique(labels)
    found = np.zeros((len(test), classes))
    if len(shown) < 2:
        found[:, shown[0] if len(shown) else 0] = 1.0
        return found, 0
    model = _scaled("logistic")
    model.fit(train, labels)
    found[:, shown] = model.predict_proba(test)
    return found, (train.shape[1] + 1) * (1 if len(shown) == 2 else len(shown))


def values(train: Floats, wanted: Floats, test: Floats) -> tuple[Floats, int]:
    """Fit a ridge regression and give its values; parameters as for `linear`."""
    model = _scaled("ridge")
    model.fit(train, wanted)
    found: Floats = model.predict(test)
    return found, train.shape[1] + 1


def _scaled(kind: str) -> Any:
    """Make a linear model that takes features of all sizes, with holes."""
    try:
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ModuleNotFoundError as error:
        raise MissingExtraError("sklearn", "train") from error
    last = (
        LogisticRegression(max_iter=_ROUNDS, class_weight="balanced")
        if kind == "logistic"
        else Ridge()
    )
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), last
    )
