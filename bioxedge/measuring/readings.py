"""What the machine did while something was measured, and whether the figures may be believed."""

from __future__ import annotations

import os
import resource
import threading
import time
from types import TracebackType

import msgspec

from bioxedge.measuring.energy import Meter
from bioxedge.measuring.machine import NOW, PROC, Reading, bits, governor, reading, text

BUSY = 0.10
"""Share of all processors that others may take before a run is marked invalid."""
EVERY = 1.0  # seconds between two looks


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen.

    Attributes
    ----------
    seconds : float
    readings : list of Reading
        One a second, the first and the last moment among them.
    others : float or None
        Share of all the machine's processors that other processes took; None where
        ``/proc/stat`` says nothing.
    watts : float or None
        Mean power of the meter, nothing subtracted.
    governors : list of str
        At the start and at the end, where they are known.
    invalid : list of str
        Why figures of this time may not be compared; empty where they may.
    """

    seconds: float
    readings: list[Reading]
    others: float | None
    watts: float | None
    governors: list[str]
    invalid: list[str]


class Watch:
    """Looks at the machine once a second, from this process, while another one is measured.

    Parameters
    ----------
    busy : float, optional
        Share of all processors that others may take.
    meter : Meter, optional
        Of power; none by default.
    """

    def __init__(self, *, busy: float = BUSY, meter: Meter | None = None) -> None:
        self._busy, self._meter = busy, meter
        self._readings: list[Reading] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self.seen: Watched | None = None

    def __enter__(self) -> Watch:
        """Begin."""
        self._governor = governor()
        self._readings.append(reading())
        if self._meter is not None:
            self._meter.start()
        self._stat, self._own, self._began = _stat(), _own(), time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; what was seen is in :attr:`seen`."""
        seconds = time.monotonic() - self._began
        stat, own = _stat(), _own()
        self._done.set()
        self._thread.join()
        watts = None if self._meter is None else self._meter.stop()
        self._readings.append(reading())
        others = None
        if stat is not None and self._stat is not None and stat[1] > self._stat[1]:
            tick = os.sysconf("SC_CLK_TCK")
            ours = (own - self._own) * tick
            others = max(stat[0] - self._stat[0] - ours, 0.0) / (stat[1] - self._stat[1])
        governors = [said for said in (self._governor, governor()) if said]
        self.seen = Watched(
            seconds=seconds,
            readings=self._readings,
            others=others,
            watts=watts,
            governors=governors,
            invalid=reasons(self._readings, others, governors, self._busy),
        )

    def _look(self) -> None:
        while not self._done.wait(EVERY):
            self._readings.append(reading())
            if self._meter is not None:
                self._meter.look()


def reasons(
    readings: list[Reading], others: float | None, governors: list[str], busy: float = BUSY
) -> list[str]:
    """Say why what was measured meanwhile may not be compared; nothing where it may."""
    found = []
    masks = [one.throttled for one in readings if one.throttled is not None]
    if masks:
        now = 0
        for mask in masks:
            now |= (mask & NOW) | (mask & ~masks[0])  # also what was set between two looks
        if now:
            found.append(f"throttled: {', '.join(bits(now))} (vcgencmd get_throttled {now:#x})")
    counts = [one.throttle_count for one in readings if one.throttle_count is not None]
    if counts and counts[-1] > counts[0]:
        found.append(f"throttled: {counts[-1] - counts[0]} times for heat")
    if len(set(governors)) > 1:
        found.append(f"the governor was changed from {governors[0]} to {governors[-1]}")
    if others is not None and others > busy:
        found.append(
            f"busy: other processes took {others:.0%} of the processors, at most {busy:.0%} is "
            "allowed"
        )
    return found


def _stat() -> tuple[float, float] | None:
    """Ticks of all processors since boot: busy (and stolen by a host), and all."""
    said = text(PROC / "stat")
    if said is None or not said.startswith("cpu "):
        return None
    ticks = [float(word) for word in said.splitlines()[0].split()[1:9]]
    idle = sum(ticks[3:5])  # and waiting for a disk
    return sum(ticks) - idle, sum(ticks)


def _own() -> float:
    """Processor seconds of this process and of the measured ones that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
