"""What a bridge is compared with: distilling the whole source encoder, and no training."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.loop import Report, fit, quiet
from bioxedge.bridging.runner import BATCH
from bioxedge.bridging.train import Alignment, Training
from bioxedge.models.chain import Chain


class Student(nn.Module):
    """The whole pretrained source encoder and a bridge of the same form, all of it trained.

    Parameters
    ----------
    source : Chain
        The pretrained encoder; a copy is trained.
    bridge : PrototypeBridge
        From the encoder's last cut to the target's cut; trained in place.
    tail : Chain
        ``target[j:]``, frozen.
    """

    def __init__(self, source: Chain, bridge: PrototypeBridge, tail: Chain) -> None:
        super().__init__()
        self.source = copy.deepcopy(source).thaw()
        self.pool = TokenMean()
        self.bridge = bridge
        self.tail = tail

    def forward(self, windows: Tensor) -> Tensor:
        """``[batch, channels, samples]`` to the target's last-block tokens."""
        tokens: Tensor = self.tail(self.bridge(self.pool(self.source(windows))))
        return tokens

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder and the bridge."""
        parts = (*self.source.parameters(), *self.bridge.parameters())
        return sum(parameter.numel() for parameter in parts)


def distil(
    student: Student,
    windows: Tensor,
    teacher: Tensor,
    training: Training,
    *,
    seed: int,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Train a student on the same pairs with the same loss as a bridge.

    Parameters
    ----------
    student : Student
        Left in evaluation mode.
    windows : Tensor of float32, shape [n, channels, samples]
        The source's.
    teacher : Tensor of shape [n, tokens, features]
        The teacher's last-block tokens, or its pooled feature as one token.
    training, seed, state, report
        As for :func:`bioxedge.bridging.train.train_bridge`.
    """
    everything = torch.arange(len(windows))
    alignment = Alignment(teacher, training, everything, torch.device("cpu"))
    student.train()

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        return alignment(student(windows[indices]), indices)

    history = fit(
        student,
        loss,
        len(windows),
        epochs=training.epochs,
        batch=training.batch,
        rate=training.learning_rate,
        seed=seed,
        schedule="cosine",
        what="distilling",
        state=state,
        report=report,
    )
    student.eval()
    return history


@torch.inference_mode()
def last_tokens(student: Student, windows: Tensor) -> Tensor:
    """Give the student's last-block tokens [n, tokens, features]."""
    return torch.cat([student(part) for part in windows.split(BATCH)])
