"""HuBERT-ECG: a speech transformer on ECG at 100 Hz.

The layers are those of `transformers.HubertModel`, with the settings of its authors (Coppola et
al., *HuBERT-ECG: a self-supervised foundation model for broad and scalable cardiac
applications*, medRxiv 2024; weights under CC BY-NC 4.0). The mask embedding, the projections
and the label embeddings of pretraining are not part of a chain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import remove_parametrizations
from transformers import HubertConfig, HubertModel

from bioxedge.errors import ModelError
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, plain, read
from bioxedge.models.translate import depth, joined_weight_norm, keep, renamed, translated

NAME = "hubert_ecg"
CARD = card(NAME)

# Stored by pretraining and part of no block.
DROPPED = ("masked_spec_embed", "final_proj.", "label_embedding.")
_RENAMED = (
    (r"^(feature_extractor|feature_projection)\.", r"stem.\1."),
    (r"^encoder\.pos_conv_embed\.", "stem.positions."),
    (r"^encoder\.layer_norm\.", "stem.norm."),
    (r"^encoder\.layers\.(\d+)\.", r"blocks.\1.layer."),
)
# The configuration object of the authors' own class, or of the one it extends.
_INERT = ("*.HuBERTECGConfig", "*.HuBERTECGClassificationConfig", "*.HubertConfig")
# What the stored configuration calls our options.
_STORED = {
    "hidden_size": "width",
    "num_hidden_layers": "blocks",
    "num_attention_heads": "heads",
    "intermediate_size": "inner",
    "conv_dim": "filters",
    "conv_kernel": "kernels",
    "conv_stride": "strides",
    "num_conv_pos_embeddings": "position_kernel",
    "num_conv_pos_embedding_groups": "position_groups",
    "layer_norm_eps": "eps",
}
# What a chain cannot be without changing what it computes.
_FIXED = {
    "do_stable_layer_norm": False,
    "feat_extract_norm": "group",
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "conv_bias": False,
    "feat_proj_layer_norm": True,
}
_PUBLISHED_HEADS = {512: 8, 768: 12, 960: 16}


@dataclass(frozen=True)
class HuBERTECGConfig:
    """Dimensions of a HuBERT-ECG.

    Attributes
    ----------
    channels : int
        Leads; several are joined in time, in the order I, II, III, aVR … V6.
    width, blocks, heads, inner : int
        Features at every cut, depth, attention heads (they divide the width), and the width
        inside the feed-forward parts.
    filters, kernels, strides : tuple of int
        Of the convolutions of the stem.
    position_kernel, position_groups : int
        Of the convolution that stands for positions.
    eps : float
        Of the layer norms.
    """

    channels: int = 1
    width: int = 512
    blocks: int = 8
    heads: int = 8
    inner: int = 2048
    filters: tuple[int, ...] = (512, 512, 512, 512, 512)
    kernels: tuple[int, ...] = (10, 3, 3, 2, 2)
    strides: tuple[int, ...] = (4, 2, 2, 2, 2)
    position_kernel: int = 128
    position_groups: int = 16
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for key in ("filters", "kernels", "strides"):
            value = tuple(int(each) for each in getattr(self, key))
            object.__setattr__(self, key, value)
            if not value or min(value) < 1:
                raise ModelError(f"{key} is {list(value)}: a {NAME} needs numbers from 1 on")
        if not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ModelError(
                f"filters, kernels and strides are {len(self.filters)}, {len(self.kernels)} and "
                f"{len(self.strides)}: give one of each for every convolution"
            )
        for key in ("channels", "width", "blocks", "heads", "inner", "position_kernel"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: a {NAME} needs at least 1")
        for key in ("heads", "position_groups"):
            parts = getattr(self, key)
            if parts < 1 or self.width % parts:
                raise ModelError(f"{parts} {key} do not divide a width of {self.width}")

    def tokens(self, k: int, samples: int) -> int:
        """What the convolutions leave of all leads' samples, at every cut."""
        count = samples * self.channels
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            count = (count - kernel) // stride + 1
            if count < 1:
                raise ModelError(
                    f"{samples} samples do not fit: {NAME} takes at least {self.shortest}"
                )
        return count

    @property
    def shortest(self) -> int:
        """Samples of a window that leave one token."""
        count = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            count = (count - 1) * stride + kernel
        return -(-count // self.channels)

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


class Stem(nn.Module):
    """Convolutions, projection, convolutional positions, norm."""

    def __init__(self, model: HubertModel) -> None:
        super().__init__()
        self.feature_extractor = model.feature_extractor
        self.feature_projection = model.feature_projection
        self.positions = model.encoder.pos_conv_embed
        self.norm = model.encoder.layer_norm
        self.dropout = model.encoder.dropout

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, leads, samples]`` to ``[batch, tokens, features]``."""
        h = x.flatten(1)[:, None]  # the leads joined in time
        for layer in self.feature_extractor.conv_layers:
            h = layer(h)
        h = self.feature_projection(h.transpose(1, 2))
        out: Tensor = self.dropout(self.norm(h + self.positions(h)))
        return out


class Block(nn.Module):
    """One of transformers' post-norm layers."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        given = self.layer(h)
        out: Tensor = given[0] if isinstance(given, tuple) else given
        return out


