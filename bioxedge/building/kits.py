"""A recipe's kit: the parts of both its models, for the device that is to time them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from bioxedge import models, profilefile, recipes
from bioxedge.building.budget import Device, fits
from bioxedge.building.feeding import opened, options_of
from bioxedge.building.progress import Steps
from bioxedge.exporting.blocks import plan_of, write_kit
from bioxedge.kit import Kit, Plan
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe


def kit(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    changes: Sequence[str] = (),
) -> Kit:
    """Write the kit of a recipe's models to ``out/kit``; nothing is trained and none is read.

    Parameters
    ----------
    recipe : path
    out : path
        Gets ``kit/``.
    changes : sequence of str
        ``key=value`` each, in place of what the recipe says.
    data, seed, compute
        Not used: neither recordings nor weights change what a part costs.
    console : Console, optional
        Where progress is shown; standard error if left out.

    Raises
    ------
    BioxedgeError
        The recipe, a checkpoint or the export do not hold.
    """
    recipe = Path(recipe)
    wanted = recipes.read(recipe, changes)
    chains = whole(wanted, opened(wanted, recipe.parent))
    steps = Steps(console)
    with steps.running("Both models cut into parts, each distinct one exported") as report:
        made = write_kit(
            Path(out) / "kit", plan(wanted, chains), chains["source"], chains["target"], report
        )
    steps.console.print(f"  {made.path}", highlight=False)
    return made


def device(
    recipe: Recipe,
    opened: Mapping[str, Chain],
    *,
    profile: Path,
    budget_ms: float | None = None,
    threads: int | None = None,
    provider: str | None = None,
    engine: str | None = None,
) -> Device:
    """Read what a device measured, and hold it to a recipe.

    Parameters
    ----------
    recipe : Recipe
    opened : mapping of str to Chain
        What :func:`bioxedge.building.feeding.opened` gave for it.
    profile : Path
        What ``bioxedge profile`` wrote.
    budget_ms : float, optional
        For one window.
    threads, provider
        Which of the measured settings; the first if left out.
    engine : str, optional
        The device's version of ONNX Runtime, if it is not this machine's.

    Raises
    ------
    BundleError
        No profile, one of another model or engine, or a setting that was not measured.
    """
    found = profilefile.read(profile)
    fits(found, plan(recipe, whole(recipe, opened)), engine)
    return Device(found, found.run(threads, provider), budget_ms)


def whole(recipe: Recipe, opened: Mapping[str, Chain]) -> dict[str, Chain]:
    """Give both models: as they were opened, or, where one is yet to be trained, its shapes."""
    found = dict(opened)
    for name in ("source", "target"):
        if name not in found:
            side: recipes.Side = getattr(recipe, name)
            with torch.device("meta"):  # shapes need no numbers
                found[name] = models.create(side.model.name, **options_of(side))
    return found


def plan(recipe: Recipe, chains: Mapping[str, Chain]) -> Plan:
    """Say what of a recipe decides what its places cost."""
    return plan_of(
        chains["source"],
        recipe.source.length,
        chains["target"],
        recipe.target.length,
        rank=recipe.bridge.rank,
        prototypes=recipe.bridge.prototypes,
        classes=recipe.task.answers,
        straight=recipe.bridge.target_cut == "head",
    )
