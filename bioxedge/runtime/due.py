"""A window that waits for its answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bioxedge.quality import Verdict
from bioxedge.signals import Chunk, Samples
from bioxedge.windows import Window


@dataclass(frozen=True)
class Due:
    """A window that waits for its answer, and what is known of its samples.

    Attributes
    ----------
    window : Window
    verdict : Verdict or None
        What its channels look like; None where the bundle states no thresholds.
    t0 : float
        Unix time that its stream time counts from.
    arrived, acquired : int
        Monotonic nanoseconds at which its last sample was here, and was taken by the sensor.
    rate : float
        Estimated real rate in Hz; NaN when unknown.
    loss_known : bool
        Whether a loss in it would have been seen.
    raw : ndarray of float64, shape [channels, n], or None
        What classic features are computed of; None where the bundle asks for none.
    """

    window: Window
    verdict: Verdict | None
    t0: float
    arrived: int
    acquired: int
    rate: float
    loss_known: bool
    raw: Samples | None = None


def told(
    window: Window,
    verdict: Verdict | None,
    chunk: Chunk,
    arrived: int,
    *,
    known: bool,
    raw: Samples | None = None,
) -> Due:
    """Put beside a window what the chunk that completed it tells.

    Parameters
    ----------
    window : Window
    verdict : Verdict or None
    chunk : Chunk
    arrived : int
        Monotonic nanoseconds at which the chunk was here.
    known : bool
        Whether a loss in the window would have been seen.
    raw : ndarray, optional
        See :class:`Due`.
    """
    rate = chunk.real_rate if math.isfinite(chunk.real_rate) else chunk.rate
    behind = float(chunk.end - window.end)  # samples that came after the window's last
    since = behind / rate
    return Due(
        window=window,
        verdict=verdict,
        # Index over nominal rate is not the time on a sensor that is slower or faster.
        t0=chunk.t0 + (behind / chunk.rate - since),
        arrived=arrived,
        acquired=(chunk.acquired or arrived) - round(since * 1e9),
        rate=chunk.real_rate,
        loss_known=known,
        raw=raw,
    )
