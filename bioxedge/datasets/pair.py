"""One person's simultaneous recordings, aligned by their clocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bioxedge.datasets.alignment import Places
from bioxedge.errors import DatasetError
from bioxedge.signals import Recording


@dataclass(frozen=True)
class Pair:
    """What one person's sensors recorded at the same time.

    Parameters
    ----------
    name : str
        Which recording this is, distinct within the data set.
    source : Recording
        The sensor the wearable has.
    target : Recording
        The sensor whose model knows the task.
    reference : Recording, optional
        What is known besides: numerics at 1 Hz, or class numbers (NaN where there is none).
        Only the steps that may see labels read it.

    Raises
    ------
    DatasetError
        Recordings of different people, or that do not overlap in time.
    """

    name: str
    source: Recording
    target: Recording
    reference: Recording | None = None

    def __post_init__(self) -> None:
        """Refuse what was not recorded together."""
        for other in (self.target, self.reference):
            if other is not None and other.person != self.source.person:
                raise DatasetError(
                    f"{self.name} pairs recordings of two people: "
                    f"{self.source.person} and {other.person}"
                )
        begin, over = self.target.t0, self.target.t0 + self.target.seconds
        begin, over = Places(self.target).on(self.source, np.array([begin, over])).tolist()
        start = max(self.source.t0, begin)
        end = min(self.source.t0 + self.source.seconds, over)
        if end <= start:
            raise DatasetError(
                f"{self.name}: source and target do not overlap in time "
                f"(source starts at {self.source.t0:.3f} s, target at {self.target.t0:.3f} s)"
            )

    @property
    def person(self) -> str:
        """Who was recorded."""
        return self.source.person
