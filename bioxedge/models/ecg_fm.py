"""ECG-FM: a wav2vec 2.0 transformer on twelve-lead ECG at 500 Hz.

Architecture and key names as published by its authors (McKeen et al., *ECG-FM: An Open
Electrocardiogram Foundation Model*, arXiv 2408.05178) in the form of fairseq-signals. The
quantiser and the projections of pretraining are not part of a chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import FeedForward, attend
from bioxedge.models.cards import TWELVE_LEADS, card
from bioxedge.models.chain import Chain, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, plain, read
from bioxedge.models.translate import depth, joined_weight_norm, keep, renamed, translated

NAME = "ecg_fm"
CARD = card(NAME)

# Stored by pretraining and part of no block.
DROPPED = ("mask_emb", "quantizer.", "project_q.", "final_proj.")
_RENAMED = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"stem.convs.\1."),
    (r"^feature_extractor\.conv_layers\.0\.2\.", "stem.group_norm."),
    (r"^layer_norm\.", "stem.feature_norm."),
    (r"^post_extract_proj\.", "stem.projection."),
    (r"^conv_pos\.pos_conv\.0\.", "stem.positions."),
    (r"^encoder\.layer_norm\.", "stem.norm."),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+)\.self_attn\.out_proj\.", r"\1.out."),
    (r"^(blocks\.\d+)\.self_attn_layer_norm\.", r"\1.norm1."),
    (r"^(blocks\.\d+)\.final_layer_norm\.", r"\1.norm2."),
    (r"^(blocks\.\d+)\.fc1\.", r"\1.mlp.up."),
    (r"^(blocks\.\d+)\.fc2\.", r"\1.mlp.down."),
)
# The stored configuration may be an OmegaConf object.
_INERT = ("omegaconf.*", "collections.defaultdict", "typing.Any")
# What the stored configuration of the model calls our options.
_STORED = {
    "encoder_layers": "blocks",
    "encoder_embed_dim": "width",
    "encoder_ffn_embed_dim": "inner",
    "encoder_attention_heads": "heads",
    "layer_norm_first": "norm_first",
    "conv_pos": "position_kernel",
    "conv_pos_groups": "position_groups",
}
_FIXED = {"in_d": 12, "extractor_mode": "default", "conv_bias": False}


@dataclass(frozen=True)
class ECGFMConfig:
    """Dimensions of an ECG-FM.

    Attributes
    ----------
    leads : tuple of str
        The input channels by name (I, II, III, aVR … V6, any case), in the order of the
        samples.
    missing : {"zero", "repeat"}
        What stands in for the other leads; ``repeat`` takes a single lead for all twelve. The
        published bridging experiments know both.
    width, blocks, heads, inner : int
        Features at every cut, depth, attention heads (they divide the width), and the width
        inside the feed-forward parts.
    filters : int
        Of each of the stem's four convolutions (kernel 2, stride 2).
    norm_first : bool
        Blocks are pre-norm. Sources disagree on what was published: the stored configuration
        decides where there is one.
    position_kernel, position_groups : int
        Of the convolution that stands for positions.
    """

    leads: tuple[str, ...] = TWELVE_LEADS
    missing: str = "zero"
    width: int = 768
    blocks: int = 12
    heads: int = 12
    inner: int = 3072
    filters: int = 256
    norm_first: bool = False
    position_kernel: int = 128
    position_groups: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(map(_standard, self.leads)))
        if not self.leads or len(set(self.leads)) < len(self.leads):
            raise ModelError(
                f"leads are {', '.join(self.leads) or 'none'}: name each lead of the ECG once"
            )
        if self.missing not in ("zero", "repeat"):
            raise ModelError(f"missing is {self.missing!r}: choose zero or repeat")
        if self.missing == "repeat" and len(self.leads) != 1:
            raise ModelError(f"only a single lead is repeated, not {len(self.leads)}: use zero")
        for key in ("width", "blocks", "heads", "inner", "filters", "position_kernel"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: an {NAME} needs at least 1")
        for key in ("heads", "position_groups"):
            parts = getattr(self, key)
            if parts < 1 or self.width % parts:
                raise ModelError(f"{parts} {key} do not divide a width of {self.width}")

    @property
    def channels(self) -> int:
        """One for each lead."""
        return len(self.leads)

    def tokens(self, k: int, samples: int) -> int:
        """Half of the samples for each convolution, rounded down, at every cut."""
        if samples < 16:
            raise ModelError(f"{samples} samples do not fit: {NAME} takes at least 16")
        return samples // 2 // 2 // 2 // 2

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


def _standard(lead: str) -> str:
    """Give a lead its standard name; ModelError for one that is none of the twelve."""
    for name in TWELVE_LEADS:
        if str(lead).upper() == name.upper():
            return name
    raise ModelError(f"{NAME} knows no lead {lead!r}: name it one of {', '.join(TWELVE_LEADS)}")


class Leads(nn.Module):
    """Bring the leads that are there into twelve rows in the standard order."""

    spread: Tensor | None

    def __init__(self, leads: tuple[str, ...], missing: str) -> None:
        super().__init__()
        self.register_buffer("spread", None, persistent=False)
        if leads != TWELVE_LEADS:
            rows = [
                [float(missing == "repeat" or name == lead) for lead in leads]
                for name in TWELVE_LEADS
            ]
            self.spread = torch.tensor(rows)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, leads, samples]`` to ``[batch, 12, samples]``."""
        return x if self.spread is None else self.spread @ x


