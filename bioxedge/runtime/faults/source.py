"""Any source, delivered again as a board would that fails on the way.

A missing sample is never passed over; this is how to see it. The samples of a source become a
board's rows, with a counter and the host's stamps, are lost, repeated, swapped, held back or
spoiled, and are read by the same :class:`~bioxedge.runtime.sources.rows.RowReader` that reads a
sensor: every fault has to be found, none is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.faults.board import FaultyBoard
from bioxedge.runtime.faults.marks import Mark, Session
from bioxedge.runtime.faults.plan import Fault, parse
from bioxedge.runtime.hostclock import SYSTEM, HostClock, SimulatedClock
from bioxedge.runtime.sources.base import Managed, Source
from bioxedge.runtime.sources.counters import BYTE, Pattern
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.signals import Chunk


class FaultSource(Managed):
    """A source whose samples come as a failing board's rows.

    It goes at the source's nominal rate on the given clock, or as fast as the source, whichever
    is slower, and is the same for the same arguments under a :class:`SimulatedClock`. A
    ``disconnect`` raises :class:`SourceError`, as a driver would, and so does every start until
    its time is over: wrap it in :class:`~bioxedge.runtime.supervise.Supervised`. The faults' time
    counts from the first start and goes on over others; the source inside is closed and started
    with this one.

    Parameters
    ----------
    source : Source
        What the true samples come from.
    faults : sequence of Fault
        See :func:`parse` and :func:`draw`.
    seed : int, optional
    clock : HostClock, optional
        Setting the wall clock takes a :class:`SimulatedClock`.
    pattern : Pattern, optional
        How the board counts and stamps.
    told : bool, optional
        Whether the reader knows the pattern; else it has to learn it.
    jitter : float, optional
        Mean seconds from a packet's end to its arrival.
    reader : callable, optional
        What reads the rows; takes what :class:`RowReader` takes.

    Attributes
    ----------
    marks : list of Mark
        What was done to which of the source's samples, for whoever checks.
    sessions : list of Session
        Which of the source's samples were delivered, for each start.
    applied : dict of str to int
        Faults so far, by kind.

    Raises
    ------
    SourceError
        A fault on a channel that is not there, or one that sets this machine's own clock.
    """

    def __init__(
        self,
        source: Source,
        faults: Sequence[Fault],
        *,
        seed: int = 0,
        clock: HostClock = SYSTEM,
        pattern: Pattern = BYTE,
        told: bool = True,
        jitter: float = 0.002,
        reader: Callable[..., RowReader] = RowReader,
    ) -> None:
        some = f" with {len(faults)} fault{'' if len(faults) == 1 else 's'}" if faults else ""
        self.name = source.name + some
        self.channels, self.rate = source.channels, source.rate
        self.units, self.sensor = source.units, source.sensor
        self.waits = isinstance(clock, SimulatedClock)
        self._source, self._clock = source, clock
        self._pattern = pattern if told else None
        self._make_reader = reader
        self._board = FaultyBoard(
            source, faults, clock=clock, pattern=pattern, seed=seed, jitter=jitter
        )
        self._reader: RowReader | None = None
        self._over = False
        self._end = 0

    def failing(self, faults: Sequence[Fault]) -> FaultSource:
        """Give the same source with other faults, instead of one around it."""
        return FaultSource(self._source, faults, clock=self._clock, reader=self._make_reader)

    @property
    def marks(self) -> list[Mark]:
        """What was done to which samples."""
        return self._board.marks

    @property
    def sessions(self) -> list[Session]:
        """Which samples were delivered, for each start."""
        return self._board.sessions

    @property
    def applied(self) -> dict[str, int]:
        """Faults so far, by kind."""
        return self._board.applied

    def taken_at(self, index: int) -> tuple[float, ...]:
        """Unix times, one for each setting of the clock since, at which a start's samples before
        ``index`` were taken.
        """
        return self._board.taken_at(index)

    @property
    def loss(self) -> int | None:
        """Samples lost since the start, as the reader found out."""
        return None if self._reader is None else self._reader.loss

    def start(self) -> None:
        """Begin, or begin again.

        Raises
        ------
        SourceError
            The board is out of reach.
        """
        self._board.require_in_reach()
        self._source.close()
        self._source.start()
        self._board.begin()
        width = len(self.channels)
        self._reader = self._make_reader(
            range(width),
            counter=width,
            stamp=width + 1,
            rate=self.rate,
            pattern=self._pattern,
            clock=self._clock,
        )
        self._over, self._end = False, 0

    def read(self) -> Chunk | None:
        """Give what the reader made of the rows that have come; None at the end.

        Raises
        ------
        SourceError
            The board has gone, or was not started.
        """
        reader = self._reader
        if reader is None:
            raise SourceError("the board was not started: use it in a with statement")
        chunk = reader.pop()
        if chunk is None and not self._over:
            now = self._clock.monotonic_ns()
            rows = self._board.poll(now)
            reader.take(rows, self._clock.monotonic_ns())
            if self._board.gone or self._board.idle:
                reader.flush()
                self._over = True
            chunk = reader.pop()
        if chunk is not None:
            self._end = chunk.end
            return chunk
        if self._board.gone:
            raise SourceError("the board has gone: bring it back, or start it again")
        if self._over:
            return None
        return Chunk(np.empty((len(self.channels), 0)), self._end, self.rate)

    def take_events(self) -> list[Event]:
        """Give what the reader noticed."""
        return [] if self._reader is None else self._reader.take_events()

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


def wrap(source: Source, text: str) -> FaultSource:
    """Let a live source fail as a text says, on this machine's clock.

    Parameters
    ----------
    source : Source
    text : str
        See :func:`~bioxedge.runtime.faults.plan.parse`.

    Raises
    ------
    SourceError
        Text that says something else, no fault at all, a channel that is not there, or a fault
        of the wall clock, which is this machine's own.
    """
    faults = parse(text)
    if not faults:
        raise SourceError(f"--faults {text!r} says nothing: write one such as loss:64@20s")
    if any(fault.kind == "clock" for fault in faults):
        raise SourceError(
            "a clock fault would set this machine's clock: bioxedge soak has a simulated one"
        )
    return (
        source.failing(faults) if isinstance(source, FaultSource) else FaultSource(source, faults)
    )
