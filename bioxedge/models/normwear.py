"""NormWear: a vision transformer over wavelet scalograms, with class tokens that mix variables.

Architecture and key names as published by its authors (Luo et al., *Toward Foundation Model for
Multivariate Wearable Sensing of Physiological Signals*, arXiv 2412.09758). The decoder and the
final norm are not part of a chain. The scalogram is computed inside the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError
from bioxedge.models.attention import FeedForward, attend
from bioxedge.models.cards import card
from bioxedge.models.chain import Chain, Grouped, configure
from bioxedge.models.checkpoint import Checkpoint, agreed, fill, read
from bioxedge.models.translate import depth, keep, renamed

NAME = "normwear"
CARD = card(NAME)

PATCH = (9, 5)
"""Time steps and scales of a patch."""

FINEST = 0.1
"""Width of the narrowest wavelet, in samples; the others follow in steps of 1."""

# Stored by pretraining and part of no block.
DROPPED = ("decoder", "mask_token", "temporal_recon", "spatial_recon", "norm.")
_RENAMED = (
    (r"^patch_embed\.proj\.", "stem.patches."),
    (r"^cls_token$", "stem.token"),
    (r"^pos_embed$", "stem.positions"),
    (r"^encoder_blocks\.(\d+)\.variate_encoder\.", r"blocks.\1.own."),
    (r"^encoder_blocks\.(\d+)\.cls_fusion\.", r"blocks.\1.fusion."),
    (r"\.attn\.", "."),
    (r"\.mlp\.fc1\.", ".mlp.up."),
    (r"\.mlp\.fc2\.", ".mlp.down."),
)


@dataclass(frozen=True)
class NormWearConfig:
    """Dimensions of a NormWear.

    Attributes
    ----------
    channels : int
        Variables: each is seen on its own, and their class tokens mix.
    width, blocks, heads : int
        Features at every cut, depth, and attention heads, which divide the width.
    inner : int
        Width inside the feed-forward parts.
    scales : int
        Wavelets of the scalogram.
    fuse : int
        Every how many blocks, from the first on, class tokens mix.
    grid : tuple of int
        Patches in time and in scale that the position table was made for; for other grids it
        is interpolated (bicubic).
    """

    channels: int = 1
    width: int = 768
    blocks: int = 12
    heads: int = 12
    inner: int = 3072
    scales: int = 65
    fuse: int = 2
    grid: tuple[int, int] = (43, 13)

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", (int(self.grid[0]), int(self.grid[1])))
        for key in ("channels", "width", "blocks", "heads", "inner", "fuse"):
            if getattr(self, key) < 1:
                raise ModelError(f"{key} is {getattr(self, key)}: a {NAME} needs at least 1")
        if self.width % self.heads:
            raise ModelError(f"{self.heads} heads do not divide a width of {self.width}")
        if self.scales < PATCH[1]:
            raise ModelError(f"{self.scales} scales do not fill a patch of {PATCH[1]}")
        if min(self.grid) < 1:
            raise ModelError(f"grid is {self.grid}: both sides are at least 1")

    def patches(self, samples: int) -> tuple[int, int]:
        """Patches of a variable in time and in scale."""
        steps = samples - 2  # two differences take a sample each
        if steps < PATCH[0]:
            raise ModelError(
                f"{samples} samples do not fit: {NAME} takes at least {PATCH[0] + 2}; 390 "
                "(3 s at 130 Hz) as published"
            )
        return steps // PATCH[0], self.scales // PATCH[1]

    def tokens(self, k: int, samples: int) -> int:
        """A class token and the patches of every variable, at every cut."""
        time, scale = self.patches(samples)
        return self.channels * (1 + time * scale)

    def features(self, k: int) -> int:
        """The width, at every cut."""
        return self.width


def ricker(length: int, width: float) -> npt.NDArray[np.float64]:
    """Sample the Ricker wavelet: the negative second derivative of a Gaussian.

    ``2 / (√(3a) π^¼) · (1 − t²/a²) · exp(−t² / 2a²)`` at `length` whole steps around 0, of
    width a in samples.
    """
    t = np.arange(length) - (length - 1) / 2
    square = (t / width) ** 2
    height = 2 / (math.sqrt(3 * width) * math.pi**0.25)
    wave: npt.NDArray[np.float64] = height * (1 - square) * np.exp(-square / 2)
    return wave


class Scalogram(nn.Module):
    """A window, its first and its second difference, each correlated with every wavelet.

    Wavelet a is sampled at ``min(10 a, n)`` points for rows of n samples; the correlation keeps
    the middle n values (as ``numpy.convolve`` does in ``same`` mode). One convolution whose
    kernels hold all wavelets.
    """

    def __init__(self, scales: int) -> None:
        super().__init__()
        self.scales = scales

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, variables, samples]`` to ``[batch · variables, 3, samples − 2, scales]``."""
        slope = x[..., 1:] - x[..., :-1]
        bend = slope[..., 1:] - slope[..., :-1]
        rows = torch.stack([x[..., 2:], slope[..., 1:], bend], dim=2)
        batch, variables, _, steps = rows.shape
        bank = torch.from_numpy(_wavelets(self.scales, steps)).to(x)
        flat = rows.reshape(batch * variables * 3, 1, steps)
        image = functional.conv1d(flat, bank, padding=bank.shape[-1] // 2)
        return image.reshape(batch * variables, 3, self.scales, steps).transpose(2, 3)


@lru_cache(maxsize=8)
def _wavelets(scales: int, samples: int) -> np.ndarray:
    """Kernels ``[scales, 1, taps]`` in float64 for rows of that many samples."""
    reach = samples // 2 + 1
    bank = np.zeros((scales, 1, 2 * reach + 1))
    for number in range(scales):
        width = FINEST + number
        length = math.ceil(round(min(10 * width, samples), 9))
        first = reach - length // 2  # where the wavelet begins: its centre at tap `reach`
        bank[number, 0, first : first + length] = ricker(length, width)
    return bank


class Stem(nn.Module):
    """Scalogram, patches, positions, a class token for every variable."""

    def __init__(self, config: NormWearConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.scalogram = Scalogram(config.scales)
        self.patches = nn.Conv2d(3, config.width, PATCH, stride=PATCH)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, config.width))
        table = _sine_cosine(config.grid, config.width)
        self.positions = nn.Parameter(table[None], requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, variables, samples]`` to ``[batch · variables, tokens, features]``."""
        return self.embed(self.scalogram(x))

    def embed(self, image: Tensor) -> Tensor:
        """Scalograms ``[rows, 3, steps, scales]`` to ``[rows, tokens, features]``."""
        h = self.patches(image)
        grid = (h.shape[2], h.shape[3])
        h = h.flatten(2).transpose(1, 2)  # time-major
        h = h + self.stretched(grid)
        token = (self.token + self.positions[:, :1]).expand(len(h), -1, -1)
        return torch.cat([token, h], dim=1)

    def stretched(self, grid: tuple[int, int]) -> Tensor:
        """Positions ``[1, patches, features]``, interpolated where the grid is another."""
        table = self.positions[:, 1:]
        if grid == self.grid:
            return table
        # Bicubic interpolation is linear in the table and separable: two constant matrices,
        # which every exporter knows.
        across, down = (
            _interpolation(old, new).to(table) for old, new in zip(self.grid, grid, strict=True)
        )
        square = table.reshape(*self.grid, -1)
        return torch.einsum("at,bs,tsf->abf", across, down, square).reshape(1, -1, table.shape[-1])


def _interpolation(old: int, new: int) -> Tensor:
    """Bicubic interpolation of `old` values to `new` as a matrix ``[new, old]``, in float64."""
    unit = torch.eye(old, dtype=torch.float64)[None, None]
    return functional.interpolate(unit, (new, old), mode="bicubic", align_corners=False)[0, 0]


def _sine_cosine(grid: tuple[int, int], width: int) -> Tensor:
    """Positions ``[1 + patches, width]``: half for each axis, sines then cosines, the token's 0."""
    quarter = width // 4
    rates = torch.exp(-math.log(10000) * torch.arange(quarter) / max(quarter, 1))
    time, scale = (torch.arange(size)[:, None] * rates for size in grid)
    axes = [
        torch.cat([angle.sin(), angle.cos()], dim=1)
        for angle in (
            scale.repeat(grid[0], 1),
            time.repeat_interleave(grid[1], 0),
        )
    ]
    table = torch.zeros(1 + grid[0] * grid[1], width)
    table[1:, : 4 * quarter] = torch.cat(axes, dim=1)
    return table


