"""CBraMod: a criss-cross transformer over one-second patches of EEG.

Architecture and key names as published by its authors (Wang et al., *CBraMod: A Criss-Cross Brain
Foundation Model for EEG Decoding*, ICLR 2025; github.com/wjq-learning/CBraMod, MIT). Half of a
patch's features look at the other channels in the same second, half at the other seconds of the
same channel. The mask and the projection of pretraining, and the heads of fine-tuning, are not part
of a chain; nor is dropout.

The published weights were not at hand: layout and arithmetic are held to the authors' code, not to
their file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import FeedForward, attend
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, Layout, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.translate import depth, keep, renamed, strip

NAME = "cbramod"
CARD = card(NAME)

MICROVOLTS = 100.0
"""The published scale: what the model sees is µV / 100."""

PATCH = 200
"""Samples of a patch, which is a second."""

_STEPS = 8  # what the first convolution leaves of a patch
_NEIGHBOURS = (19, 7)  # channels and seconds that the positional convolution sees

# Stored by pretraining or fine-tuning and part of no block.
DROPPED = ("patch_embedding.mask_encoding", "proj_out.", "final_layer.", "classifier.")
_RENAMED = (
    (r"^patch_embedding\.positional_encoding\.0\.", "stem.positions."),
    (r"^patch_embedding\.spectral_proj\.0\.", "stem.spectrum."),
    (r"^patch_embedding\.proj_in\.0\.", "stem.conv1."),
    (r"^patch_embedding\.proj_in\.1\.", "stem.norm1."),
    (r"^patch_embedding\.proj_in\.3\.", "stem.conv2."),
    (r"^patch_embedding\.proj_in\.4\.", "stem.norm2."),
    (r"^patch_embedding\.proj_in\.6\.", "stem.conv3."),
    (r"^patch_embedding\.proj_in\.7\.", "stem.norm3."),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1."),
    (r"\.self_attn_s\.", ".space."),
    (r"\.self_attn_t\.", ".time."),
    (r"\.in_proj_(weight|bias)$", r".qkv.\1"),
    (r"\.out_proj\.", ".out."),
    (r"\.linear1\.", ".mlp.up."),
    (r"\.linear2\.", ".mlp.down."),
)


@dataclass(frozen=True)
class CBraModConfig:
    """Dimensions of a CBraMod.

    Attributes
    ----------
    channels : int
        Electrodes. They have no names here: neighbours in the list are neighbours to the
        positional convolution, so keep the order of the card as far as it goes.
    filters : int
        Temporal filters of the stem, a multiple of 5; the width is 8 times as many.
    blocks, heads : int
        Depth, and attention heads, half of which look across channels: an even number that
        divides the width.
    inner : int
        Width inside the feed-forward parts.
    """

    channels: int = 19
    filters: int = 25
    blocks: int = 12
    heads: int = 8
    inner: int = 800

    def __post_init__(self) -> None:
        for key in ("channels", "filters", "blocks", "heads", "inner"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: a {NAME} needs at least 1")
        if self.filters % 5:
            raise ModelError(f"filters is {self.filters}: their norm has 5 groups, so 5, 10, …")
        if self.heads % 2 or self.width % self.heads:
            raise ModelError(
                f"{self.heads} heads do not do: half of them share half of a width of {self.width}"
            )

    @property
    def width(self) -> int:
        """8 time steps of every filter."""
        return _STEPS * self.filters

    def tokens(self, k: int, samples: int) -> int:
        """A token for every channel and second."""
        seconds, rest = divmod(samples, PATCH)
        if rest or not seconds:
            raise ModelError(
                f"{samples} samples do not fit: {NAME} takes whole seconds of {PATCH} samples"
            )
        return self.channels * seconds

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


@dataclass(frozen=True)
class Grid(Layout):
    """``[batch, channels, seconds, features]``; as tokens, second after second of each channel."""

    channels: int

    def enter(self, tokens: Tensor) -> Tensor:
        """Tokens to the grid."""
        batch, count, features = tokens.shape
        shape = (batch, self.channels, count // self.channels, features)
        return tokens.reshape(shape).contiguous()

    def leave(self, native: Tensor) -> Tensor:
        """Grid to tokens."""
        return native.flatten(1, 2)


class Stem(nn.Module):
    """Every second's shape and spectrum, then its place among channels and seconds."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, config: CBraModConfig) -> None:
        super().__init__()
        filters, width = config.filters, config.width
        self.conv1 = nn.Conv2d(1, filters, (1, 49), stride=(1, 25), padding=(0, 24))
        self.norm1 = nn.GroupNorm(5, filters)
        self.conv2 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(5, filters)
        self.conv3 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(5, filters)
        self.spectrum = nn.Linear(PATCH // 2 + 1, width)
        channels, seconds = _NEIGHBOURS
        self.positions = nn.Conv2d(
            width, width, _NEIGHBOURS, padding=(channels // 2, seconds // 2), groups=width
        )
        # The discrete Fourier transform as two products, which every runtime knows.
        turn = 2 * math.pi / PATCH
        times = torch.arange(PATCH, dtype=torch.float64)[:, None]
        angles = turn * (times * torch.arange(PATCH // 2 + 1, dtype=torch.float64) % PATCH)
        for name, wave in (("cosines", angles.cos()), ("sines", angles.sin())):
            self.register_buffer(name, (wave / PATCH).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, samples]`` in µV to ``[batch, channels, seconds, features]``."""
        batch, channels, samples = x.shape
        seconds = samples // PATCH
        # One image [channels · seconds, 200] a window: the norms span all of its patches.
        patches = (x / MICROVOLTS).reshape(batch, 1, channels * seconds, PATCH)
        h = functional.gelu(self.norm1(self.conv1(patches)))
        h = functional.gelu(self.norm2(self.conv2(h)))
        h = functional.gelu(self.norm3(self.conv3(h)))
        h = h.permute(0, 2, 1, 3).reshape(batch, channels, seconds, -1)  # filter, time step
        waves = torch.stack([patches @ self.cosines, patches @ self.sines])
        amplitude = torch.linalg.vector_norm(waves, dim=0)  # has a gradient at nothing, too
        h = h + self.spectrum(amplitude.reshape(batch, channels, seconds, -1))
        place: Tensor = self.positions(h.permute(0, 3, 1, 2))
        out: Tensor = h + place.permute(0, 2, 3, 1)
        return out


class SelfAttention(nn.Module):
    """Plain self-attention of ``[rows, tokens, features]``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        """``[rows, tokens, features]`` to the same."""
        out: Tensor = self.out(attend(self.qkv(h), self.heads))
        return out


class Block(nn.Module):
    """Pre-norm attention, across channels and across seconds, then a feed-forward part."""

    def __init__(self, config: CBraModConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width)
        self.space = SelfAttention(width // 2, config.heads // 2)
        self.time = SelfAttention(width // 2, config.heads // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width, config.inner)

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, channels, seconds, features]`` to the same."""
        batch, channels, seconds, width = h.shape
        space, time = self.norm1(h).split(width // 2, dim=-1)
        space = space.transpose(1, 2).reshape(batch * seconds, channels, width // 2)
        space = self.space(space).reshape(batch, seconds, channels, width // 2).transpose(1, 2)
        time = self.time(time.reshape(batch * channels, seconds, width // 2))
        time = time.reshape(batch, channels, seconds, width // 2)
        h = h + torch.cat([space, time], dim=-1)
        out: Tensor = h + self.mlp(self.norm2(h))
        return out


def create(**options: Any) -> Chain:
    """Build an untrained CBraMod; options are the fields of `CBraModConfig`."""
    config = configure(CBraModConfig, NAME, options)
    return Chain(
        Stem(config),
        [Block(config) for _ in range(config.blocks)],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
        layout=Grid(config.channels),
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME, wrappers=("state_dict", "model_state_dict", "model"))


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build a CBraMod with the weights of a published file, or of one that `save` wrote.

    What the file's shapes say need not be stated; `channels` must be, where they are not those of
    the card, and `heads`, where they are not 8.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    weights = found.weights if found.config else published(found.weights)
    chain = create(**{**inferred(weights), **options})
    fill(chain, weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`.

    A fine-tuned file has the encoder under ``backbone.`` and its head beside it.
    """
    return renamed(keep(strip(weights, "module."), "backbone."), _RENAMED, dropped=DROPPED)


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes, as far as they tell."""
    found: dict[str, Any] = {}
    if blocks := depth(weights):
        found["blocks"] = blocks
    if (conv := weights.get("stem.conv1.weight")) is not None:
        found["filters"] = conv.shape[0]
    if (up := weights.get("blocks.0.mlp.up.weight")) is not None:
        found["inner"] = up.shape[0]
    return found
