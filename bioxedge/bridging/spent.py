"""What a method took, beside what it reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spent:
    """What one method took, as far as it is known.

    Attributes
    ----------
    pretrained : int
        Parameters of the encoders behind it that were trained here from unlabelled windows. They
        are no part of what ``parameters`` of a score counts.
    seconds : float or None
        Its training took, without that of encoders.
    memory : float or None
        MiB that the training process held at most, libraries and mapped windows with them.
    window : float or None
        Milliseconds that one window takes on this machine: median of the exported graph's, in a
        process of its own, on one thread.
    """

    pretrained: int = 0
    seconds: float | None = None
    memory: float | None = None
    window: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, by names that say the unit."""
        return {
            "pretrained": self.pretrained,
            "seconds": self.seconds,
            "memory_mib": self.memory,
            "window_ms": self.window,
        }


NOTHING = Spent()
