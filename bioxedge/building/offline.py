"""A bundle from two checkpoints, a bridge and a head: nothing is trained, nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console

from bioxedge import manifest, recipes, recording
from bioxedge.bridging.split import numbers
from bioxedge.building import golden
from bioxedge.building.expect import expectations
from bioxedge.building.loading import Loaded, load
from bioxedge.building.progress import Steps
from bioxedge.building.shipping import Evidence, Shipped, finish, golden_of, simulated_alone
from bioxedge.building.trained import About
from bioxedge.building.variants import Beside
from bioxedge.datasets.choosing import Chosen, choose
from bioxedge.datasets.picking import read_worn, worn_of
from bioxedge.datasets.windowed import stream_of, window_of
from bioxedge.errors import ExportError, RecipeError
from bioxedge.exporting import opset as opsets
from bioxedge.recipes import Recipe
from bioxedge.runtime.verify import LEAST_SPREAD, spread_of

NOT_STATED = "training data not stated"


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes
    ----------
    shipped : Shipped
    remarks : tuple of str
        What is not known of it, for people.
    """

    shipped: Shipped
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        about = self.shipped.bundle.manifest
        return self.shipped.to_dict() | {
            "data": about.made_by.data.name,
            "non_commercial": about.made_by.non_commercial,
            "remarks": list(self.remarks),
        }


def export(
    recipe: str | Path | Recipe,
    out: str | Path,
    *,
    bridge: str | Path,
    head: str | Path,
    data: str | Path | None = None,
    signal: str | Path | None = None,
    variants: Sequence[str] | None = None,
    opset: int = opsets.NEWEST,
    as_published: bool | None = None,
    base: Path | None = None,
    console: Console | None = None,
) -> Exported:
    """Make a bundle without training.

    Parameters
    ----------
    recipe : path or Recipe
    out : path
        The bundle's directory.
    bridge, head : path
        Files of ours (``OUT/trained``), or state dicts of the published code.
    data : path, optional
        Holds the recipe's recordings; golden windows come from them.
    signal : path, optional
        One recording of the source sensor, in their place.
    variants : sequence of str, optional
        In place of the recipe's.
    opset : int, optional
    as_published : bool, optional
        How a bridge to LaBraM from elsewhere lays out its tokens: True where the published code
        trained it, which reshapes; False where it transposes, as ours does.
    base : Path, optional
        What checkpoints are relative to; the recipe's directory.
    console : Console, optional

    Raises
    ------
    BioxedgeError
        Something does not fit; nothing was written.
    """
    opsets.check(opset)
    if not isinstance(recipe, Recipe):
        base = Path(recipe).parent if base is None else base
        recipe = recipes.read(recipe)
    if variants is not None:
        recipe = _with_variants(recipe, variants)
    steps = Steps(console)
    steps.console.print(f"[bold]{recipe.name}[/] → {out}", highlight=False)
    with steps.running("Checkpoints, bridge and head"):
        parts = load(recipe, base or Path(), Path(bridge), Path(head), as_published)
    with steps.running("Golden windows"):
        evidence, whence = evidence_of(parts, data, signal)
    with steps.running("Exported, and proven on golden windows"):
        shipped = finish(parts, evidence, Path(out), opset=opset)
    remarks = (*parts.remarks, whence)
    scales = np.array(shipped.bundle.manifest.scales)
    spread = spread_of(shipped.bundle.golden.answers / scales)
    if spread < LEAST_SPREAD:
        remarks += (
            f"golden windows are hardly told apart (probabilities differ by {spread:.1e}): a "
            "bridge or head of another model, or windows unlike what it was trained on",
        )
    for line in (*shipped.lines(), *(f"  note    {text}" for text in remarks)):
        steps.console.print(line, highlight=False, soft_wrap=True)
    steps.console.print(f"  {shipped.bundle.path}", highlight=False, soft_wrap=True)
    return Exported(shipped, remarks)


def evidence_of(
    parts: Loaded, data: str | Path | None, signal: str | Path | None
) -> tuple[Evidence, str]:
    """Get golden windows, and say in words where they come from."""
    recipe, side, about = parts.recipe, parts.recipe.source, parts.about
    if data is not None and signal is not None:
        raise ExportError("golden windows come from --data or from --recording: name one of them")
    known = recipe.where
    if signal is not None:
        worn = worn_of(recording.load(signal), side.sensor)
        pieces = golden.golden_signal(side, golden.stretches(worn, side), str(signal))
        expect = expectations([worn], side.sensor.input, stream_of(side), window_of(side))
        words = "one recording"
    elif data is not None or simulated_alone(recipe):
        chosen, _ = choose(recipe, None if data is None else Path(data))
        split = _named(about, chosen)
        pieces = golden_of(recipe, chosen, split["pair"])
        measured = (
            read_worn(one.source, side.sensor, one.data.source)
            for one in chosen
            if one.source is not None and one.person in (*split["head"], *split["pair"])
        )
        expect = expectations(measured, side.sensor.input, stream_of(side), window_of(side))
        words = f"recordings of {known}"
        if recipe.golden == "simulated" and not simulated_alone(recipe):
            words = golden.stand_in(side, recipe.seed)[1]
    else:
        made, words = golden.stand_in(side, recipe.seed)
        pieces, expect = golden.golden_signal(side, made, words), ()
    name = NOT_STATED if about is None else about.data
    if about is None or words != f"recordings of {known}":
        name = f"{name}; golden windows: {words}"
    part = manifest.DataPart(
        name=name,
        split={} if about is None else about.split,
        seed=recipe.seed if about is None else about.seed,
    )
    metrics = {} if about is None else about.metrics
    found = Evidence(
        pieces,
        part,
        metrics,
        expect,
        calibration=np.asarray(pieces[1]),
        value=None if about is None else about.value,
        values={
            name: own.about.value
            for name, own in parts.others.items()
            if own.about is not None and own.about.value is not None
        },
        beside=_beside(parts, pieces),
    )
    return found, f"golden windows: {words}"


def _beside(parts: Loaded, pieces: golden.Cuts) -> Beside:
    """Lay out what the graph takes beside golden windows, which serve for all."""
    if parts.features is None or parts.about is None:
        return Beside()
    rows = golden.golden_beside(pieces, parts.recipe.source, parts.features, parts.about.usual)
    return Beside(golden=rows, calibration=rows)


def _named(about: About | None, chosen: Sequence[Chosen]) -> dict[str, tuple[str, ...]]:
    """Say who was in which part: a trained bridge says it by numbers."""
    everyone = tuple(dict.fromkeys(one.person for one in chosen))
    if about is None:
        return dict.fromkeys(("head", "pair"), everyone)
    names = {number: name for name, number in numbers(everyone).items()}
    return {
        role: tuple(names[number] for number in about.split.get(role, ()) if number in names)
        for role in ("head", "pair")
    }


def _with_variants(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """Ask for other variants than the recipe does; ``none`` for none."""
    wanted = tuple(name for name in names if name != "none")
    try:
        made = msgspec.convert(
            {**msgspec.to_builtins(recipe.variants), "make": wanted}, recipes.Variants
        )
    except msgspec.ValidationError as error:
        raise RecipeError(f"--variants {','.join(names)}: {error}") from error
    return msgspec.structs.replace(recipe, variants=made)
