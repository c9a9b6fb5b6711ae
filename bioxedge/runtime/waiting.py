"""How long to wait before the next look at a source that has nothing new.

A look costs something, and a sample that has just missed one is as late as the next. Windows come
at a steady pace: about when the next one should be complete the looks are close together, and rare
otherwise. Where the pace is not steady nothing is lost: then a look is as late as it always was.
"""

from __future__ import annotations

# Seconds between two looks: short beside any hop, and about 1 % of a core.
POLL = 0.005
# The same where a window is about to be complete.
CLOSE = 0.0005
# How far around that moment: in seconds, and at most this share of the pace.
REACH, SHARE = 0.01, 0.125


class Waiting:
    """Learns the pace of complete windows from the last two."""

    def __init__(self) -> None:
        self._last = self._next = 0
        self._reach = 0.0

    def completed(self, now: int) -> None:
        """Note that what was read at this moment (monotonic nanoseconds) completed a window."""
        if self._last:
            pace = now - self._last
            self._next = now + pace
            self._reach = min(REACH, SHARE * pace / 1e9)
        self._last = now

    def seconds(self, now: int) -> float:
        """Seconds to wait from this moment on.

        Examples
        --------
        >>> waiting = Waiting()
        >>> waiting.seconds(0)
        0.005
        >>> for second in (1, 2):
        ...     waiting.completed(second * 10**9)
        >>> [waiting.seconds(ms * 10**6) for ms in (2500, 2987, 2995, 3005, 3015)]
        [0.005, 0.003, 0.0005, 0.0005, 0.005]
        """
        if not self._next:
            return POLL
        ahead = (self._next - now) / 1e9
        if ahead > self._reach:
            return min(POLL, max(round(ahead - self._reach, 9), CLOSE))
        return CLOSE if ahead > -self._reach else POLL
