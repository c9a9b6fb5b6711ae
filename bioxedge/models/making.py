"""Chains of models that somebody brings: made, filled and measured."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bioxedge.errors import BioxedgeError, ModelError
from bioxedge.models.cards import NOT_STATED
from bioxedge.models.chain import TOKENS, Chain, Cut, Layout
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.own import Own, said
from bioxedge.models.translate import strip

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts put the weights."""
OPTIONAL = ("num_batches_tracked",)
_OTHERS = ("torch", "transformers", "bioxedge", "builtins")


class Measured:
    """Dimensions of a chain, found by passing shapes through its modules.

    Parameters
    ----------
    stem : Module
    blocks : sequence of Module
    channels : int
    samples : int
        A length that the model takes; features must not depend on it.
    layout : Layout

    Raises
    ------
    ModelError
        The modules do not take it, or do not give the layout.
    """

    def __init__(
        self, stem: nn.Module, blocks: list[nn.Module], channels: int, samples: int, layout: Layout
    ) -> None:
        self.channels = channels
        self.blocks = len(blocks)
        self._layout = layout
        self._hollow = _hollow(nn.ModuleList([stem, *blocks]))
        self._known: dict[int, tuple[Cut, ...]] = {}
        self._features = [cut.features for cut in self._cuts(samples)]

    def tokens(self, k: int, samples: int) -> int:
        """Tokens at cut `k`; ModelError if the modules do not take so many samples."""
        return self._cuts(samples)[k].tokens

    def features(self, k: int) -> int:
        """Features at cut `k`."""
        return self._features[k]

    def _cuts(self, samples: int) -> tuple[Cut, ...]:
        if samples not in self._known:
            found = self._passed(samples)
            features = [cut.features for cut in found]
            if self._known and features != self._features:
                raise ModelError(
                    f"{samples} samples give {features} features at the cuts, others "
                    f"{self._features}: features must not depend on the length of a window"
                )
            self._known[samples] = found
        return self._known[samples]

    def _passed(self, samples: int) -> tuple[Cut, ...]:
        """Pass a batch of two without numbers."""
        place = f"a batch of 2 windows of {self.channels} channels and {samples} samples"
        found = []
        with torch.device("meta"), torch.no_grad():
            h: Any = torch.zeros(2, self.channels, samples)
            for k, module in enumerate(self._hollow):
                where = f"block {k - 1}" if k else "the stem"
                try:
                    h = self._layout.settle(module(h))
                    shape = tuple(self._layout.leave(h).shape)
                except Exception as error:  # whatever somebody's module raises
                    raise ModelError(f"{place} do not pass {where}: {said(error)}") from error
                if len(shape) != 3 or shape[0] != 2 or 0 in shape:
                    raise ModelError(
                        f"{place} leave {where} as {list(shape)}: [batch, tokens, features] is "
                        "wanted, or a layout that leads there"
                    )
                found.append(Cut(shape[1], shape[2]))
        return tuple(found)


def _hollow(modules: nn.ModuleList) -> nn.ModuleList:
    """Copy modules without their numbers, so that a slice keeps no weights that it does not use."""
    memo: dict[int, Any] = {}
    for tensor in (*modules.parameters(), *modules.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = (
            nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
        )
    return copy.deepcopy(modules, memo).eval()


def chain_of(
    stem: nn.Module,
    blocks: Iterable[nn.Module],
    *,
    samples: int,
    channels: int = 1,
    layout: Layout = TOKENS,
) -> Chain:
    """Make a chain of modules; what stands at its cuts is found by passing shapes through them.

    Parameters
    ----------
    stem : Module
        ``[batch, channels, samples]`` to the layout of the blocks.
    blocks : iterable of Module
        Each gives the layout that the next one takes; one tensor, nothing beside it.
    samples : int
        A length that the model takes; others are tried when they are asked for.
    channels : int
    layout : Layout
        ``TOKENS``, ``FEATURES_FIRST``, or one of your own (:mod:`bioxedge.models.chain`).

    Raises
    ------
    ModelError
        Modules that do not fit each other.
    """
    listed = list(blocks)
    if not listed:
        raise ModelError("a chain without blocks cannot be cut: give at least one")
    return Chain(
        stem, listed, config=Measured(stem, listed, channels, samples, layout), layout=layout
    )


def create(own: Own, options: dict[str, Any]) -> Chain:
    """Call somebody's function, and hold what it gives to what a chain is.

    Raises
    ------
    ModelError
        An option that it does not take, anything that it raises, or no whole chain.
    """
    stated = own.stated(options)
    try:
        chain = own.factory(**options)
    except BioxedgeError:
        raise
    except Exception as error:  # whatever somebody's function raises
        raise ModelError(f"{own.name} cannot be made with {options}: {said(error)}") from error
    if not isinstance(chain, Chain):
        raise ModelError(
            f"{own.name} gives {type(chain).__name__}, not a chain: return "
            "bioxedge.models.chain_of(stem, blocks, samples=...)"
        )
    if chain.stem is None or chain.first or len(chain) != chain.whole:
        raise ModelError(f"{own.name} gives {chain.extra_repr()}: return the whole chain, uncut")
    chain.name, chain.stated, chain.code = own.name, stated, _code(own, chain)
    if chain.origin == NOT_STATED:
        chain.origin = own.card.origin
    if chain.licence == NOT_STATED:
        chain.licence = own.card.licence
    return chain


def stored(own: Own, path: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(path, name=own.name, wrappers=WRAPPERS)


def load(own: Own, path: str | Path, options: dict[str, Any]) -> Chain:
    """Make a chain and fill it, strictly, from a checkpoint of its authors or of `save`."""
    found = stored(own, path)
    options = agreed(found, options, source=str(path))
    chain = create(own, options)
    weights = found.weights if found.config is not None else _renamed(own, found.weights)
    fill(chain, weights, source=str(path), optional=OPTIONAL)
    chain.sha256 = found.sha256
    return chain.eval()


def _renamed(own: Own, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a checkpoint's keys the chain's names, as somebody's function says."""
    bare = strip(weights, "module.")
    if own.keys is None:
        return bare
    ours: dict[str, Tensor] = {}
    for key, value in bare.items():
        try:
            name = own.keys(key)
        except Exception as error:  # whatever somebody's function raises
            raise ModelError(f"{own.name} cannot rename the key {key}: {said(error)}") from error
        if name in ours:
            raise ModelError(f"{own.name} gives two keys the name {name}; one of them is {key}")
        if name is not None:
            ours[name] = value
    return ours


def _code(own: Own, chain: Chain) -> str:
    """Hash the files that say what a chain computes, so that editing them shows."""
    modules = {own.factory.__module__, *(type(each).__module__ for each in chain.modules())}
    digest = hashlib.sha256()
    for name in sorted(each for each in modules if each.partition(".")[0] not in _OTHERS):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and Path(file).is_file():
            digest.update(name.encode() + Path(file).read_bytes())
    return digest.hexdigest()
