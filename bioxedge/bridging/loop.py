"""The one training loop: seeded epoch by epoch, stoppable, resumable to the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, torch.Generator], Tensor]
"""Takes the indices of a batch and the epoch's random numbers; gives a scalar."""

Report = Callable[[int, int], None]
"""Told how many of how many epochs are done."""

_SAVE_EVERY = 10.0  # seconds


def quiet(done: int, total: int) -> None:
    """Report to nobody."""


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
    cosine: bool = False,
    state: Path | None = None,
    report: Report = quiet,
) -> list[float]:
    """Train a module's parameters with Adam.

    Every epoch draws from a generator of its own, seeded by (seed, epoch), so a run that was
    stopped and resumed from ``state`` ends with the same bits as one that was not.

    Parameters
    ----------
    module : Module
        What is trained and saved: its parameters that want a gradient.
    loss : callable
        See :data:`Loss`.
    count : int
        Examples in an epoch; a last batch of one is dropped (batch norm cannot use it).
    epochs, batch, rate, seed, decay
        Adam's settings; ``decay`` is decoupled (AdamW).
    cosine : bool
        Let the rate fall to zero along half a cosine.
    state : Path, optional
        Where progress is kept; removed at the end.
    report : callable, optional

    Returns
    -------
    list of float
        The mean loss of each epoch.
    """
    wanted = [p for p in module.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(wanted, lr=rate, weight_decay=decay)
    done, history = 0, list[float]()
    if state is not None and state.exists():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["module"])
        adam.load_state_dict(saved["adam"])
        done, history = saved["epoch"], saved["history"]
    saved_at = time.monotonic()
    report(done, epochs)
    with torch.random.fork_rng(devices=[]):
        for epoch in range(done, epochs):
            if cosine:
                for group in adam.param_groups:
                    group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * epoch / epochs))
            own = (seed * 1_000_003 + epoch) % 2**63
            generator = torch.Generator().manual_seed(own)
            torch.manual_seed(2**63 - own)  # dropout knows no other generator
            total, seen = 0.0, 0
            for indices in torch.randperm(count, generator=generator).split(batch):
                if len(indices) == 1 < min(batch, count):
                    continue
                adam.zero_grad(set_to_none=True)
                value = loss(indices, generator)
                value.backward()
                adam.step()
                total, seen = total + value.item() * len(indices), seen + len(indices)
            history.append(total / max(seen, 1))
            report(epoch + 1, epochs)
            if state is not None and time.monotonic() - saved_at > _SAVE_EVERY:
                _save(state, module, adam, epoch + 1, history)
                saved_at = time.monotonic()
    if state is not None:
        state.unlink(missing_ok=True)
    return history


def _save(
    state: Path,
    module: nn.Module,
    adam: torch.optim.Optimizer,
    epoch: int,
    history: list[float],
) -> None:
    """Keep progress so that a crash leaves the last one or this one."""
    partial = state.with_suffix(".partial")
    torch.save(
        {
            "module": module.state_dict(),
            "adam": adam.state_dict(),
            "epoch": epoch,
            "history": history,
        },
        partial,
    )
    partial.replace(state)
