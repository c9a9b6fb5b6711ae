"""``bioxedge positions``: every place that a bridge can have."""

from __future__ import annotations

from typing import Any

import click

from bioxedge.commands.recipe import on_a_recipe, on_desktop


@click.command()
@on_a_recipe
def positions(**options: Any) -> None:
    """Score every place that a recipe's bridge can have, and count what it costs.

    Writes OUT/report/positions.json and a picture; its steps serve a later build.
    """
    on_desktop("survey", **options)
