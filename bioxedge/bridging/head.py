"""The task layer: what makes a frozen target chain a teacher."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.loop import Report, Schedule, fit, quiet


class Head(nn.Module):
    """One linear layer on the token mean: ``[batch, tokens, features]`` to logits.

    Parameters
    ----------
    features, classes : int
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.pool = TokenMean()
        self.linear = nn.Linear(features, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[batch, tokens, features]`` to ``[batch, classes]``."""
        return self.of_pooled(self.pool(tokens))

    def of_pooled(self, pooled: Tensor) -> Tensor:
        """``[batch, features]``, already pooled, to ``[batch, classes]``."""
        logits: Tensor = self.linear(pooled)
        return logits


def train_head(
    pooled: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    epochs: int = 60,
    batch: int = 64,
    learning_rate: float = 3e-3,
    decay: float = 1e-2,
    penalty: float = 0.0,
    schedule: Schedule = "cosine",
    standardise: bool = True,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> Head:
    """Train a head on the pooled last-block features of a frozen chain.

    The features are standardised while training, which is folded into the layer at the end:
    encoders differ in scale by orders of magnitude, rates do not.

    Parameters
    ----------
    pooled : Tensor of shape [n, features]
    labels : Tensor of int64, shape [n]
    weights : Tensor of shape [classes]
        Of each class in the cross-entropy.
    epochs, batch, learning_rate, decay, schedule, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`.
    penalty : float
        Weight of the sum of squared weights in the loss (ridge), the bias left out.
    standardise : bool
        As published they are not.

    Returns
    -------
    Head
        Frozen.
    """
    mean, spread = _scale(pooled, standardise)
    scaled = (pooled - mean) / spread
    torch.manual_seed(seed)
    head = Head(pooled.shape[1], len(weights))

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        wrong = F.cross_entropy(head.of_pooled(scaled[indices]), labels[indices], weights)
        return wrong + penalty * head.linear.weight.square().sum()

    fit(
        head,
        loss,
        len(labels),
        epochs=epochs,
        batch=batch,
        rate=learning_rate,
        decay=decay,
        seed=seed,
        schedule=schedule,
        state=state,
        report=report,
        what="training the head",
    )
    return _folded(head, mean, spread)


def train_value_head(
    pooled: Tensor,
    values: Tensor,
    *,
    epochs: int = 60,
    batch: int = 64,
    learning_rate: float = 3e-3,
    decay: float = 1e-2,
    penalty: float = 0.0,
    schedule: Schedule = "cosine",
    standardise: bool = True,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> Head:
    """Train a head that answers with a value, in the value's unit.

    The values are standardised while training, too, and compared by Huber's loss, which one slip
    of a reference does not rule; all of it is folded into the layer at the end.

    Parameters
    ----------
    pooled : Tensor of shape [n, features]
    values : Tensor of float32, shape [n]
    epochs, batch, learning_rate, decay, penalty, schedule, standardise, seed, state, report
        As for :func:`train_head`.

    Returns
    -------
    Head
        Frozen; one answer.
    """
    mean, spread = _scale(pooled, standardise)
    scaled = (pooled - mean) / spread
    middle, width = values.mean(), values.std(correction=0).clamp_min(1e-6)
    wanted = ((values - middle) / width)[:, None]
    torch.manual_seed(seed)
    head = Head(pooled.shape[1], 1)

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        wrong = F.huber_loss(head.of_pooled(scaled[indices]), wanted[indices])
        return wrong + penalty * head.linear.weight.square().sum()

    fit(
        head,
        loss,
        len(values),
        epochs=epochs,
        batch=batch,
        rate=learning_rate,
        decay=decay,
        seed=seed,
        schedule=schedule,
        state=state,
        report=report,
        what="training the head",
    )
    with torch.no_grad():
        head.linear.weight *= width
        head.linear.bias.mul_(width).add_(middle)
    return _folded(head, mean, spread)


def _scale(pooled: Tensor, wanted: bool) -> tuple[Tensor, Tensor]:
    """Give each feature's mean and deviation, or 0 and 1."""
    if not wanted:
        return torch.zeros(pooled.shape[1]), torch.ones(pooled.shape[1])
    spread = pooled.std(0, correction=1 if len(pooled) > 1 else 0)
    # A feature that never moves here must not decide once it does.
    return pooled.mean(0), torch.where(spread > 1e-6, spread, 1.0)


def _folded(head: Head, mean: Tensor, spread: Tensor) -> Head:
    """Put the features' scale into the layer, and freeze it."""
    with torch.no_grad():
        head.linear.weight /= spread
        head.linear.bias.sub_(head.linear.weight @ mean)
    return head.requires_grad_(False).eval()
