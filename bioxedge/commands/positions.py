"""``bioxedge positions``: every place that a bridge can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bioxedge.commands.recipe import on_a_recipe, on_desktop
from bioxedge.commands.shared import FOLDER


@click.command()
@on_a_recipe
@click.option("--kit", is_flag=True, help="Write OUT/kit for bioxedge profile, and end.")
@click.option("--profile", type=FOLDER, help="What bioxedge profile wrote on the device.")
@click.option(
    "--budget-ms", type=click.FloatRange(min=0, min_open=True), help="For one window there."
)
@click.option("--threads", type=click.IntRange(min=1), help="Of those that were profiled.")
@click.option("--provider", help="Of those that were profiled.")
@click.option("--engine", help="The device's ONNX Runtime version, if it is not this machine's.")
def positions(
    kit: bool,
    profile: Path | None,
    budget_ms: float | None,
    threads: int | None,
    provider: str | None,
    engine: str | None,
    **options: Any,
) -> None:
    """Score every place that a recipe's bridge can have, and count what it costs.

    Writes OUT/report/positions.json and a picture; its steps serve a later build. With a
    device's profile: what a window takes there for every place, which places no other beats
    (OUT/report/front.png), and the best within a budget.
    """
    asked = {
        "--budget-ms": budget_ms, "--threads": threads, "--provider": provider, "--engine": engine
    }  # fmt: skip
    for name, value in asked.items():
        if value is not None and profile is None:
            raise click.UsageError(
                f"{name} needs --profile: what bioxedge profile wrote on the device",
                click.get_current_context(),
            )
    if kit and profile is not None:
        raise click.UsageError(
            "--kit comes before --profile: the device measures the kit",
            click.get_current_context(),
        )
    if kit:
        on_desktop("kit", **options)
        return
    device = {
        "profile": profile, "budget_ms": budget_ms, "threads": threads, "provider": provider,
        "engine": engine,
    }  # fmt: skip
    on_desktop("survey", on_device=None if profile is None else device, **options)
