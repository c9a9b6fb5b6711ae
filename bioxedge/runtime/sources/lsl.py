"""A stream of the Lab Streaming Layer as a source.

The sender's stamps, moved to this host's clock by the offset that LSL measures, say when samples
were taken and which are missing; what they cannot show is unknown, as on a board.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime import lsl
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.counters import Floats
from bioxedge.runtime.sources.feed import Feed
from bioxedge.signals import Chunk

KEYS = ("name", "type", "source_id", "hostname")
"""What a stream may be told by."""

_MOST = 4096  # samples that are taken out at once
_AGAIN = 1.0  # seconds between two looks at the clock offset
_TYPES = {1: np.float32, 2: np.float64, 4: np.int32, 5: np.int16, 6: np.int8, 7: np.int64}
_NEAR = 30.0  # seconds before it could be taken within which a stamp can be true
_MEMORY = 64 * 2**20  # bytes that liblsl may hold while nobody reads


class LslSource(Managed):
    """One stream, its channels picked by name.

    Parameters
    ----------
    told_by : mapping of str to str
        ``name``, ``type``, ``source_id``, ``hostname``: what must be so of the stream.
    channels : tuple of str, optional
        Labels in the order wanted; left out, all.
    rate : float, optional
        In Hz, which its nominal rate must be.
    units : tuple of str, optional
        What values are converted to, where the header says what they are.
    names : mapping of str to str, optional
        Which label (or number, from 1) stands for a wanted channel that has another one.
    timeout : float, optional
        Seconds to look for it.
    stall : float, optional
        Seconds without a sample after which it counts as gone.
    buffer : int, optional
        Seconds of signal that liblsl holds while nobody reads, less where that were more than
        64 MiB; the oldest are dropped then.
    clock : HostClock, optional

    Raises
    ------
    MissingExtraError, SourceError
        No pylsl or liblsl, no such stream or several, or one that does not fit.
    """

    def __init__(
        self,
        told_by: Mapping[str, str],
        *,
        channels: tuple[str, ...] | None = None,
        rate: float | None = None,
        units: tuple[str, ...] | None = None,
        names: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        stall: float = 10.0,
        buffer: int = 180,
        clock: HostClock = SYSTEM,
    ) -> None:
        self._lsl = lsl.load()
        self._told_by, self._timeout = dict(told_by), timeout
        self._stall, self._buffer, self._host = stall, buffer, clock
        self._inlet: Any = None
        _, found = self._look()
        self._found = found
        self._rows, self.channels = lsl.picked(found, channels, names or {})
        wanted = units or tuple(found.units[row] for row in self._rows)
        self._gains = lsl.gains(found, self._rows, self.channels, wanted)
        self.rate = found.rate
        if rate is not None and not math.isclose(found.rate, rate, rel_tol=1e-3):
            raise SourceError(
                f"the stream {found.name} has {found.rate:g} Hz, {rate:g} Hz are wanted: use "
                f"another stream, or a bundle built for {found.rate:g} Hz"
            )
        self.rate = found.rate if rate is None else rate
        known = [found.units[row] != "a.u." for row in self._rows]
        self.units: tuple[str, ...] | None = tuple(
            unit if sure else "a.u." for unit, sure in zip(wanted, known, strict=True)
        )
        self.sensor: str | None = None
        self.name = f"the LSL stream {found.name}"
        self._clear()

    def _clear(self) -> None:
        """Stand before the first sample."""
        self._feed = Feed(
            len(self.channels), self.rate, clock=self._host, named="the sender's clock"
        )
        self._stamps: deque[Floats] = deque()  # of the samples that the feed holds
        self._events: list[Event] = []
        self._heard = self._asked = self._drained = 0
        self._offset = 0.0
        self._failed: SourceError | None = None

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where the stamps cannot tell."""
        return self._feed.loss

    def start(self) -> None:
        """Find the stream (again) and open it.

        Raises
        ------
        SourceError
            It is not there, or is another one than it was.
        """
        self.close()
        self._clear()
        info, found = self._look()
        if (found.rate, found.channels, found.format) != (
            self._found.rate,
            self._found.channels,
            self._found.format,
        ):
            raise SourceError(
                f"the stream {found.name} came back as another: {found} where it was "
                f"{self._found}; start the run again"
            )
        # recover=False: a sender that comes back has another clock and may have other channels,
        # which liblsl's own recovery would pass over; whoever reads starts us again.
        second = found.rate * len(found.channels) * 8
        held = max(min(self._buffer, int(_MEMORY / second)), 1)
        self._inlet = self._lsl.StreamInlet(info, max_buflen=held, recover=False)
        try:
            self._inlet.open_stream(timeout=self._timeout)
            self._offset = float(self._inlet.time_correction(timeout=self._timeout))
        except (TimeoutError, RuntimeError) as error:
            self.close()
            raise SourceError(
                f"the stream {found.name} on {found.host} is there but does not answer: does a "
                "firewall stand between?"
            ) from error
        said = {"true": "may drop samples", "false": "drops no samples"}.get(found.drops)
        if said is not None:
            self._events.append(
                Event("counter", f"{found.name} says that it {said}: its stamps are believed", 0.0)
            )
        self._table = np.empty((_MOST, len(found.channels)), _TYPES[found.format])
        self._heard = self._asked = self._drained = self._host.monotonic_ns()

    def read(self) -> Chunk | None:
        """Take what has come since the last call.

        Raises
        ------
        SourceError
            The stream is gone, or was not started.
        """
        ready = self._pop()
        if ready is not None:
            return ready
        if self._failed is not None:
            raise self._failed
        if self._inlet is None:
            raise SourceError(f"{self.name} was not started: use it in a with statement")
        try:
            self._fill()
        except SourceError as error:
            self._failed = error  # what was held comes out first
            self._feed.flush()
        ready = self._pop()
        if ready is None and self._failed is not None:
            raise self._failed
        return ready or self._feed.empty()

    def _fill(self) -> None:
        """Take what the inlet holds."""
        now = self._host.monotonic_ns()
        try:
            if now - self._asked > _AGAIN * 1e9:
                self._asked = now
                with contextlib.suppress(TimeoutError):  # not new: the old one holds
                    self._offset = float(self._inlet.time_correction(timeout=0.0))
            _, stamps = self._inlet.pull_chunk(timeout=0.0, max_samples=_MOST, dest_obj=self._table)
        except RuntimeError as error:  # LostError, and whatever else liblsl says of it
            raise SourceError(
                f"{self.name} is gone: its sender ended, or the network did"
            ) from error
        asked, now = now, self._host.monotonic_ns()
        # What waited in liblsl did so since it was last seen empty, at most.
        since, self._drained = self._drained, asked if len(stamps) < _MOST else self._drained
        if not stamps:
            if now - self._heard > self._stall * 1e9:
                raise SourceError(f"{self.name} gave nothing for {self._stall:g} s")
            self._feed.wait()
            return
        self._heard = now
        rows = self._table[: len(stamps), self._rows].astype(np.float64).T * self._gains
        when = np.asarray(stamps) + self._offset
        behind = now / 1e9 - when
        sure = (behind > -0.1) & (behind < _NEAR + (now - since) / 1e9)
        self._stamps.append(np.where(sure, when, math.nan))
        for packet in self._feed.intake.take(rows, when, None, now):
            self._feed.put(packet)

    def _pop(self) -> Chunk | None:
        """Give a chunk, with the time at which the sender took its last sample."""
        chunk = self._feed.pop()
        if chunk is None or not chunk.samples.shape[1]:
            return chunk
        taken = math.nan
        left = chunk.samples.shape[1]
        while left and self._stamps:
            front = self._stamps[0]
            taken = float(front[min(left, len(front)) - 1])
            if len(front) > left:
                self._stamps[0] = front[left:]
            else:
                self._stamps.popleft()
            left = max(left - len(front), 0)
        if math.isnan(taken):  # a clock of its own that LSL does not know
            return chunk
        acquired = min(round(taken * 1e9), chunk.arrived)
        moved = (acquired - (chunk.acquired or chunk.arrived)) / 1e9
        return replace(chunk, acquired=acquired, t0=chunk.t0 + moved)

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        events, self._events = self._events, []
        return [*events, *self._feed.take_events()]

    def close(self) -> None:
        """Let go of the stream."""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close_stream()

    def _look(self) -> tuple[Any, lsl.Header]:
        """Find the stream, and read its header."""
        infos, others = lsl.resolve(self._lsl, self._fits, self._timeout)
        what = ", ".join(f"{key}={value}" for key, value in self._told_by.items())
        if not infos:
            there = "; ".join(str(lsl.header(info)) for info in others[:12])
            raise SourceError(
                f"there is no LSL stream with {what}: "
                + (f"there are {there}" if there else "there is none at all on this network")
            )
        if len(infos) > 1:
            there = "; ".join(str(lsl.header(info)) for info in infos[:12])
            raise SourceError(
                f"there are {len(infos)} LSL streams with {what}: {there}; tell them apart with "
                "source_id= or hostname="
            )
        inlet = self._lsl.StreamInlet(infos[0], recover=False)
        try:
            found = lsl.header(inlet.info(timeout=self._timeout))
        except (TimeoutError, RuntimeError) as error:
            raise SourceError(
                f"the LSL stream with {what} does not say what it is: is a firewall between?"
            ) from error
        if found.format not in _TYPES:
            raise SourceError(f"the LSL stream {found.name} is of text: no signal")
        if len(found.channels) > lsl.MOST or found.rate > lsl.FASTEST:
            raise SourceError(
                f"the LSL stream {found.name} has {infos[0].channel_count()} channels at "
                f"{found.rate:g} Hz: at most {lsl.MOST} at {lsl.FASTEST:g} Hz are taken"
            )
        if not found.rate > 0:
            raise SourceError(
                f"the LSL stream {found.name} is irregular, of no rate: no signal that can be cut "
                "into windows"
            )
        return infos[0], found

    def _fits(self, info: Any) -> bool:
        return all(getattr(info, key)() == value for key, value in self._told_by.items())
