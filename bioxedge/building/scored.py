"""Rows of several answers, scored as those of an evaluation are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bioxedge.bridging import evaluate, values
from bioxedge.bridging.evaluate import FEWEST, bootstrap, differences, score
from bioxedge.bridging.values import ValueScore, errors, score_value
from bioxedge.building.evaluation import BRIDGE, Evaluation
from bioxedge.building.learnt import Learnt
from bioxedge.building.rows import Row

AnyScore = evaluate.Score | ValueScore
Floats = npt.NDArray[np.float64]


def with_rows(learnt: Learnt, found: Evaluation, rows: Sequence[Row]) -> Evaluation:
    """Put rows to an evaluation, with how far the bridge is ahead of each.

    Parameters
    ----------
    learnt : Learnt
    found : Evaluation
    rows : sequence of Row
    """
    scores, ahead = list(found.scores), list(found.ahead)
    bridge = next((one for one in found.scores if one.method == BRIDGE), None)
    for row in rows:
        scores.append(scored(learnt, found, row))
        if bridge is None or not found.ahead:
            continue
        answers = [found.answers[BRIDGE], *row.answers]
        drawn = draws_of(learnt, found, answers)
        pair = np.stack([drawn[:, 0], drawn[:, 1:].mean(axis=1)], axis=1)
        people = len(np.unique(found.people))
        reached = [bridge.value, scores[-1].value]
        ahead += differences([BRIDGE, row.method], reached, pair, people, BRIDGE)
    return replace(found, scores=scores, ahead=ahead)


def scored(learnt: Learnt, found: Evaluation, row: Row) -> AnyScore:
    """Score a row; that of several answers is their mean."""
    people = found.people
    enough = len(np.unique(people)) >= FEWEST
    drawn = draws_of(learnt, found, row.answers) if enough and len(row.answers) > 1 else None
    if learnt.recipe.task.rule == "value":
        told = [
            score_value(row.method, found.truth, each, row.parameters, people)
            for each in row.answers
        ]
        one = told[0]
        if len(told) > 1:
            one = values.together(row.method, told, None if drawn is None else -drawn)
        return replace(one, spent=row.spent)
    classes = len(learnt.recipe.task.labels)
    known = [
        score(
            row.method, found.truth, each.argmax(1), classes, row.parameters,
            probabilities=each, people=people,
        )
        for each in row.answers
    ]  # fmt: skip
    first = known[0] if len(known) == 1 else evaluate.together(row.method, known, drawn)
    return replace(first, spent=row.spent)


def draws_of(learnt: Learnt, found: Evaluation, answers: Sequence[Floats]) -> Floats:
    """Draw people; more is better."""
    if learnt.recipe.task.rule == "value":
        return -errors(found.truth, list(answers), found.people)
    return bootstrap(found.truth, [each.argmax(1) for each in answers], found.people)


def over_seeds(found: Sequence[AnyScore], interval: tuple[float, float] | None) -> AnyScore:
    """Make one row of a method's rows with several seeds.

    Parameters
    ----------
    found : sequence of Score or ValueScore
        All of one kind.
    interval : tuple of float, or None
        Of the mean over seeds.
    """
    first = found[0]
    if isinstance(first, ValueScore):
        told = [one for one in found if isinstance(one, ValueScore)]
        one: AnyScore = values.together(first.method, told, None)
    else:
        known = [one for one in found if isinstance(one, evaluate.Score)]
        one = evaluate.together(first.method, known, None)
    seconds = [each.spent.seconds for each in found if each.spent.seconds is not None]
    memory = [each.spent.memory for each in found if each.spent.memory is not None]
    took = replace(
        first.spent,
        seconds=float(np.mean(seconds)) if seconds else None,
        memory=max(memory) if memory else None,
    )
    return replace(one, interval=interval, spent=took)
