"""What every verb that works on a recipe takes, and how it is run."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click

from bioxedge.commands.shared import FOLDER
from bioxedge.errors import MissingExtraError


def on_a_recipe(verb: Any) -> Any:
    """Give a verb what every desktop verb takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON."),
        click.option(
            "--precision", type=click.Choice(["fp32", "bf16", "auto"]), help="Of frozen models."
        ),
        click.option("--device", help="auto, cpu, cuda …, in place of the recipe's."),
        click.option("--seed", type=click.IntRange(min=0), help="In place of the recipe's seed."),
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="KEY=VALUE",
            help="In place of the recipe's, such as bridge.rank=4; again for more.",
        ),
        click.option("--data", type=FOLDER, help="Directory that holds the recipe's recordings."),
        click.option(
            "--out", required=True, type=FOLDER, help="Gets report/ and steps/ (bundle/)."
        ),
        click.argument("recipe", type=FOLDER),
    ):
        verb = option(verb)
    return verb


def on_desktop(
    verb: str,
    recipe: Path,
    out: Path,
    as_json: bool,
    *,
    module: str = "bioxedge.building",
    **options: Any,
) -> None:
    """Run a verb of the desktop leaf, which is imported now."""
    try:
        building = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bioxedge"):
            raise
        raise MissingExtraError(error.name or "torch", "train") from error
    chosen = {key: options.pop(key) for key in ("device", "precision")}
    compute = {key: value for key, value in chosen.items() if value}
    try:
        found = getattr(building, verb)(recipe, out, compute=compute, **options)
    except KeyboardInterrupt:
        click.echo(f"stopped; finished steps are kept in {out / 'steps'}: the same command goes on")
        raise
    if as_json and found is not None:
        click.echo(json.dumps(found.to_dict()))
