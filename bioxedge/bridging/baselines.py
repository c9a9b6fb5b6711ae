"""What a bridge is compared with: the whole source encoder, trained on the same pairs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.features import taken
from bioxedge.bridging.loop import Report, batches_of, fit, quiet
from bioxedge.bridging.runner import BATCH
from bioxedge.bridging.scaling import put_together
from bioxedge.bridging.train import Alignment, Training
from bioxedge.models.chain import Chain
from bioxedge.spec import FeaturesSpec

Look = Callable[[Chain], Tensor]
"""Gives what stands beside every pair's window, as an encoder makes it: [pairs, numbers]."""


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
    features : FeaturesSpec, optional
        What goes into the bridge, where that is not the encoder's features alone.
    """

    beside: Tensor
    done: Tensor

    def __init__(
        self,
        source: Chain,
        bridge: PrototypeBridge,
        tail: Chain,
        features: FeaturesSpec | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.source = copy.deepcopy(source).thaw()
        self.pool = TokenMean()
        self.bridge = bridge
        self.tail = tail

    def forward(self, windows: Tensor, beside: Tensor | None = None) -> Tensor:
        """``[batch, channels, samples]`` to the target's last-block tokens.

        With features of its own it takes ``beside`` ``[batch, numbers]``, as a bundle's graph does.
        """
        features: Tensor = self.pool(self.source(windows))
        if self.features is not None and beside is not None:
            features, _ = put_together(features, beside, self.features)
        tokens: Tensor = self.bridge(features)
        # Straight to the head it may give more than the last block does.
        return self.tail(tokens) if len(self.tail) else tokens

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder and the bridge."""
        parts = (*self.source.parameters(), *self.bridge.parameters())
        return sum(parameter.numel() for parameter in parts)

    def follow(self, look: Look) -> None:
        """Begin to keep what stands beside the pairs: it moves as the encoder is trained.

        It is kept with the weights, so that a training that was stopped goes on to the same bits.
        """
        self.register_buffer("beside", look(self.source))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def followed(self, look: Look, batches: int) -> Tensor:
        """Give what stands beside the pairs, looked at anew where an epoch of batches begins."""
        if self.done == 0:
            self.beside.copy_(look(self.source))
        self.done.copy_((self.done + 1) % batches)
        return self.beside


class Aligned(nn.Module):
    """The whole pretrained source encoder and a linear map into the teacher's feature space.

    What contrastive distillation trains: nothing of the target is run.

    Parameters
    ----------
    source : Chain
        The pretrained encoder; a copy is trained.
    in_features, out_features : int
        Of the encoder's last cut, and of the teacher's pooled feature.
    seed : int
        Of the map's first weights.
    """

    def __init__(self, source: Chain, in_features: int, out_features: int, *, seed: int) -> None:
        super().__init__()
        self.source = copy.deepcopy(source).thaw()
        self.pool = TokenMean()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.map = nn.Linear(in_features, out_features)

    def forward(self, windows: Tensor) -> Tensor:
        """``[batch, channels, samples]`` to ``[batch, 1, features]``, as one token."""
        mapped: Tensor = self.map(self.pool(self.source(windows)))
        return mapped[:, None]

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder and the map."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.inference_mode()
    def rescale(self, found: Tensor, wanted: Tensor) -> None:
        """Give what it says of the pairs the mean and the size that the teacher's features have.

        A contrast of directions leaves both free, and the teacher's head knows neither.

        Parameters
        ----------
        found, wanted : Tensor of shape [n, 1, features]
            Its own features of the pairs, and the teacher's.
        """
        mine, theirs = found.mean((0, 1)), wanted.mean((0, 1))
        size = (found - mine).square().mean().sqrt().clamp(min=1e-12)
        factor = (wanted - theirs).square().mean().sqrt() / size
        self.map.weight.mul_(factor)
        self.map.bias.copy_((self.map.bias - mine) * factor + theirs)


def distil(
    student: Student | Aligned,
    windows: Tensor,
    teacher: Tensor,
    training: Training,
    *,
    seed: int,
    rows: Tensor | None = None,
    look: Look | None = None,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Train a student on the same pairs as a bridge, with its loss or with ``infonce``.

    Parameters
    ----------
    student : Student or Aligned
        Left in evaluation mode.
    windows : Tensor of float32, shape [windows, channels, samples]
        The source's; may lie in a file, a batch is read at a time.
    teacher : Tensor of shape [n, tokens, features]
        The teacher's last-block tokens, or its pooled feature as one token.
    rows : Tensor of int64, shape [n], optional
        Which of the windows are the pairs'; all if left out.
    look : callable, optional
        For a student with features of its own. Its encoder's statistics of batches stay as they
        were pretrained: what a baseline holds was made with them.
    training, seed, state, report
        As for :func:`bioxedge.bridging.train.train_bridge`.
    """
    rows = torch.arange(len(windows)) if rows is None else rows
    everything = torch.arange(len(rows))
    alignment = Alignment(teacher, training, everything, torch.device("cpu"))
    student.train()
    worn = student if isinstance(student, Student) and look is not None else None
    if worn is not None and look is not None:
        worn.source.eval()
        worn.follow(look)
    batches = batches_of(len(rows), training.batch)

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        given = taken(windows, rows[indices])
        if worn is None or look is None:
            return alignment(student(given), indices)
        return alignment(worn(given, worn.followed(look, batches)[indices]), indices)

    history = fit(
        student,
        loss,
        len(rows),
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
def last_tokens(
    student: Student | Aligned,
    windows: Tensor,
    rows: Tensor | None = None,
    beside: Tensor | None = None,
) -> Tensor:
    """Give the student's last-block tokens [n, tokens, features]; parameters as for `distil`.

    ``beside`` [n, numbers] is for a student with features of its own.
    """
    rows = torch.arange(len(windows)) if rows is None else rows
    if beside is None:
        return torch.cat([student(taken(windows, part)) for part in rows.split(BATCH)])
    parts = zip(rows.split(BATCH), beside.split(BATCH), strict=True)
    return torch.cat([student(taken(windows, part), own) for part, own in parts])
