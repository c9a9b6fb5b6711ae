"""The parts of a bundle, read from files and held to the recipe and to each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from bioxedge import classic
from bioxedge.bridging import foreign
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration
from bioxedge.bridging.head import Head
from bioxedge.building import trained
from bioxedge.building.feeding import opened
from bioxedge.building.provenance import identity, weights_sha256
from bioxedge.building.trained import About
from bioxedge.errors import ExportError, ModelError, RecipeError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.recipes import Other, Recipe
from bioxedge.spec import FeaturesSpec

RESHAPES = ("labram",)
"""Targets whose bridged tokens the published code reshapes where it should transpose."""


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
    others: dict[str, Loaded] = field(default_factory=dict)

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]

    @property
    def features(self) -> FeaturesSpec | None:
        """What goes into the bridge, where that is not the encoder's features alone."""
        return None if self.about is None else self.about.features


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
    if about is None and not (recipe.source.plain and recipe.target.plain):
        raise RecipeError(
            f"{bridge} comes from elsewhere and knows its encoder's features alone: leave classic "
            "and baseline out - at `$.source`"
        )
    if about is not None:
        shape, features = _with_features(recipe, about, shape, features, bridge)
    layer = foreign.head_of(task.weights, features, recipe.task.answers, source=str(head))
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
    found = Loaded(recipe, source, target, i, j, span, layer, calibration, about, remarks)
    return replace(found, others={one.name: _other(found, one, head) for one in recipe.others})


def _other(first: Loaded, task: Other, head: Path) -> Loaded:
    """Read a further task's head, which a build leaves beside the first one's."""
    recipe, about, place = first.recipe.of(task), first.about, trained.head_beside(head, task.name)
    if about is None or task.name not in about.others:
        raise RecipeError(
            f"the bridge was calibrated to no task {task.name}: a build of this recipe leaves what "
            "is needed in OUT/trained; or leave it out of $.others"
        )
    stated = about.of(task.name)
    _hold_labels(recipe, stated, place)
    width, given = first.head.linear.in_features, foreign.read_weights(place, "head")
    layer = foreign.head_of(given.weights, width, recipe.task.answers, source=str(place))
    if weights_sha256(layer) != stated.head:
        raise ModelError(
            f"{place} is not the head that the bridge was calibrated to for {task.name}: take both "
            "from one build"
        )
    return replace(first, recipe=recipe, head=layer, calibration=stated.calibration, about=stated)


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


def _with_features(
    recipe: Recipe, about: About, shape: foreign.Shape, last: int, path: Path
) -> tuple[foreign.Shape, int]:
    """Widen what cuts want by what stands beside the encoders' features; also the head's width."""
    made = about.features
    if recipe.source.plain != (made is None) or (
        made is not None and bool(recipe.source.classic) != bool(made.classic)
    ):
        raise RecipeError(
            f"{path} was trained {'with' if made else 'without'} classic features or a baseline of "
            "its source: let the recipe say the same - at `$.source`"
        )
    if made is not None and recipe.source.breathing != classic.breathes(made.classic):
        own = "the sensor's own features" if recipe.source.breathing else "features of breathing"
        raise RecipeError(
            f"{path} was trained with {own}: let the recipe say the same - at `$.source.classic`"
        )
    if made is not None:
        shape = replace(shape, in_features=shape.in_features + len(made.classic))
    if recipe.target.classic:
        last += len(recipe.target.described)
        shape = replace(shape, out_features=last)
    return shape, last


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
    _hold_labels(recipe, about, path)
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


def _hold_labels(recipe: Recipe, about: About, path: Path) -> None:
    """Hold the recipe's labels to those of training."""
    if about.labels != recipe.task.labels:
        raise RecipeError(
            f"{path} was trained for {', '.join(about.labels)}, the recipe says "
            f"{', '.join(recipe.task.labels)} - at `$.task.labels`"
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
    return Calibration(1.0, (0.0,) * recipe.task.answers)
