"""The task layer: what makes a frozen target chain a teacher."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.loop import Report, fit, quiet


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
    epochs, batch, learning_rate, decay, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`.

    Returns
    -------
    Head
        Frozen.
    """
    mean, spread = pooled.mean(0), pooled.std(0)
    # A feature that never moves here must not decide once it does.
    spread = torch.where(spread > 1e-6, spread, 1.0)
    scaled = (pooled - mean) / spread
    torch.manual_seed(seed)
    head = Head(pooled.shape[1], len(weights))

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        return F.cross_entropy(head.of_pooled(scaled[indices]), labels[indices], weights)

    fit(
        head,
        loss,
        len(labels),
        epochs=epochs,
        batch=batch,
        rate=learning_rate,
        decay=decay,
        seed=seed,
        cosine=True,
        state=state,
        report=report,
    )
    with torch.no_grad():
        head.linear.weight /= spread
        head.linear.bias -= head.linear.weight @ mean
    return head.requires_grad_(False).eval()
