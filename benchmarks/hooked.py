"""The reference's way to train a bridge and to choose its position, as plainly as it can be.

Hooks on both models, both in full at every step, the target twice: once for the teacher, once
with its input at the cut replaced; one pass of both models for every layer whose features are
wanted. Only the benchmarks compare themselves with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from published import BATCH, Direction
from torch import Tensor
from torch.nn import functional

from bioxedge.bridging.positions import Positions, select_positions
from bioxedge.models.chain import Chain

RATE = 1e-4
Step = Callable[[], float]


class Hooked:
    """Both models in full at every step, tapped by hooks."""

    def __init__(self, direction: Direction, source: Chain, target: Chain) -> None:
        self.direction, self.source, self.target = direction, source, target
        self.bridge = direction.bridge(source, target)
        self.adam = torch.optim.Adam(self.bridge.parameters(), lr=RATE)
        self.seen: dict[str, Any] = {}
        cut = direction.source.cut
        tap = source.blocks[cut - 1]
        tap.register_forward_hook(lambda *call: self.seen.update(source=call[-1]))
        last = target.blocks[-1]
        last.register_forward_hook(lambda *call: self.seen.update(last=call[-1]))

    def step(self, source_windows: Tensor, target_windows: Tensor) -> float:
        """Train on one batch; give its loss."""
        self.adam.zero_grad()
        with torch.no_grad():
            self.target(target_windows)
            wanted = self.target.layout.leave(self.seen["last"])
            self.source(source_windows)
            features = self.source.layout.leave(self.seen["source"]).mean(1)
        tokens = self.target.layout.enter(self.bridge(features))
        block = self.target.blocks[self.direction.target.cut]
        handle = block.register_forward_pre_hook(lambda *_: (tokens,))
        self.target(target_windows)
        handle.remove()
        predicted = self.target.layout.leave(self.seen["last"])
        alike = functional.cosine_similarity(predicted.flatten(1), wanted.flatten(1), dim=1)
        loss = (1 - alike).mean()
        loss.backward()
        self.adam.step()
        return loss.item()


def hooked(direction: Direction, *, frozen: bool) -> Step:
    """Make the reference's step on one batch."""
    source, target = direction.source.chain(), direction.target.chain()
    for chain in (source, target):
        chain.requires_grad_(not frozen)
    both = Hooked(direction, source, target)
    windows = direction.source.windows(BATCH, 1), direction.target.windows(BATCH, 2)
    return lambda: both.step(*windows)


def per_layer(
    direction: Direction, pairs: int, labels: np.ndarray
) -> tuple[float, float, Positions]:
    """Choose positions: both models once for every layer of either, and for every batch.

    Returns
    -------
    seconds, spare : float
        Of all, and of the passes of the shallower model that gave nothing new.
    chosen : Positions
    """
    source, target = direction.source.chain(), direction.target.chain()
    windows = direction.source.windows(pairs, 1), direction.target.windows(pairs, 2)
    began, spare = time.perf_counter(), 0.0
    layers = len(source), len(target)
    kept: list[list[list[Tensor]]] = [[[] for _ in range(count)] for count in layers]
    for start in range(0, pairs, BATCH):
        part = slice(start, start + BATCH)
        for layer in range(max(layers)):
            for side, chain in enumerate((source, target)):
                block = chain.blocks[min(layer, len(chain) - 1)]
                seen: list[Any] = []
                handle = block.register_forward_hook(lambda *call, seen=seen: seen.append(call[-1]))
                passing = time.perf_counter()
                with torch.no_grad():
                    chain(windows[side][part])
                handle.remove()
                if layer < len(chain):
                    kept[side][layer].append(chain.layout.leave(seen[0]).mean(1))
                else:
                    spare += time.perf_counter() - passing
    features = [[torch.cat(parts).numpy() for parts in side] for side in kept]
    chosen = select_positions(features[0], features[1], labels)
    return time.perf_counter() - began, spare, chosen
