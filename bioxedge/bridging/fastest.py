"""Which setting trains a bridge fastest on this machine: a few real steps of each are timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.compute import Compute, can_compile
from bioxedge.bridging.packed import can_pack
from bioxedge.bridging.train import Alignment, Training
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain

WORTH = 2**40
"""Multiply-accumulates of a whole training (some ten seconds of a desktop core) from which on
it is worth measuring. A count, not a time: whether there is a choice never hangs on the load."""

LONG = 600.0
"""Seconds of training from which on compiling (half a minute, for a tenth of the time) pays."""

_STEP = 2**37  # multiply-accumulates of one timed step: about a second of a desktop core
_ROUNDS = 3
_SECONDS = 10.0  # after which no new round begins
_CLEARLY = 0.97  # of the plainer setting's time: less of a gain is noise


@dataclass(frozen=True)
class Fastest:
    """A setting, and why it was taken.

    Attributes
    ----------
    compute : Compute
        With nothing left open.
    seconds : dict of str to float
        Of one step with a whole batch, by setting; empty where nothing was measured.
    why : str
        Why settings were not tried, in words; empty where all were.
    """

    compute: Compute
    seconds: dict[str, float]
    why: str = ""

    def line(self) -> str:
        """Say it in one line: ``packed: 0.30 s a step, plain 0.60``."""
        own = name_of(self.compute)
        if not self.seconds:
            return f"{own}: {self.why}"
        others = [f"{name} {value:.3g}" for name, value in self.seconds.items() if name != own]
        said = ", ".join([f"{own}: {self.seconds[own]:.3g} s a step", *others])
        return f"{said} ({self.why})" if self.why else said


def name_of(compute: Compute) -> str:
    """Name a setting: ``plain``, ``packed``, ``bf16, compiled`` …"""
    kind = "compiled" if compute.compiled else "packed" if compute.packed else ""
    words = ([compute.precision] if compute.precision != "fp32" else []) + ([kind] if kind else [])
    return ", ".join(words) or "plain"


def settings(
    device: str, precision: str, compiled: bool | None, packed: bool | None
) -> tuple[list[Compute], list[Compute]]:
    """List the settings that a recipe leaves open and this machine has.

    Parameters
    ----------
    device : str
    precision : {"fp32", "bf16", "auto"}
        ``auto`` is either. All that is left open otherwise changes results by rounding only.
    compiled, packed : bool or None
        None for open.

    Returns
    -------
    quick, slow : list of Compute
        The plainest first; the slow ones take half a minute of compilation.
    """
    kinds = ("fp32", "bf16") if precision == "auto" else (precision,)
    quick: list[Compute] = []
    slow: list[Compute] = []
    for kind in kinds:
        here = Compute(device, kind)
        processor = here.where.type == "cpu"
        if kind == "bf16" and precision == "auto" and not here.native:
            continue
        if compiled is not True:
            if packed is not True or not processor:
                quick.append(here)
            if packed is not False and processor and can_pack():
                quick.append(replace(here, packed=True))
        if compiled is True:
            quick.append(replace(here, compiled=True))
        elif compiled is None and can_compile(here.where):
            slow.append(replace(here, compiled=True))
    return quick, slow


def fastest(
    quick: list[Compute],
    slow: list[Compute],
    bridge: PrototypeBridge,
    tail: Chain,
    source: Tensor,
    teacher: Tensor,
    training: Training,
    *,
    macs: int,
    steps: int,
    rows: int | None = None,
) -> Fastest:
    """Time real steps of each setting, in turns, and take the fastest.

    A step is that of :func:`bioxedge.bridging.train.train_bridge` with a copy of the bridge:
    nothing that is given changes, and no random number is drawn. Costly steps are timed with
    fewer rows. Settings that compile are tried only where the best of the others would take
    more than :data:`LONG` seconds for the training.

    Parameters
    ----------
    quick, slow : list of Compute
        From :func:`settings`.
    bridge, tail, source, teacher, training
        As for `train_bridge`.
    macs : int
        Of the tail, forward, for one row.
    steps : int
        Of the whole training.
    rows : int, optional
        Of a batch that this process has; the training's batch if left out.
    """
    if len(quick) == 1 and not slow:
        return Fastest(quick[0], {}, "nothing is left open")
    rows = min(rows or training.batch, len(source))
    if training.at == "cut" or len(tail) == 0:
        return Fastest(quick[0], {}, "no frozen tail is trained through")
    if 2 * macs * rows * steps < WORTH:
        return Fastest(quick[0], {}, "too short a training to gain by measuring")
    few = max(2, min(rows, _STEP // max(2 * macs, 1)))
    trial = _Trial(bridge, tail, source[:few], teacher[:few], training)
    found = {name: value * rows / few for name, value in trial.of(quick).items()}
    if not found:
        raise ModelError("no setting ran a step: set precision, packed and compiled by hand")
    best = _best(quick, found)
    whole, why = found[name_of(best)] * steps, ""
    if slow and whole > LONG:
        found |= {name: value * rows / few for name, value in trial.of(slow).items()}
        best = _best([*quick, *slow], found)
    elif slow:
        why = f"compiling is not tried: {steps} steps take {_in_words(whole)} without"
    if trial.failed:
        gave_up = f"{' and '.join(trial.failed)} did not run"
        why = f"{why}; {gave_up}" if why else gave_up
    return Fastest(best, found, why)


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _best(plainest_first: Iterable[Compute], seconds: dict[str, float]) -> Compute:
    """Take what is clearly faster than anything plainer."""
    tried = [each for each in plainest_first if name_of(each) in seconds]
    best = tried[0]
    for each in tried[1:]:
        if seconds[name_of(each)] < _CLEARLY * seconds[name_of(best)]:
            best = each
    return best


class _Trial:
    """Some rows to time steps with."""

    def __init__(
        self,
        bridge: PrototypeBridge,
        tail: Chain,
        source: Tensor,
        teacher: Tensor,
        training: Training,
    ) -> None:
        self._bridge, self._tail = bridge, tail
        self._source, self._teacher, self._training = source, teacher, training
        self.failed: list[str] = []

    def of(self, each: list[Compute]) -> dict[str, float]:
        """Give each setting's seconds for a step; what is faster but fails is left out."""
        best: dict[str, float] = {}
        began = time.monotonic()
        for turn in range(_ROUNDS):
            if turn and time.monotonic() - began > _SECONDS:
                break
            for compute in each:
                name = name_of(compute)
                if name in self.failed:
                    continue
                try:
                    seconds = self._timed(compute)
                except RuntimeError:
                    if name_of(compute) == "plain":
                        raise
                    self.failed.append(name)  # no kernel, no memory, or a compiler that gave up
                    continue
                best[name] = min(best.get(name, seconds), seconds)
        return best

    def _timed(self, compute: Compute) -> float:
        """Time the second of two steps: the first packs, compiles, and takes memory."""
        device = compute.where
        bridge = copy.deepcopy(self._bridge).to(device).train()
        everything = torch.arange(len(self._source))
        alignment = Alignment(self._teacher, self._training, everything, device)
        features = self._source.to(device)
        adam = torch.optim.AdamW(bridge.parameters(), lr=1e-4)
        onward: Callable[[Tensor], Tensor] = compute.fused(self._tail)

        def step() -> None:
            adam.zero_grad(set_to_none=True)
            with compute.running():
                predicted = onward(bridge(features))
            alignment(predicted, everything).backward()
            adam.step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        with compute.placed(self._tail), torch.random.fork_rng():
            step()
            began = time.perf_counter()
            step()
            return time.perf_counter() - began
