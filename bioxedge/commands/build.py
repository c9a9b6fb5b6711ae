"""``bioxedge build``: from a recipe to a bundle."""

from __future__ import annotations

from typing import Any

import click

from bioxedge.commands.recipe import on_a_recipe, on_desktop


@click.command()
@on_a_recipe
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything, name what is missing, reckon time and memory; write nothing.",
)
@click.option(
    "--beside",
    type=click.Choice(["reference"]),
    help="Figures beside, of the same windows cut from whole recordings: what being causal costs.",
)
@click.option(
    "--rows",
    type=click.Choice(["all"]),
    help="Also train what a bridge is compared with: whole encoders, fixed positions.",
)
def build(dry_run: bool, beside: str | None, rows: str | None, **options: Any) -> None:
    """Build a bundle from a recipe (needs the [train] extra).

    Finished steps are kept below OUT/steps: what was stopped goes on from there. With
    torchrun, several processes share the work. --beside reference learns twice: the bundle is
    the causal one, the other column stands in the table and in OUT/report/report.json.
    """
    if dry_run:
        if beside:
            raise click.UsageError(
                "--dry-run reckons one build, and --beside makes two: leave one of them out",
                click.get_current_context(),
            )
        on_desktop("check", **options)
        return
    on_desktop("build", beside=beside or "", rows=rows or "", **options)
