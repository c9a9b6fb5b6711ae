"""What the points of a study come to: means over seeds, intervals by person, what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.bridging.evaluate import FEWEST, bootstrap, middle
from bioxedge.bridging.values import errors
from bioxedge.bridging.verdict import digits

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reached:
    """What was answered at a point with one seed.

    Attributes
    ----------
    answers : list of ndarray, each of shape [n]
        Labels or values on the test windows; several where chance decides.
    parameters : int
        Of the bridge.
    cuts : list of list of int
        Source's and target's, of each.
    seconds : float or None
        Its training took.
    memory : float or None
        MiB at most meanwhile.
    teacher : ndarray, shape [n], optional
        What the teacher says there, where that differs from point to point.
    """

    answers: list[npt.NDArray[Any]]
    parameters: int = 0
    cuts: list[list[int]] = field(default_factory=list)
    seconds: float | None = None
    memory: float | None = None
    teacher: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Truth:
    """What a seed's answers are held to.

    Attributes
    ----------
    known : ndarray, shape [n]
        Labels or values.
    people : ndarray of str, shape [n]
    teacher, bridge, constant : ndarray, shape [n]
        What the teacher (None where it has no row), the recipe's bridge as it is, and a constant
        say.
    by_value : bool
    """

    known: npt.NDArray[Any]
    people: npt.NDArray[np.str_]
    teacher: npt.NDArray[Any] | None
    bridge: npt.NDArray[Any]
    constant: npt.NDArray[Any]
    by_value: bool


@dataclass(frozen=True)
class Figure:
    """What a point reached, over all seeds.

    Attributes
    ----------
    value : float
        Balanced accuracy, or mean error.
    interval : tuple of float, or None
        95 % over draws of people; None with too few of them.
    by_seed : list of float
    spread : tuple of float
        Lowest and highest of all that were learnt.
    kept : float or None
        Share of the teacher's margin over a constant answer.
    kept_interval : tuple of float, or None
    ahead : float
        By how much it is better than the recipe as it is; below 0 it is worse.
    ahead_interval : tuple of float, or None
    teacher : float or None
        What the teacher reached there, where that differs from point to point.
    """

    value: float
    interval: tuple[float, float] | None
    by_seed: list[float]
    spread: tuple[float, float]
    kept: float | None
    kept_interval: tuple[float, float] | None
    ahead: float
    ahead_interval: tuple[float, float] | None
    teacher: float | None = None


def figure(truths: Sequence[Truth], reached: Sequence[Reached]) -> Figure:
    """Put the seeds of a point together.

    Parameters
    ----------
    truths : sequence of Truth
        One for each seed.
    reached : sequence of Reached
        In the same order.
    """
    parts = [_seed(truth, one) for truth, one in zip(truths, reached, strict=True)]
    count = len(np.unique(truths[0].people))
    enough = count >= FEWEST
    whole = {name: _mean([part[0][name] for part in parts]) for name in parts[0][0]}
    drawn = {name: _mean([part[1][name] for part in parts]) for name in parts[0][1]}
    sign = -1.0 if truths[0].by_value else 1.0
    every = [value for part in parts for value in part[2]]
    interval = _ends(middle(drawn["own"], count), sign, truths[0].by_value) if enough else None
    ahead = middle(drawn["own"] - drawn["bridge"], count) if enough else None
    kept = kept_interval = None
    if "teacher" in whole and whole["teacher"] > whole["constant"]:
        margin = whole["teacher"] - whole["constant"]
        kept = float((whole["own"] - whole["constant"]) / margin)
        if enough:
            # As a verdict says it: quotients of draws have no bounds where margins are small.
            base = drawn["constant"]
            off = middle(drawn["own"] - base - kept * (drawn["teacher"] - base), count)
            kept_interval = kept + off[0] / margin, kept + off[1] / margin
            if middle(drawn["teacher"] - base, count)[0] <= 0:
                kept = kept_interval = None  # the teacher itself has no margin to keep
    return Figure(
        value=sign * float(whole["own"]),
        interval=interval,
        by_seed=[sign * float(part[0]["own"]) for part in parts],
        spread=(min(every), max(every)),
        kept=kept,
        kept_interval=kept_interval,
        ahead=float(whole["own"] - whole["bridge"]),
        ahead_interval=ahead,
        teacher=sign * float(whole["there"]) if "there" in whole else None,
    )


def _seed(truth: Truth, one: Reached) -> tuple[dict[str, float], dict[str, Floats], list[float]]:
    """Score one seed: figures, their draws, and each of several; more is better."""
    columns = {"bridge": truth.bridge, "constant": truth.constant}
    if truth.teacher is not None:
        columns["teacher"] = truth.teacher
    if one.teacher is not None:
        columns["there"] = one.teacher
    answers = [*columns.values(), *one.answers]
    if truth.by_value:
        drawn = -errors(truth.known, answers, truth.people)
        whole = [-float(np.abs(each - truth.known).mean()) for each in answers]
    else:
        drawn = bootstrap(truth.known, answers, truth.people)
        whole = [balanced(truth.known, each) for each in answers]
    own = whole[len(columns) :]
    figures = dict(zip(columns, whole, strict=False)) | {"own": float(np.mean(own))}
    draws = dict(zip(columns, drawn.T, strict=False)) | {"own": drawn[:, len(columns) :].mean(1)}
    return figures, draws, [abs(value) for value in own]


def balanced(truth: npt.NDArray[Any], answers: npt.NDArray[Any]) -> float:
    """Balanced accuracy over the classes that occur."""
    return float(np.mean([(answers[truth == k] == k).mean() for k in np.unique(truth)]))


def labels(answers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the likeliest of probabilities [n, classes]; values stay."""
    found: npt.NDArray[Any] = answers.argmax(1) if answers.ndim == 2 else answers
    return found


def _ends(span: tuple[float, float], sign: float, by_value: bool) -> tuple[float, float]:
    """Turn an interval back into what is shown, within what it can be."""
    low, high = sorted(sign * end for end in span)
    return max(low, 0.0), high if by_value else min(high, 1.0)


def _mean(values: Sequence[Any]) -> Any:
    """Mean over seeds."""
    return np.mean(np.stack([np.asarray(value) for value in values]), axis=0)


def shown(value: float, interval: tuple[float, float] | None, sign: str = "") -> str:
    """Write a figure with its interval, with as many digits as that allows."""
    if interval is None:
        return f"{value:{sign}.3f}"
    places = digits(interval[1] - interval[0])
    low, high = (round(end, places) + 0.0 for end in interval)
    value = round(value, places) + 0.0
    between = " to " if sign else "–"
    return f"{value:{sign}.{places}f} ({low:{sign}.{places}f}{between}{high:{sign}.{places}f})"
