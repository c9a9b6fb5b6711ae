"""Every row of a table, over all seeds of a study: what else could be done, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from bioxedge.bridging.evaluate import Difference
from bioxedge.building.evaluation import BRIDGE, TEACHER, Evaluation, evaluate
from bioxedge.building.learnt import Learnt, aligned
from bioxedge.building.rows import all_rows
from bioxedge.building.scored import over_seeds, with_rows
from bioxedge.building.spending import spent
from bioxedge.building.store import Store
from bioxedge.building.study_figures import Reached, Truth, figure, labels
from bioxedge.building.study_found import Laid, Place
from bioxedge.building.times import times
from bioxedge.building.took import Took

Answers = dict[str, list[npt.NDArray[Any]]]


def laid(bases: Sequence[Learnt], truths: Sequence[Truth], store: Store) -> Laid:
    """Train, score and time everything that a bridge is compared with.

    Parameters
    ----------
    bases : sequence of Learnt
        One for each seed.
    truths : sequence of Truth
    store : Store
    """
    found = Laid("rows", "everything beside the bridge", "")
    whole: list[Evaluation] = []
    answers: list[Answers] = []
    taken: dict[str, float] = {}
    for number, base in enumerate(bases):
        plain, own = evaluate(base), took_of(base, store)
        rows = all_rows(base, store)
        if not number:
            methods = (BRIDGE, TEACHER, *(row.method for row in rows))
            taken = times(base, store, methods)
        store.took.update(own)  # "bridge" is the recipe's own again, not the last one of a row's
        whole.append(spent(base, with_rows(base, plain, rows), store, taken))
        given: Answers = {name: [labels(each)] for name, each in plain.answers.items()}
        answers.append(given | {row.method: [labels(each) for each in row.answers] for row in rows})
    for method in [one.method for one in whole[0].scores]:
        if not all(method in each for each in answers):
            continue  # with some seeds alone, as where a bias was taken
        made = figure(truths, [Reached(each[method]) for each in answers])
        score = over_seeds(
            [next(one for one in each.scores if one.method == method) for each in whole],
            made.interval,
        )
        found.scores.append(score)
        found.places.append(
            Place(
                {"method": method}, method, made, "", score.parameters, score.spent.seconds,
                score.spent.memory, [], score.spent.window,
            )
        )  # fmt: skip
        if method != BRIDGE and made.ahead_interval is not None:
            low, high = made.ahead_interval
            found.ahead.append(Difference(BRIDGE, method, -made.ahead, (-high, -low)))
    return found


def took_of(base: Learnt, store: Store) -> dict[str, Took]:
    """Give what the recipe's own bridge took, by finding it once more."""
    aligned(base.seen, store, base.positions, base.source_cut, base.target_cut)
    return {name: store.took[name] for name in ("bridge",) if name in store.took}
