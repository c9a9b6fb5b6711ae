"""Percentiles of times, where there are enough of them to say."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
import numpy as np

ENOUGH = {"p50": 1, "p90": 100, "p99": 1000, "p999": 1000}
"""How many values it takes before a percentile is given."""
_SHARES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What many values of one kind were; a percentile is None where they are too few.

    Attributes
    ----------
    count : int
    mean, least, most : float
    p50, p90, p99, p999 : float or None
        p50 from one value on, p90 from a hundred, p99 and p99.9 from a thousand.
    """

    count: int
    mean: float
    least: float
    most: float
    p50: float
    p90: float | None
    p99: float | None
    p999: float | None


def numbers(values: Sequence[float]) -> Numbers | None:
    """Sum up values; None where there are none.

    Examples
    --------
    >>> found = numbers([1.0, 2.0, 6.0])
    >>> found.p50, found.p90, found.most
    (2.0, None, 6.0)
    """
    if not values:
        return None
    array = np.asarray(values, np.float64)
    found = {
        name: round(float(np.percentile(array, share)), 5) if len(array) >= ENOUGH[name] else None
        for name, share in _SHARES.items()
    }
    return Numbers(
        count=len(array),
        mean=round(float(array.mean()), 5),
        least=float(array.min()),
        most=float(array.max()),
        p50=found.pop("p50") or 0.0,
        **found,
    )


def spread(values: Sequence[float]) -> float:
    """How far values lie apart, as a share of their median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def jitter(latency: Sequence[float]) -> float | None:
    """Standard deviation of the time from one answer to the next, about the hop; None if few.

    Parameters
    ----------
    latency : sequence of float
        Of windows that were due one hop apart.
    """
    if len(latency) < 3:
        return None
    return round(float(np.diff(np.asarray(latency)).std()), 5)
