"""How good an answer is, on people never seen: balanced accuracy, macro F1, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """What one method reached.

    Attributes
    ----------
    method : str
    balanced_accuracy, macro_f1 : float
        Over the classes that occur among the true labels.
    confusion : ndarray of int64, shape [classes, classes]
        Rows are true, columns answered.
    parameters : int
        How many were trained for it.
    """

    method: str
    balanced_accuracy: float
    macro_f1: float
    confusion: npt.NDArray[np.int64]
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "method": self.method,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "parameters": self.parameters,
            "confusion": self.confusion.tolist(),
        }


def score(method: str, truth: Labels, answers: Labels, classes: int, parameters: int) -> Score:
    """Score answers against the truth.

    Parameters
    ----------
    method : str
        What to call it.
    truth, answers : ndarray of int64, shape [n]
    classes, parameters : int
    """
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, answers), 1)
    true, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    hits = np.diagonal(confusion)
    there = true > 0
    recall = hits[there] / true[there]
    f1 = 2 * hits[there] / (true + answered)[there]
    return Score(method, float(recall.mean()), float(f1.mean()), confusion, parameters)


def bootstrap(
    truth: Labels,
    answers: Sequence[Labels],
    people: npt.NDArray[np.str_],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Draw people with replacement and score every method on each draw.

    The unit of chance is the person, not the window: windows of one person are nearly one
    observation. All methods see the same draws, so differences between columns are paired.

    Parameters
    ----------
    truth : ndarray of int64, shape [n]
    answers : sequence of ndarray of int64, each of shape [n]
    people : ndarray of str, shape [n]
    draws, seed : int

    Returns
    -------
    ndarray of float64, shape [draws, methods]
        Balanced accuracies.
    """
    rng = np.random.default_rng(seed)
    names, number = np.unique(people, return_inverse=True)
    classes = int(max(truth.max(), *(a.max() for a in answers))) + 1
    # One confusion matrix a person and method; a draw is a weighted sum of them.
    tables = np.zeros((len(answers), len(names), classes, classes))
    for method, answer in enumerate(answers):
        np.add.at(tables[method], (number, truth, answer), 1)
    found = np.empty((draws, len(answers)))
    for draw in range(draws):
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        summed = np.einsum("p,mpij->mij", weight, tables)
        true = summed.sum(axis=2)
        hits = np.diagonal(summed, axis1=1, axis2=2)
        there = true[0] > 0
        found[draw] = (hits[:, there] / true[:, there]).mean(axis=1)
    return found
