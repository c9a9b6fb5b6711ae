"""What a build trained, as files of its own: ``OUT/trained``, which `bioxedge export` reads.

``bridge.pt`` and ``head.pt`` are what ``torch.save`` wrote and are read with ``weights_only``:
a state dict under ``bridge`` (``A``, ``B``, ``prototypes``, and ``mean`` and ``std`` where the
source's feature is standardised) or ``head`` (``linear.weight``, ``linear.bias``); the number of
this layout under ``bioxedge``; and under ``about`` what :class:`About` holds. An encoder that was
pretrained here stands beside them as ``source.safetensors`` or ``target.safetensors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from bioxedge import manifest
from bioxedge.bridging import room
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration
from bioxedge.building.describing import value_of
from bioxedge.building.golden import usual_scale
from bioxedge.building.learnt import Learnt
from bioxedge.building.provenance import identity, weights_sha256
from bioxedge.building.shipping import AnyScore, Further, metrics_of, numbered_split
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.spec import Count, FeaturesSpec, Positive, Rate, Struct

FORMAT = 1
BRIDGE, HEAD = "bridge.pt", "head.pt"


class OtherAbout(Struct, frozen=True):
    """What belongs to a further task's head: its hash, calibration and what it tells."""

    head: str
    temperature: Rate
    bias: tuple[float, ...]
    labels: tuple[str, ...]
    value: manifest.Value | None = None


class About(Struct, frozen=True):
    """What a trained bridge says of itself.

    ``source``, ``target`` and ``head`` are SHA-256 of what it was trained between: a file's, or
    that of weights trained here. ``temperature`` and ``bias`` are its calibration to that head.
    ``features`` says what goes into it, where that is not its encoder's alone, and ``usual`` what a
    wearer's baseline was in the middle. ``others`` are further tasks, by name.
    """

    source_cut: Count
    target_cut: Count
    in_features: Positive
    out_features: Positive
    tokens: Positive
    rank: Positive
    prototypes: Positive
    standardised: bool
    source: str
    target: str
    head: str
    temperature: Rate
    bias: tuple[float, ...]
    labels: tuple[str, ...]
    data: str
    split: dict[str, tuple[str, ...]]
    seed: Count
    metrics: dict[str, dict[str, float]]
    value: manifest.Value | None = None
    features: FeaturesSpec | None = None
    usual: tuple[float, ...] = ()
    others: dict[str, OtherAbout] = msgspec.field(default_factory=dict)

    def of(self, name: str) -> About:
        """Give what would be said of a further task by itself."""
        own = self.others[name]
        facts = {key: getattr(own, key) for key in OtherAbout.__struct_fields__}
        return msgspec.structs.replace(self, **facts, others={})

    @property
    def calibration(self) -> Calibration:
        """What is done to the logits."""
        return Calibration(self.temperature, self.bias)


