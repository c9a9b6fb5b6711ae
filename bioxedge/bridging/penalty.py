"""How much a head's weights cost, told by labelled people who are left out in turn.

A head on hundreds of features, of a handful of people's windows, learns those people. How much it
should be held back hangs on the features, and on how many people there are: it is asked of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report, quiet

PENALTIES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""What is tried: the weight of a head's squared weights in its loss."""

_FOLDS = 5

Train = Callable[[Tensor, float], Head]
"""Takes which examples, and a penalty."""

Judge = Callable[[Head, Tensor], float]
"""Takes a trained head and the examples that it did not see: gives their mean loss."""


@dataclass(frozen=True)
class Chosen:
    """A penalty, and why.

    Attributes
    ----------
    penalty : float
    losses : dict of float to float
        Mean loss of left-out people at each that was tried; empty where nobody can be left out.
    """

    penalty: float
    losses: dict[float, float]


def choose(
    train: Train,
    judge: Judge,
    people: npt.NDArray[np.str_],
    report: Report = quiet,
) -> Chosen:
    """Choose the penalty with which people who were left out are told best.

    Parameters
    ----------
    train : callable
        Trains a head on some of the examples.
    judge : callable
        The loss of examples that it was not trained on.
    people : ndarray of str, shape [n]
        Whom each example is of. They are parted into up to five groups, in the order of their
        names; with one person alone there is no penalty.
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
        return Chosen(0.0, {})
    losses: dict[float, float] = {}
    for number, penalty in enumerate(PENALTIES):
        total = 0.0
        for place, group in enumerate(groups):
            report(number * len(groups) + place, len(PENALTIES) * len(groups))
            out = np.isin(people, group)
            kept, left = (torch.from_numpy(np.flatnonzero(each)) for each in (~out, out))
            total += judge(train(kept, penalty), left) * len(left)
        losses[penalty] = total / len(people)
    least = min(losses.values())
    return Chosen(max(one for one, loss in losses.items() if loss == least), losses)
