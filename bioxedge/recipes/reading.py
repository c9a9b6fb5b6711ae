"""From a TOML file to a recipe, strictly: every slip is one line that names the path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bioxedge.errors import ModelError, RecipeError
from bioxedge.models.cards import card
from bioxedge.recipes.checks import check
from bioxedge.recipes.parts import Side
from bioxedge.recipes.presets import PAPER
from bioxedge.recipes.recipe import Recipe

_PART = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|\d+")


def read(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : path
        A TOML file.
    changes : sequence of str
        ``key=value`` each, in place of what the file says or beside it: ``bridge.rank=4``,
        ``pairs.0.folder="night"``. A value is read as TOML, and as text where it is none.

    Raises
    ------
    RecipeError
        No such file, not TOML, an unknown or missing key, or choices that contradict each
        other; always with the path of the key.
    """
    path = Path(path)
    try:
        written: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
        for change in changes:
            _put(written, change)
        recipe = msgspec.convert(_preset(written), Recipe)
    except FileNotFoundError as error:
        raise RecipeError(f"{path} is not there: bioxedge new writes one to start from") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        at_root = isinstance(error, msgspec.ValidationError) and " - at `" not in str(error)
        raise RecipeError(f"{path}: {error}{' - at `$`' if at_root else ''}") from error
    try:
        recipe = _resolved(recipe)
        check(recipe)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def _put(written: dict[str, Any], change: str) -> None:
    """Set one key of what was written."""
    key, equals, text = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(_PART.fullmatch(part) for part in parts):
        raise RecipeError(f"--set {change}: write key=value, such as bridge.rank=4")
    try:
        value = msgspec.toml.decode(f"value = {text}")["value"]
    except (msgspec.MsgspecError, ValueError):
        value = text.strip()
    place: Any = written
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(place, list):
            if not part.isdigit() or int(part) >= len(place):
                raise RecipeError(
                    f"--set {change}: {'.'.join(parts[:number])} has the numbers 0 to "
                    f"{len(place) - 1}, not {part}"
                )
            if last:
                place[int(part)] = value
            place = place[int(part)]
        elif isinstance(place, dict):
            if last:
                place[part] = value
            else:
                place = place.setdefault(part, {})
        else:
            raise RecipeError(
                f"--set {change}: {'.'.join(parts[:number])} is a value, nothing lies below it"
            )


def _preset(written: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the named preset gives for what was left out."""
    if written.get("preset") != "paper":
        return written
    filled = dict(written)
    for name, given in PAPER.items():
        own = written.get(name, {})
        if isinstance(own, dict):
            filled[name] = {**given, **own}
    return filled


def _resolved(recipe: Recipe) -> Recipe:
    """Write out what a recipe leaves to its models."""
    for side in ("source", "target"):
        about: Side = getattr(recipe, side)
        try:
            contract = card(about.model.name).contract
        except ModelError as error:
            raise RecipeError(f"{error} - at `$.{side}.model.name`") from error
        if "model" not in (about.stages, about.then):
            continue
        try:
            stages, then = contract.streaming(about.sensor.rate)
        except ModelError as error:
            raise RecipeError(f"{error} - at `$.{side}.stages`") from error
        changes: dict[str, Any] = {"stages": stages} if about.stages == "model" else {}
        changes |= {"then": then} if about.then == "model" else {}
        changed = msgspec.structs.replace(about, **changes)
        recipe = msgspec.structs.replace(recipe, **{side: changed})
    return recipe
