"""A window that waits for its answer."""

from __future__ import annotations

from dataclasses import dataclass

from bioxedge.quality import Verdict
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
    """

    window: Window
    verdict: Verdict | None
    t0: float
    arrived: int
    acquired: int
    rate: float
    loss_known: bool