class Stem(nn.Module):
    """Convolutions, norm, projection, convolutional positions."""

    def __init__(self, config: ECGFMConfig) -> None:
        super().__init__()
        filters, width = config.filters, config.width
        self.leads = Leads(config.leads, config.missing)
        self.convs = nn.ModuleList(
            nn.Conv1d(inner, filters, 2, stride=2, bias=False) for inner in (12, *[filters] * 3)
        )
        self.group_norm = nn.GroupNorm(filters, filters)
        self.feature_norm = nn.LayerNorm(filters)
        self.projection = nn.Linear(filters, width)
        kernel = config.position_kernel
        self.positions = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=config.position_groups
        )
        self.drop = 1 - kernel % 2  # an even kernel gives a token too many, at the end
        # A pre-norm encoder has its norm behind the last block, where no chain goes.
        self.norm = None if config.norm_first else nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, leads, samples]`` to ``[batch, tokens, features]``."""
        h = self.leads(x)
        for number, conv in enumerate(self.convs):
            h = conv(h)
            h = functional.gelu(self.group_norm(h) if number == 0 else h)
        h = self.projection(self.feature_norm(h.transpose(1, 2)))
        p = self.positions(h.transpose(1, 2))
        p = functional.gelu(p[..., : p.shape[-1] - self.drop]).transpose(1, 2)
        out: Tensor = h + p if self.norm is None else self.norm(h + p)
        return out


class Block(nn.Module):
    """Attention and a feed-forward part, each normed after its sum, or before it is computed."""

    def __init__(self, config: ECGFMConfig) -> None:
        super().__init__()
        self.heads, self.norm_first = config.heads, config.norm_first
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config.width, config.inner)
        self.norm2 = nn.LayerNorm(config.width)

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        if self.norm_first:
            h = h + self.out(attend(self.qkv(self.norm1(h)), self.heads))
            out: Tensor = h + self.mlp(self.norm2(h))
            return out
        h = self.norm1(h + self.out(attend(self.qkv(h), self.heads)))
        out = self.norm2(h + self.mlp(h))
        return out


def create(**options: Any) -> Chain:
    """Build an untrained ECG-FM; options are the fields of `ECGFMConfig`."""
    config = configure(ECGFMConfig, NAME, options)
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
    return read(checkpoint, name=NAME, wrappers=("model",), inert=_INERT)


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build an ECG-FM with the weights of a published file, or of one that `save` wrote.

    Norm order and heads come from the file's stored configuration where it has one.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    weights = found.weights
    if not found.config:
        weights = published(found.weights)
        told = _stored(found.beside, options, str(checkpoint))
        options = {**inferred(weights), **told, **options}
        if options.get("norm_first"):
            weights = {k: v for k, v in weights.items() if not k.startswith("stem.norm.")}
    chain = create(**options)
    fill(chain, weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`; q, k and v become one."""
    if any(key.startswith("encoder.feature_extractor.") for key in weights):
        weights = keep(weights, "encoder.")  # a fine-tuned one, its head beside it
    ours = renamed(weights, _RENAMED, dropped=DROPPED)
    ours = joined_weight_norm(ours, "stem.positions.")
    for part in ("weight", "bias"):
        for k in range(depth(ours)):
            keys = [f"blocks.{k}.self_attn.{which}_proj.{part}" for which in "qkv"]
            if all(key in ours for key in keys):
                ours[f"blocks.{k}.qkv.{part}"] = torch.cat([ours.pop(key) for key in keys])
    return ours


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes, as far as they tell."""
    found: dict[str, Any] = {}
    if blocks := depth(weights):
        found["blocks"] = blocks
    if (projection := weights.get("stem.projection.weight")) is not None:
        found["width"], found["filters"] = projection.shape
    if (up := weights.get("blocks.0.mlp.up.weight")) is not None:
        found["inner"] = up.shape[0]
    if (positions := weights.get("stem.positions.weight")) is not None:
        found["position_kernel"] = positions.shape[-1]
        found["position_groups"] = positions.shape[0] // positions.shape[1]
    return found


def _stored(beside: Mapping[str, Any], options: dict[str, Any], source: str) -> dict[str, Any]:
    """Read what the file's configuration says; ModelError where it contradicts the options."""
    whole = plain(beside.get("cfg")) or {}
    stored = whole.get("model") if isinstance(whole, Mapping) else None
    if not isinstance(stored, Mapping):
        return {}
    convs = stored.get("conv_feature_layers")
    if convs and not re.fullmatch(r"\[\(\d+,2,2\)\]\*4", str(convs).replace(" ", "")):
        raise ModelError(
            f"{source} was trained with the convolutions {convs}; {NAME} knows four of kernel 2 "
            "and stride 2 only"
        )
    return translated(stored, options, names=_STORED, fixed=_FIXED, source=source)
