"""One source of a session that is recorded, and how far it is."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from bioxedge.errors import BioxedgeError
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.base import Source
from bioxedge.signals import Chunk


class Track:
    """One source of a session, and how far it is.

    Parameters
    ----------
    role : str
        The folder of its stream in the session.
    source : Source
    modality : str, optional

    Attributes
    ----------
    end, first : int
        One past the last sample, and the first one.
    real_rate : float
        Samples per second of the host's clock; NaN until it is known.
    heard : int
        Monotonic nanoseconds of the last sample.
    over : str or None
        Why it ended; None while it goes on.
    failed : BioxedgeError or None
    holes : list of (float, int)
        The longest gaps: seconds on the stream, and samples.
    """

    def __init__(self, role: str, source: Source, modality: str = "") -> None:
        self.role, self.source, self.modality = role, source, modality
        self.recorded: Recorded | None = None
        self.first = self.end = self.samples = self.heard = 0
        self.real_rate = math.nan
        self.loss: int | None = 0
        self.over: str | None = None
        self.failed: BioxedgeError | None = None
        self.events: Counter[str] = Counter()
        self.holes: list[tuple[float, int]] = []

    def take(self, chunk: Chunk, now: int) -> None:
        """Note samples that were read."""
        if not self.samples:
            self.first = chunk.first
        elif chunk.first > self.end:
            self.holes.append((self.end / self.source.rate, chunk.first - self.end))
            self.holes = sorted(self.holes, key=lambda hole: -hole[1])[:5]
        self.end, self.heard = chunk.end, now
        self.samples += chunk.samples.shape[1]
        if math.isfinite(chunk.real_rate):
            self.real_rate = chunk.real_rate

    def to_dict(self) -> dict[str, Any]:
        """Give what came of it, for a program."""
        progress = None if self.recorded is None else self.recorded.progress
        return {
            "role": self.role,
            "source": self.source.name,
            "sensor": self.source.sensor,
            "channels": list(self.source.channels),
            "nominal_rate": self.source.rate,
            "real_rate": self.real_rate if math.isfinite(self.real_rate) else None,
            "seconds": (self.end - self.first) / self.source.rate,
            "samples": self.samples,
            "missing": self.end - self.first - self.samples,
            "loss": self.loss,
            "longest_gaps": [{"t": t, "samples": samples} for t, samples in self.holes],
            "events": dict(self.events),
            "bytes": 0 if progress is None else progress.bytes,
            "left_out": 0 if progress is None else progress.left_out,
            "ended": self.over if self.over is not None else progress and progress.ended,
        }