def save(
    learnt: Learnt, scores: Sequence[AnyScore], folder: Path, others: Further | None = None
) -> list[Path]:
    """Write what was trained.

    Parameters
    ----------
    learnt : Learnt
    scores : sequence of Score or ValueScore
        Stand in ``about``, so that a later export can state them.
    folder : Path
        Made if need be.
    others : mapping, optional
        Scores of further tasks, by name.

    Returns
    -------
    list of Path
        ``bridge.pt``, ``head.pt``, one ``head-NAME.pt`` a further task, and the encoders that were
        pretrained here.
    """
    with room.told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    recipe, bridge, prepared = learnt.recipe, learnt.bridge, learnt.prepared
    usual: tuple[float, ...] = ()
    if learnt.features is not None:
        given = learnt.seen.adapted["source"].at(learnt.source_cut).beside
        usual = usual_scale(learnt.features, given[prepared.of("pair")])
    about = About(
        source_cut=learnt.source_cut,
        target_cut=learnt.target_cut,
        in_features=bridge.in_features,
        out_features=bridge.out_features,
        tokens=bridge.tokens,
        rank=bridge.rank,
        prototypes=len(bridge.prototypes),
        standardised=bridge.mean is not None,
        source=identity(learnt.source, recipe.source.model),
        target=identity(learnt.target, recipe.target.model),
        head=weights_sha256(learnt.head),
        temperature=learnt.calibration.temperature,
        bias=tuple(learnt.calibration.bias),
        labels=recipe.task.labels,
        data=recipe.where,
        split=numbered_split(prepared.people, prepared.windows.sessions),
        seed=recipe.seed,
        metrics=metrics_of(learnt, scores, others),
        value=value_of(learnt),
        features=learnt.features,
        usual=usual,
        others={name: _other(own) for name, own in learnt.others.items()},
    )
    facts = msgspec.to_builtins(about, builtin_types=(tuple,))
    _put(folder / BRIDGE, {"bridge": bridge.state_dict(), "about": facts})
    _put(folder / HEAD, {"head": learnt.head.state_dict(), "about": {"labels": about.labels}})
    written = [folder / BRIDGE, folder / HEAD]
    for name, own in learnt.others.items():
        written.append(head_beside(folder / HEAD, name))
        labels = {"labels": own.recipe.task.labels}
        _put(written[-1], {"head": own.head.state_dict(), "about": labels})
    for side in ("source", "target"):
        if getattr(recipe, side).model.checkpoint == "pretrain":
            place = encoder_beside(folder / BRIDGE, side)
            partial = place.with_name(f"partial-{place.name}")
            try:
                with room.told(place):
                    checkpoint.save(getattr(learnt, side), partial)
                    partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
            written.append(place)
    return written


def _other(own: Learnt) -> OtherAbout:
    """Describe a further task's head."""
    return OtherAbout(
        head=weights_sha256(own.head),
        temperature=own.calibration.temperature,
        bias=tuple(own.calibration.bias),
        labels=own.recipe.task.labels,
        value=value_of(own),
    )


def head_beside(head: Path, name: str) -> Path:
    """Say where a further task's head lies, beside the first one's."""
    return head.with_name(f"{head.stem}-{name}{head.suffix}")


def encoder_beside(bridge: Path, side: str) -> Path:
    """Say where an encoder lies that was pretrained with a bridge."""
    return bridge.parent / f"{side}.safetensors"


def about_of(found: checkpoint.Checkpoint, path: Path) -> About | None:
    """Read what a bridge says of itself; None where it is not one of ours.

    Raises
    ------
    ModelError
        It says something that cannot be.
    """
    number = found.beside.get("bioxedge")
    if number is None:
        return None
    if number != FORMAT:
        raise ModelError(f"{path} has layout {number!r}, this bioxedge reads {FORMAT}: update it")
    try:
        return msgspec.convert(found.beside.get("about"), About)
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} is damaged: {error}; build it again") from error


def bridge_from(found: checkpoint.Checkpoint, about: About, path: Path) -> PrototypeBridge:
    """Make the bridge again, bitwise.

    Raises
    ------
    ModelError
        Weights that are not of the shapes that it states.
    """
    sizes = {
        "A": (about.rank, about.in_features),
        "B": (about.prototypes * about.tokens, about.rank),
        "prototypes": (about.prototypes, about.out_features),
    }
    for name, size in sizes.items():  # before anything of a stated size is made
        held = found.weights.get(name)
        if held is None or tuple(held.shape) != size:
            raise ModelError(
                f"{path} is damaged: {name} is {None if held is None else list(held.shape)}, it "
                f"says {list(size)}; build it again"
            )
    spread = None
    if about.standardised:
        spread = torch.zeros(about.in_features), torch.ones(about.in_features)
    bridge = PrototypeBridge(
        about.in_features,
        about.out_features,
        about.tokens,
        about.rank,
        about.prototypes,
        standardise=spread,
        seed=0,
    )
    checkpoint.fill(bridge, found.weights, source=str(path))
    return bridge.requires_grad_(False).eval()


def _put(path: Path, content: dict[str, Any]) -> None:
    """Write a file in one step."""
    partial = path.with_name(f"{path.name}.partial")
    room.save({"bioxedge": FORMAT, **content}, partial)
    partial.replace(path)
