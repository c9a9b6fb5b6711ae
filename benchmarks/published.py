"""The six published directions: models, cuts, ranks and prototypes, at full size.

Sizes and settings: Li et al., *BioX-Bridge*, ICLR 2026 (arXiv 2510.02276). Weights are random:
what is measured with them is speed, memory and agreement, never how good an answer is. A
direction reads target → source: the target's model knows the task, the source's sensor is worn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging import PrototypeBridge
from bioxedge.models.chain import Chain

BATCH = 16
ISRUC = ("F3", "C3", "O1", "F4", "C4", "O2")


@dataclass(frozen=True)
class Side:
    """One model and its window."""

    name: str
    samples: int
    cut: int
    options: dict[str, Any]

    def chain(self) -> Chain:
        """Make the model with random weights, frozen."""
        torch.manual_seed(0)
        return models.create(self.name, **self.options).freeze()

    def windows(self, count: int, seed: int) -> Tensor:
        """Draw windows of noise in the model's unit."""
        channels = models.card(self.name).contract.by_name
        number = len(self.options[channels]) if channels else self.options.get("channels", 1)
        generator = torch.Generator().manual_seed(seed)
        size = 30.0 if models.card(self.name).contract.unit == "uV" else 1.0
        return size * torch.randn(count, number, self.samples, generator=generator)


@dataclass(frozen=True)
class Direction:
    """A target, a source and the bridge between them."""

    name: str
    source: Side
    target: Side
    rank: int
    prototypes: int
    parameters: int

    def bridge(self, source: Chain, target: Chain) -> PrototypeBridge:
        """Make the bridge, with B small and not zero so that every gradient is one."""
        tokens, features = target.cut(self.target.cut, self.target.samples)
        return PrototypeBridge(
            source.cut(self.source.cut, self.source.samples).features,
            features,
            tokens,
            self.rank,
            self.prototypes,
            b_std=1e-2,
            seed=0,
        )


def _labram(seconds: int, cut: int) -> Side:
    options = {"electrodes": ISRUC, "seconds": seconds, "positions": False}
    return Side("labram", 200 * seconds, cut, options)


def _hubert(seconds: int, cut: int) -> Side:
    return Side("hubert_ecg", 100 * seconds, cut, {})


PPG = {"base_filters": 32, "blocks": 18}
EMG = {"channels": 3}

DIRECTIONS = (
    Direction("WESAD PPG→ECG", _hubert(60, 8), Side("papagei", 7500, 11, PPG), 32, 50, 398_784),
    Direction("WESAD ECG→PPG", Side("papagei", 7500, 5, PPG), _hubert(60, 2), 8, 150, 188_912),
    Direction("ISRUC EEG→ECG", _hubert(30, 8), _labram(30, 2), 32, 300, 1_813_984),
    Direction("ISRUC ECG→EEG", _labram(30, 12), _hubert(30, 0), 4, 200, 140_000),
    Direction("FOG EEG→EMG", Side("normwear", 390, 4, EMG), _labram(3, 11), 256, 200, 1_209_408),
    Direction("FOG EMG→EEG", _labram(3, 7), Side("normwear", 390, 10, EMG), 8, 50, 712_000),
)
