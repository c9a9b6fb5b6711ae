"""A training that runs away is stopped where it does, in words that say what to change."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bioxedge.errors import ModelError


@dataclass(frozen=True)
class Watch:
    """Stops a training that runs away, and says so.

    Parameters
    ----------
    what : str
        What is trained.
    rate : float
    state : Path or None
        Removed, since nothing good comes of what it holds.
    """

    what: str
    rate: float
    state: Path | None

    def finite(self, value: float, epoch: int, step: int | None = None) -> None:
        """Hold a loss to being a number; without a step it is that of held-out pairs."""
        if not math.isfinite(value):
            where = "on held-out pairs" if step is None else f"in batch {step + 1}"
            self._stop(f"its loss is {value} {where} of epoch {epoch + 1}")

    def sound(self, parameters: Iterable[Tensor], epoch: int) -> None:
        """Hold the weights to being numbers after an epoch."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters):
            self._stop(f"its weights are not finite after epoch {epoch + 1}")

    def _stop(self, why: str) -> None:
        if self.state is not None:
            self.state.unlink(missing_ok=True)
        raise ModelError(
            f"{self.what} ran away: {why}, at a learning rate of {self.rate:g}: lower "
            "learning_rate, or look for values in the windows that are not finite or far out"
        )
