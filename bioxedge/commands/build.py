"""``bioxedge build``: from a recipe to a bundle."""

from __future__ import annotations

from typing import Any

import click

from bioxedge.commands.recipe import on_a_recipe, on_desktop


@click.command()
@on_a_recipe
@click.option(
    "--dry-run", is_flag=True, help="Check everything, reckon time and memory; write nothing."
)
def build(dry_run: bool, **options: Any) -> None:
    """Build a bundle from a recipe (needs the [train] extra).

    Finished steps are kept below OUT/steps: what was stopped goes on from there. With
    torchrun, several processes share the work.
    """
    on_desktop("check" if dry_run else "build", **options)
