"""LaBraM: a transformer over one-second patches of named EEG electrodes.

Architecture and key names as published by its authors (Jiang, Zhao and Lu, *Large Brain Model
for Learning Generic Representations with Tremendous EEG Data in BCI*, ICLR 2024). The final
norm and the heads are not part of a chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import FeedForward, attention, split_heads
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.translate import depth, keep, renamed

NAME = "labram"
CARD = card(NAME)

MICROVOLTS = 100.0
"""The published scale: what the model sees is µV / 100."""

# The authors' list (``standard_1020``): an electrode's row in the position table is its index
# plus one, row 0 is the class token's.
_ROWS = (
    "FP1 FPZ FP2",
    "AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10",
    "F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10",
    "FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10",
    "T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10",
    "TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10",
    "P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10",
    "PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6 PO8 PO10",
    "O1 OZ O2 O9 CB1 CB2 IZ O10 T3 T5 T4 T6 M1 M2 A1 A2",
    "CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7 CFC8",
    "CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8",
    "T1 T2 FTT9H TTP7H TPP9H FTT10H TPP8H TPP10H",
    "FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2",
)
ELECTRODES = tuple(name for row in _ROWS for name in row.split())
# Listed by the authors, but beyond the 128 rows of their table.
BEYOND = ("FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2")

# Stored by pretraining or fine-tuning and part of no block.
DROPPED = ("mask_token", "lm_head.", "norm.", "fc_norm.", "head.", "rel_pos_bias.")
_RENAMED = (
    (r"^patch_embed\.(conv|norm)", r"stem.\1"),
    (r"^cls_token$", "stem.token"),
    (r"^pos_embed$", "stem.positions"),
    (r"^time_embed$", "stem.times"),
    (r"^(blocks\.\d+)\.attn\.", r"\1."),
    (r"^(blocks\.\d+)\.mlp\.fc1\.", r"\1.mlp.up."),
    (r"^(blocks\.\d+)\.mlp\.fc2\.", r"\1.mlp.down."),
)


@dataclass(frozen=True)
class LaBraMConfig:
    """Dimensions of a LaBraM.

    Attributes
    ----------
    electrodes : tuple of str
        The input channels by name (10-20 system, any case), in the order of the samples.
    filters : int
        Temporal filters of the stem, a multiple of 4; the width is 25 times as many.
    blocks, heads : int
        Depth, and attention heads, which divide the width.
    inner : int
        Width inside the feed-forward parts.
    seconds : int
        Rows of the time table: the longest window. A checkpoint's table is stretched to it,
        linearly, where it has fewer rows.
    positions : bool
        Tell electrodes apart by their row in the position table. The published bridging
        experiments do not.
    scaled : bool
        Both branches of a block carry a learnt scale for each feature.
    """

    electrodes: tuple[str, ...] = ("F3", "C3", "O1", "F4", "C4", "O2")
    filters: int = 8
    blocks: int = 12
    heads: int = 10
    inner: int = 800
    seconds: int = 16
    positions: bool = True
    scaled: bool = True

    def __post_init__(self) -> None:
        names = tuple(str(name).upper() for name in self.electrodes)
        object.__setattr__(self, "electrodes", names)
        rows(names)
        for key in ("filters", "blocks", "heads", "inner", "seconds"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: a {NAME} needs at least 1")
        if self.filters % 4:
            raise ModelError(f"filters is {self.filters}: their norm has 4 groups, so 4, 8, …")
        if self.width % self.heads:
            raise ModelError(f"{self.heads} heads do not divide a width of {self.width}")

    @property
    def channels(self) -> int:
        """One for each electrode."""
        return len(self.electrodes)

    @property
    def width(self) -> int:
        """25 time steps of every filter."""
        return 25 * self.filters

    def tokens(self, k: int, samples: int) -> int:
        """Class token, then a token for every electrode and second."""
        seconds, rest = divmod(samples, 200)
        if rest or not 1 <= seconds <= self.seconds:
            raise ModelError(
                f"{samples} samples do not fit: {NAME} takes 1 to {self.seconds} whole seconds "
                f"of 200 samples" + ("" if rest else f"; create or load it with seconds={seconds}")
            )
        return 1 + self.channels * seconds

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


def rows(electrodes: tuple[str, ...]) -> list[int]:
    """Rows of the position table; ModelError for a name that has none, or one given twice."""
    if not electrodes:
        raise ModelError(f"no electrodes: name the channels of the EEG, {', '.join(_KNOWN)} …")
    beyond = [name for name in electrodes if name in BEYOND]
    unknown = [name for name in electrodes if name not in ELECTRODES and name not in BEYOND]
    if beyond or unknown:
        raise ModelError(
            f"{NAME} knows no electrode {', '.join(unknown + beyond)}: name them as in the 10-20 "
            f"system ({', '.join(_KNOWN)} …)"
            + (f"; its table ends before {BEYOND[0]}" if beyond else "")
        )
    if len(set(electrodes)) < len(electrodes):
        raise ModelError(f"an electrode is named twice: {', '.join(electrodes)}")
    return [ELECTRODES.index(name) + 1 for name in electrodes]


_KNOWN = ("FP1", "F3", "CZ", "O1")  # a few, for messages


class Stem(nn.Module):
    """Temporal convolutions on every second, a class token, time and electrode embeddings."""

    index: Tensor

    def __init__(self, config: LaBraMConfig) -> None:
        super().__init__()
        filters, width = config.filters, config.width
        self.conv1 = nn.Conv2d(1, filters, (1, 15), stride=(1, 8), padding=(0, 7))
        self.norm1 = nn.GroupNorm(4, filters)
        self.conv2 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(4, filters)
        self.conv3 = nn.Conv2d(filters, filters, (1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(4, filters)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.times = nn.Parameter(0.02 * torch.randn(1, config.seconds, width))
        self.positions = (
            nn.Parameter(0.02 * torch.randn(1, 1 + len(ELECTRODES), width))
            if config.positions
            else None
        )
        index = torch.tensor([0, *rows(config.electrodes)])
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, electrodes, samples]`` in µV to ``[batch, tokens, features]``."""
        batch, electrodes, samples = x.shape
        seconds = samples // 200
        # One image [electrodes · seconds, 200] a window: the norms span all of its patches.
        h = (x / MICROVOLTS).reshape(batch, 1, electrodes * seconds, 200)
        h = functional.gelu(self.norm1(self.conv1(h)))
        h = functional.gelu(self.norm2(self.conv2(h)))
        h = functional.gelu(self.norm3(self.conv3(h)))
        h = h.permute(0, 2, 3, 1).reshape(batch, electrodes, seconds, -1)  # time step, filter
        h = h + self.times[:, None, :seconds]
        token = self.token.expand(batch, -1, -1)
        if self.positions is not None:
            chosen = self.positions[:, self.index]
            token = token + chosen[:, :1]
            h = h + chosen[:, 1:, None]
        return torch.cat([token, h.flatten(1, 2)], dim=1)


