"""Any board that BrainFlow knows, as a source.

BrainFlow's own thread fills a ring; :meth:`BrainFlowSource.read` drains it and never peeks.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.clock import LEARN, SampleClock
from bioxedge.runtime.sources import boards
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk

# What makes a Muse send its PPG (BrainFlow: other_info), by board.
_STARTUP = {"muse_2": "p50", "muse_2_bled": "p50", "muse_s": "p61", "muse_s_bled": "p61"}
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
    ) -> None:
        self._shim = boards.library()
        self._layout = boards.layout(board, preset, channels)
        self._rows = self._layout.rows(channels)
        self._layout.require_rate(rate)
        self.channels, self.rate, self.name = channels, rate, self._layout.title
        params = dict(params or {})
        if self._layout.preset == "ancillary" and not config and "other_info" not in params:
            startup = _STARTUP.get(self._layout.board)
            params.update({"other_info": startup} if startup else {})
        self._params = _input_params(self._shim, params)
        self._config = config
        self._ring = max(math.ceil(ring_seconds * rate), 1)
        self._stall = stall
        self._board: Any = None
        self._clear(SampleClock(rate))

    def _clear(self, clock: SampleClock) -> None:
        """Stand before the first row."""
        self._clock = clock
        self._chunks: deque[Chunk] = deque()
        self._held: list[npt.NDArray[np.float64]] = []
        self._t0 = math.nan
        self._heard = self._drained = 0

    @property
    def loss(self) -> int | None:
        """Samples lost so far; None where the board's counter cannot tell."""
        return self._clock.loss

    def start(self) -> None:
        """Prepare the board and let it stream; on any failure it is released again.

        Raises
        ------
        SourceError
            What BrainFlow said.
        """
        self.close()
        self._clear(SampleClock(self.rate))
        self._open(self._layout.board_id, self._config)

    def _open(self, board_id: int, config: tuple[str, ...]) -> None:
        """Prepare, configure and start a board."""
        with boards.explained(self.name, _CURE):
            board = self._shim.BoardShim(board_id, self._params)
            board.prepare_session()
            self._board = board
            try:
                for command in config:
                    board.config_board(command)
                board.start_stream(self._ring)
            except BaseException:
                self.close()
                raise
        self._heard = self._drained = time.monotonic_ns()

    def read(self) -> Chunk | None:
        """Drain the ring; an unbroken run of samples at a time."""
        if self._chunks:
            return self._chunks.popleft()
        if self._board is None:
            raise SourceError(f"{self.name} was not started: use it in a with statement")
        with boards.explained(self.name, _CURE):
            rows = self._board.get_board_data(preset=self._layout.preset_id)
        arrived = time.monotonic_ns()
        if rows.shape[1]:
            passed = (arrived - self._drained) / 1e9
            self._heard = self._drained = arrived
            self._take(rows, arrived, passed)
        elif arrived - self._heard > self._stall * 1e9:
            raise SourceError(
                f"{self.name} gave nothing for {self._stall:g} s: it is out of reach, switched "
                "off, or sends another preset than this one"
            )
        else:
            self._drained = arrived
        if self._chunks:
            return self._chunks.popleft()
        return self._chunk(np.empty((len(self._rows), 0)), self._clock.next, arrived)

    def _take(self, rows: npt.NDArray[np.float64], arrived: int, passed: float | None) -> None:
        """Put drained rows on the sample clock and queue them, cut where samples are missing."""
        if self._clock.counts is None:  # hold the first rows until the counter is understood
            self._held.append(rows)
            rows = np.concatenate(self._held, axis=1)
            if rows.shape[1] <= LEARN:
                return
            self._held = []
            self._clock.learn(rows[self._layout.counter])
            passed = None
        stamps = rows[self._layout.stamp]
        if math.isnan(self._t0):
            self._t0 = self._anchor(stamps)
        indices = self._clock.index(rows[self._layout.counter], stamps, passed=passed)
        samples = rows[self._rows]
        cuts = np.flatnonzero(np.diff(indices) != 1) + 1
        for part in np.split(np.arange(len(indices)), cuts):
            self._chunks.append(self._chunk(samples[:, part], int(indices[part[0]]), arrived))

    def _anchor(self, stamps: npt.NDArray[np.float64]) -> float:
        """Estimate the Unix time of sample 0: of the first rows, the one that came soonest."""
        return float(np.min(stamps - np.arange(len(stamps)) / self.rate))

    def _chunk(self, samples: npt.NDArray[np.float64], first: int, arrived: int) -> Chunk:
        return Chunk(samples, first, self.rate, self._t0, arrived)

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
