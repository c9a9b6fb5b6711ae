"""Train the bridge from what the frozen models said of the pairs; nothing else is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.loop import Report, fit, quiet
from bioxedge.bridging.losses import distance
from bioxedge.models.chain import Chain


@dataclass(frozen=True)
class Training:
    """How a bridge (or what it is compared with) is trained.

    Attributes
    ----------
    loss : str
        One of :data:`bioxedge.bridging.losses.LOSSES`, at the target's last block.
    over : {"mean", "tokens"}
        Compare token means, which is what the head sees, or all tokens (as published). Tokens
        that describe beats differ from window to window in ways that one pooled source
        feature cannot know.
    epochs, batch, learning_rate
        Adam's settings.
    """

    loss: str = "centred_cosine"
    over: str = "mean"
    epochs: int = 30
    batch: int = 64
    learning_rate: float = 3e-3


def train_bridge(
    bridge: PrototypeBridge,
    tail: Chain,
    source: Tensor,
    teacher: Tensor,
    training: Training,
    *,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Align the bridged last-block activation with the teacher's, on unlabelled pairs.

    Parameters
    ----------
    bridge : PrototypeBridge
        Trained in place and left in evaluation mode.
    tail : Chain
        ``target[j:]``, frozen.
    source : Tensor of shape [n, in_features]
        Pooled source features at the source's cut.
    teacher : Tensor of shape [n, tokens, features]
        The teacher's last-block tokens (one token where only the pooled feature is bridged).
    training : Training
    seed, state, report
        See :func:`bioxedge.bridging.loop.fit`.

    Returns
    -------
    list of float
        Mean loss of each epoch.
    """
    alignment = align_with(teacher, training)
    bridge.train()

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        return alignment(tail(bridge(source[indices])), indices)

    history = fit(
        bridge,
        loss,
        len(source),
        epochs=training.epochs,
        batch=training.batch,
        rate=training.learning_rate,
        seed=seed,
        cosine=True,
        state=state,
        report=report,
    )
    bridge.requires_grad_(False).eval()
    return history


def align_with(teacher: Tensor, training: Training) -> Callable[[Tensor, Tensor], Tensor]:
    """Make the loss of predicted last-block tokens [batch, tokens, features] at pair indices.

    Parameters
    ----------
    teacher : Tensor of shape [n, tokens, features]
    training : Training
    """
    measure = distance(training.loss)
    over_mean = training.over == "mean"
    wanted = teacher.mean(1, keepdim=True) if over_mean else teacher
    centre = wanted.mean(0)

    def loss(predicted: Tensor, indices: Tensor) -> Tensor:
        predicted = predicted.mean(1, keepdim=True) if over_mean else predicted
        return measure(predicted, wanted[indices], centre)

    return loss


def trained_parameters(module: nn.Module) -> int:
    """Count the parameters that a training changed."""
    return sum(parameter.numel() for parameter in module.parameters())
