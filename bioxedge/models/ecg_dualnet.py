"""ECG-DualNet++: a spectrogram encoder, conditioned at every norm on the encoded signal.

The variant with axial attention and a transformer on frames of the signal, in its size XL, as
published by its authors (Rohr et al., *Exploring novel algorithms for atrial fibrillation
detection by driving graduate level education in medical machine learning*, Physiological
Measurement 2022). Spectrogram and frames are computed inside the graph. The classifier is not
part of a chain.

It serves as a source only: every block needs the encoded signal besides its tokens, which a
bridge does not have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import attend
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, Layout, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.translate import depth, renamed, strip

NAME = "ecg_dualnet"
CARD = card(NAME)

SAMPLES = 18_000  # 60 s at 300 Hz: positions and attention spans are made for it
FRAME, HOP, FRAMES = 256, 224, 80
TAPS, STEP = 64, 32  # of the spectrogram
TIMES, FREQUENCIES = SAMPLES // STEP + 1, TAPS // 2 + 1
FLOOR = 1e-8  # of a magnitude, before its logarithm
CONVOLUTIONAL = 2  # the first blocks; the others attend

# Coefficients that Padé units start from: the rational function that comes nearest to a leaky
# ReLU (Molina, Schramowski and Kersting, ICLR 2020).
NUMERATOR = (0.0335583603, 0.505000375, 1.65343934, 2.01001052, 0.931901999, 0.152424124)
DENOMINATOR = (3.30847488e-06, 3.98021568, 5.12471206e-07, 0.301830109)

# The classifier, and positions that can be computed.
DROPPED = ("linear_layer_1.", "linear_layer_2.")
OPTIONAL = ("num_batches_tracked",)
_RENAMED = (
    (r"^ecg_encoder\.layers\.", "stem.encoder.layers."),
    (r"^ecg_encoder\.norm\.", "stem.encoder.norm."),
    (r"^positional_embedding$", "stem.encoder.positions"),
    (r"^spectrogram_encoder\.(\d+)\.", r"blocks.\1."),
    (r"main_mapping_(conv|norm|act)_(\d)", r"\1\2"),
    (r"(input|output)_mapping_(conv|norm|act)", r"\1_\2"),
    (r"residual_mapping\.", "residual."),
    (r"final_activation\.", "act."),
    (r"batch_normalization\.", "norm."),
    (r"linear_mapping\.", "condition."),
    (r"axial_attention_mapping\.0\.", "time."),
    (r"axial_attention_mapping\.1\.", "frequency."),
    (r"query_key_value_mapping\.0\.", "qkv."),
    (r"query_key_value_mapping\.1\.", "qkv_norm."),
    (r"similarity_normalization\.", "similarity_norm."),
    (r"output_normalization\.", "output_norm."),
    (r"relative_embeddings$", "offsets"),
)


@dataclass(frozen=True)
class ECGDualNetConfig:
    """Dimensions of an ECG-DualNet++.

    Attributes
    ----------
    widths : tuple of int
        Features after each block; the first two convolve, the others attend.
    groups : int
        Attention heads of the axial attention; twice as many divide the widths of its blocks.
    layers, heads, inner : int
        Of the transformer on the frames: depth, attention heads, feed-forward width.
    positions : bool
        The frames' transformer adds learnt positions. Weights published before they did have
        none.
    """

    widths: tuple[int, ...] = (128, 256, 512, 512, 256)
    groups: int = 16
    layers: int = 3
    heads: int = 8
    inner: int = 512
    positions: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(int(each) for each in self.widths))
        if not CONVOLUTIONAL <= len(self.widths) <= len(_SIZES) - 1 or min(self.widths) < 1:
            raise ModelError(
                f"widths are {list(self.widths)}: an {NAME} has {CONVOLUTIONAL} to "
                f"{len(_SIZES) - 1} blocks of at least 1 feature"
            )
        for key in ("groups", "layers", "heads", "inner"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: an {NAME} needs at least 1")
        if any(width % (2 * self.groups) for width in self.widths[CONVOLUTIONAL:]):
            raise ModelError(
                f"{2 * self.groups} (twice the groups) does not divide all widths of attending "
                f"blocks, {list(self.widths[CONVOLUTIONAL:])}"
            )
        if FRAME % self.heads:
            raise ModelError(f"{self.heads} heads do not divide a frame of {FRAME}")

    @property
    def channels(self) -> int:
        """One lead."""
        return 1

    @property
    def blocks(self) -> int:
        """One for each width."""
        return len(self.widths)

    def tokens(self, k: int, samples: int) -> int:
        """Points of the spectrogram; both of its sides halve at every block, rounded down."""
        if samples != SAMPLES:
            raise ModelError(
                f"{samples} samples do not fit: {NAME} takes {SAMPLES} (60 s at 300 Hz) and no "
                "other number"
            )
        times, frequencies = _SIZES[k]
        return times * frequencies

    def features(self, k: int) -> int:
        """1 in the spectrogram, then what the block before the cut gives."""
        return self.widths[k - 1] if k else 1


def _sizes() -> list[tuple[int, int]]:
    """Sides of the spectrogram at each cut, until one would be nothing."""
    found = [(TIMES, FREQUENCIES)]
    while min(found[-1]) > 1:
        found.append((found[-1][0] // 2, found[-1][1] // 2))
    return found


_SIZES = _sizes()


class Conditioned(NamedTuple):
    """What passes between blocks."""

    image: Tensor  # [batch, features, times, frequencies]
    signal: Tensor  # [batch, frame]


class ConditionedLayout(Layout):
    """Tokens are the points of the image; the encoded signal is carried beside them."""

    def enter(self, tokens: Tensor) -> Conditioned:
        """Never reached: a chain without its stem is refused when it is cut."""
        raise ModelError(f"a part of {NAME} cannot start from tokens: {self.tailless()}")

    def leave(self, native: Conditioned) -> Tensor:
        """``[batch, features, times, frequencies]`` to ``[batch, tokens, features]``."""
        return native.image.flatten(2).transpose(1, 2).contiguous()

    def settle(self, native: Conditioned) -> Conditioned:
        """Make the image contiguous."""
        return Conditioned(native.image.contiguous(), native.signal)

    def tailless(self) -> str:
        """Its norms are conditioned on the signal."""
        return (
            "every block is conditioned on the raw ECG, which a bridge does not have; use it as "
            "a source, or another model as the target"
        )


class Pade(nn.Module):
    """A learnt rational activation: ``Σ a_i x^i / (1 + Σ |b_i| |x|^(i+1))``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_numerator = nn.Parameter(torch.tensor(NUMERATOR))
        self.weight_denominator = nn.Parameter(torch.tensor(DENOMINATOR))

    def forward(self, x: Tensor) -> Tensor:
        """Element by element, by Horner's scheme."""
        size = x.abs()
        above = self.weight_numerator[-1]
        for coefficient in reversed(self.weight_numerator[:-1].unbind()):
            above = above * x + coefficient
        below: Tensor | float = 0.0
        for coefficient in reversed(self.weight_denominator.abs().unbind()):
            below = (below + coefficient) * size
        return above / (1 + below)


