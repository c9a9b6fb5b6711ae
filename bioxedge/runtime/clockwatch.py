"""Notices that somebody set the wall clock."""

from __future__ import annotations

from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import HostClock

# A wall clock that moves by more than this between two looks was set; slewing is slower.
CLOCK_STEP = 0.5


class ClockWatch:
    """Compares the wall clock with the monotonic one, look by look.

    Parameters
    ----------
    clock : HostClock

    Attributes
    ----------
    offset : float
        Unix time less monotonic time, in seconds, at the last look.
    """

    def __init__(self, clock: HostClock) -> None:
        self._clock = clock
        self.offset = self._now()

    def look(self, t: float) -> Event | None:
        """Look; give an event at ``t`` seconds of stream time where the clock was set."""
        before, self.offset = self.offset, self._now()
        step = self.offset - before
        if abs(step) <= CLOCK_STEP:
            return None
        said = (
            f"the host's clock was set by {step:+.1f} s: no window moves, "
            "and times are right from here on"
        )
        return Event("clock_step", said, t, {"seconds": step})

    def _now(self) -> float:
        return self._clock.time() - self._clock.monotonic_ns() / 1e9
