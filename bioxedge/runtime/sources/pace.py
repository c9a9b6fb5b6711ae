"""Whether arrival can testify: what is read from a file comes faster than it was taken.

Where more signal has come than time has passed, the moment at which a sample comes says nothing
about those before it. Then the numbers set the pace, and a loss that they show is one, though no
time went by. One packet that comes again, or a radio that catches up, is no such case.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from bioxedge.runtime.sources.counters import Pattern
from bioxedge.runtime.sources.intake import Packet
from bioxedge.signals import Chunk

AHEAD = 0.75
"""Seconds of signal beyond the time that has passed, as no radio brings them."""

RECENT = 10.0
"""Seconds of time by which that is judged."""


class Pace:
    """Gives the moments by which packets are judged: those of their arrival, or of their numbers.

    Parameters
    ----------
    rate : float
        Nominal rate in Hz.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._rows = 0
        self._number: float | None = None  # of the last sample
        self._known: deque[tuple[int, float]] = deque(maxlen=140)  # lead by the half second
        self._level = self._start = 0.0
        self._when = self._arrived = 0

    def when(self, packet: Packet, pattern: Pattern | None) -> int:
        """Monotonic nanoseconds for a packet; later than its arrival where numbers set the pace."""
        arrived = packet.arrived
        self._arrived = arrived
        self._rows += packet.samples.shape[1]
        gone = self._gone(packet, pattern)
        # By how much signal is ahead of time, against how far it was before the last ten seconds:
        # a radio that catches up comes back to that, and what had waited from the start is ahead
        # only as long.
        lead = self._rows / self._rate - arrived / 1e9
        known = self._known
        if not known:
            self._level = self._start = lead
        if not known or arrived - known[-1][0] >= 5e8:
            known.append((arrived, lead))
            old = [one for when, one in known if arrived - when > RECENT * 1e9]
            self._level = max(old, default=self._start)
        elif lead > known[-1][1]:
            known[-1] = (known[-1][0], lead)
        if lead - self._level <= AHEAD:
            self._when = 0
            return arrived
        self._when = (self._when or arrived) + round(gone / self._rate * 1e9)
        return max(self._when, arrived)

    def _gone(self, packet: Packet, pattern: Pattern | None) -> float:
        """By how many samples the numbers went on."""
        rows = packet.samples.shape[1]
        if not rows:
            return 0.0
        number = float(packet.numbers[-1])
        before, self._number = self._number, number if number >= 0 else None
        if before is None or not number >= 0 or pattern is None:
            return float(rows)
        gone: float = (number - before) / pattern.step * pattern.rows
        if pattern.turn is not None:
            gone %= pattern.turn
        return max(gone, float(rows))

    def real(self, chunk: Chunk | None) -> Chunk | None:
        """Give a chunk the moment at which it really came, where it was judged by another."""
        if chunk is None or chunk.arrived <= self._arrived:
            return chunk
        return replace(chunk, arrived=self._arrived, acquired=min(chunk.acquired, self._arrived))
