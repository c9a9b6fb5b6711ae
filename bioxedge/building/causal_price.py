"""What being causal costs: the same build on windows that no device can compute, held beside.

Both builds have the same windows in time, people, labels, seeds and cuts; only what was done to the
signal differs (:mod:`bioxedge.datasets.noncausal`). So every row is paired, person by person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from bioxedge.atomic import write_file
from bioxedge.bridging.evaluate import FEWEST, Score, bootstrap, middle
from bioxedge.bridging.values import errors
from bioxedge.bridging.verdict import digits
from bioxedge.building.evaluation import BRIDGE, TEACHER, Evaluation, evaluate
from bioxedge.building.learnt import Learnt
from bioxedge.building.unshippable import REFERENCE, SIDES, STREAMING, preprocessing_of
from bioxedge.recipes import Recipe


@dataclass(frozen=True)
class Row:
    """One method, both ways.

    Attributes
    ----------
    method : str
    streaming, reference : float or None
        Balanced accuracy, or mean error in the value's unit; None where that build has no such
        row.
    cost : float or None
        How much better ``reference`` is: what being causal costs, below 0 where it gains.
    interval : tuple of float, or None
        95 % of it over draws of people, the same for both; None with fewer than three of them.
    """

    method: str
    streaming: float | None
    reference: float | None
    cost: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Price:
    """Every row both ways, and what that comes to.

    Attributes
    ----------
    name : str
        The recipe's.
    rows : list of Row
    preprocessing : dict of str to str
        What was done to whole recordings, by side.
    found : Evaluation
        Of the reference build.
    cuts : tuple of int
        Where its bridge stands: source and target.
    people, windows : int
        Tested.
    unit : str
        Of values; empty for balanced accuracies.
    """

    name: str
    rows: list[Row]
    preprocessing: dict[str, str]
    found: Evaluation
    cuts: tuple[int, int]
    people: int
    windows: int
    unit: str = ""

    @property
    def by_class(self) -> bool:
        """Whether the figures are balanced accuracies."""
        return isinstance(self.found.scores[0], Score)

    @property
    def verdicts(self) -> list[str]:
        """Say in words what being causal costs the bridge, and its teacher."""
        by_name = {row.method: row for row in self.rows}
        return [
            self._said(by_name[name])
            for name in (BRIDGE, TEACHER)
            if name in by_name and by_name[name].cost is not None
        ]

    def _said(self, row: Row) -> str:
        """Say it of one row."""
        assert row.streaming is not None and row.reference is not None and row.cost is not None
        after = f" {self.unit}" if self.unit else ""
        if row.interval is None:
            return (
                f"What being causal costs the {row.method} cannot be told from {self.people} test "
                f"people: test at least {FEWEST}"
            )
        low, high = row.interval
        places = digits(high - low)
        figures = (
            f"{row.streaming:.{places}f}{after} streaming, {row.reference:.{places}f}{after} "
            f"reference; cost {_signed(row.cost, places)}, 95 % {_signed(low, places)} to "
            f"{_signed(high, places)} over {self.people} people, of one training each"
        )
        if low > 0:
            return f"Being causal costs the {row.method} something ({figures})"
        if high < 0:
            return f"The {row.method} is BETTER with causal stages ({figures})"
        return f"Being causal is not shown to cost the {row.method} anything ({figures})"

    def table(self) -> Table:
        """Lay both columns out for a terminal."""
        what = "balanced accuracy" if self.by_class else f"mean error [{self.unit}]"
        made = Table(
            title=f"{self.name}: what being causal costs, {what}".replace("[", r"\["),
            title_justify="left",
            caption_justify="left",
        )
        made.add_column(f"{self.people} people never seen, {self.windows:,} windows")
        for name in (STREAMING, REFERENCE, "cost", "95 %"):
            made.add_column(name, justify="right")
        spans = [one.interval for one in self.found.scores if one.interval is not None]
        places = digits(max((high - low for low, high in spans), default=0.0))  # as of the scores
        for row in self.rows:
            figures = (
                "–" if value is None else f"{value:.{places}f}"
                for value in (row.streaming, row.reference)
            )
            cost = "–" if row.cost is None else _signed(row.cost, places)
            span = "–"
            if row.interval is not None:
                span = " to ".join(_signed(end, places) for end in row.interval)
            style = "bold" if row.method == BRIDGE else None
            made.add_row(row.method, *figures, cost, span, style=style)
        made.caption = (
            "reference: the same windows cut from whole recordings, as no device can; 95 %: over "
            "people, one training each"
        )
        return made

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "measure": "balanced_accuracy" if self.by_class else "mean_error",
            "unit": self.unit,
            "preprocessing": self.preprocessing,
            "source_cut": self.cuts[0],
            "target_cut": self.cuts[1],
            "rows": [
                {
                    "method": row.method,
                    STREAMING: row.streaming,
                    REFERENCE: row.reference,
                    "cost": row.cost,
                    "interval": row.interval and list(row.interval),
                }
                for row in self.rows
            ],
            "scores": [one.to_dict() for one in self.found.scores],
            "verdicts": self.verdicts,
        }


def price(streaming: Evaluation, learnt: Learnt) -> Price:
    """Evaluate the reference build, and pair every row with that of the streaming one.

    Parameters
    ----------
    streaming : Evaluation
    learnt : Learnt
        From the windows of :func:`bioxedge.building.unshippable.prepare_beside`.
    """
    found, recipe = evaluate(learnt), learnt.recipe
    return Price(
        name=recipe.name,
        rows=paired(streaming, found),
        preprocessing=preprocessing_of(recipe),
        found=found,
        cuts=(learnt.source_cut, learnt.target_cut),
        people=len(np.unique(found.people)),
        windows=len(found.truth),
        unit="" if isinstance(found.scores[0], Score) else recipe.task.unit,
    )


def paired(streaming: Evaluation, reference: Evaluation) -> list[Row]:
    """Pair the rows of two evaluations of the same windows.

    Parameters
    ----------
    streaming, reference : Evaluation
        With the same truth and people.

    Returns
    -------
    list of Row
        In the order of ``streaming``; then those that only ``reference`` has.
    """
    mine = {one.method: one for one in streaming.scores}
    theirs = {one.method: one for one in reference.scores}
    both = [name for name in mine if name in theirs]
    people, truth = reference.people, reference.truth
    count, spans = len(np.unique(people)), {}
    if count >= FEWEST:
        # One list for both, so that every column is of the same draws of people.
        answers = [each.answers[name] for each in (streaming, reference) for name in both]
        if isinstance(reference.scores[0], Score):
            draws = bootstrap(truth, [one.argmax(1) for one in answers], people)
        else:
            draws = -errors(truth, answers, people)
        for number, name in enumerate(both):
            spans[name] = middle(draws[:, len(both) + number] - draws[:, number], count)
    rows = []
    for name in (*mine, *(name for name in theirs if name not in mine)):
        one, other = mine.get(name), theirs.get(name)
        cost = None if one is None or other is None else other.value - one.value
        figures = [None if each is None else abs(each.value) for each in (one, other)]
        rows.append(Row(name, figures[0], figures[1], cost, spans.get(name)))
    return rows


def write(recipe: Recipe, found: Price | None, folder: Path) -> None:
    """Add to a written ``report.json`` how its windows were cut, and what stands beside."""
    sides, path = preprocessing_of(recipe), folder / "report.json"
    if not sides and found is None:
        return
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["preprocessing"] = dict.fromkeys(SIDES, STREAMING) | sides
    if found is not None:
        facts[REFERENCE] = found.to_dict()
    write_file(path, (json.dumps(facts, indent=2) + "\n").encode())


def _signed(value: float, places: int) -> str:
    """Write a difference; what rounds to 0 has no sign of its own."""
    return f"{round(value, places) + 0.0:+.{places}f}"
