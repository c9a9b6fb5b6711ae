"""``bioxedge study``: how far what is kept depends on one thing at a time."""

from __future__ import annotations

from typing import Any

import click

from bioxedge.commands.recipe import on_a_recipe, on_desktop

AXES = ("rank", "start", "pairs", "labelled", "lag", "drift", "threads", "rows")
"""What can be varied (`bioxedge.building.study_axes.NAMES`, which needs torch)."""


@click.command()
@on_a_recipe
@click.option(
    "--axis",
    "axes",
    multiple=True,
    type=click.Choice(AXES),
    help="What to vary; again for more. All but rows if left out.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many, from the recipe's on.",
)
def study(**options: Any) -> None:
    """Vary one thing of a recipe at a time, and say what that does on people never seen.

    rank: rank x prototypes of the bridge. start: prototypes real or random. pairs: 100, 50, 20
    and 5 % of the pairs. labelled: fewer labelled people. lag, drift: the two sensors' clocks
    differ in the pairs. threads: one against two. rows: everything that a bridge is compared
    with, two ways of distillation among them, which train whole encoders.

    Writes OUT/study/study.json and pictures of the axes that are named, anew each time; finished
    steps are kept below OUT/steps, so naming an axis again costs next to nothing.
    """
    on_desktop("study", module="bioxedge.building.study", **options)
