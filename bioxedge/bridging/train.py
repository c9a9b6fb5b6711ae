"""Train the bridge from what the frozen models said of the pairs; nothing else is trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.loop import HeldOut, Report, Schedule, fit, quiet
from bioxedge.bridging.losses import OVER_BATCH, Pairs, distance
from bioxedge.bridging.world import ALONE, World
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain


@dataclass(frozen=True)
class Training:
    """How a bridge (or what it is compared with) is trained.

    Attributes
    ----------
    loss : str
        One of :data:`bioxedge.bridging.losses.LOSSES`, or ``answers``, which compares what the
        ``head`` says.
    over : {"mean", "tokens"}
        Compare token means, which is what the head sees, or all tokens (as published). Tokens
        that describe beats differ from window to window in ways that one pooled source
        feature cannot know.
    at : {"last", "cut"}
        Compare at the target's last block, through the frozen tail (as published), or what the
        bridge gives with what stands at the cut. An error made early grows through the tail,
        and only the first sees it; the second needs no tail and is far cheaper.
    epochs, batch, learning_rate
        Adam's settings.
    patience : int
        Epochs without a new best on held-out pairs after which training stops; 0 for all
        epochs.
    schedule : {"cosine", "constant"}
        Of the learning rate: falling, or as published.
    head : Module, optional
        Frozen; for the loss ``answers``.
    """

    loss: str = "centred_cosine"
    over: str = "mean"
    at: str = "last"
    epochs: int = 30
    batch: int = 64
    learning_rate: float = 3e-3
    patience: int = 0
    schedule: Schedule = "cosine"
    head: nn.Module | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes
    ----------
    losses : list of float
        Mean loss of each epoch.
    held_out : list of float
        Loss on the held-out pairs after each epoch; empty where none were.
    best : int or None
        The epoch, counted from 0, whose weights were kept; None for the last.
    """

    losses: list[float]
    held_out: list[float] = field(default_factory=list)
    best: int | None = None


def train_bridge(
    bridge: PrototypeBridge,
    tail: Chain,
    source: Tensor,
    teacher: Tensor,
    training: Training,
    *,
    seed: int,
    held_out: Tensor | None = None,
    state: Path | None = None,
    report: Report = quiet,
    compute: Compute | None = None,
    world: World = ALONE,
) -> Course:
    """Align what the bridge makes of the source with the teacher, on unlabelled pairs.

    Parameters
    ----------
    bridge : PrototypeBridge
        Trained in place and left in evaluation mode, on the processor.
    tail : Chain
        ``target[j:]``, frozen. Not used where the training compares at the cut.
    source : Tensor of shape [n, in_features]
        Pooled source features at the source's cut.
    teacher : Tensor of shape [n, tokens, features]
        The teacher's tokens where the two are compared, or their mean as one token. May lie in
        a file: a batch is read at a time.
    training : Training
    seed, state, report
        See :func:`bioxedge.bridging.loop.fit`.
    held_out : Tensor of int64, optional
        Indices of the pairs that are not trained on and stop training early, by their loss.
    compute : Compute, optional
    world : World
        Each batch is dealt out over its processes.

    Returns
    -------
    Course

    Raises
    ------
    ModelError
        A patience without held-out pairs, or pairs that are all held out.
    """
    trained = _trained_on(len(source), held_out, training.patience)
    compute = compute or Compute()
    device = compute.where
    alignment = Alignment(teacher, training, trained, device)
    features = source.to(device)
    bridge.to(device).train()
    averaged = world.trained(bridge)
    onward = _onward(tail, training, compute)

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        batch = trained[indices]
        mine = world.share(batch)
        return alignment(onward(averaged(features[mine])), mine, world, len(batch))

    aside = trained[:0] if held_out is None else held_out

    @torch.no_grad()
    def judged() -> float:
        total = 0.0
        for part in aside.split(training.batch)[world.rank :: world.size]:
            total += float(alignment(onward(bridge(features[part])), part)) * len(part)
        return world.total(total)[0] / len(aside)

    watch = HeldOut(judged, training.patience) if training.patience else None
    with compute.placed(tail):
        losses = fit(
            bridge,
            loss,
            len(trained),
            epochs=training.epochs,
            batch=training.batch,
            rate=training.learning_rate,
            seed=seed,
            schedule=training.schedule,
            held_out=watch,
            state=state,
            report=report,
            world=world,
            what="training the bridge",
        )
    bridge.cpu().requires_grad_(False).eval()
    return Course(losses) if watch is None else Course(losses, watch.losses, watch.best)


def _trained_on(count: int, held_out: Tensor | None, patience: int) -> Tensor:
    """Give the indices of the pairs that are trained on."""
    rows = torch.arange(count)
    if patience and (held_out is None or len(held_out) == 0):
        raise ModelError(
            f"a patience of {patience} epochs needs held-out pairs: hold some out, or set it to 0"
        )
    if held_out is None:
        return rows
    rows = rows[~torch.isin(rows, held_out)]
    if len(rows) == 0:
        raise ModelError(f"all {count} pairs are held out: leave some to train on")
    return rows


def _onward(tail: Chain, training: Training, compute: Compute) -> Callable[[Tensor], Tensor]:
    """Make what follows the bridge before the loss: the frozen tail, or nothing."""
    if training.at == "cut" or len(tail) == 0:
        return lambda tokens: tokens
    run: Callable[[Tensor], Tensor] = compute.fused(tail)

    def onward(tokens: Tensor) -> Tensor:
        with compute.running():
            return run(tokens)

    return onward


class Alignment:
    """The loss of predicted activations at pair indices.

    Parameters
    ----------
    teacher : Tensor of shape [n, tokens, features]
        Read a batch at a time, so it may lie in a file.
    training : Training
    trained : Tensor of int64
        The pairs whose mean a centred loss subtracts.
    device : torch.device
    """

    def __init__(
        self, teacher: Tensor, training: Training, trained: Tensor, device: torch.device
    ) -> None:
        head = training.head
        if head is not None:
            head = copy.deepcopy(head).to(device).requires_grad_(False).eval()
        self._measure = distance(training.loss, head)
        self._over_batch = training.loss in OVER_BATCH
        self._mean = training.over == "mean"
        self._teacher, self._device = teacher, device
        self._pairs = Pairs.of(self._wanted, trained).to(device)

    def __call__(
        self, predicted: Tensor, mine: Tensor, world: World = ALONE, batch: int = 0
    ) -> Tensor:
        """Compare predicted tokens with those that these pairs should have.

        Parameters
        ----------
        predicted : Tensor of shape [rows, tokens, features]
        mine : Tensor of int64, shape [rows]
            The pairs.
        world, batch
            The processes that have the other pairs of a batch, and how many it has in all.
        """
        predicted = predicted.float()
        if len(mine) == 0 and not self._over_batch:  # more processes than rows
            return predicted.sum()
        if self._mean:
            predicted = predicted.mean(1, keepdim=True)
        wanted = self._wanted(mine).to(self._device)
        if self._over_batch:
            predicted, wanted = world.gathered(predicted, batch), world.gathered(wanted, batch)
            return self._measure(predicted, wanted, self._pairs)
        return world.scaled(self._measure(predicted, wanted, self._pairs), len(mine), batch)

    def _wanted(self, rows: Tensor) -> Tensor:
        wanted = self._teacher[rows]
        return wanted.mean(1, keepdim=True) if self._mean else wanted


def trained_parameters(module: nn.Module) -> int:
    """Count the parameters that a training changed."""
    return sum(parameter.numel() for parameter in module.parameters())
