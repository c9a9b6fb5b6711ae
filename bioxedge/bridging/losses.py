"""How far a bridged activation is from the teacher's.

All take predicted and wanted activations ``[batch, tokens, features]`` and what is known of the
wanted ones over all pairs, and give a scalar: a mean over the batch, except `infonce`, which
compares the rows of a batch with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bioxedge.errors import ModelError

INFONCE_TEMPERATURE = 0.1
"""What cosines are divided by before the softmax of `infonce`."""

_BYTES = 4 * 2**20  # of the wanted activations that are looked at together: they may be many


@dataclass(frozen=True)
class Pairs:
    """The wanted activations over all pairs: what a batch cannot tell of itself.

    Attributes
    ----------
    mean : Tensor of shape [tokens, features]
    square, absolute : float
        Mean squared and mean absolute distance from that mean: what a constant answer gets.
    """

    mean: Tensor
    square: float = 1.0
    absolute: float = 1.0

    @classmethod
    def of(cls, read: Callable[[Tensor], Tensor], rows: Tensor) -> Pairs:
        """Look once at the wanted activations of all pairs, a few at a time.

        Parameters
        ----------
        read : callable
            Gives the wanted activations [rows, tokens, features] of pair indices.
        rows : Tensor of int64
            The pairs.
        """
        one = read(rows[:1]).double()[0]
        parts = rows.split(max(_BYTES // (one.numel() * one.element_size()), 1))
        mean = torch.zeros_like(one)
        for part in parts:
            mean += read(part).double().sum(0)
        mean /= len(rows)
        square = absolute = 0.0
        for part in parts:
            off = read(part).double().sub_(mean)
            absolute += off.abs().sum().item()
            square += off.square_().sum().item()
        count = len(rows) * mean.numel()
        return cls(mean.float(), square / count, absolute / count)

    def to(self, device: torch.device) -> Pairs:
        """Move to where the activations are compared."""
        return Pairs(self.mean.to(device), self.square, self.absolute)


Distance = Callable[[Tensor, Tensor, Pairs], Tensor]


def cosine(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
    """1 − cos between the flattened activations (the published loss; ``pairs`` is not used)."""
    return (1 - F.cosine_similarity(predicted.flatten(1), wanted.flatten(1), dim=1)).mean()


def centred_cosine(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
    """1 − cos after the teacher's mean over the pairs is subtracted from both.

    A part that is the same in every window fills most of the published cosine and says
    nothing about the window.
    """
    return cosine(predicted - pairs.mean, wanted - pairs.mean, pairs)


def mse(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
    """Mean squared difference, relative to what a constant answer gets."""
    return F.mse_loss(predicted, wanted) / max(pairs.square, 1e-12)


def mae(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
    """Mean absolute difference, relative to what a constant answer gets."""
    return F.l1_loss(predicted, wanted) / max(pairs.absolute, 1e-12)


def infonce(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
    """Tell a window's own activation from those of the others in its batch.

    Cross-entropy of the softmax over cosines of centred, flattened activations divided by
    :data:`INFONCE_TEMPERATURE`, in both directions (van den Oord et al., 2018; both directions
    as Radford et al., ICML 2021). The published experiments name InfoNCE and do not define it.
    """
    mine = F.normalize((predicted - pairs.mean).flatten(1), dim=1)
    theirs = F.normalize((wanted - pairs.mean).flatten(1), dim=1)
    alike = mine @ theirs.T / INFONCE_TEMPERATURE
    own = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2


def answers(head: nn.Module) -> Distance:
    """Compare what a frozen head answers: the loss sees what the task sees, and nothing else.

    Cross-entropy of the bridged probabilities against the teacher's (Hinton et al., 2015, at
    temperature 1); of a value the squared difference. Where most of a teacher's features have
    nothing to do with the task, or with the other sensor, a distance between features is ruled by
    them.

    Parameters
    ----------
    head : Module
        Tokens ``[batch, tokens, features]`` to logits, or one value.
    """

    def measure(predicted: Tensor, wanted: Tensor, pairs: Pairs) -> Tensor:
        given, taught = head(predicted), head(wanted).detach()
        if given.shape[1] == 1:
            return F.mse_loss(given, taught)
        return F.cross_entropy(given, taught.softmax(1))

    return measure


ANSWERS = "answers"
LOSSES: dict[str, Distance] = {
    "cosine": cosine,
    "centred_cosine": centred_cosine,
    "mse": mse,
    "mae": mae,
    "infonce": infonce,
}

OVER_BATCH = ("infonce",)
"""Losses that compare the rows of a batch with each other: no mean over rows."""


def distance(name: str, head: nn.Module | None = None) -> Distance:
    """Find a loss by name; an unknown one is a ModelError that lists them.

    ``answers`` wants the head that gives them.
    """
    if name == ANSWERS:
        if head is None:
            raise ModelError("the loss answers compares what a head says: give one")
        return answers(head)
    if name not in LOSSES:
        raise ModelError(
            f"no loss is called {name!r}: choose one of {', '.join((*LOSSES, ANSWERS))}"
        )
    return LOSSES[name]
