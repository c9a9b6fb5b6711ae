"""A small transformer for ECG, trained by bioxedge itself: the teacher of the recipes.

A pre-norm vision transformer in one dimension (Dosovitskiy et al., ICLR 2021) over
overlapping patches; no class token, no final norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import attend
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read

NAME = "ecg_transformer"
CARD = card(NAME)


@dataclass(frozen=True)
class ECGTransformerConfig:
    """Dimensions of an ECG transformer.

    Attributes
    ----------
    samples : int
        Input samples: the learned positions are made for that many and no other.
    channels : int
        Input channels.
    patch : int
        Samples from one token to the next; a token sees twice as many.
    width, blocks, heads : int
        Features at every cut, depth, and attention heads, which divide the width.
    mlp : int
        Width of the feed-forward part, in multiples of `width`.
    dropout : float
        On both branches, in training.
    """

    samples: int = 1250
    channels: int = 1
    patch: int = 20
    width: int = 64
    blocks: int = 4
    heads: int = 4
    mlp: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for key in ("samples", "channels", "patch", "width", "blocks", "heads", "mlp"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: an {NAME} needs at least 1")
        if self.width % self.heads:
            raise ModelError(f"{self.heads} heads do not divide a width of {self.width}")
        if self.patch % 2:
            raise ModelError(f"patch is {self.patch}: half of it is padding, so make it even")
        if self.samples < self.patch:
            raise ModelError(f"{self.samples} samples do not fill a patch of {self.patch}")
        if not 0 <= self.dropout < 1:
            raise ModelError(f"dropout is {self.dropout}: it must be in [0, 1)")

    def tokens(self, k: int, samples: int) -> int:
        """One for each full patch, at every cut."""
        if samples != self.samples:
            raise ModelError(
                f"{samples} samples do not fit: this {NAME} was created for {self.samples}; "
                f"create another with samples={samples}"
            )
        return samples // self.patch

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


class Stem(nn.Module):
    """Overlapping patches and learned positions."""

    def __init__(self, config: ECGTransformerConfig) -> None:
        super().__init__()
        # Twice the stride and half of it as padding on both sides: samples // patch tokens.
        self.conv = nn.Conv1d(
            config.channels,
            config.width,
            2 * config.patch,
            stride=config.patch,
            padding=config.patch // 2,
        )
        tokens = config.samples // config.patch
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, config.width))

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, samples]`` to ``[batch, tokens, features]``."""
        h: Tensor = self.conv(x)
        return h.transpose(1, 2) + self.positions


class Block(nn.Module):
    """Pre-norm attention, then a feed-forward part, each added to what came in."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, mlp * width)
        self.down = nn.Linear(mlp * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        h = h + self.dropout(self.out(attend(self.qkv(self.norm1(h)), self.heads)))
        out: Tensor = h + self.dropout(self.down(functional.gelu(self.up(self.norm2(h)))))
        return out


def create(**options: Any) -> Chain:
    """Build an untrained ECG transformer; options are those of `ECGTransformerConfig`."""
    config = configure(ECGTransformerConfig, NAME, options)
    return Chain(
        Stem(config),
        [
            Block(config.width, config.heads, config.mlp, config.dropout)
            for _ in range(config.blocks)
        ],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME)


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build an ECG transformer with the weights of a file that `save` wrote."""
    found = stored(checkpoint)
    chain = create(**agreed(found, options, source=str(checkpoint)))
    fill(chain, found.weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()