class ConditionedNorm(nn.Module):
    """Batch norm, then a scale and an offset of each feature that the signal decides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)
        self.condition = nn.Linear(FRAME, 2 * width, bias=False)

    def forward(self, image: Tensor, signal: Tensor) -> Tensor:
        """``[batch, features, times, frequencies]`` and ``[batch, frame]`` to the former."""
        scale, offset = self.condition(signal)[..., None, None].chunk(2, dim=1)
        out: Tensor = scale * self.norm(image) + offset
        return out


class ConvBlock(nn.Module):
    """Two convolutions with a skip, then half the size."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.norm1 = ConditionedNorm(outer)
        self.act1 = Pade()
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.norm2 = ConditionedNorm(outer)
        self.residual = _residual(inner, outer)
        self.act = Pade()

    def forward(self, h: Conditioned) -> Conditioned:
        """``[batch, inner, times, frequencies]`` to half of both sides."""
        image, signal = h
        r = self.act1(self.norm1(self.conv1(image), signal))
        r = self.norm2(self.conv2(r), signal)
        image = self.act(r + self.residual(image))
        return Conditioned(functional.avg_pool2d(image, 2), signal)


class AxialAttention(nn.Module):
    """Self-attention along one side of an image, with learnt offsets between its places.

    After Wang et al., *Axial-DeepLab* (ECCV 2020), as ECG-DualNet++ computes it: the products
    of queries and keys with the offsets are multiplied once more to give the content term.
    """

    index: Tensor

    def __init__(self, width: int, span: int, groups: int) -> None:
        super().__init__()
        self.groups, self.head = groups, width // groups
        self.qkv = nn.Conv1d(width, 2 * width, 1, bias=False)
        self.qkv_norm = nn.BatchNorm1d(2 * width)
        self.similarity_norm = nn.BatchNorm2d(3 * groups)
        self.output_norm = nn.BatchNorm1d(2 * width)
        self.offsets = nn.Parameter(torch.randn(2 * self.head, 2 * span - 1))
        place = torch.arange(span)
        self.register_buffer("index", place[:, None] - place + span - 1, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """``[rows, features, span]`` to the same."""
        count, width, span = rows.shape
        half = self.head // 2
        parts = (half, half, self.head)
        qkv = self.qkv_norm(self.qkv(rows)).reshape(count, self.groups, 2 * self.head, span)
        q, k, v = qkv.split(parts, dim=2)
        q_offset, k_offset, v_offset = self.offsets[:, self.index].split(parts)
        by_query = torch.einsum("bgci,cij->bgij", q, q_offset)
        by_key = torch.einsum("bgci,cij->bgij", k, k_offset)
        content = by_query.transpose(2, 3) @ by_key
        terms = self.similarity_norm(torch.cat([content, by_query, by_key], dim=1))
        weights = terms.reshape(count, 3, self.groups, span, span).sum(1).softmax(dim=3)
        values = torch.einsum("bgij,bgcj->bgci", weights, v)
        places = torch.einsum("bgij,cij->bgci", weights, v_offset)
        out = torch.stack([values, places], dim=3).reshape(count, 2 * width, span)
        both: Tensor = self.output_norm(out).reshape(count, width, 2, span)
        return both.sum(2)


class AttentionBlock(nn.Module):
    """Attention along time, then along frequency, with a skip and half the size."""

    def __init__(self, inner: int, outer: int, size: tuple[int, int], groups: int) -> None:
        super().__init__()
        self.input_conv = nn.Conv2d(inner, outer, 1, bias=False)
        self.input_norm = ConditionedNorm(outer)
        self.input_act = Pade()
        self.time = AxialAttention(outer, size[0], groups)
        self.frequency = AxialAttention(outer, size[1], groups)
        self.output_conv = nn.Conv2d(outer, outer, 1, bias=False)
        self.output_norm = ConditionedNorm(outer)
        self.residual = _residual(inner, outer)
        self.act = Pade()

    def forward(self, h: Conditioned) -> Conditioned:
        """``[batch, inner, times, frequencies]`` to half of both sides."""
        image, signal = h
        r = self.input_act(self.input_norm(self.input_conv(image), signal))
        batch, width, times, frequencies = r.shape
        r = r.permute(0, 3, 1, 2).reshape(batch * frequencies, width, times)
        r = self.time(r).reshape(batch, frequencies, width, times)
        r = r.permute(0, 3, 2, 1).reshape(batch * times, width, frequencies)
        r = self.frequency(r).reshape(batch, times, width, frequencies).permute(0, 2, 1, 3)
        r = self.output_norm(self.output_conv(functional.avg_pool2d(r, 2)), signal)
        image = self.act(r + functional.avg_pool2d(self.residual(image), 2))
        return Conditioned(image, signal)


def _residual(inner: int, outer: int) -> nn.Module:
    return nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1, bias=False)


