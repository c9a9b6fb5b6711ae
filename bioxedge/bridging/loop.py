"""The one training loop: seeded epoch by epoch, stoppable, resumable to the same bits."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bioxedge.bridging.room import save
from bioxedge.bridging.runaway import Watch
from bioxedge.bridging.world import ALONE, World

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""Takes the indices of a batch and the epoch's random numbers; gives a scalar."""

Report = Callable[[int, int], None]
"""Told how many of how many batches are done."""

Schedule = Literal["cosine", "constant"]
"""What the learning rate does from epoch to epoch."""

_SAVE_EVERY = 10.0  # seconds


def quiet(done: int, total: int) -> None:
    """Report to nobody."""


@dataclass
class HeldOut:
    """Pairs that are not trained on, and say when to stop.

    Parameters
    ----------
    loss : callable
        The alignment loss on the held-out pairs; no label is read.
    patience : int
        Epochs without a new best after which training stops.

    Attributes
    ----------
    losses : list of float
        One for each epoch that was trained.
    best : int or None
        The epoch (counted from 0) whose weights are kept.
    """

    loss: Callable[[], float]
    patience: int
    losses: list[float] = field(default_factory=list)
    best: int | None = None
    _weights: dict[str, Tensor] | None = None

    def look(self, module: nn.Module) -> bool:
        """Judge an epoch; True when it was the last."""
        self.losses.append(self.loss())
        if self.best is None or self.losses[-1] < self.losses[self.best]:
            self.best = len(self.losses) - 1
            self._weights = copy.deepcopy(module.state_dict())
        return len(self.losses) - 1 - self.best >= self.patience

    def restore(self, module: nn.Module) -> None:
        """Go back to the best epoch's weights."""
        if self._weights is not None:
            module.load_state_dict(self._weights)

    def state(self) -> dict[str, Any]:
        """Give plain values to keep on disk."""
        return {"losses": self.losses, "best": self.best, "weights": self._weights}

    def resume(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.losses, self.best = list(state["losses"]), state["best"]
        self._weights = state["weights"]


def fit(
    module: nn.Module,
    loss: Loss,
    count: int,
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
    decay: float = 0.0,
    schedule: Schedule = "cosine",
    held_out: HeldOut | None = None,
    state: Path | None = None,
    report: Report = quiet,
    world: World = ALONE,
    what: str = "training",
) -> list[float]:
    """Train a module's parameters with Adam.

    Every epoch draws from a generator of its own, seeded by (seed, epoch). Ctrl-C waits for the
    batch at hand and keeps what was done; a run that was stopped, or killed, goes on from
    ``state`` and ends with the same bits as one that was not.

    Parameters
    ----------
    module : Module
        What is trained and saved: its parameters that want a gradient.
    loss : callable
        See :data:`Loss`. In a `world` of several it is given the whole batch, and gives this
        process's share (`World.scaled`).
    count : int
        Examples in an epoch; a last batch of one is dropped (batch norm cannot use it).
    epochs, batch, rate, seed, decay
        Adam's settings; ``decay`` is decoupled (AdamW).
    schedule : {"cosine", "constant"}
        With ``cosine`` the rate falls to zero along half a cosine, from epoch to epoch.
    held_out : HeldOut, optional
        Stops training early and keeps the best epoch's weights.
    state : Path, optional
        Where progress is kept; removed at the end. One that is damaged counts for nothing.
    report : callable, optional
    world : World
    what : str
        Names the training in an error.

    Returns
    -------
    list of float
        The mean loss of each epoch that was trained.

    Raises
    ------
    ModelError
        A loss, or a weight, that is no longer a finite number: nothing is trained beyond it.
    StorageError
        The disk does not take the state.
    """
    wanted = [p for p in module.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(wanted, lr=rate, weight_decay=decay)
    at = _Progress()
    if state is not None and whole(state):
        at = _resumed(state, module, adam, held_out)
    watch = Watch(what, rate, state)
    batches = batches_of(count, batch)
    report(at.epoch * batches + at.step, epochs * batches)
    saved_at = time.monotonic()
    with torch.random.fork_rng(devices=[]), _interruptible() as interrupted:
        while at.epoch < epochs and not at.over:
            if schedule == "cosine":
                for group in adam.param_groups:
                    group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * at.epoch / epochs))
            generator, order = _drawn(seed, at, count)
            for step, indices in enumerate(order.split(batch)[:batches]):
                if step < at.step:
                    continue  # done before the run was stopped
                adam.zero_grad(set_to_none=True)
                value = loss(indices, generator)
                # Before several processes wait for each other's gradients: all stop together.
                watch.finite(world.total(value.item())[0], at.epoch, step)
                value.backward()
                adam.step()
                at.add(step, value, len(indices), generator)
                report(at.epoch * batches + at.step, epochs * batches)
                due = time.monotonic() - saved_at > _SAVE_EVERY
                if state is not None and world.first and (due or interrupted()):
                    _save(state, module, adam, at, held_out)
                    saved_at = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt
            at.finish(world)
            # The last step of an epoch is seen by no loss of its own.
            watch.sound(wanted, at.epoch - 1)
            if held_out is not None:
                at.over = held_out.look(module)
                watch.finite(held_out.losses[-1], at.epoch - 1)
    if held_out is not None:
        held_out.restore(module)
    report(epochs * batches, epochs * batches)
    if state is not None and world.first:
        state.unlink(missing_ok=True)
    return at.history


