"""What is pushed onto the sample clock: numbered packets into chunks, as a board's rows."""

from __future__ import annotations

import math

import numpy as np

from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.runtime.sources.intake import BLIND, COUNTED, Intake, Packet
from bioxedge.runtime.sources.pace import Pace
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.signals import Chunk


class Feed:
    """Takes numbered packets and gives chunks on the sample clock.

    Parameters
    ----------
    channels : int
    rate : float
        Nominal rate in Hz.
    pattern : Pattern, optional
    clock : HostClock, optional
    named : str, optional
        What numbers the samples, for messages.
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        *,
        pattern: Pattern | None = None,
        clock: HostClock = SYSTEM,
        named: str = "what is pushed",
    ) -> None:
        self._channels, self._rate, self._host = channels, rate, clock
        self._named = named
        self.intake = Intake(channels, rate, pattern)
        self._reader: RowReader | None = None
        self._pace = Pace(rate)

    @property
    def begun(self) -> bool:
        """Whether anything was put."""
        return self._reader is not None

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where it cannot be told."""
        return None if self._reader is None else self._reader.loss

    def put(self, packet: Packet) -> None:
        """Take a packet."""
        reader = self._made(packet)
        turned = packet.counts != reader.counts and self.intake.pattern(True) is COUNTED
        if turned and packet.counts:
            reader.use(COUNTED, "the sender's stamps show losses: they are known from here on")
        for said in packet.said:
            reader.tell(said)
        n = packet.samples.shape[1]
        table = np.empty((self._channels + 2, n))
        table[:-2], table[-2], table[-1] = packet.samples, packet.numbers, math.nan
        reader.take(table, self._pace.when(packet, self.intake.pattern(packet.counts)))
        if turned and not packet.counts:
            reader.use(BLIND, "the sender's stamps scatter too much: losses are not known")

    def leave_out(self, packet: Packet, samples: int) -> None:
        """Count samples that were thrown away before they could be read, ``packet`` the last."""
        first = self._reader is None
        reader = self._made(packet)
        # Where numbers count, those after it show that it is gone.
        if first or not reader.counts or not packet.counts:
            reader.skip(samples, "the queue")

    def wait(self) -> None:
        """Let time pass: what was held may come out."""
        if self._reader is not None:
            nothing = np.empty((self._channels + 2, 0))
            self._reader.take(nothing, self._host.monotonic_ns())

    def flush(self) -> None:
        """Let everything out: no more will come."""
        if self._reader is not None:
            self._reader.flush()

    def pop(self) -> Chunk | None:
        """Give the next chunk; None where there is none."""
        return None if self._reader is None else self._pace.real(self._reader.pop())

    def chunks(self) -> list[Chunk]:
        """Give all chunks that are there."""
        return list(iter(self.pop, None))

    def empty(self) -> Chunk:
        """Give a chunk without samples."""
        now = self._host.monotonic_ns()
        if self._reader is not None:
            return self._reader.empty(now)
        nothing = np.empty((self._channels, 0))
        return Chunk(nothing, 0, self._rate, arrived=now, loss_known=False)

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        return [] if self._reader is None else self._reader.take_events()

    def _made(self, packet: Packet) -> RowReader:
        if self._reader is None:
            self._reader = RowReader(
                range(self._channels),
                counter=self._channels,
                stamp=self._channels + 1,
                rate=self._rate,
                pattern=self.intake.pattern(packet.counts),
                clock=self._host,
                named=self._named,
            )
        return self._reader
