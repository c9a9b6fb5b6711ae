"""Any board that BrainFlow knows, as a source.

BrainFlow's own thread fills a ring; :meth:`BrainFlowSource.read` drains it and never peeks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources import boards, counters, shared, together
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.signals import Chunk

# What makes a Muse send its PPG (BrainFlow: other_info, ancillary preset), by board.
STARTUP = {"muse_2": "p50", "muse_2_bled": "p50", "muse_s": "p61", "muse_s_bled": "p61"}


class BrainFlowSource(Managed):
    """A board's channels, picked by name.

    Sources of one board and parameters share one session (:mod:`.shared`): make all of them
    before the first one starts, so that the board is told what all of them need.

    Parameters
    ----------
    board : str
        BrainFlow's name, in any case, with or without ``_BOARD``: ``muse_2``, ``cyton``.
    channels : tuple of str
        Names by the rule in :mod:`bioxedge.runtime.sources.boards`, in the order wanted.
    rate : float
        The rate in Hz that the board must have.
    preset : str, optional
        ``default``, ``auxiliary`` or ``ancillary``; left out, the first that has the channels.
    params : mapping of str to str, optional
        Fields of BrainFlow's input parameters: ``serial_port``, ``mac_address`` …
    config : sequence of str, optional
        Commands sent to the board before it streams.
    ring_seconds : float, optional
        How much BrainFlow holds while nobody reads; a full ring drops the oldest. Sources that
        share a session get what the one that wants most rows gets.
    stall : float, optional
        Seconds without a row after which the board counts as stopped.
    clock : HostClock, optional
    factory : callable, optional
        Makes the board of a BrainFlow number and its input parameters; ``BoardShim`` where it
        is left out.

    Raises
    ------
    MissingExtraError
        BrainFlow is not installed.
    SourceError
        No such board, preset, channel or parameter, or another rate.
    """

    def __init__(
        self,
        board: str,
        *,
        channels: tuple[str, ...],
        rate: float,
        preset: str | None = None,
        params: Mapping[str, str] | None = None,
        config: tuple[str, ...] = (),
        ring_seconds: float = 180.0,
        stall: float = 10.0,
        clock: HostClock = SYSTEM,
        factory: Callable[[int, Any], Any] | None = None,
    ) -> None:
        self._shim = boards.library()
        self._layout = boards.layout(board, preset, channels)
        self._rows = self._layout.rows(channels)
        self._layout.require_rate(rate)
        self.channels, self.rate, self.name = channels, rate, self._layout.title
        params = dict(params or {})
        startup = ""
        if self._layout.preset == "ancillary" and not config and "other_info" not in params:
            startup = STARTUP.get(self._layout.board, "")
            params.update({"other_info": startup} if startup else {})
        self._params = _input_params(self._shim, params)
        self._config = config
        self._ring = max(math.ceil(ring_seconds * rate), 1)
        self._stall = stall
        self._host = clock
        self._factory = factory
        self._seat: shared.Seat | None = None
        self.sensor: str | None = f"{self._layout.board}/{self._layout.preset}"
        self._wish, self._shared = self._ask(startup)
        self._clear()

    def _clear(self) -> None:
        """Stand before the first row."""
        self._reader = self._rows_reader()
        self._failed: SourceError | None = None
        self._heard = 0

    def _rows_reader(self) -> RowReader:
        """Make what turns rows into chunks."""
        layout = self._layout
        return RowReader(
            self._rows,
            counter=layout.counter,
            stamp=layout.stamp,
            rate=self.rate,
            pattern=counters.pattern(layout.board, layout.preset),
            clock=self._host,
        )

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where the board's counter cannot tell."""
        return self._reader.loss

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        return self._reader.take_events()

    def start(self) -> None:
        """Prepare the board and let it stream; on any failure it is released again.

        Raises
        ------
        SourceError
            What BrainFlow said.
        """
        self.close()
        self._clear()
        self._open()

    def connect(self) -> Callable[[], None]:
        """Connect the board without starting it; what is given lets go of it again.

        Raises
        ------
        SourceError
            What BrainFlow said.
        """
        return self._shared.hold(self._wish)

    def _ask(self, startup: str) -> tuple[shared.Wish, shared.SharedBoard]:
        """Say what is wanted of the board, before anyone starts it."""
        wish = self._make_wish(self._layout.board_id, self._config, startup)
        if self._factory is not None:
            return wish, shared.SharedBoard(self._factory)
        board = together.find(wish, session(self._shim))
        board.wish(wish)
        return wish, board

    def _make_wish(self, board_id: int, config: tuple[str, ...], startup: str = "") -> shared.Wish:
        """Write down what is wanted of a board."""
        preset = self._layout.preset_id
        return shared.Wish(self.name, board_id, preset, self._params, self._ring, config, startup)

    def _open(self) -> None:
        """Prepare, configure and start the board, or join those who read it."""
        self._shared.wish(self._wish)
        self._seat = self._shared.take(self._wish)
        self._heard = self._host.monotonic_ns()

    def read(self) -> Chunk | None:
        """Drain the ring; an unbroken run of samples at a time."""
        ready = self._reader.pop()
        if ready is not None:
            return ready
        if self._failed is not None:
            raise self._failed
        if self._seat is None:
            raise SourceError(f"{self.name} was not started: use it in a with statement")
        try:
            arrived = self._fill(self._seat)
        except SourceError as error:
            # Rows that were held to be told apart come out first: they are the last.
            self._failed = error
            self._reader.flush()
            ready = self._reader.pop()
            if ready is None:
                raise
            return ready
        return self._reader.pop() or self._reader.empty(arrived)

    def _fill(self, seat: shared.Seat) -> int:
        """Take what the board has into the reader; monotonic nanoseconds of the drain."""
        parts = self._drain(seat)
        arrived = parts[-1].arrived
        if any(part.rows.shape[1] for part in parts):
            self._heard = arrived
        elif arrived - self._heard > self._stall * 1e9:
            seat.give_up()
            raise SourceError(
                f"{self.name} gave nothing for {self._stall:g} s: it is out of reach, switched "
                "off, or sends another preset than this one"
            )
        for part in parts:
            self._reader.take(part.rows, part.arrived, overflow=part.full)
        return arrived

    def _drain(self, seat: shared.Seat) -> list[shared.Part]:
        """Take all rows out of BrainFlow's ring."""
        return seat.drain(self._host)

    def close(self) -> None:
        """Let go of the board; the last source of it stops and releases it."""
        seat, self._seat = self._seat, None
        if seat is None:
            return
        seat.leave()
        if self._failed is None:  # one that failed will be started again
            self._shared.forget(self._wish)


def session(shim: Any) -> Callable[[int, Any], Any]:
    """Give BrainFlow's class for one board, without its finalizer.

    BrainFlow knows a session by its board and parameters. A board that could not be opened is an
    object that lives on in its error; when that goes, the finalizer would release whatever is
    streaming on the same port by then.
    """
    made: type = type("Session", (shim.BoardShim,), {"__del__": lambda self: None})
    return made


def _input_params(shim: Any, given: Mapping[str, str]) -> Any:
    """Fill in BrainFlow's input parameters."""
    params = shim.BrainFlowInputParams()
    for key, value in given.items():
        if key not in vars(params):
            known = ", ".join(vars(params))
            raise SourceError(f"BrainFlow has no parameter {key!r}: it has {known}")
        number = isinstance(getattr(params, key), int)
        try:
            setattr(params, key, int(value) if number else str(value))
        except ValueError as error:
            raise SourceError(f"parameter {key} is a whole number, got {value!r}") from error
    return params
