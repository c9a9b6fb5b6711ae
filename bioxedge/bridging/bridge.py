"""The bridge: prototypes, weighed by a low-rank map of the pooled source feature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioxedge.errors import ModelError

__all__ = ["PrototypeBridge", "TokenMean"]


class TokenMean(nn.Module):
    """Mean over all tokens, class tokens included: ``[batch, tokens, features]`` to rows."""

    def forward(self, h: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to ``[batch, features]``."""
        return h.mean(dim=1)


class PrototypeBridge(nn.Module):
    """A pooled source feature to the tokens of the target's cut.

    With z the (standardised) source feature, ``W = (B A z)`` seen as ``[prototypes,
    tokens]``, and token n of the output is ``sum_p W[p, n] prototype_p``. No bias and no
    activation. Li et al., *BioX-Bridge*, ICLR 2026 (arXiv 2510.02276), section 3.

    Parameters
    ----------
    in_features : int
        Features at the source's cut.
    out_features, tokens : int
        Features and tokens at the target's cut; ``tokens=1`` leads straight to a head.
    rank : int
        Of the map from feature to weights.
    prototypes : int or Tensor
        How many to draw from N(0, 1), or ``[prototypes, out_features]`` real activations to
        start from. They are trained either way.
    standardise : tuple of Tensor, optional
        Mean and standard deviation, each ``[in_features]``, over the pairs' pooled source
        features. Fixed; where the deviation is 0 the feature is only centred.
    b_std : float
        B starts at N(0, b_std²). The paper's 0 makes the untrained output 0, where a tail's
        biases keep the cosine loss smooth; a bridge that feeds the loss directly needs 1e-3,
        because the gradient of the cosine at zero has no bound.
    seed : int, optional
        For A, B and the prototypes; without it the global generator is used.

    Raises
    ------
    ModelError
        If a size is below 1 or a tensor's shape does not fit.
    """

    offset: Tensor | None
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        tokens: int,
        rank: int,
        prototypes: int | Tensor,
        *,
        standardise: tuple[Tensor, Tensor] | None = None,
        b_std: float = 0.0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        if isinstance(prototypes, Tensor):
            if prototypes.ndim != 2 or prototypes.shape[1] != out_features:
                raise ModelError(
                    f"prototypes are {list(prototypes.shape)}: give [number, {out_features}]"
                )
            start = prototypes.detach().to(torch.float32, copy=True)
        else:
            _positive(prototypes=prototypes, out_features=out_features)
            start = torch.randn(prototypes, out_features, generator=generator)
        _positive(in_features=in_features, tokens=tokens, rank=rank, prototypes=len(start))
        if b_std < 0:
            raise ModelError(f"b_std is {b_std}: a standard deviation is at least 0")
        self.in_features, self.out_features = in_features, out_features
        self.tokens, self.rank = tokens, rank
        self.A = nn.Parameter(torch.empty(rank, in_features))
        self.B = nn.Parameter(torch.zeros(len(start) * tokens, rank))
        self.prototypes = nn.Parameter(start)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5), generator=generator)
        if b_std:
            nn.init.normal_(self.B, std=b_std, generator=generator)
        self.register_buffer("offset", None)  # [rank], of a folded bridge
        self.register_buffer("mean", None)
        self.register_buffer("std", None)
        if standardise is not None:
            mean, std = (torch.as_tensor(part).detach().float().clone() for part in standardise)
            if mean.shape != (in_features,) or std.shape != (in_features,):
                raise ModelError(
                    f"standardise has shapes {list(mean.shape)} and {list(std.shape)}: "
                    f"give a mean and a deviation of [{in_features}]"
                )
            if not (mean.isfinite().all() and std.isfinite().all() and (std >= 0).all()):
                raise ModelError("standardise holds a value that is not finite, or a std below 0")
            self.mean, self.std = mean, torch.where(std == 0, 1.0, std)

    def forward(self, z: Tensor) -> Tensor:
        """``[batch, in_features]`` to ``[batch, tokens, out_features]``."""
        if z.ndim != 2 or z.shape[1] != self.in_features:
            raise ModelError(
                f"the bridge takes [batch, {self.in_features}], got {list(z.shape)}: "
                f"pool the source's activation with TokenMean first"
            )
        if self.mean is not None and self.std is not None:
            z = (z - self.mean) / self.std
        flat = functional.linear(functional.linear(z, self.A, self.offset), self.B)
        weights = flat.reshape(z.shape[0], len(self.prototypes), self.tokens)
        return weights.transpose(1, 2) @ self.prototypes

    def fold(self) -> PrototypeBridge:
        """Give an equal bridge whose standardisation is part of A and a fixed offset.

        ``A ((z - mean) / std) = (A / std) z - (A / std) mean``, computed in float64. What is
        trained, and its number, stay the same; the offset is a buffer.
        """
        folded = PrototypeBridge(
            self.in_features, self.out_features, self.tokens, self.rank, self.prototypes, seed=0
        )
        with torch.no_grad():
            a = self.A.double()
            folded.B.copy_(self.B)
            folded.offset = None if self.offset is None else self.offset.clone()
            if self.mean is not None and self.std is not None:
                a = a / self.std.double()
                folded.offset = -(a @ self.mean.double()).float()
            folded.A.copy_(a)
        return folded.to(self.A.device).train(self.training)

    @staticmethod
    def parameters_count(
        in_features: int, out_features: int, tokens: int, rank: int, prototypes: int
    ) -> int:
        """Trained parameters of such a bridge: ``r d_in + P T r + P d``."""
        return rank * in_features + prototypes * tokens * rank + prototypes * out_features

    def extra_repr(self) -> str:
        """State the shapes."""
        return (
            f"{self.in_features} -> [{self.tokens}, {self.out_features}], rank={self.rank}, "
            f"prototypes={len(self.prototypes)}"
        )


def _positive(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ModelError(f"{name} is {value}: a bridge needs at least 1")
