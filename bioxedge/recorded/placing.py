"""Where the takes of a recording lie on its one index line."""

from __future__ import annotations

import math

from bioxedge.recorded.read import Read
from bioxedge.recorded.reader import Head


class Placer:
    """Moves the samples of each take behind those of the take before, by as much as time passed.

    Within one start of the machine the monotonic clock says how much that was, over several the
    wall clock, and where that says nonsense (it went back) they follow at once.

    Parameters
    ----------
    rate : float
        Nominal rate in Hz.

    Attributes
    ----------
    offset : int
        What is added to the index of a sample of this take.
    missing : int
        Samples between the take before and this one.
    seconds : float
        The same in seconds.
    end : int
        One past the last sample so far, on the whole line.
    """

    def __init__(self, rate: float) -> None:
        self._rate = self._pace = rate
        self.offset = self.end = self.missing = 0
        self.seconds = 0.0
        self._head: Head | None = None
        self._last: tuple[str, float, float] | None = None  # boot, monotonic, Unix
        self._placed = False

    def begin(self, head: Head) -> None:
        """Begin another take."""
        self._head, self._placed = head, False

    def place(self, read: Read) -> bool:
        """Take a read with samples; give whether its take lies anew from here."""
        chunk, anew = read.chunk, False
        boot = "" if self._head is None else self._head.boot
        taken = time_taken(read)
        if not self._placed:
            self._placed = True
            anew = self._last is not None
            if self._last is not None:
                before, monotonic, unix = self._last
                first = taken - (chunk.samples.shape[1] - 1) / self._rate
                same = bool(boot) and boot == before
                passed = first - monotonic if same else first + read.wall - unix
                index = max(self.end - 1 + round(passed * self._pace), self.end)
                self.offset = index - chunk.first
                self.missing = index - self.end
                self.seconds = max(passed, 0.0)
        self.end = chunk.end + self.offset
        self._last = boot, taken, taken + read.wall
        if math.isfinite(chunk.real_rate):
            self._pace = chunk.real_rate
        return anew


def time_taken(read: Read) -> float:
    """Monotonic seconds at which a read's last sample was taken, as well as it can be told."""
    return (read.chunk.acquired or read.chunk.arrived or read.at) / 1e9