class Encoder(nn.Module):
    """A post-norm transformer on the frames of the signal; its mean over frames conditions."""

    def __init__(self, config: ECGDualNetConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                FRAME, config.heads, config.inner, dropout=0.0, activation="gelu", batch_first=True
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(FRAME)
        self.positions = (
            nn.Parameter(0.1 * torch.randn(FRAMES, 1, FRAME)) if config.positions else None
        )

    def forward(self, frames: Tensor) -> Tensor:
        """``[batch, frames, frame]`` to ``[batch, frame]``."""
        h = frames if self.positions is None else frames + self.positions.transpose(0, 1)
        for layer in cast("Iterable[nn.TransformerEncoderLayer]", self.layers):
            # By its parts: the layer's own forward takes a fused path that depends on whether
            # gradients are wanted.
            own = layer.self_attn
            qkv = functional.linear(h, own.in_proj_weight, own.in_proj_bias)
            h = layer.norm1(h + own.out_proj(attend(qkv, own.num_heads)))
            h = layer.norm2(h + layer.linear2(functional.gelu(layer.linear1(h))))
        out: Tensor = self.norm(h).mean(1)
        return out


class Stem(nn.Module):
    """Log magnitude spectrogram, and the encoded frames of the signal."""

    fourier: Tensor
    places: Tensor

    def __init__(self, config: ECGDualNetConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.register_buffer("fourier", _fourier(), persistent=False)
        starts = HOP * torch.arange(FRAMES)
        self.register_buffer("places", starts[:, None] + torch.arange(FRAME), persistent=False)

    def forward(self, x: Tensor) -> Conditioned:
        """``[batch, 1, samples]`` to the image ``[batch, 1, times, frequencies]`` and the rest."""
        signal = self.encoder(x[:, 0, self.places])
        padded = functional.pad(x, (TAPS // 2, TAPS // 2), mode="reflect")
        parts = functional.conv1d(padded, self.fourier, stride=STEP)
        real, imaginary = parts.chunk(2, dim=1)
        magnitude = (real.square() + imaginary.square()).sqrt()
        image = magnitude.clamp_min(FLOOR).log().transpose(1, 2)[:, None]
        return Conditioned(image, signal)


def _fourier() -> Tensor:
    """Kernels ``[2 · frequencies, 1, taps]`` of a windowed Fourier transform.

    A periodic Hann window; the transform is divided by the window's Euclidean norm.
    """
    n = torch.arange(TAPS, dtype=torch.float64)
    window = torch.hann_window(TAPS, dtype=torch.float64)
    window = window / window.square().sum().sqrt()
    angle = 2 * math.pi / TAPS * torch.arange(FREQUENCIES, dtype=torch.float64)[:, None] * n
    both = torch.cat([angle.cos() * window, -angle.sin() * window])
    return both[:, None].float()


def create(**options: Any) -> Chain:
    """Build an untrained ECG-DualNet++; options are the fields of `ECGDualNetConfig`."""
    config = configure(ECGDualNetConfig, NAME, options)
    blocks: list[nn.Module] = []
    for k, outer in enumerate(config.widths):
        inner = config.features(k)
        if k < CONVOLUTIONAL:
            blocks.append(ConvBlock(inner, outer))
        else:
            blocks.append(AttentionBlock(inner, outer, _SIZES[k], config.groups))
    return Chain(
        Stem(config),
        blocks,
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
        layout=ConditionedLayout(),
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME)


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build an ECG-DualNet++ with the weights of a published file, or of one `save` wrote.

    What the file's shapes say need not be stated.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    weights = found.weights if found.config else published(found.weights)
    chain = create(**{**inferred(weights), **options})
    fill(chain, weights, source=str(checkpoint), optional=OPTIONAL)
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`."""
    ours = renamed(strip(weights, "module."), _RENAMED, dropped=DROPPED)
    return {key: value for key, value in ours.items() if not key.endswith("relative_indexes")}


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes, as far as they tell."""
    found: dict[str, Any] = {"positions": "stem.encoder.positions" in weights}
    widths = []
    for k in range(depth(weights)):
        last = "conv2" if k < CONVOLUTIONAL else "output_conv"
        if (conv := weights.get(f"blocks.{k}.{last}.weight")) is None:
            break
        widths.append(conv.shape[0])
    if widths:
        found["widths"] = tuple(widths)
    if (norm := weights.get(f"blocks.{CONVOLUTIONAL}.time.similarity_norm.weight")) is not None:
        found["groups"] = norm.shape[0] // 3
    if (linear := weights.get("stem.encoder.layers.0.linear1.weight")) is not None:
        found["inner"] = linear.shape[0]
    layers = [int(m[1]) for key in weights if (m := re.match(r"stem\.encoder\.layers\.(\d+)", key))]
    if layers:
        found["layers"] = max(layers) + 1
    return found
