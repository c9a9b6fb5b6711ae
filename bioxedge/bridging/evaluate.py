"""How good an answer is, on people never seen: balanced accuracy, macro F1, confusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.bridging.draws import ENOUGH, FEWEST, bootstrap, middle, within
from bioxedge.bridging.spent import NOTHING, Spent
from bioxedge.bridging.sureness import calibration_errors
from bioxedge.errors import DatasetError

__all__ = [
    "ENOUGH", "FEWEST", "Difference", "Score", "bootstrap", "differences", "middle", "score",
    "together",
]  # fmt: skip

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
    kappa : float
        Cohen's: agreement beyond that of chance; 0 where chance alone would agree.
    calibration_error : float or None
        Expected, over ten bins of as many windows each, by the likeliest label's probability; None
        where none was given.
    interval : tuple of float, or None
        95 % of the balanced accuracy over draws of people; None with fewer than three of them.
    people, windows : int
        How many it was measured on; 0 people where they were not told apart.
    calibration_interval : tuple of float, or None
        95 % of the calibration error over draws of people.
    spread : tuple of float, or None
        Lowest and highest balanced accuracy of the several that a row is the mean of.
    spent : Spent
        What it took.
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
    calibration_interval: tuple[float, float] | None = None
    spread: tuple[float, float] | None = None
    spent: Spent = NOTHING

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
            "spread": self.spread and list(self.spread),
            "macro_f1": self.macro_f1,
            "kappa": self.kappa,
            "calibration_error": self.calibration_error,
            "calibration_interval": self.calibration_interval and list(self.calibration_interval),
            "parameters": self.parameters,
            **self.spent.to_dict(),
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


@dataclass(frozen=True)
class Difference:
    """How far one method is ahead of another, on the same people.

    Attributes
    ----------
    method, other : str
    difference : float
        What ``method`` reached less what ``other`` did; more is better.
    interval : tuple of float
        95 % of it over draws of people.
    """

    method: str
    other: str
    difference: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"interval": list(self.interval)}


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

    Raises
    ------
    DatasetError
        Nothing to score.
    """
    if not len(truth):
        raise DatasetError(
            f"{method}: 0 windows to score: test people need at least 1 with a label"
        )
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, answers), 1)
    true, answered = confusion.sum(axis=1), confusion.sum(axis=0)
    hits = np.diagonal(confusion)
    there = true > 0
    recall = hits[there] / true[there]
    f1 = 2 * hits[there] / (true + answered)[there]
    count = 0 if people is None else len(np.unique(people))
    interval = error = about = None
    if probabilities is not None:
        error, _ = calibration_errors(probabilities, truth)
    if people is not None and count >= FEWEST:
        interval = within(middle(bootstrap(truth, [answers], people)[:, 0], count))
        if probabilities is not None:
            error, draws = calibration_errors(probabilities, truth, people)
            # An error that is a sum of sizes grows with chance: draws lie above what they are of.
            about = within(middle(draws - (draws.mean() - error), count))
    return Score(
        method,
        float(recall.mean()),
        float(f1.mean()),
        confusion,
        parameters,
        _kappa(confusion),
        error,
        interval,
        count,
        len(truth),
        about,
    )


def together(method: str, found: Sequence[Score], draws: npt.NDArray[np.float64] | None) -> Score:
    """Make one row of several that differ by chance alone, or by a choice that nobody makes.

    Parameters
    ----------
    method : str
        What to call it.
    found : sequence of Score
        On the same windows.
    draws : ndarray of float64, shape [draws, methods], optional
        As of `bootstrap`, a column for each: their mean is what the interval is of.

    Returns
    -------
    Score
        Means of all figures, the sum of the confusions; ``spread`` says how far they lie apart.
    """
    first, values = found[0], [one.balanced_accuracy for one in found]
    errors = [one.calibration_error for one in found if one.calibration_error is not None]
    return replace(
        first,
        method=method,
        balanced_accuracy=float(np.mean(values)),
        macro_f1=float(np.mean([one.macro_f1 for one in found])),
        kappa=float(np.mean([one.kappa for one in found])),
        calibration_error=float(np.mean(errors)) if errors else None,
        calibration_interval=None,
        confusion=np.sum([one.confusion for one in found], axis=0),
        interval=None if draws is None else within(middle(draws.mean(axis=1), first.people)),
        spread=(min(values), max(values)) if len(found) > 1 else None,
    )


def differences(
    methods: Sequence[str],
    found: Sequence[float],
    draws: npt.NDArray[np.float64],
    people: int,
    method: str,
) -> list[Difference]:
    """Compare one method with every other.

    Parameters
    ----------
    methods : sequence of str
    found : sequence of float
        What each reached; more is better.
    draws : ndarray of float64, shape [draws, methods]
        The same over draws of people, paired, as of `bootstrap`.
    people : int
    method : str
        One of ``methods``.
    """
    mine = list(methods).index(method)
    return [
        Difference(
            method,
            other,
            float(found[mine] - found[k]),
            middle(draws[:, mine] - draws[:, k], people),
        )
        for k, other in enumerate(methods)
        if k != mine
    ]


def _kappa(confusion: npt.NDArray[np.int64]) -> float:
    """Cohen's kappa (Educ. Psychol. Meas. 20, 1960)."""
    total = confusion.sum()
    agreed = np.trace(confusion) / total
    chance = float((confusion.sum(axis=0) * confusion.sum(axis=1)).sum()) / float(total) ** 2
    return float((agreed - chance) / (1 - chance)) if chance < 1 else 0.0
