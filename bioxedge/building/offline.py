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
from bioxedge.bridging import foreign
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration
from bioxedge.bridging.head import Head
from bioxedge.building import golden, trained
from bioxedge.building.expect import expectations
from bioxedge.building.feeding import opened
from bioxedge.building.prepare import recordings
from bioxedge.building.progress import Steps
from bioxedge.building.provenance import identity, weights_sha256
from bioxedge.building.ship import Evidence, Shipped, expected_of, finish, golden_of
from bioxedge.building.trained import About
from bioxedge.datasets.windowed import as_worn, stream_of, window_of
from bioxedge.errors import ExportError, ModelError, RecipeError
from bioxedge.exporting import opset as opsets
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe

RESHAPES = ("labram",)
"""Targets whose bridged tokens the published code reshapes where it should transpose."""
NOT_STATED = "training data not stated"


@dataclass(frozen=True)
class Loaded:
    """All parts of a bundle, read from files; see :class:`bioxedge.building.provenance.Parts`."""

    recipe: Recipe
    source: Chain
    target: Chain
    source_cut: int
    target_cut: int
    bridge: PrototypeBridge
    head: Head
    calibration: Calibration
    about: About | None
    remarks: tuple[str, ...] = ()

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]


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
        return {
            "bundle": str(self.shipped.bundle.path),
            "bytes": {name: part.bytes for name, part in about.model.items()},
            "opset": about.variant().opset,
            "parts": {name: vars(size) for name, size in self.shipped.sizes.items()},
            "proofs": {name: proof.to_dict() for name, proof in self.shipped.proofs.items()},
            "refused": self.shipped.refused,
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
    for line in (*shipped.lines(), *(f"  note    {text}" for text in remarks)):
        steps.console.print(line, highlight=False, soft_wrap=True)
    steps.console.print(f"  {shipped.bundle.path}", highlight=False, soft_wrap=True)
    return Exported(shipped, remarks)


def load(
    recipe: Recipe, base: Path, bridge: Path, head: Path, as_published: bool | None = None
) -> Loaded:
    """Read all parts and hold them to the recipe and to each other; see `export`."""
    # The two small files first: they are read in no time, checkpoints are not.
    weights, task = foreign.read_weights(bridge, "bridge"), foreign.read_weights(head, "head")
    about = trained.about_of(weights, bridge)
    recipe = _with_cuts(recipe, about, bridge)
    chains = opened(_with_encoders(recipe, bridge), base)
    source, target = chains["source"], chains["target"]
    i, j = _cuts(recipe, len(target))
    remarks: tuple[str, ...] = ()
    shape = _shape(recipe, source, target)
    features = target.config.features(target.last)
    layer = foreign.head_of(task.weights, features, len(recipe.task.labels), source=str(head))
    if about is None:
        reshaped = _reshaped(recipe, bridge, as_published)
        span = foreign.bridge_of(weights.weights, shape, source=str(bridge), as_published=reshaped)
        calibration = _uncalibrated(recipe)
        remarks = ("neither calibrated nor measured here: the bridge comes from elsewhere",)
    else:
        _hold(recipe, about, source, target, shape, bridge, as_published)
        span = trained.bridge_from(weights, about, bridge)
        calibration = about.calibration
        if weights_sha256(layer) != about.head:
            about = msgspec.structs.replace(about, metrics={})
            calibration = _uncalibrated(recipe)
            remarks = ("another head than the bridge was calibrated to: neither calibrated nor "
                       "measured",)  # fmt: skip
    return Loaded(recipe, source, target, i, j, span, layer, calibration, about, remarks)


def evidence_of(
    parts: Loaded, data: str | Path | None, signal: str | Path | None
) -> tuple[Evidence, str]:
    """Get golden windows, and say in words where they come from."""
    recipe, side, about = parts.recipe, parts.recipe.source, parts.about
    if data is not None and signal is not None:
        raise ExportError("golden windows come from --data or from --recording: name one of them")
    known = recipe.data.folder or recipe.data.dataset
    if signal is not None:
        worn = as_worn(recording.load(signal), side.sensor)
        pieces = golden.golden_signal(side, golden.stretches(worn, side), str(signal))
        expect = expectations([worn], side.sensor.input, stream_of(side), window_of(side))
        words = "one recording"
    elif data is not None or recipe.data.dataset == "simulated":
        pairs = recordings(recipe, None if data is None else Path(data))[0]()
        split = {} if about is None else about.split
        everyone = tuple(dict.fromkeys(pair.person for pair in pairs))
        pieces = golden_of(side, pairs, split.get("pair", everyone))
        expect = expected_of(side, pairs, (*split.get("head", everyone), *split.get("pair", ())))
        words = f"recordings of {known}"
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
    found = Evidence(pieces, part, metrics, expect, calibration=np.asarray(pieces[1]))
    return found, f"golden windows: {words}"


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


def _with_cuts(recipe: Recipe, about: About | None, path: Path) -> Recipe:
    """Fill in cuts that a recipe leaves to training; hold those that it names to the bridge's."""
    given = recipe.bridge
    if about is None:
        if "auto" in (given.source_cut, given.target_cut):
            raise RecipeError(
                f"{path} does not say between which cuts it was trained: write them as numbers - "
                "at `$.bridge.source_cut` and `$.bridge.target_cut`"
            )
        return recipe
    changes: dict[str, Any] = {"rank": about.rank, "prototypes": about.prototypes}
    for side in ("source", "target"):
        said, held = getattr(given, f"{side}_cut"), getattr(about, f"{side}_cut")
        if said == "auto":
            changes[f"{side}_cut"] = held
        elif said not in ("head", held):
            raise RecipeError(
                f"{path} was trained for {side} cut {held}, the recipe says {said}: take the "
                f"bridge that belongs to it, or correct `$.bridge.{side}_cut`"
            )
    return msgspec.structs.replace(recipe, bridge=msgspec.structs.replace(given, **changes))


def _with_encoders(recipe: Recipe, bridge: Path) -> Recipe:
    """Put the files beside a bridge in the place of encoders that were pretrained with it."""
    for side in ("source", "target"):
        about = getattr(recipe, side)
        if about.model.checkpoint != "pretrain":
            continue
        place = trained.encoder_beside(bridge, side).absolute()
        if not place.is_file():
            raise ModelError(
                f"{place} is not there: the recipe pretrains its {side} encoder, which a build "
                f"leaves beside bridge.pt; or name a checkpoint at `$.{side}.model.checkpoint`"
            )
        model = msgspec.structs.replace(
            about.model, checkpoint=str(place), sha256=checkpoint.sha256(place), licence="own"
        )
        changed = msgspec.structs.replace(about, model=model)
        recipe = msgspec.structs.replace(recipe, **{side: changed})
    return recipe


def _cuts(recipe: Recipe, last: int) -> tuple[int, int]:
    """Give both cuts as numbers."""
    i, j = recipe.bridge.source_cut, recipe.bridge.target_cut
    assert isinstance(i, int) and j != "auto"
    return i, last if j == "head" else j


def _shape(recipe: Recipe, source: Chain, target: Chain) -> foreign.Shape:
    """Say what both cuts want of a bridge."""
    i, j = _cuts(recipe, len(target))
    cut = target.cut(j, recipe.target.length)
    return foreign.Shape(
        in_features=source.cut(i, recipe.source.length).features,
        tokens=1 if recipe.bridge.target_cut == "head" else cut.tokens,
        out_features=cut.features,
        rank=recipe.bridge.rank,
        prototypes=recipe.bridge.prototypes,
    )


def _hold(
    recipe: Recipe,
    about: About,
    source: Chain,
    target: Chain,
    shape: foreign.Shape,
    path: Path,
    as_published: bool | None,
) -> None:
    """Hold a bridge of ours to the models and cuts that it is put between."""
    if as_published:
        raise ExportError(f"{path} was trained here, which transposes: leave --as-published out")
    if about.labels != recipe.task.labels:
        raise RecipeError(
            f"{path} was trained for {', '.join(about.labels)}, the recipe says "
            f"{', '.join(recipe.task.labels)} - at `$.task.labels`"
        )
    stated = foreign.Shape(
        about.in_features, about.tokens, about.out_features, about.rank, about.prototypes
    )
    if stated != shape:
        raise ModelError(
            f"{path} leads from {stated.in_features} features to {stated.tokens} tokens of "
            f"{stated.out_features}; these cuts want {shape.in_features} to {shape.tokens} of "
            f"{shape.out_features}: correct the cuts and windows, or take the bridge of this recipe"
        )
    for side, chain in (("source", source), ("target", target)):
        found = identity(chain, getattr(recipe, side).model)
        if found != getattr(about, side):
            raise ModelError(
                f"{path} was trained with a {side} {chain.name} of sha256 "
                f"{getattr(about, side)[:16]}…, this one has {found[:16]}…: a bridge serves the "
                "weights that it was trained between; take those, or train again"
            )


def _reshaped(recipe: Recipe, path: Path, as_published: bool | None) -> bool:
    """Decide how a bridge from elsewhere lays out its tokens."""
    if recipe.target.model.name not in RESHAPES or recipe.bridge.target_cut == "head":
        return False
    if as_published is None:
        raise ExportError(
            f"{path} comes from elsewhere and leads to {recipe.target.model.name}, whose tokens "
            "the published code reshapes where it should transpose: say --as-published where "
            "that code trained it, --transposed where another did"
        )
    return as_published


def _uncalibrated(recipe: Recipe) -> Calibration:
    """Leave the logits as they are."""
    return Calibration(1.0, (0.0,) * len(recipe.task.labels))