@dataclass
class _Progress:
    """Where a training stands: all that a resumed one must know besides weights and moments."""

    epoch: int = 0
    step: int = 0  # batches done in this epoch
    total: float = 0.0
    seen: int = 0
    history: list[float] = field(default_factory=list)
    over: bool = False
    generator: Tensor | None = None  # states of the random numbers within an epoch
    dropout: Tensor | None = None

    def add(self, step: int, value: Tensor, count: int, generator: torch.Generator) -> None:
        """Count a batch."""
        self.step = step + 1
        self.total, self.seen = self.total + value.item() * count, self.seen + count
        self.generator, self.dropout = generator.get_state(), torch.get_rng_state()

    def finish(self, world: World) -> None:
        """Close an epoch."""
        (total,) = world.total(self.total)
        self.history.append(total / world.size / max(self.seen, 1))
        self.epoch, self.step, self.total, self.seen = self.epoch + 1, 0, 0.0, 0
        self.generator = self.dropout = None


def batches_of(count: int, batch: int) -> int:
    """How many batches an epoch has, without a last one of a single example."""
    whole, rest = divmod(count, batch)
    return whole + (rest > 1 or (rest == 1 and whole == 0))


def _drawn(seed: int, at: _Progress, count: int) -> tuple[torch.Generator, Tensor]:
    """Give an epoch's random numbers, and the order of its examples."""
    own = (seed * 1_000_003 + at.epoch) % 2**63
    generator = torch.Generator().manual_seed(own)
    torch.manual_seed(2**63 - own)  # dropout knows no other generator
    order = torch.randperm(count, generator=generator)
    if at.generator is not None and at.dropout is not None:
        generator.set_state(at.generator)
        torch.set_rng_state(at.dropout)
    return generator, order


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back until it is asked for; a second one does not wait.

    An optimiser's step that is broken off in the middle could not be resumed to the same bits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed: list[int] = []

    def hold(number: int, _: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler
    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def whole(state: Path) -> bool:
    """Say whether a file of progress is there and as it was written, by its checksums."""
    try:
        with zipfile.ZipFile(state) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError):
        return False


def _resumed(
    state: Path, module: nn.Module, adam: torch.optim.Optimizer, held_out: HeldOut | None
) -> _Progress:
    """Take up a training where it was stopped."""
    saved = torch.load(state, weights_only=True)
    module.load_state_dict(saved["module"])
    adam.load_state_dict(saved["adam"])
    if held_out is not None:
        held_out.resume(saved["held_out"])
    return _Progress(**saved["at"])


def _save(
    state: Path,
    module: nn.Module,
    adam: torch.optim.Optimizer,
    at: _Progress,
    held_out: HeldOut | None,
) -> None:
    """Keep progress so that a crash leaves the last one or this one."""
    partial = state.with_suffix(".partial")
    save(
        {
            "module": module.state_dict(),
            "adam": adam.state_dict(),
            "at": vars(at),
            "held_out": None if held_out is None else held_out.state(),
        },
        partial,
    )
    partial.replace(state)
