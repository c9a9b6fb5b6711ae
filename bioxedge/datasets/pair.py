"""Two sensors that one person wore at the same time, or one of them, and what is known besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioxedge.datasets.alignment import Places
from bioxedge.errors import DatasetError
from bioxedge.signals import Recording

_ZONES = (1800.0, 50400.0)  # seconds: clocks and zones slip by half hours, up to 14 hours
_NEAR = 120.0  # seconds from a whole half hour at which a slip is likelier than chance


@dataclass(frozen=True)
class Pair:
    """What one person's sensors recorded at the same time.

    Parameters
    ----------
    name : str
        Which recording this is, distinct within the data set.
    source : Recording, optional
        The sensor the wearable has.
    target : Recording, optional
        The sensor whose model knows the task. One of the two may be missing.
    reference : Recording, optional
        What is known besides: numerics at 1 Hz, or class numbers (NaN where there is none).
        Only the steps that may see labels read it.

    Raises
    ------
    DatasetError
        No recording, recordings of different people, or that do not overlap in time.
    """

    name: str
    source: Recording | None
    target: Recording | None
    reference: Recording | None = None

    def __post_init__(self) -> None:
        """Refuse what was not recorded together."""
        for other in (self.target, self.reference):
            if other is not None and other.person != self.person:
                raise DatasetError(
                    f"{self.name} pairs recordings of two people: {self.person} and {other.person}"
                )
        if self.source is None or self.target is None:
            return
        begin, over = self.target.t0, self.target.t0 + self.target.seconds
        begin, over = Places(self.target).on(self.source, np.array([begin, over])).tolist()
        start = max(self.source.t0, begin)
        end = min(self.source.t0 + self.source.seconds, over)
        if end <= start:
            raise DatasetError(
                f"{self.name}: source and target do not overlap in time (source starts at "
                f"{self.source.t0:.3f} s, target at {self.target.t0:.3f} s, "
                f"{_offset(begin - self.source.t0)})"
            )

    @property
    def person(self) -> str:
        """Who was recorded."""
        for each in (self.source, self.target):
            if each is not None:
                return each.person
        raise DatasetError(f"{self.name} holds neither of the two sensors")


def _offset(seconds: float) -> str:
    """Say how far apart two recordings begin, and what that looks like."""
    size = abs(seconds)
    said = f"{size / 3600:.2f} hours" if size >= 1800 else f"{size:.1f} s"
    said += f" {'later' if seconds > 0 else 'earlier'}"
    rest = size % _ZONES[0]
    if _ZONES[0] - _NEAR <= size <= _ZONES[1] and min(rest, _ZONES[0] - rest) <= _NEAR:
        said += ": a clock that was set to another zone, or to the wrong half of the day? Correct "
        said += "its t0"
    return said