class Transformer(nn.Module):
    """Pre-norm attention, then a feed-forward part."""

    def __init__(self, config: NormWearConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = FeedForward(config.width, config.inner)

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to the same."""
        h = h + self.proj(attend(self.qkv(self.norm1(h)), self.heads))
        out: Tensor = h + self.mlp(self.norm2(h))
        return out


class Block(nn.Module):
    """Each variable on its own; where class tokens mix, those of a window then see each other."""

    def __init__(self, config: NormWearConfig, *, fuse: bool) -> None:
        super().__init__()
        self.variables = config.channels
        self.own = Transformer(config)
        self.fusion = Transformer(config) if fuse else None

    def forward(self, h: Tensor) -> Tensor:
        """``[batch · variables, tokens, features]`` to the same."""
        h = self.own(h)
        if self.fusion is None:
            return h
        token = h[:, :1].reshape(-1, self.variables, h.shape[-1])
        token = self.fusion(token).reshape(-1, 1, h.shape[-1])
        return torch.cat([token, h[:, 1:]], dim=1)


def create(**options: Any) -> Chain:
    """Build an untrained NormWear; options are the fields of `NormWearConfig`."""
    config = configure(NormWearConfig, NAME, options)
    return Chain(
        Stem(config),
        [Block(config, fuse=k % config.fuse == 0) for k in range(config.blocks)],
        name=NAME,
        config=config,
        origin=CARD.origin,
        licence=CARD.licence,
        layout=Grouped(config.channels),
    )


def stored(checkpoint: str | Path) -> Checkpoint:
    """Read a file of weights, under its own names."""
    return read(checkpoint, name=NAME, wrappers=("model",))


def load(checkpoint: str | Path, **options: Any) -> Chain:
    """Build a NormWear with the weights of a published file, or of one that `save` wrote.

    What the file's shapes say need not be stated.
    """
    found = stored(checkpoint)
    options = agreed(found, options, source=str(checkpoint))
    weights = found.weights if found.config else published(found.weights)
    chain = create(**{**inferred(weights), **options})
    fill(chain, weights, source=str(checkpoint))
    chain.sha256 = found.sha256
    return chain.eval()


def published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the authors' keys our names, without what is `DROPPED`."""
    return renamed(keep(weights, "backbone."), _RENAMED, dropped=DROPPED)


def inferred(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the dimensions off the shapes, as far as they tell."""
    found: dict[str, Any] = {}
    if blocks := depth(weights):
        found["blocks"] = blocks
        fused = [k for k in range(blocks) if f"blocks.{k}.fusion.qkv.weight" in weights]
        if fused:
            found["fuse"] = fused[1] if len(fused) > 1 else blocks
    if "stem.token" in weights:
        found["width"] = weights["stem.token"].shape[-1]
    if (up := weights.get("blocks.0.own.mlp.up.weight")) is not None:
        found["inner"] = up.shape[0]
    return found
