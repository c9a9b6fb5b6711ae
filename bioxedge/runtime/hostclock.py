"""The host's two clocks, and simulated ones that run as fast as they are told."""

from __future__ import annotations

import time


class HostClock:
    """The monotonic clock that durations are measured on, and the wall clock for writing down."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of a clock that never steps."""
        return time.monotonic_ns()

    def time(self) -> float:
        """Unix time in seconds; it steps when somebody sets it."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM = HostClock()
"""This machine's clocks."""


class SimulatedClock(HostClock):
    """Clocks that stand still until somebody sleeps, so that a day passes in minutes.

    Parameters
    ----------
    unix : float, optional
        Unix time at the start.
    """

    def __init__(self, unix: float = 1.76e9) -> None:
        self._now = 1_000_000_000  # not 0, which elsewhere means unknown
        self._wall = unix - self._now / 1e9

    def monotonic_ns(self) -> int:
        """Nanoseconds slept so far, and a second."""
        return self._now

    def time(self) -> float:
        """Unix time, moved by every step."""
        return self._wall + self._now / 1e9

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self._now += round(seconds * 1e9)

    def step(self, seconds: float) -> None:
        """Set the wall clock, as NTP or a person does; the monotonic clock does not move."""
        self._wall += seconds
