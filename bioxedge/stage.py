"""What every causal stage is: samples in, settled samples out, and where each of them stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction

from bioxedge.signals import Samples


@dataclass(frozen=True)
class Affine:
    """``input index = scale · output index + offset``."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def __call__(self, index: int | Fraction) -> Fraction:
        """Input position of an output index."""
        return self.scale * index + self.offset

    def after(self, earlier: Affine) -> Affine:
        """Compose: this map's input is the earlier map's output."""
        return Affine(earlier.scale * self.scale, earlier(self.offset))


class Stage(ABC):
    """One causal step with carried state.

    Attributes
    ----------
    warmup : int
        Output samples that are computed from less than a settled state and never leave.
    position : Affine
        Where each output that leaves stands among the inputs since the last reset.
    """

    warmup: int = 0
    position: Affine = Affine()

    @abstractmethod
    def push(self, samples: Samples) -> Samples:
        """Take any number of samples [channels, n] and give the settled ones [channels, m]."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything, as if new."""
