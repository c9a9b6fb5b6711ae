"""Where everything in a bundle comes from, for its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Protocol

from bioxedge import __version__, manifest, models
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration
from bioxedge.bridging.head import Head
from bioxedge.bridging.train import trained_parameters
from bioxedge.models import licences
from bioxedge.models.chain import Chain
from bioxedge.recipes import Model, Recipe
from bioxedge.spec import FeaturesSpec

PRETRAINED = "pretrained by bioxedge for this bundle"


class Parts(Protocol):
    """What a bundle is made of, learnt here or read from files."""

    @property
    def recipe(self) -> Recipe:
        """The choices behind it."""

    @property
    def source(self) -> Chain:
        """The whole source encoder."""

    @property
    def target(self) -> Chain:
        """The whole target model."""

    @property
    def source_cut(self) -> int:
        """Where the source ends."""

    @property
    def target_cut(self) -> int:
        """Where the target goes on."""

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""

    @property
    def bridge(self) -> PrototypeBridge:
        """Between them."""

    @property
    def head(self) -> Head:
        """The task layer."""

    @property
    def calibration(self) -> Calibration:
        """What is done to the logits."""

    @property
    def features(self) -> FeaturesSpec | None:
        """What goes into the bridge, where that is not the encoder's features alone."""

    @property
    def others(self) -> Mapping[str, Parts]:
        """The same parts with the head of each further task, by its name."""


def made_by(
    parts: Parts, data: manifest.DataPart, metrics: dict[str, dict[str, float]]
) -> manifest.MadeBy:
    """State where everything comes from.

    Parameters
    ----------
    parts : Parts
    data : manifest.DataPart
        What was learnt from, as far as it is known.
    metrics : dict
        What was measured on people who were held out; empty where nothing was.
    """
    recipe, bridge = parts.recipe, parts.bridge
    sides = (
        ("source", parts.source, recipe.source.model),
        ("target", parts.target, recipe.target.model),
    )
    stated = [licence(side, chain, model) for side, chain, model in sides]
    stated += _data_licences(recipe)
    return manifest.MadeBy(
        bioxedge=__version__,
        versions={name: version(name) for name in ("torch", "onnx", "numpy", "scipy")},
        source=_part(parts.source, parts.source_cut, recipe.source.model),
        target=_part(parts.target, parts.target_cut, recipe.target.model),
        bridge=manifest.BridgePart(
            in_features=bridge.in_features,
            out_features=bridge.out_features,
            tokens=bridge.tokens,
            rank=bridge.rank,
            prototypes=len(bridge.prototypes),
            trained_parameters=trained_parameters(bridge),
        ),
        data=data,
        metrics=metrics,
        licences=tuple(stated),
        non_commercial=any(each.non_commercial for each in stated),
    )


def licence(side: str, chain: Chain, wanted: Model) -> manifest.Licence:
    """State the licence of one model's weights.

    A model's card and the recipe may say different things; then the stricter one holds, and both
    are named.
    """
    if wanted.checkpoint == "pretrain":
        return manifest.Licence(part=side, licence=f"{PRETRAINED}, from the data")
    said = wanted.licence or chain.licence
    published = models.card(chain.name)
    if published.non_commercial and not wanted.non_commercial and said != published.licence:
        said = f"{published.licence} (as published); the recipe says: {said}"
    return manifest.Licence(
        part=side,
        licence=said,
        non_commercial=licences.restricts(published, said, wanted.non_commercial),
    )


def _data_licences(recipe: Recipe) -> list[manifest.Licence]:
    """State the licence of each data set, and of a head that came from outside."""
    used = recipe.used
    found = [
        manifest.Licence(
            part="data" if len(used) == 1 else f"data: {data.name}",
            licence=data.licence,
            non_commercial=data.non_commercial or licences.forbids(data.licence) is True,
        )
        for data in used
    ]
    if recipe.ready is not None:
        ready = recipe.ready
        found.append(
            manifest.Licence(
                part="head",
                licence=ready.licence,
                non_commercial=ready.non_commercial or licences.forbids(ready.licence) is True,
            )
        )
    return found


def identity(chain: Chain, wanted: Model) -> str:
    """Hash a model: its file, or its weights where they were trained here."""
    if wanted.checkpoint == "pretrain" or chain.sha256 is None:
        return weights_sha256(chain)
    return chain.sha256


def weights_sha256(module: Chain | Head) -> str:
    """Hash weights that have no file of their own."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _part(chain: Chain, cut: int, wanted: Model) -> manifest.ModelPart:
    """Describe one model."""
    return manifest.ModelPart(
        model=chain.name,
        cut=cut,
        blocks=len(chain),
        checkpoint=wanted.checkpoint if wanted.checkpoint != "pretrain" else PRETRAINED,
        checkpoint_sha256=identity(chain, wanted),
        parameters=sum(parameter.numel() for parameter in chain.parameters()),
    )
