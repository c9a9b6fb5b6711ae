"""How far a bridged activation is from the teacher's.

All take predicted and wanted activations ``[batch, tokens, features]`` and the teacher's mean
over the pairs ``[tokens, features]``, and give a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from bioxedge.errors import ModelError

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]


def cosine(predicted: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    """1 − cos between the flattened activations (the published loss; ``mean`` is not used)."""
    return (1 - F.cosine_similarity(predicted.flatten(1), wanted.flatten(1), dim=1)).mean()


def centred_cosine(predicted: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    """1 − cos after the teacher's mean over the pairs is subtracted from both.

    A part that is the same in every window fills most of the published cosine and says
    nothing about the window.
    """
    return cosine(predicted - mean, wanted - mean, mean)


def mse(predicted: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    """Mean squared difference, relative to the wanted activation's spread about its mean."""
    return F.mse_loss(predicted, wanted) / (wanted - mean).square().mean().clamp_min(1e-12)


def mae(predicted: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    """Mean absolute difference, relative to the wanted activation's spread about its mean."""
    return F.l1_loss(predicted, wanted) / (wanted - mean).abs().mean().clamp_min(1e-12)


LOSSES: dict[str, Distance] = {
    "cosine": cosine,
    "centred_cosine": centred_cosine,
    "mse": mse,
    "mae": mae,
}


def distance(name: str) -> Distance:
    """Find a loss by name; an unknown one is a ModelError that lists them."""
    if name not in LOSSES:
        raise ModelError(f"no loss is called {name!r}: choose one of {', '.join(LOSSES)}")
    return LOSSES[name]
