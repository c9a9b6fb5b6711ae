"""What a build says at its end: its tables, its verdicts in words, and where everything lies."""

from __future__ import annotations

from rich.console import Console

from bioxedge.building import report, unshippable
from bioxedge.building.built import Built
from bioxedge.building.evaluation import Evaluation
from bioxedge.building.learnt import Learnt


def say(built: Built, console: Console) -> None:
    """Print what came of a build, the main task first."""
    recipe, price = built.learnt.recipe, built.price
    more = list(price.verdicts) if price is not None else []
    console.print(report.table(built.learnt, built.found))
    if price is not None:
        console.print(price.table())
    if recipe.split.mark:
        _bold(console, [f"Not by person: {recipe.split.mark}"])
    _task(console, built.learnt, built.found, more)
    for name, one in built.others.items():
        own = built.learnt.others[name]
        console.print(report.table(own, one))
        _task(console, own, one, [])
    shipped = built.shipped
    for line in [unshippable.told(recipe)] if shipped is None else shipped.lines():
        console.print(line, highlight=False, soft_wrap=True)
    bundle = [] if shipped is None else [shipped.bundle.path]
    for path in (*bundle, *built.pictures, *built.trained):
        console.print(f"  {path}", highlight=False)


def _task(console: Console, learnt: Learnt, found: Evaluation, more: list[str]) -> None:
    """Print what the figures of one task say."""
    _bold(console, [*found.verdicts, *more])
    said = learnt.calibration.line(learnt.recipe.task.labels)
    console.print(said, highlight=False, soft_wrap=True)


def _bold(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(f"  {line}", style="bold", highlight=False, soft_wrap=True)