class Block(nn.Module):
    """Pre-norm attention with normed queries and keys, then a feed-forward part."""

    def __init__(self, config: LaBraMConfig) -> None:
        super().__init__()
        width, head = config.width, config.width // config.heads
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_norm = nn.LayerNorm(head, eps=1e-6)
        self.k_norm = nn.LayerNorm(head, eps=1e-6)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width, config.inner)
        self.gamma_1 = nn.Parameter(torch.full((width,), 0.1)) if config.scaled else None
        self.gamma_2 = nn.Parameter(torch.full((width,), 0.1)) if config.scaled else None

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        q, k, v = split_heads(self.qkv(self.norm1(h)), self.heads)
        r = self.proj(attention(self.q_norm(q), self.k_norm(k), v))
        h = h + (r if self.gamma_1 is None else self.gamma_1 * r)
        r = self.mlp(self.norm2(h))
        out: Tensor = h + (r if self.gamma_2 is None else self.gamma_2 * r)
        return out


def create(**options: Any) -> Chain:
    """Build an untrained LaBraM; options are the fields of `LaBraMConfig`."""
    config = configure(LaBraMConfig, NAME, options)
    return Chain(
        Stem(config),
        [Block(config) for _ in range(config.blocks)],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME, wrappers=("model", "module"))


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build a LaBraM with the weights of a published file, or of one that `save` wrote.

    What the file's shapes say need not be stated; `electrodes` should be.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    weights = found.weights if found.config else published(found.weights)
    options = {**inferred(weights), **options}
    chain = create(**options)
    if not chain.config.positions:  # type: ignore[attr-defined]
        weights.pop("stem.positions", None)
    if "stem.times" in weights:
        weights["stem.times"] = _stretched(weights["stem.times"], chain.config.seconds)  # type: ignore[attr-defined]
    fill(chain, weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names; of a pretraining file the student alone is kept."""
    plain = renamed(keep(weights, "student."), _RENAMED, dropped=DROPPED)
    return {key: value for key, value in plain.items() if "relative_position" not in key}


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes, as far as they tell."""
    found: dict[str, Any] = {"positions": "stem.positions" in weights}
    found["blocks"] = depth(weights)
    found["scaled"] = "blocks.0.gamma_1" in weights
    if "stem.times" in weights:
        found["seconds"] = weights["stem.times"].shape[1]
    if "stem.conv1.weight" in weights:
        found["filters"] = weights["stem.conv1.weight"].shape[0]
        width = 25 * found["filters"]
        if "blocks.0.q_norm.weight" in weights:
            found["heads"] = max(1, width // weights["blocks.0.q_norm.weight"].shape[0])
    if "blocks.0.mlp.up.weight" in weights:
        found["inner"] = weights["blocks.0.mlp.up.weight"].shape[0]
    return {key: value for key, value in found.items() if value or key in ("positions", "scaled")}


def _stretched(times: Tensor, seconds: int) -> Tensor:
    """Stretch a time table [1, rows, features] linearly where a longer window is wanted."""
    if times.shape[1] >= seconds:
        return times[:, :seconds]
    return functional.interpolate(
        times.transpose(1, 2), seconds, mode="linear", align_corners=True
    ).transpose(1, 2)
