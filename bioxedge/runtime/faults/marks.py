"""What a fault did to which samples: for whoever checks, never for a reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bioxedge.runtime.faults.plan import Fault
from bioxedge.signals import Samples

Harm = Literal["removed", "spoiled", "none"]


@dataclass
class Mark:
    """What one fault did.

    Attributes
    ----------
    fault : Fault
    number : int
        Of the fault in the plan.
    session : int
        Which start of the board it falls into, from 0.
    first, end : int
        The true samples that it touched (end exclusive), counted since that start.
    harm : ``removed``, ``spoiled`` or ``none``
        Whether those samples are not there, are wrong, or are right all the same.
    """

    fault: Fault
    number: int
    session: int
    first: int
    end: int
    harm: Harm
    level: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    spread: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    hold: Samples = field(default_factory=lambda: np.zeros((0, 1)), repr=False)
    noise: Samples | None = field(default=None, repr=False)


@dataclass
class Session:
    """One start of the board: true samples ``[origin, end)`` were delivered."""

    origin: int | None = None
    end: int = 0


def spoil(mark: Mark, samples: Samples, first: int, rate: float) -> Samples:
    """Give samples [channels, n] as the mark's fault makes them; index ``first`` is column 0."""
    begin, end = max(first, mark.first), min(first + samples.shape[1], mark.end)
    if begin >= end:
        return samples
    out = samples.copy()
    rows = slice(None) if mark.fault.channel is None else slice(
        mark.fault.channel, mark.fault.channel + 1
    )  # fmt: skip
    where = slice(begin - first, end - first)
    if mark.fault.kind == "nan":
        out[rows, where] = np.nan
    elif mark.fault.kind == "rail":
        out[rows, where] = (mark.level + 20 * mark.spread)[rows]
    elif mark.fault.kind == "flat":
        out[rows, where] = mark.hold[rows]
    elif mark.fault.kind == "unit":
        out[rows, where] *= mark.fault.size
    else:
        if mark.noise is None:
            rng = np.random.default_rng([mark.number, mark.first])
            mark.noise = rng.standard_normal((len(samples), mark.end - mark.first))
        t = np.arange(begin, end) / rate
        hum = (
            20 * np.sin(2 * np.pi * 50 * t)
            + 5 * mark.noise[:, begin - mark.first : end - mark.first]
        )
        out[rows, where] = (mark.level + mark.spread * hum)[rows]
    spoiled: Samples = out
    return spoiled
