"""PaPaGei-S: a one-dimensional residual network for PPG.

Architecture and key names as published by its authors (Pillai et al., *PaPaGei: Open
Foundation Models for Optical Physiological Signals*, ICLR 2025; weights at
zenodo.org/records/13983110, BSD-3-Clause). The classifier and expert heads are not part of
a chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.cards import card
from bioxedge.models.chain import FEATURES_FIRST, Chain, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.translate import depth, renamed, strip

NAME = "papagei"
CARD = card(NAME)

# Stored in the published file, part of no block: the heads, and a norm that is never run.
DROPPED = (
    "final_bn.",
    "dense.",
    "expert_layers_1.",
    "expert_layers_2.",
    "gating_network_1.",
    "gating_network_2.",
    "basicblock_list.0.bn1.",
)
# Counts training steps; files from before PyTorch 0.4.1 have none.
OPTIONAL = ("num_batches_tracked",)
_RENAMED = (
    (r"^first_block_conv\.conv\.", "stem.conv."),
    (r"^first_block_bn\.", "stem.norm."),
    (r"^basicblock_list\.(\d+)\.bn([12])\.", r"blocks.\1.norm\2."),
    (r"^basicblock_list\.(\d+)\.conv([12])\.conv\.", r"blocks.\1.conv\2."),
)


@dataclass(frozen=True)
class PaPaGeiConfig:
    """Dimensions of a PaPaGei.

    Attributes
    ----------
    channels : int
        Input channels.
    base_filters : int
        Features of the stem; they double at blocks 4, 8, 12, 16.
    blocks : int
        Residual blocks; time halves, rounded up, at every odd one.
    kernel : int
        Length of every convolution, in samples.
    """

    channels: int = 1
    base_filters: int = 32
    blocks: int = 18
    kernel: int = 3

    def __post_init__(self) -> None:
        for key in ("channels", "base_filters", "blocks", "kernel"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: a {NAME} needs at least 1")

    def tokens(self, k: int, samples: int) -> int:
        """Half of the samples, rounded up, for every odd block before cut `k`."""
        for _ in range(k // 2):
            samples = -(-samples // 2)
        return samples

    def features(self, k: int) -> int:
        """Twice as many after every fourth block."""
        return int(self.base_filters * 2 ** (max(k - 1, 0) // 4))


class SameConv(nn.Conv1d):
    """Convolution to ceil(n / stride) samples; an odd zero of padding goes to the right."""

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, in, n]`` to ``[batch, out, ceil(n / stride)]``."""
        n, stride, kernel = x.shape[-1], self.stride[0], self.kernel_size[0]
        pad = max(0, (-(-n // stride) - 1) * stride + kernel - n)
        return super().forward(functional.pad(x, (pad // 2, pad - pad // 2)))


class Stem(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, channels: int, features: int, kernel: int) -> None:
        super().__init__()
        self.conv = SameConv(channels, features, kernel)
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, samples]`` to ``[batch, features, samples]``."""
        return functional.relu(self.norm(self.conv(x)))


class Block(nn.Module):
    """Pre-activation residual block: (norm, ReLU, conv) twice; the stride is on the first."""

    def __init__(self, inner: int, outer: int, kernel: int, *, activate: bool, halve: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm1d(inner) if activate else None
        self.conv1 = SameConv(inner, outer, kernel, stride=2 if halve else 1)
        self.norm2 = nn.BatchNorm1d(outer)
        self.conv2 = SameConv(outer, outer, kernel)
        self.halve = halve
        self.wider = outer - inner

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, inner, n]`` to ``[batch, outer, n or ceil(n / 2)]``."""
        r = h if self.norm1 is None else functional.relu(self.norm1(h))
        r = self.conv2(functional.relu(self.norm2(self.conv1(r))))
        if self.halve:
            # The zero on the right stands in for the partner of an odd last sample.
            h = functional.max_pool1d(functional.pad(h, (0, 1)), 2)
        if self.wider:
            h = functional.pad(h, (0, 0, self.wider // 2, self.wider - self.wider // 2))
        out: Tensor = h + r
        return out


def create(**options: Any) -> Chain:
    """Build an untrained PaPaGei; options are the fields of `PaPaGeiConfig`."""
    config = configure(PaPaGeiConfig, NAME, options)
    return Chain(
        Stem(config.channels, config.base_filters, config.kernel),
        [
            Block(
                config.features(k),
                config.features(k + 1),
                config.kernel,
                activate=k > 0,
                halve=k % 2 == 1,
            )
            for k in range(config.blocks)
        ],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
        layout=FEATURES_FIRST,
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME, wrappers=("state_dict", "model_state_dict"))


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build a PaPaGei with the weights of a published file, or of one that `save` wrote.

    What the file's shapes say need not be stated.
    """
    found = stored(checkpoint)
    weights = found.weights if found.config else published(found.weights)
    options = agreed(found, options, source=str(checkpoint))
    chain = create(**{**inferred(weights), **options})
    fill(chain, weights, source=str(checkpoint), optional=OPTIONAL)
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`."""
    return renamed(strip(weights, "module."), _RENAMED, dropped=DROPPED)


def inferred(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the dimensions off the shapes, as far as they tell."""
    found = {"blocks": blocks} if (blocks := depth(weights)) else {}
    if "stem.conv.weight" in weights and weights["stem.conv.weight"].ndim == 3:
        found["base_filters"], found["channels"], found["kernel"] = weights[
            "stem.conv.weight"
        ].shape
    return found
