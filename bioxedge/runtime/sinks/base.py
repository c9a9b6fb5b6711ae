"""What every sink of predictions does."""

from __future__ import annotations

from typing import Protocol

from bioxedge.runtime.stream import Prediction


class Sink(Protocol):
    """Takes predictions as they come."""

    def open(self, labels: tuple[str, ...]) -> None:
        """Get ready; ``labels`` are the bundle's, in order."""
        ...

    def emit(self, prediction: Prediction) -> None:
        """Take one prediction."""
        ...

    def close(self) -> None:
        """Let go; what was emitted is safe."""
        ...
