"""Everybody's answers on the windows of test people: the bridge's, and what must stand beside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from bioxedge.bridging import verdict
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import ALONE, BOTH, LINE, SHARES
from bioxedge.bridging.evaluate import (
    FEWEST,
    Difference,
    Score,
    bootstrap,
    differences,
    score,
    together,
)
from bioxedge.bridging.train import trained_parameters
from bioxedge.bridging.values import ValueScore, errors, score_value
from bioxedge.bridging.values import together as values_together
from bioxedge.building import beside
from bioxedge.building.aligning import new_bridge
from bioxedge.building.learnt import Learnt
from bioxedge.building.preparation import seed_of
from bioxedge.building.smoothed import told

Floats = npt.NDArray[np.float64]

BRIDGE, TEACHER, CONSTANT, CLASSIC = (
    verdict.BRIDGE, verdict.TEACHER, verdict.CONSTANT, verdict.CLASSIC,
)  # fmt: skip
ORACLE_CLASSIC = verdict.ORACLE_CLASSIC
NO_BASELINE = f"{CLASSIC}, no baseline"
ORACLE_ENCODER = "oracle: source encoder, true labels"
RANDOM = "random bridge"
DRAWS = 5
"""Random bridges, of which the row is the mean."""


@dataclass(frozen=True)
class Evaluation:
    """What everybody answered, and how good it was.

    Attributes
    ----------
    scores : list of Score or ValueScore
    answers : dict of str to ndarray
        Probabilities [n, classes] or values [n] of each method.
    truth : ndarray, shape [n]
        Classes or values; the teacher's, where nothing is known.
    people : ndarray of str, shape [n]
    ahead : list of Difference
        How far the bridge is ahead of each other method; empty with too few people.
    verdicts : list of str
    several : dict of str to list of ndarray
        All answers of a row that is the mean of several.
    """

    scores: list[Score | ValueScore]
    answers: dict[str, Floats]
    truth: npt.NDArray[Any]
    people: npt.NDArray[np.str_]
    ahead: list[Difference]
    verdicts: list[str]
    several: dict[str, list[Floats]] = field(default_factory=dict)


def evaluate(learnt: Learnt) -> Evaluation:
    """Score teacher, bridge and what must lose to it, on the windows of test people.

    Rows: ``teacher`` (where the tested wore its sensor, too), ``bridge`` (calibrated, as it is
    shipped), the same uncalibrated where that differs, ``classic features`` (a linear model on the
    same pseudo-labels of the pairs; with the recipe's baseline, and without it), both oracles (the
    same, and the source encoder's last cut, on the true labels of everyone who is not tested),
    ``untrained bridge`` (B = 0: one answer for everything), ``random bridge`` (the mean of several
    draws) and ``majority``.
    """
    answers, sizes = _bridged(learnt)
    several = {RANDOM: _random(learnt)}
    answers[RANDOM], sizes[RANDOM] = several[RANDOM][0], 0
    others, their_sizes = _beside(learnt)
    answers |= others
    sizes |= their_sizes
    answers |= told(learnt, sizes)
    prepared = learnt.prepared
    rows = prepared.of("test")
    people = prepared.windows.person[rows]
    if learnt.recipe.task.rule == "value":
        return _by_value(learnt, answers, sizes, people, several)
    classes = len(learnt.recipe.task.labels)
    truth = prepared.labels[rows]
    if prepared.agreeing:
        truth = learnt.seen.teacher("test").argmax(1).numpy()
        answers.pop(TEACHER, None)
    columns = {name: several.get(name, [found]) for name, found in answers.items()}
    draws = None
    if len(np.unique(people)) >= FEWEST:
        labels = [each.argmax(1) for found in columns.values() for each in found]
        draws = bootstrap(truth, labels, people)
    scores: list[Score | ValueScore] = []
    for name, found in columns.items():
        own = [
            score(
                name, truth, each.argmax(1), classes, sizes[name], probabilities=each, people=people
            )
            for each in found
        ]
        drawn = None if draws is None else _of(draws, columns, name)
        scores.append(own[0] if len(own) == 1 else together(name, own, drawn))
    draws = None if draws is None else _means(draws, columns)
    return replace(_judged(learnt, scores, answers, truth, people, draws), several=several)


def _of(draws: Floats, columns: dict[str, list[Floats]], name: str) -> Floats:
    """Give a row's columns of all draws, shape [draws, several]."""
    first = 0
    for each, found in columns.items():
        if each == name:
            return draws[:, first : first + len(found)]
        first += len(found)
    raise KeyError(name)


def _means(draws: Floats, columns: dict[str, list[Floats]]) -> Floats:
    """Give a column for each row: of several the mean, shape [draws, rows]."""
    return np.stack([_of(draws, columns, name).mean(axis=1) for name in columns], axis=1)


def _by_value(
    learnt: Learnt,
    answers: dict[str, Floats],
    sizes: dict[str, int],
    people: npt.NDArray[np.str_],
    several: dict[str, list[Floats]],
) -> Evaluation:
    """Score values."""
    prepared = learnt.prepared
    truth = prepared.values[prepared.of("test")]
    if prepared.agreeing:
        truth = learnt.seen.teacher("test")[:, 0].double().numpy()
        answers.pop(TEACHER, None)
    columns = {name: several.get(name, [found]) for name, found in answers.items()}
    draws = None
    if len(np.unique(people)) >= FEWEST:
        draws = -errors(truth, [each for found in columns.values() for each in found], people)
    scores: list[Score | ValueScore] = []
    for name, found in columns.items():
        own = [score_value(name, truth, each, sizes[name], people) for each in found]
        drawn = None if draws is None else -_of(draws, columns, name)
        scores.append(own[0] if len(own) == 1 else values_together(name, own, drawn))
    draws = None if draws is None else _means(draws, columns)
    return replace(_judged(learnt, scores, answers, truth, people, draws), several=several)


def _judged(
    learnt: Learnt,
    scores: list[Score | ValueScore],
    answers: dict[str, Floats],
    truth: npt.NDArray[Any],
    people: npt.NDArray[np.str_],
    draws: Floats | None,
) -> Evaluation:
    """Compare the bridge with every other row, and say what that comes to."""
    reached, count = [one.value for one in scores], len(np.unique(people))
    said = verdict.verdicts(
        list(answers),
        reached,
        draws,
        count,
        agreeing=learnt.prepared.agreeing,
        unit=learnt.recipe.task.unit,
    )
    if not learnt.prepared.taught:
        rows = learnt.prepared.rows("target", "test")
        without = len(np.unique(people[rows < 0]))
        said.append(
            f"The teacher has no row: {without} of the {count} tested did not wear its sensor"
        )
    ahead = [] if draws is None else differences(list(answers), reached, draws, count, BRIDGE)
    return Evaluation(scores, answers, truth, people, ahead, said)


def _bridged(learnt: Learnt) -> tuple[dict[str, Floats], dict[str, int]]:
    """Give what the teacher and the bridge say, and how many parameters were trained for it."""
    prepared, calibration = learnt.prepared, learnt.calibration
    raw, size = learnt.answers(learnt.bridge, "test"), trained_parameters(learnt.bridge)
    found: dict[str, tuple[torch.Tensor, int]] = {}
    if prepared.taught:
        found[TEACHER] = (learnt.seen.teacher("test"), trained_teacher(learnt))
    found[BRIDGE] = (calibration.apply(raw), size)
    if calibration.taken in (BOTH, SHARES):  # a temperature changes no answer, a bias does
        found[f"bridge, {ALONE}"] = (raw / calibration.temperature, size)
    elif calibration.taken == LINE:
        found["bridge, uncalibrated"] = (raw, size)
    found["untrained bridge"] = (learnt.answers(untrained(learnt, 0.0), "test"), 0)
    by_value = learnt.recipe.task.rule == "value"
    answers: dict[str, Floats] = {
        name: (given[:, 0] if by_value else given.softmax(1)).double().numpy()
        for name, (given, _) in found.items()
    }
    return answers, {name: size for name, (_, size) in found.items()}


def _random(learnt: Learnt) -> list[Floats]:
    """Give what bridges say that were drawn at random, each with prototypes of its own."""
    by_value = learnt.recipe.task.rule == "value"
    found: list[Floats] = []
    for draw in range(DRAWS):
        given = learnt.answers(untrained(learnt, 1.0, draw), "test")
        answers = given[:, 0] if by_value else given.softmax(1)
        found.append(answers.double().numpy())
    return found


def _beside(learnt: Learnt) -> tuple[dict[str, Floats], dict[str, int]]:
    """Give what a user would have without a bridge, and a constant."""
    recipe, prepared, seen = learnt.recipe, learnt.prepared, learnt.seen
    windows, by_value = prepared.windows, recipe.task.rule == "value"
    pair, test = prepared.of("pair"), prepared.of("test")
    known = np.flatnonzero(
        np.isin(windows.person, [*prepared.people.head, *prepared.people.pair])
        & (windows.source_row >= 0)
        & (prepared.labels >= 0)
        & prepared.settled["source"]
    )
    source = seen.adapted["source"]

    def encoded(rows: npt.NDArray[np.intp]) -> Floats:
        found: Floats = source.of(-1, rows).double().numpy()
        return found

    taught = seen.teacher("pair")
    given: dict[str, tuple[Floats, npt.NDArray[Any], Floats]] = {}
    if windows.classic.shape[1]:
        labels = taught[:, 0].double().numpy() if by_value else taught.argmax(1).numpy()
        given[CLASSIC] = (source.described(pair), labels, source.described(test))
        if recipe.source.own is not None:
            given[NO_BASELINE] = (windows.classic[pair], labels, windows.classic[test])
    if len(known):
        labels = prepared.values[known] if by_value else prepared.labels[known]
        if windows.classic.shape[1]:
            given[ORACLE_CLASSIC] = (source.described(known), labels, source.described(test))
        given[ORACLE_ENCODER] = (encoded(known), labels, encoded(test))
    answers: dict[str, Floats] = {}
    sizes: dict[str, int] = {}
    for name, (train, labels, asked) in given.items():
        if by_value:
            answers[name], sizes[name] = beside.values(train, labels, asked)
        else:
            classes = len(recipe.task.labels)
            answers[name], sizes[name] = beside.linear(train, labels, asked, classes)
    answers[CONSTANT], sizes[CONSTANT] = constant(learnt, len(test)), 0
    return answers, sizes


def constant(learnt: Learnt, count: int) -> Floats:
    """Answer what the head people (or the teacher, where they are none) show most, always."""
    prepared, recipe = learnt.prepared, learnt.recipe
    head = prepared.of("head")
    if recipe.task.rule == "value":
        values = prepared.values[head] if len(head) else learnt.seen.teacher("pair")[:, 0].numpy()
        return np.full(count, float(values.mean()))
    labels = prepared.labels[head] if len(head) else learnt.seen.teacher("pair").argmax(1).numpy()
    classes = len(recipe.task.labels)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares, (count, 1))


def trained_teacher(learnt: Learnt) -> int:
    """Parameters that were trained for the teacher; those of its encoder are counted apart."""
    return trained_parameters(learnt.head) if learnt.recipe.ready is None else 0


def untrained(learnt: Learnt, b_std: float, draw: int = 0) -> PrototypeBridge:
    """Make the bridge as it stood before training, with B at N(0, b_std²), or another draw."""
    seen = learnt.seen
    if draw:
        bridge = msgspec.structs.replace(seen.recipe.bridge, seed=seed_of(seen.recipe, f"{draw}"))
        seen = replace(seen, recipe=msgspec.structs.replace(seen.recipe, bridge=bridge))
    return new_bridge(seen, learnt.source_cut, learnt.target_cut, b_std=b_std)
