"""How far a head is held back, and how sure it may be, told by labelled people left out in turn.

A head on hundreds of features, of a handful of people's windows, learns those people. How much its
weights should cost hangs on the features, and on how many people there are: it is asked of them. A
loss alone would hold back too far, since a head that says nothing is never surprised: what is
compared is what answers say once they are as sure as they may be, and that is a temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report, quiet

PENALTIES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""What is tried: the weight of a head's squared weights in its loss."""
RANGE = 10.0
"""The temperature lies between 1/RANGE and RANGE."""

_FOLDS = 5

Train = Callable[[Tensor, float], Head]
"""Takes which examples, and a penalty."""

Judge = Callable[[Tensor], tuple[float, float]]
"""Takes everybody's answers [n, k] by heads that did not see them: gives loss and temperature."""


@dataclass(frozen=True)
class Chosen:
    """A penalty and a temperature, and why.

    Attributes
    ----------
    penalty, temperature : float
    losses : dict of float to float
        Loss of left-out people at each penalty that was tried; empty where nobody can be left out.
    """

    penalty: float
    temperature: float
    losses: dict[float, float]


def choose(
    train: Train,
    judge: Judge,
    pooled: Tensor,
    people: npt.NDArray[np.str_],
    report: Report = quiet,
) -> Chosen:
    """Choose the penalty with which people who were left out are told best.

    Parameters
    ----------
    train : callable
        Trains a head on some of the examples.
    judge : callable
        How good answers are.
    pooled : Tensor of shape [n, features]
        Of all examples.
    people : ndarray of str, shape [n]
        Whom each is of. They are parted into up to five groups, in the order of their names; with
        one person alone there is neither penalty nor temperature.
    report : callable, optional
        Told how many of how many heads are trained.

    Returns
    -------
    Chosen
        Of equal ones the greater penalty.
    """
    names = np.unique(people)
    groups = [part for part in np.array_split(names, min(_FOLDS, len(names))) if len(part)]
    if len(groups) < 2:
        return Chosen(0.0, 1.0, {})
    found: dict[float, tuple[float, float]] = {}
    for number, penalty in enumerate(PENALTIES):
        parts: list[tuple[Tensor, Tensor]] = []
        for place, group in enumerate(groups):
            report(number * len(groups) + place, len(PENALTIES) * len(groups))
            out = np.isin(people, group)
            kept, left = (torch.from_numpy(np.flatnonzero(each)) for each in (~out, out))
            head = train(kept, penalty)
            with torch.no_grad():
                parts.append((left, head.of_pooled(pooled[left])))
        answers = torch.empty(len(people), parts[0][1].shape[1])
        for left, given in parts:
            answers[left] = given
        found[penalty] = judge(answers)
    least = min(loss for loss, _ in found.values())
    penalty = max(one for one, (loss, _) in found.items() if loss == least)
    return Chosen(penalty, found[penalty][1], {one: loss for one, (loss, _) in found.items()})


def sureness(answers: Tensor, labels: Tensor, weights: Tensor) -> tuple[float, float]:
    """Find the temperature at which answers surprise least, and how much they do then.

    Parameters
    ----------
    answers : Tensor of shape [n, classes]
        Logits.
    labels : Tensor of int64, shape [n]
    weights : Tensor of shape [classes]

    Returns
    -------
    float
        Cross-entropy, each class by its weight.
    float
        What the logits are divided by for it (Guo et al., ICML 2017).
    """

    def wrong(exponent: float) -> float:
        return float(functional.cross_entropy(answers / RANGE**exponent, labels, weights))

    found = minimize_scalar(wrong, bounds=(-1.0, 1.0), method="bounded")
    return float(found.fun), float(RANGE**found.x)
