"""A source whose channels are multiplied: volts where microvolts are expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.signals import Chunk


class Scaled(Managed):
    """Multiplies channels of another source; everything else is that source's.

    Parameters
    ----------
    source : Source
    gains : mapping of str to float
        What each named channel is multiplied by; the others stay as they are.

    Raises
    ------
    SourceError
        A channel that the source does not have, or a gain that is 0 or not finite.
    """

    def __init__(self, source: Source, gains: Mapping[str, float]) -> None:
        for name, gain in gains.items():
            if name not in source.channels:
                raise SourceError(
                    f"there is no channel {name!r} to scale: there are {', '.join(source.channels)}"
                )
            if not math.isfinite(gain) or gain == 0:
                raise SourceError(f"channel {name} cannot be scaled by {gain:g}: give 1e6, say")
        self._source = source
        self._gains = np.array([[gains.get(name, 1.0)] for name in source.channels])
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.sensor, self.waits = source.sensor, source.waits
        self.watches_clock = getattr(source, "watches_clock", False)
        # What is multiplied has another unit, which only whoever said so knows.
        self.units = None if gains else source.units

    @property
    def loss(self) -> int | None:
        """Samples lost on the way so far; None where the source cannot know."""
        return self._source.loss

    def start(self) -> None:
        """Begin."""
        self._source.start()

    def read(self) -> Chunk | None:
        """Give what has come, scaled."""
        chunk = self._source.read()
        return None if chunk is None else replace(chunk, samples=chunk.samples * self._gains)

    def take_events(self) -> list[Event]:
        """Give what happened."""
        return self._source.take_events()

    def close(self) -> None:
        """Let go of everything."""
        self._source.close()
