"""``bioxedge export``: from checkpoints, a bridge and a head to a bundle, without training."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import click

from bioxedge.commands.shared import FOLDER, say
from bioxedge.errors import MissingExtraError


@click.command()
@click.argument("recipe", type=FOLDER)
@click.option(
    "--bridge", required=True, type=FOLDER, help="OUT/trained/bridge.pt, or a state dict."
)
@click.option("--head", required=True, type=FOLDER, help="OUT/trained/head.pt, or a state dict.")
@click.option("--out", required=True, type=FOLDER, help="The bundle's directory.")
@click.option("--data", type=FOLDER, help="Directory that holds the recipe's recordings.")
@click.option("--recording", type=FOLDER, help="One recording of the source sensor, instead.")
@click.option("--variants", help="In place of the recipe's: int8,bf16 …, or none.")
@click.option("--opset", type=int, default=18, show_default=True, help="Of the operators.")
@click.option(
    "--as-published/--transposed",
    default=None,
    help="How a bridge to LaBraM from elsewhere lays out its tokens.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def export(
    recipe: Path,
    out: Path,
    recording: Path | None,
    variants: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a bundle of what was trained already (needs the [train] extra).

    Golden windows come from the recording, the recipe's data, or are simulated; the manifest
    says which. State dicts from elsewhere are known by their shapes, whatever their names are.
    Needs no GPU and no network.
    """
    try:
        offline = importlib.import_module("bioxedge.building.offline")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bioxedge"):
            raise
        raise MissingExtraError(error.name or "torch", "train") from error
    names = None if variants is None else [name.strip() for name in variants.split(",")]
    found = offline.export(recipe, out, signal=recording, variants=names, **options)
    if as_json:
        say(json.dumps(found.to_dict()))
