"""Cross-fitting by person: everyone is tested once, by parts that never saw them.

What `tasks.py`, `forms.py` and `bidmc.py` share: the rows of a fold with what they took, and the
figures over folds and seeds. Intervals are 95 % of 10,000 draws of people with replacement, paired
over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from rich.console import Console

from bioxedge.bridging.draws import bootstrap, middle
from bioxedge.bridging.evaluate import Score, score
from bioxedge.bridging.spent import Spent
from bioxedge.bridging.verdict import verdicts
from bioxedge.building.evaluation import evaluate
from bioxedge.building.learnt import Learnt
from bioxedge.building.rows import (
    CLASSIC_BRIDGED,
    DISTILLATION,
    DISTILLATION_WORN,
    NO_BASELINE,
    Row,
)
from bioxedge.building.scored import with_rows
from bioxedge.building.spending import spent
from bioxedge.building.store import Store
from bioxedge.building.times import timed

Floats = npt.NDArray[np.float64]
Found = TypeVar("Found")
DRAWS = 10_000
COMPARED = ("teacher", "bridge")
"""Rows whose price of being causal is told."""
COSTS = ("pretrained", "seconds", "memory_mib", "window_ms")


@dataclass
class Fold:
    """Everybody's answers on the test windows of one fold.

    Attributes
    ----------
    truth : ndarray of int64, shape [n]
    people : ndarray of str, shape [n]
    answers : dict of str to list of ndarray
        Probabilities [n, classes] by row; several where a row is the mean of several.
    parameters : dict of str to int
    spent : dict of str to Spent
    cuts : list of int
    calibration : str
        What was taken of it.
    sure : set of str
        Rows that say a label and no probability.
    reference : dict of str to ndarray
        What rows answer that learnt from whole recordings, as no device can.
    """

    truth: npt.NDArray[np.int64]
    people: npt.NDArray[np.str_]
    answers: dict[str, list[Floats]]
    parameters: dict[str, int]
    spent: dict[str, Spent]
    cuts: list[int] = field(default_factory=list)
    calibration: str = ""
    sure: set[str] = field(default_factory=set)
    reference: dict[str, Floats] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return next(iter(self.answers.values()))[0].shape[1]

    def put(self, name: str, given: Floats, like: str = "") -> None:
        """Put a row to it, which costs what another one does, or nothing."""
        self.answers[name] = [given]
        self.parameters[name] = self.parameters[like] if like else 0
        self.spent[name] = self.spent[like] if like else Spent()

    def put_labels(self, name: str, labels: npt.NDArray[np.int64]) -> None:
        """Put a row to it that says labels alone."""
        self.put(name, np.eye(self.classes)[labels])
        self.sure.add(name)


def crossed(
    name: str, seeds: Sequence[int], folds: int, one: Callable[[int, int], Found]
) -> dict[int, list[Found]]:
    """Go through seeds and folds; give what was found in the folds of each seed."""
    console, runs = Console(stderr=True), {}
    for seed in seeds:
        runs[seed] = []
        for fold in range(folds):
            console.print(f"[bold]{name}[/], seed {seed}, fold {fold + 1} of {folds}")
            runs[seed].append(one(seed, fold))
    return runs


def fold_of(learnt: Learnt, store: Store, rows: list[Row]) -> Fold:
    """Score everybody on a fold, the rows that cost a training of their own among them."""
    found = with_rows(learnt, evaluate(learnt), rows)
    found = spent(learnt, found, store, timed(learnt, store, None, rows))
    answers = {name: found.several.get(name, [given]) for name, given in found.answers.items()}
    answers |= {row.method: row.answers for row in rows}
    return Fold(
        truth=found.truth,
        people=found.people,
        answers=answers,
        parameters={each.method: each.parameters for each in found.scores},
        spent={each.method: each.spent for each in found.scores},
        cuts=[learnt.source_cut, learnt.target_cut],
        calibration=learnt.calibration.taken,
    )


def figures(runs: Mapping[int, list[Fold]]) -> dict[str, Any]:
    """Put folds together and seeds beside each other.

    Parameters
    ----------
    runs : mapping of int to list of Fold
        By seed; folds in their order.
    """
    seeds, every = list(runs), [fold for own in runs.values() for fold in own]
    classes = every[0].classes
    # A row that a fold lacks (a bias that was not needed) is no row of all.
    names = [name for name in every[0].answers if all(name in fold.answers for fold in every)]
    truth = np.concatenate([fold.truth for fold in runs[seeds[0]]])
    people = np.concatenate([fold.people for fold in runs[seeds[0]]])
    count = len(np.unique(people))
    scores: dict[str, list[list[Score]]] = {}
    columns: list[npt.NDArray[np.int64]] = []
    owner: list[str] = []
    for name in names:
        for seed in seeds:
            own = []
            for copy in range(len(runs[seed][0].answers[name])):
                given = np.concatenate([fold.answers[name][copy] for fold in runs[seed]])
                columns.append(given.argmax(1))
                owner.append(name)
                told = None if name in every[0].sure else given
                own.append(score(name, truth, columns[-1], classes, 0, probabilities=told))
            scores.setdefault(name, []).append(own)
    drawn = bootstrap(truth, columns, people, draws=DRAWS)
    means = np.stack(
        [drawn[:, [k for k, who in enumerate(owner) if who == name]].mean(1) for name in names], 1
    )
    made: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        by_seed = [float(np.mean([one.balanced_accuracy for one in own])) for own in scores[name]]
        flat = [one for own in scores[name] for one in own]
        off = [one.calibration_error for one in flat if one.calibration_error is not None]
        made[name] = {
            "balanced_accuracy": float(np.mean(by_seed)),
            "interval": list(middle(means[:, number], count)),
            "by_seed": by_seed,
            "macro_f1": float(np.mean([one.macro_f1 for one in flat])),
            "kappa": float(np.mean([one.kappa for one in flat])),
            "calibration_error": float(np.mean(off)) if off else None,
            "parameters": round(float(np.mean([fold.parameters[name] for fold in every]))),
            **_costs([fold.spent[name] for fold in every]),
        }
    reached = [made[name]["balanced_accuracy"] for name in names]
    found: dict[str, Any] = {
        "seeds": seeds,
        "people": count,
        "windows": len(truth),
        "methods": made,
        "cuts": [fold.cuts for fold in every],
        "calibration": [fold.calibration for fold in every],
        "verdicts": verdicts(names, reached, means, count),
    }
    for name in COMPARED:
        if all(name in fold.reference for fold in every) and name in names:
            found.setdefault("causal_cost", {})[name] = _cost(runs, name, made[name], truth, people)
    for other in (DISTILLATION, DISTILLATION_WORN, CLASSIC_BRIDGED, NO_BASELINE):
        if other not in names:
            continue
        bridge, at = names.index("bridge"), names.index(other)
        off = means[:, bridge] - means[:, at]
        pairs = zip(made["bridge"]["by_seed"], made[other]["by_seed"], strict=True)
        found.setdefault("bridge_minus", {})[other] = {
            "difference": reached[bridge] - reached[at],
            "interval": list(middle(off, count)),
            "by_seed": [ours - theirs for ours, theirs in pairs],
            "share_of_parameters": made["bridge"]["parameters"] / made[other]["parameters"],
        }
    return found


def _cost(
    runs: Mapping[int, list[Fold]],
    name: str,
    streaming: dict[str, Any],
    truth: npt.NDArray[np.int64],
    people: npt.NDArray[np.str_],
) -> list[float]:
    """Put a row's figure from whole recordings beside it; give what being causal costs it."""
    pairs = [
        [np.concatenate([each(fold).argmax(1) for fold in own]) for own in runs.values()]
        for each in (lambda fold: fold.reference[name], lambda fold: fold.answers[name][0])
    ]
    drawn = bootstrap(truth, [*pairs[0], *pairs[1]], people, draws=DRAWS)
    seeds = len(runs)
    off = drawn[:, :seeds].mean(axis=1) - drawn[:, seeds:].mean(axis=1)
    classes = next(iter(runs.values()))[0].classes
    streaming["reference"] = float(
        np.mean([score(name, truth, one, classes, 0).balanced_accuracy for one in pairs[0]])
    )
    cost = streaming["reference"] - streaming["balanced_accuracy"]
    return [cost, *middle(off, len(np.unique(people)))]


def _costs(each: list[Spent]) -> dict[str, float | None]:
    """Give the middle of what a row took; memory at most."""
    found: dict[str, float | None] = {}
    for name in COSTS:
        known = [one.to_dict()[name] for one in each if one.to_dict()[name] is not None]
        whole = max if name == "memory_mib" else np.median
        found[name] = float(whole(known)) if known else None
    return found
