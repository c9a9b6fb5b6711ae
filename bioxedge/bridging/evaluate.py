"""How good an answer is, on people never seen: balanced accuracy, macro F1, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]

FEWEST = 3
"""People with whom an interval is given."""
_BINS = 10


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
    kappa : float
        Cohen's: agreement beyond that of chance; 0 where chance alone would agree.
    calibration_error : float or None
        Expected, over ten bins of the likeliest label's probability; None where none was given.
    interval : tuple of float, or None
        95 % of the balanced accuracy over draws of people; None with fewer than three of them.
    people, windows : int
        How many it was measured on; 0 people where they were not told apart.
    """

    method: str
    balanced_accuracy: float
    macro_f1: float
    confusion: npt.NDArray[np.int64]
    parameters: int
    kappa: float = 0.0
    calibration_error: float | None = None
    interval: tuple[float, float] | None = None
    people: int = 0
    windows: int = 0

    @property
    def value(self) -> float:
        """What methods are compared by; more is better."""
        return self.balanced_accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "method": self.method,
            "balanced_accuracy": self.balanced_accuracy,
            "interval": self.interval and list(self.interval),
            "macro_f1": self.macro_f1,
            "kappa": self.kappa,
            "calibration_error": self.calibration_error,
            "parameters": self.parameters,
            "people": self.people,
            "windows": self.windows,
            "confusion": self.confusion.tolist(),
        }

    def metrics(self) -> dict[str, float]:
        """Figures by name, for a manifest."""
        found = {
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "kappa": self.kappa,
            "people": float(self.people),
        }
        if self.interval is not None:
            found |= {"low": self.interval[0], "high": self.interval[1]}
        return found


def score(
    method: str,
    truth: Labels,
    answers: Labels,
    classes: int,
    parameters: int,
    *,
    probabilities: npt.NDArray[np.floating[Any]] | None = None,
    people: npt.NDArray[np.str_] | None = None,
) -> Score:
    """Score answers against the truth.

    Parameters
    ----------
    method : str
        What to call it.
    truth, answers : ndarray of int64, shape [n]
    classes, parameters : int
    probabilities : ndarray, shape [n, classes], optional
    people : ndarray of str, shape [n], optional
        Who each answer is about; with three or more the interval is given.
    """
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, answers), 1)
    true, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    hits = np.diagonal(confusion)
    there = true > 0
    recall = hits[there] / true[there]
    f1 = 2 * hits[there] / (true + answered)[there]
    count = 0 if people is None else len(np.unique(people))
    interval = None
    if people is not None and count >= FEWEST:
        interval = middle(bootstrap(truth, [answers], people)[:, 0])
    return Score(
        method,
        float(recall.mean()),
        float(f1.mean()),
        confusion,
        parameters,
        _kappa(confusion),
        None if probabilities is None else _calibration_error(probabilities, truth),
        interval,
        count,
        len(truth),
    )


def middle(draws: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Give the middle 95 % of draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _kappa(confusion: npt.NDArray[np.int64]) -> float:
    """Cohen's kappa (Educ. Psychol. Meas. 20, 1960)."""
    total = confusion.sum()
    agreed = np.trace(confusion) / total
    chance = float((confusion.sum(axis=0) * confusion.sum(axis=1)).sum()) / float(total) ** 2
    return float((agreed - chance) / (1 - chance)) if chance < 1 else 0.0


def _calibration_error(probabilities: npt.NDArray[np.floating[Any]], truth: Labels) -> float:
    """Expected calibration error (Guo et al., ICML 2017), over bins of equal width."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    off = [
        np.count_nonzero(bins == k) * abs(sure[bins == k].mean() - right[bins == k].mean())
        for k in np.unique(bins)
    ]
    return float(sum(off) / len(truth))


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
