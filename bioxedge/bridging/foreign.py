"""Bridges and heads that were trained elsewhere: known by their shapes, never by their names.

The code that Li et al. published with *BioX-Bridge* (ICLR 2026) saves the state dict of a bridge
as three matrices: prototypes ``[P, features]`` and two low-rank factors ``[rank, in]`` and
``[P · tokens, rank]``; and a task layer as ``[classes, features]`` with a bias ``[classes]``. What
they are called there is not relied on: both cuts and the recipe fix every size, so shapes tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.head import Head
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint

WRAPPERS = ("state_dict", "model_state_dict", "model", "bridge", "head")
"""Keys under which a training script may put the weights."""


@dataclass(frozen=True)
class Shape:
    """What two cuts and a recipe want of a bridge.

    Attributes
    ----------
    in_features : int
        At the source's cut.
    tokens, out_features : int
        At the target's cut.
    rank, prototypes : int
        As the recipe says.
    """

    in_features: int
    tokens: int
    out_features: int
    rank: int
    prototypes: int

    @property
    def tensors(self) -> dict[str, tuple[int, int]]:
        """The three matrices by our names."""
        return {
            "prototypes": (self.prototypes, self.out_features),
            "A": (self.rank, self.in_features),
            "B": (self.prototypes * self.tokens, self.rank),
        }


class AsPublished(PrototypeBridge):
    """A bridge whose ``[features, tokens]`` is *reshaped* to ``[tokens, features]``.

    The published code does so where LaBraM is the target; a bridge that was trained that way
    answers rightly only if it is run that way. Ours transposes.
    """

    def forward(self, z: Tensor) -> Tensor:
        """``[batch, in_features]`` to ``[batch, tokens, out_features]``."""
        tokens = super().forward(z)
        return tokens.transpose(1, 2).reshape(-1, self.tokens, self.out_features)

    def fold(self) -> AsPublished:
        """Give an equal bridge; the published ones have no standardisation to fold."""
        same = AsPublished(
            self.in_features, self.out_features, self.tokens, self.rank, self.prototypes, seed=0
        )
        same.load_state_dict(self.state_dict())
        return same.to(self.A.device).train(self.training)


def read_weights(path: str | Path, what: str) -> checkpoint.Checkpoint:
    """Read a file of weights without running anything it may carry.

    Parameters
    ----------
    path : path
        ``.safetensors``, or a file of `torch.save`.
    what : str
        ``bridge`` or ``head``.

    Raises
    ------
    ModelError
        Missing, damaged, more than weights, or weights that are not finite.
    """
    found = checkpoint.read(path, name=what, wrappers=WRAPPERS)
    bad = [key for key, value in found.weights.items() if not value.isfinite().all()]
    if bad:
        raise ModelError(f"{path}: {', '.join(bad)} is not finite; its training went wrong")
    return found


def bridge_of(
    weights: Mapping[str, Tensor], wanted: Shape, *, source: str, as_published: bool
) -> PrototypeBridge:
    """Make a bridge of a state dict from elsewhere.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Exactly the three matrices, under any names, with or without ``module.`` before them.
    wanted : Shape
    source : str
        What to call the file in an error.
    as_published : bool
        Reshape instead of transpose; see :class:`AsPublished`.

    Raises
    ------
    ModelError
        Tensors too many or too few, or shapes that fit nothing or two things.
    """
    named = _bare(weights)
    sizes = wanted.tensors
    seen = ", ".join(f"{key} {list(value.shape)}" for key, value in named.items()) or "nothing"
    asked = ", ".join(f"{key} {list(size)}" for key, size in sizes.items())
    if len(named) != len(sizes):
        raise ModelError(
            f"{source} holds {len(named)} tensors ({seen[:300]}): a bridge here is {asked} and "
            "nothing else; save the bridge's state dict alone"
        )
    fits = [
        dict(zip(sizes, keys, strict=True))
        for keys in permutations(named)
        if all(
            tuple(named[key].shape) == sizes[name] for name, key in zip(sizes, keys, strict=True)
        )
    ]
    if len(fits) > 1:  # two matrices of one shape: only then do names count
        fits = [each for each in fits if _speaks(each)] or fits
    if not fits:
        raise ModelError(
            f"{source} holds {seen}: between these cuts a bridge is {asked}; correct the cuts, "
            "rank and prototypes at `$.bridge` or take the bridge that was trained for them"
        )
    if len(fits) > 1:
        raise ModelError(
            f"{source} holds {seen}: two of them have one shape and no telling name; rename its "
            "keys to prototypes, A and B"
        )
    kind = AsPublished if as_published else PrototypeBridge
    bridge = kind(
        wanted.in_features,
        wanted.out_features,
        wanted.tokens,
        wanted.rank,
        named[fits[0]["prototypes"]].float(),
        seed=0,
    )
    with torch.no_grad():
        bridge.A.copy_(named[fits[0]["A"]])
        bridge.B.copy_(named[fits[0]["B"]])
    bridge.requires_grad_(False).eval()
    return bridge


def head_of(weights: Mapping[str, Tensor], features: int, classes: int, *, source: str) -> Head:
    """Make a head of a linear layer's state dict.

    Parameters
    ----------
    weights : mapping of str to Tensor
        ``[classes, features]`` and, if there is one, a bias ``[classes]``, under any names.
    features : int
        Of the target's last block.
    classes : int
        As many as the recipe has labels.
    source : str
        What to call the file in an error.

    Raises
    ------
    ModelError
        Other tensors than these.
    """
    named = _bare(weights)
    matrices = [value for value in named.values() if tuple(value.shape) == (classes, features)]
    biases = [value for value in named.values() if tuple(value.shape) == (classes,)]
    if len(matrices) != 1 or len(matrices) + len(biases) != len(named) or len(biases) > 1:
        seen = ", ".join(f"{key} {list(value.shape)}" for key, value in named.items()) or "nothing"
        raise ModelError(
            f"{source} holds {seen[:300]}: a head for {classes} labels on this target is one "
            f"linear layer, [{classes}, {features}] and [{classes}]; correct `$.task.labels` or "
            "take the head that was trained for them"
        )
    head = Head(features, classes)
    with torch.no_grad():
        head.linear.weight.copy_(matrices[0])
        head.linear.bias.copy_(biases[0] if biases else torch.zeros(classes))
    return head.requires_grad_(False).eval()


def head_in(
    weights: Mapping[str, Tensor],
    features: int,
    classes: int,
    *,
    source: str,
    between: Collection[str] = (),
) -> Head:
    """Find the head among all weights of a classifier, by its shape.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Encoder and head, under any names.
    features : int
        Of the target's last block.
    classes : int
        As many as the recipe has labels; 1 for a value.
    source : str
        What to call the file in an error.
    between : collection of str
        Beginnings of what this model's authors run between the last block and the head.

    Raises
    ------
    ModelError
        No layer of that shape or several that could be meant, or one that does not read the token
        mean alone: a layer before it, a norm, or similarities in the place of a product.
    """
    named = _bare(weights)
    wanted = (classes, features)
    fits = [
        key
        for key, value in named.items()
        if tuple(value.shape) == wanted and "embedding" not in key.lower()
    ]
    if len(fits) > 1:  # as in an encoder of as many features: only then do names count
        fits = [key for key in fits if _HEAD.search(key) and not _BLOCK.search(key)] or fits
    if len(fits) != 1:
        layers = [
            f"{key} {list(value.shape)}"
            for key, value in named.items()
            if value.ndim == 2 and not _BLOCK.search(key)
        ]
        what = f"{len(fits)} layers" if fits else "no layer"
        raise ModelError(
            f"{source} holds {what} of {list(wanted)}, which a head for {classes} answers on this "
            f"target is; outside its blocks it holds {', '.join(layers[-12:]) or 'none'}: correct "
            "`$.task.labels`, or save the head's weight and bias to a file of their own and name "
            "that at `$.teacher[0].head`"
        )
    (key,) = fits
    _hold_alone(named, key, source, between)
    bias = named.get(key.removesuffix("weight") + "bias", torch.zeros(classes))
    return head_of({"weight": named[key], "bias": bias}, features, classes, source=source)


def _hold_alone(
    named: Mapping[str, Tensor], key: str, source: str, between: Collection[str]
) -> None:
    """Refuse a layer that reads something else than the mean of the last block's tokens."""
    before = [each for each in named if each.rpartition(".")[0].endswith(tuple(between or "\0"))]
    place = _NUMBERED.fullmatch(key)
    if place is not None:
        before += [
            each
            for each, value in named.items()
            if each != key
            and (other := _NUMBERED.fullmatch(each)) is not None
            and other[1] == place[1]
            and value.ndim >= 2
        ]
    if before:
        raise ModelError(
            f"{source}: its head {key} does not read the mean of the last block's tokens, but what "
            f"{', '.join(before[:4])} makes of it: a head here is one linear layer; train one on "
            "labelled recordings"
        )


_HEAD = re.compile(r"(^|\.)(head|classifier|classification_head|fc|dense|proj|output)(\.|$)")
_BLOCK = re.compile(r"(^|\.)\w*(blocks?|layers?|stages?|resblocks|block_list)\w*\.\d+\.")
_NUMBERED = re.compile(r"(.+)\.\d+\.weight")


def _bare(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what wrappers put before every name."""
    return {key.removeprefix("module."): value for key, value in weights.items()}


def _speaks(names: Mapping[str, str]) -> bool:
    """Tell whether a file's name for the prototypes says that it is them."""
    others = [key.lower() for name, key in names.items() if name != "prototypes"]
    return "proto" in names["prototypes"].lower() and not any("proto" in key for key in others)
