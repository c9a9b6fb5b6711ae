"""OpenECG codec v6: the one trained encoder whose weights pip installs (Apache-2.0).

Its package's own modules, presented as a chain: four residual convolutions, then four
transformer layers, on 50 tokens a second. Input: one lead at 500 Hz, rank-normalised to
[-1, 1] per window. The heads are not part of a chain.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import MissingExtraError, ModelError
from bioxedge.models.attention import attend
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain
from bioxedge.models.checkpoint import Checkpoint, fill, read

NAME = "openecg"
CARD = card(NAME)
PIP = "pip:openecg"
ARCH = "vit_transformer_sample_res_convtok_mh_1ch"

# What the package's class takes; the rest of the stored configuration only describes it.
_DIMENSIONS = (
    "patch_size",
    "n_leads",
    "d_model",
    "n_heads",
    "n_layers",
    "ff",
    "n_classes",
    "dropout",
    "use_lead_emb",
    "pos_type",
    "conv_stem",
    "mid_split",
    "lower_kernel",
    "beat_n_classes",
    "rhythm_n_classes",
)


@dataclass(frozen=True)
class OpenECGConfig:
    """Dimensions of an OpenECG encoder, read from its checkpoint.

    Attributes
    ----------
    channels : int
        Input channels: one lead.
    patch : int
        Samples a token.
    width : int
        Features at every cut.
    blocks : int
        Convolutional and transformer blocks together.
    positions : int
        Rows of the position table: the largest number of tokens.
    """

    channels: int = 1
    patch: int = 10
    width: int = 128
    blocks: int = 8
    positions: int = 512

    def tokens(self, k: int, samples: int) -> int:
        """One for each full patch, at every cut."""
        tokens = samples // self.patch
        if not 1 <= tokens <= self.positions:
            raise ModelError(
                f"{samples} samples do not fit: {NAME} takes {self.patch} to "
                f"{self.patch * (self.positions + 1) - 1}; 10 s at 500 Hz are 5000"
            )
        return tokens

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


class Stem(nn.Module):
    """The package's convolutional tokeniser and its position table."""

    positions: Tensor

    def __init__(self, conv: nn.Conv1d, positions: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("positions", positions)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, 1, samples]`` to ``[batch, tokens, features]``."""
        h: Tensor = self.conv(x).transpose(1, 2)
        return h + self.positions[:, : h.shape[1]]


class ConvBlock(nn.Module):
    """Residual convolution over tokens, normed after the sum."""

    def __init__(self, conv: nn.Conv1d, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        r = self.conv(h.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.norm(h + functional.gelu(r))
        return out


class TransformerBlock(nn.Module):
    """One of torch's pre-norm encoder layers, run by its parts.

    The layer's own forward takes a fused path that depends on whether gradients are
    wanted, and moves outputs by 1.7e-5: what a bridge is trained against would not be what
    it is used with. By its parts there is one path, and it exports.
    """

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        layer, attention = self.layer, self.layer.self_attn
        qkv = functional.linear(layer.norm1(h), attention.in_proj_weight, attention.in_proj_bias)
        dropout = attention.dropout if self.training else 0.0
        joined = attend(qkv, attention.num_heads, dropout=dropout)
        h = h + layer.dropout1(attention.out_proj(joined))
        r = layer.linear2(layer.dropout(functional.gelu(layer.linear1(layer.norm2(h)))))
        out: Tensor = h + layer.dropout2(r)
        return out


def packaged() -> Path:
    """Give the path of the weights in the installed package, without importing it."""
    spec = find_spec("openecg")
    if spec is None or spec.origin is None:
        raise MissingExtraError("openecg", "openecg")
    return Path(spec.origin).with_name("models") / "codec_v6.pt"


def create(*, pretrained: bool = True, **options: Any) -> Chain:
    """Build the codec's encoder, with the package's weights unless told otherwise."""
    if options:
        raise ModelError(f"{NAME} has no option {', '.join(sorted(options))}: it takes pretrained")
    return load(PIP) if pretrained else _chain(_model(stored(PIP), PIP))


def load(checkpoint: str | Path = PIP, **options: Any) -> Chain:
    """Build the codec's encoder with the weights of a codec file, or of one `save` wrote."""
    if options:
        raise ModelError(f"{NAME} has no option {', '.join(sorted(options))}: its file says all")
    found = stored(checkpoint)
    if found.config is not None:
        chain = create(pretrained=False)
        fill(chain, found.weights, source=str(checkpoint))
    else:
        model = _model(found, checkpoint)
        fill(model, found.weights, source=str(checkpoint))
        chain = _chain(model)
    chain.sha256 = found.sha256
    return chain.eval()


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names; ``pip:openecg`` is the package's."""
    path = packaged() if str(checkpoint) == PIP else checkpoint
    return read(path, name=NAME, wrappers=("model_state",))


def _model(found: Checkpoint, checkpoint: str | Path) -> nn.Module:
    """Build the package's own module, untrained, with the dimensions that a file states."""
    dimensions = found.beside.get("model_config") or {}
    if dimensions.get("arch") != ARCH:
        raise ModelError(
            f"{checkpoint} holds the architecture {dimensions.get('arch')!r}, not {ARCH!r}: "
            f"use codec_v6.pt, or {PIP}"
        )
    try:
        from openecg.stage2.model_variants import FrameClassifierTransformerSampleResConvTokMH1Ch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "openecg":
            raise
        raise MissingExtraError("openecg", "openecg") from error
    with warnings.catch_warnings():
        # Pre-norm layers cannot use nested tensors; torch says so of every such encoder.
        warnings.filterwarnings("ignore", message="enable_nested_tensor", category=UserWarning)
        model: nn.Module = FrameClassifierTransformerSampleResConvTokMH1Ch(
            **{key: dimensions[key] for key in _DIMENSIONS if key in dimensions}
        )
    return model


def _chain(model: Any) -> Chain:
    lower = [ConvBlock(*parts) for parts in zip(model.lower_convs, model.lower_norms, strict=True)]
    upper = [TransformerBlock(layer) for layer in model.upper_transformer.layers]
    return Chain(
        Stem(model.conv_tok, model.pos_enc),
        [*lower, *upper],
        name=NAME,
        config=OpenECGConfig(
            patch=model.conv_tok.stride[0],
            width=model.conv_tok.out_channels,
            blocks=len(lower) + len(upper),
            positions=model.pos_enc.shape[1],
        ),
        origin=CARD.origin,
        licence=CARD.licence,
    )