def create(**options: Any) -> Chain:
    """Build an untrained HuBERT-ECG; options are the fields of `HuBERTECGConfig`."""
    config = configure(HuBERTECGConfig, NAME, options)
    model = HubertModel(
        HubertConfig(  # type: ignore[call-arg]  # two that its annotations leave out
            hidden_size=config.width,
            num_hidden_layers=config.blocks,
            num_attention_heads=config.heads,
            intermediate_size=config.inner,
            conv_dim=list(config.filters),
            conv_kernel=list(config.kernels),
            conv_stride=list(config.strides),
            num_feat_extract_layers=len(config.filters),
            num_conv_pos_embeddings=config.position_kernel,
            num_conv_pos_embedding_groups=config.position_groups,
            layer_norm_eps=config.eps,
            attn_implementation="sdpa",
        )
    )
    # Weight norm trains better and computes the same: a frozen model carries its product.
    remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")
    chain = Chain(
        Stem(model),
        [Block(layer) for layer in model.encoder.layers],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
    )
    return chain.train()


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME, wrappers=("model_state_dict",), inert=_INERT)


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build a HuBERT-ECG with published weights, or with those of a file that `save` wrote.

    Reads the authors' training checkpoint (``model_state_dict`` and ``model_config``), a
    fine-tuned one (the encoder under ``hubert_ecg.``), and the hub's form: weights as
    safetensors or ``pytorch_model.bin`` with ``config.json`` beside them.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    if found.config:
        weights = found.weights
    else:
        weights = published(found.weights)
        told = translated(
            plain(found.beside.get("model_config")) or _config_beside(Path(checkpoint)),
            options,
            names=_STORED,
            fixed=_FIXED,
            source=str(checkpoint),
        )
        options = {**inferred(weights), **told, **options}
    chain = create(**options)
    fill(chain, weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`."""
    plainly = renamed(keep(weights, "hubert_ecg."), _RENAMED, dropped=DROPPED)
    return joined_weight_norm(plainly, "stem.positions.conv.")


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes; the published sizes tell the heads."""
    found: dict[str, Any] = {}
    if blocks := depth(weights):
        found["blocks"] = blocks
    kernels: list[int] = []
    filters: list[int] = []
    while (conv := weights.get(_CONV.format(len(kernels)))) is not None:
        filters.append(conv.shape[0])
        kernels.append(conv.shape[-1])
    if kernels:
        found["filters"], found["kernels"] = tuple(filters), tuple(kernels)
    if (projection := weights.get("stem.feature_projection.projection.weight")) is not None:
        found["width"] = projection.shape[0]
        if found["width"] in _PUBLISHED_HEADS:
            found["heads"] = _PUBLISHED_HEADS[found["width"]]
    if (up := weights.get(_UP)) is not None:
        found["inner"] = up.shape[0]
    if (positions := weights.get("stem.positions.conv.weight")) is not None:
        found["position_kernel"] = positions.shape[-1]
        found["position_groups"] = positions.shape[0] // positions.shape[1]
    return found


_CONV = "stem.feature_extractor.conv_layers.{}.conv.weight"
_UP = "blocks.0.layer.feed_forward.intermediate_dense.weight"


def _config_beside(checkpoint: Path) -> dict[str, Any]:
    """Read the ``config.json`` that the hub's form keeps beside its weights, if there is one."""
    path = checkpoint.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON: take it away or get it again") from error
    ours = isinstance(stored, dict) and str(stored.get("model_type")).startswith("hubert")
    return stored if ours else {}
