"""How near answered values are to the truth, on people never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.bridging.draws import FEWEST, middle
from bioxedge.bridging.spent import NOTHING, Spent

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ValueScore:
    """What one method reached.

    Attributes
    ----------
    method : str
    mean_error, rms_error : float
        In the value's unit: mean absolute difference, and the root of the mean square.
    correlation : float
        Pearson's, over all windows; 0 where one of the two does not vary.
    bias : float
        Mean of answer − truth.
    limits : tuple of float
        95 % limits of agreement (Bland and Altman, Lancet 327, 1986).
    parameters : int
    interval : tuple of float, or None
        95 % of the mean error over draws of people; None with fewer than three of them.
    people, windows : int
    spread : tuple of float, or None
        Lowest and highest mean error of the several that a row is the mean of.
    spent : Spent
        What it took.
    """

    method: str
    mean_error: float
    rms_error: float
    correlation: float
    bias: float
    limits: tuple[float, float]
    parameters: int
    interval: tuple[float, float] | None
    people: int
    windows: int
    spread: tuple[float, float] | None = None
    spent: Spent = NOTHING

    @property
    def value(self) -> float:
        """What methods are compared by; more is better."""
        return -self.mean_error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        found = vars(self) | {
            "limits": list(self.limits),
            "interval": self.interval and list(self.interval),
            "spread": self.spread and list(self.spread),
            **self.spent.to_dict(),
        }
        del found["spent"]
        return found

    def metrics(self) -> dict[str, float]:
        """Figures by name, for a manifest."""
        found = {
            "mean_error": self.mean_error,
            "rms_error": self.rms_error,
            "correlation": self.correlation,
            "bias": self.bias,
            "people": float(self.people),
        }
        if self.interval is not None:
            found |= {"low": self.interval[0], "high": self.interval[1]}
        return found


def score_value(
    method: str,
    truth: Floats,
    answers: Floats,
    parameters: int,
    people: npt.NDArray[np.str_],
) -> ValueScore:
    """Score answered values.

    Parameters
    ----------
    method : str
        What to call it.
    truth, answers : ndarray of float64, shape [n]
    parameters : int
    people : ndarray of str, shape [n]
        Who each answer is about.
    """
    off = answers - truth
    varies = truth.std() > 0 and answers.std() > 0
    count = len(np.unique(people))
    bias, spread = float(off.mean()), float(off.std(ddof=1)) if len(off) > 1 else 0.0
    return ValueScore(
        method=method,
        mean_error=float(np.abs(off).mean()),
        rms_error=float(np.sqrt((off**2).mean())),
        correlation=float(np.corrcoef(truth, answers)[0, 1]) if varies else 0.0,
        bias=bias,
        limits=(bias - 1.96 * spread, bias + 1.96 * spread),
        parameters=parameters,
        interval=_interval(truth, answers, people) if count >= FEWEST else None,
        people=count,
        windows=len(truth),
    )


def together(method: str, found: Sequence[ValueScore], draws: Floats | None) -> ValueScore:
    """Make one row of several; parameters as for `bioxedge.bridging.evaluate.together`.

    ``draws`` are mean errors, as of `errors`. Limits are those of the first.
    """
    first, values = found[0], [one.mean_error for one in found]
    interval = None
    if draws is not None:
        low, high = middle(draws.mean(axis=1), first.people)
        interval = max(low, 0.0), high
    return replace(
        first,
        method=method,
        mean_error=float(np.mean(values)),
        rms_error=float(np.mean([one.rms_error for one in found])),
        correlation=float(np.mean([one.correlation for one in found])),
        bias=float(np.mean([one.bias for one in found])),
        interval=interval,
        spread=(min(values), max(values)) if len(found) > 1 else None,
    )


def _interval(truth: Floats, answers: Floats, people: npt.NDArray[np.str_]) -> tuple[float, float]:
    """Give 95 % of the mean error over people; no error is below 0."""
    low, high = middle(errors(truth, [answers], people)[:, 0], len(np.unique(people)))
    return max(low, 0.0), high


def errors(
    truth: Floats,
    answers: list[Floats],
    people: npt.NDArray[np.str_],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Floats:
    """Draw people with replacement and give every method's mean error on each draw.

    Returns
    -------
    ndarray of float64, shape [draws, methods]
        All methods see the same draws, so differences between columns are paired.
    """
    rng = np.random.default_rng(seed)
    names, number = np.unique(people, return_inverse=True)
    size = np.bincount(number).astype(np.float64)
    sums = np.array([np.bincount(number, np.abs(each - truth)) for each in answers])
    found = np.empty((draws, len(answers)))
    for draw in range(draws):
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        found[draw] = (sums * weight).sum(axis=1) / (size * weight).sum()
    return found
