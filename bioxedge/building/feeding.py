"""Open both models and hold them to the recipe, before anything is computed.

What the recipe feeds them is held against what their published weights were fed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from bioxedge import dsp, models, units
from bioxedge.errors import ModelError, RecipeError
from bioxedge.models import cards, checkpoint, licences
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Side
from bioxedge.spec import Scale

UNKNOWN = "0" * 64
"""In place of a sha256 that whoever wrote a recipe did not have: the file is taken as it is."""


def options_of(side: Side) -> dict[str, Any]:
    """Give what `create` or `load` is told: the recipe's dimensions, and the sensor's channels."""
    options: dict[str, Any] = dict(side.model.config)
    channels = dsp.Stages(side.streamed, side.sensor.input).channels
    by_name = models.card(side.model.name).contract.by_name
    if by_name:
        options.setdefault(by_name, channels)
    elif len(channels) > 1 and models.takes(side.model.name, "channels"):
        options.setdefault("channels", len(channels))
    return options


def opened(recipe: Recipe, base: Path, missing: Collection[str] = ()) -> dict[str, Chain]:
    """Load what is published, make shapes of what will be trained, and hold both to the recipe.

    Parameters
    ----------
    recipe : Recipe
    base : Path
        What checkpoints are relative to.
    missing : collection of str
        Sides whose weights are not at hand: of them there are only shapes, and what they are fed
        is held to their card all the same.

    Returns
    -------
    dict of str to Chain
        ``source`` and ``target`` where they are published, frozen.

    Raises
    ------
    ModelError
        A checkpoint that is not the recipe's, or does not fit.
    RecipeError
        A cut or a window length that a model does not have, or another rate, unit or window
        stage than published weights were trained with; always with the path of the key.
    """
    found = {}
    for name in ("source", "target"):
        side: Side = getattr(recipe, name)
        if side.model.checkpoint == "pretrain" or name in missing:
            if name in missing:
                _hold(side, f"$.{name}")
            with torch.device("meta"):  # shapes need no numbers
                chain = models.create(side.model.name, **options_of(side))
        else:
            chain = found[name] = _loaded(side, base)
            wanted = side.model
            if not checkpoint.ours(base / wanted.checkpoint):
                _hold(side, f"$.{name}")
            if cards.own(wanted.name):  # whose card is known only here
                licences.check_card(
                    models.card(wanted.name),
                    wanted.licence,
                    wanted.non_commercial,
                    f"$.{name}.model.licence",
                )
        _fit(recipe, name, chain)
    return found


def _loaded(side: Side, base: Path) -> Chain:
    """Load a published model, and hold its file to the recipe's hash."""
    wanted = side.model
    if wanted.checkpoint == "pip:openecg":
        return models.load(wanted.name, wanted.checkpoint).freeze()
    path = base / wanted.checkpoint
    if not path.exists():
        raise ModelError(not_there(side, base))
    found = checkpoint.sha256(path)
    if wanted.sha256 not in (found, UNKNOWN):
        raise ModelError(
            f"{path} has sha256 {found}, the recipe says {wanted.sha256}: get the file that the "
            "recipe was written for, or correct the recipe if you trust this one"
        )
    return models.load(wanted.name, path, **options_of(side)).freeze()


def not_there(side: Side, base: Path) -> str:
    """Say in a line that a side's weights are not there, and where to get them."""
    path, name = base / side.model.checkpoint, side.model.name
    if cards.own(name):
        return f"{path} is not there: give the path of {name}'s weights"
    about = cards.card(name)
    return f"{path} is not there ({about.title}, {about.licence}): {about.origin}"


def taken(recipe: Recipe, opened: Mapping[str, Chain]) -> list[str]:
    """Say which weights were taken as they are, and what they are: a line each."""
    return [
        f"  {side.model.checkpoint} is taken as it is: write its sha256 into the recipe, "
        f"{opened[name].sha256}"
        for name, side in (("source", recipe.source), ("target", recipe.target))
        if side.model.sha256 == UNKNOWN and name in opened
    ]


def _fit(recipe: Recipe, name: str, chain: Chain) -> None:
    """Hold channels, window length and cut to a model."""
    side: Side = getattr(recipe, name)
    if name == "target":
        _lead(chain)
    cut = getattr(recipe.bridge, f"{name}_cut")
    if isinstance(cut, int) and not 0 <= cut <= len(chain):
        raise RecipeError(
            f"there is no cut {cut}: the model has cuts 0 to {len(chain)} - "
            f"at `$.bridge.{name}_cut`"
        )
    channels = len(dsp.Stages(side.streamed, side.sensor.input).channels)
    if channels != chain.channels:
        raise RecipeError(
            f"{channels} channels are streamed, this {chain.name} takes {chain.channels} - "
            f"at `$.{name}.sensor.channel`"
        )
    try:
        chain.cut(len(chain), side.length)
    except ModelError as error:
        raise RecipeError(f"{error} - at `$.{name}.length`") from error


def _lead(target: Chain) -> None:
    """Refuse a target whose blocks cannot go on from tokens."""
    why = target.layout.tailless()
    if why is None and not models.card(target.name).target:
        why = "its card says so"
    if why is not None:
        raise RecipeError(
            f"{target.name} serves as a source only: {why} - at `$.target.model.name`"
        )


def _hold(side: Side, place: str) -> None:
    """Hold what is streamed to what the published weights were trained with."""
    model, sensor = side.model.name, side.sensor
    contract = models.card(model).contract
    streamed = dsp.Stages(side.streamed, sensor.input).rate
    if contract.rate and not math.isclose(streamed, contract.rate, rel_tol=1e-9):
        raise RecipeError(
            f"{model} was trained at {contract.rate:g} Hz, {streamed:g} Hz are streamed: "
            f'resample, or write stages = "model" - at `{place}.stages`'
        )
    if contract.then and not side.then:
        raise RecipeError(
            f"{model} was trained on standardised or ranked windows: write "
            f'then = "model" - at `{place}.then`'
        )
    scaled = any(isinstance(stage, Scale) for stage in side.stages)
    others = [unit for unit in sensor.units if not units.same(unit, "uV")]
    if contract.unit == "uV" and others and not scaled:
        raise RecipeError(
            f"{model} takes microvolts (uV), the sensor gives {others[0]}: add a scale stage - "
            f"at `{place}.sensor.unit`"
        )
