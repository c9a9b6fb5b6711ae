"""The task layer, and the teachers it sits on.

A teacher is a whole target chain and its head. The chain is either frozen, its weights from
elsewhere, or trained here together with its head on the labelled people.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.loop import Report, fit, quiet
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain


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


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Inverse class frequency, 1 on average over the examples.

    Raises
    ------
    ModelError
        A class that no example has.
    """
    counts = torch.bincount(labels, minlength=classes)
    if (counts == 0).any():
        missing = [int(i) for i in torch.nonzero(counts == 0).flatten()]
        raise ModelError(
            f"no labelled window is of class {missing}: the people who train the head must "
            "show every class; give it more people or other bounds"
        )
    return len(labels) / (classes * counts.float())


def train_head(
    pooled: Tensor,
    labels: Tensor,
    classes: int,
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
    classes : int
    epochs, batch, learning_rate, decay, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`.

    Returns
    -------
    Head
        Frozen.
    """
    weights = class_weights(labels, classes)
    mean, spread = pooled.mean(0), pooled.std(0).clamp_min(1e-6)
    scaled = (pooled - mean) / spread
    torch.manual_seed(seed)
    head = Head(pooled.shape[1], classes)

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


def train_teacher(
    chain: Chain,
    windows: Tensor,
    labels: Tensor,
    classes: int,
    *,
    epochs: int = 30,
    batch: int = 64,
    learning_rate: float = 1e-3,
    decay: float = 1e-2,
    noise: float = 0.1,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> Head:
    """Train a whole chain and its head on labelled windows; both are left frozen.

    Parameters
    ----------
    chain : Chain
        A whole chain, stem included.
    windows : Tensor of float32, shape [n, channels, samples]
    labels : Tensor of int64, shape [n]
    classes : int
    noise : float
        Deviation of white noise added to the windows, and a circular shift at random: a few
        people's windows are soon known by heart without.
    epochs, batch, learning_rate, decay, seed, state, report
        See :func:`bioxedge.bridging.loop.fit`; the rate falls along half a cosine.

    Returns
    -------
    Head
    """
    weights = class_weights(labels, classes)
    torch.manual_seed(seed)
    head = Head(chain.cut(chain.last, windows.shape[2]).features, classes)
    both = nn.ModuleDict({"chain": chain, "head": head})
    both.train()

    def loss(indices: Tensor, generator: torch.Generator) -> Tensor:
        shift = int(torch.randint(windows.shape[2], (), generator=generator))
        batch = windows[indices].roll(shift, dims=2)
        batch = batch + noise * torch.randn(batch.shape, generator=generator)
        return F.cross_entropy(head(chain(batch)), labels[indices], weights)

    fit(
        both,
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
    chain.freeze()
    return head.requires_grad_(False).eval()
