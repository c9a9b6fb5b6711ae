"""Any board that BrainFlow knows, as a source.

BrainFlow's own thread fills a ring; :meth:`BrainFlowSource.read` drains it and never peeks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources import boards, counters
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.signals import Chunk

# What makes a Muse send its PPG (BrainFlow: other_info, ancillary preset), by board.
STARTUP = {"muse_2": "p50", "muse_2_bled": "p50", "muse_s": "p61", "muse_s_bled": "p61"}
_CURE = "is the board switched on, near, in nobody else's use, and does it need a --param?"


class BrainFlowSource(Managed):
    """A board's channels, picked by name.

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
        How much BrainFlow holds while nobody reads; a full ring drops the oldest.
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
        if self._layout.preset == "ancillary" and not config and "other_info" not in params:
            startup = STARTUP.get(self._layout.board)
            params.update({"other_info": startup} if startup else {})
        self._params = _input_params(self._shim, params)
        self._config = config
        self._ring = max(math.ceil(ring_seconds * rate), 1)
        self._stall = stall
        self._host = clock
        self._factory = _session(self._shim) if factory is None else factory
        self._board: Any = None
        self.sensor: str | None = f"{self._layout.board}/{self._layout.preset}"
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
        self._open(self._layout.board_id, self._config)

    def _open(self, board_id: int, config: tuple[str, ...]) -> None:
        """Prepare, configure and start a board."""
        with boards.explained(self.name, _CURE):
            board = self._factory(board_id, self._params)
            board.prepare_session()
            self._board = board
            try:
                for command in config:
                    board.config_board(command)
                board.start_stream(self._ring)
            except BaseException:
                self.close()
                raise
        self._heard = self._host.monotonic_ns()

    def read(self) -> Chunk | None:
        """Drain the ring; an unbroken run of samples at a time."""
        ready = self._reader.pop()
        if ready is not None:
            return ready
        if self._failed is not None:
            raise self._failed
        if self._board is None:
            raise SourceError(f"{self.name} was not started: use it in a with statement")
        try:
            arrived = self._fill()
        except SourceError as error:
            # Rows that were held to be told apart come out first: they are the last.
            self._failed = error
            self._reader.flush()
            ready = self._reader.pop()
            if ready is None:
                raise
            return ready
        return self._reader.pop() or self._reader.empty(arrived)

    def _fill(self) -> int:
        """Take what the board has into the reader; monotonic nanoseconds of the drain."""
        rows = self._drain()
        arrived = self._host.monotonic_ns()
        if rows.shape[1]:
            self._heard = arrived
        elif arrived - self._heard > self._stall * 1e9:
            raise SourceError(
                f"{self.name} gave nothing for {self._stall:g} s: it is out of reach, switched "
                "off, or sends another preset than this one"
            )
        self._reader.take(rows, arrived, overflow=rows.shape[1] >= self._ring)
        return arrived

    def _drain(self) -> npt.NDArray[np.float64]:
        """Take all rows out of BrainFlow's ring."""
        with boards.explained(self.name, _CURE):
            rows = self._board.get_board_data(preset=self._layout.preset_id)
        return np.asarray(rows, np.float64)

    def close(self) -> None:
        """Stop and release the board."""
        board, self._board = self._board, None
        if board is None:
            return
        for step in (board.stop_stream, board.release_session):
            try:
                step()
            except Exception as error:
                # What cannot be stopped any more is released all the same.
                if type(error).__name__ != "BrainFlowError":
                    raise


def _session(shim: Any) -> Callable[[int, Any], Any]:
    """Give BrainFlow's class for one board, without its finalizer.

    BrainFlow knows a session by its board and parameters. A board that could not be opened is an
    object that lives on in its error; when that goes, the finalizer would release whatever is
    streaming on the same port by then.
    """
    session: type = type("Session", (shim.BoardShim,), {"__del__": lambda self: None})
    return session


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
