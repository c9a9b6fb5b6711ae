"""One session of a board for everyone in this process who reads it.

BrainFlow knows a session by its board and parameters and refuses the same pair twice; of one
session it gives every preset, but each to one reader only. Two presets of one board, or two
readers of one preset, therefore share a session: the first to start opens it, the last to close
releases it, and what is drained is handed to all who read that preset.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.hostclock import HostClock
from bioxedge.runtime.sources import boards

CURE = "is the board switched on, near, in nobody else's use, and does it need a --param?"


@dataclass(eq=False)
class Wish:
    """What one source wants of its board.

    Attributes
    ----------
    name : str
        The source's, for messages.
    board_id, preset_id : int
        As BrainFlow numbers them.
    params : object
        BrainFlow's input parameters.
    ring : int
        Rows that are to be held while nobody reads. BrainFlow gives every preset of a session
        as many.
    config : tuple of str
        Commands sent before the board streams.
    startup : str
        What ``other_info`` should be where nobody says anything else.
    """

    name: str
    board_id: int
    preset_id: int
    params: Any
    ring: int
    config: tuple[str, ...] = ()
    startup: str = ""


@dataclass(frozen=True)
class Part:
    """One drain: a table [width, rows], its monotonic nanoseconds, whether the ring was full."""

    rows: npt.NDArray[np.float64]
    arrived: int
    full: bool


class Seat:
    """One source's place in a session.

    Parameters
    ----------
    board : SharedBoard
    wish : Wish
    """

    def __init__(self, board: SharedBoard, wish: Wish) -> None:
        self.board, self.wish = board, wish
        self.waiting: deque[Part] = deque()  # drained by another reader of the same preset
        self.held = 0  # rows in there
        self.full = False  # rows were thrown away because this one did not read

    def drain(self, clock: HostClock) -> list[Part]:
        """Take what has come; at least one part, which may be empty."""
        return self.board.drain(self, clock)

    def give_up(self) -> None:
        """Say that nothing came for too long."""
        self.board.give_up(self)

    def leave(self) -> None:
        """Let go; the last one releases the board."""
        self.board.leave(self)


class SharedBoard:
    """One board of this process, whoever reads it.

    Parameters
    ----------
    factory : callable
        Makes a session of BrainFlow's number and input parameters.

    Attributes
    ----------
    session : object or None
        BrainFlow's, while the board is prepared.
    """

    def __init__(self, factory: Callable[[int, Any], Any]) -> None:
        self._factory = factory
        self._wishes: weakref.WeakSet[Wish] = weakref.WeakSet()
        self._lock = threading.RLock()  # opening and releasing: seconds
        self._rows = threading.Lock()  # draining: microseconds, unless another board connects
        self._seats: list[Seat] = []
        self._holds = 0
        self.session: Any = None
        self._streams = self._gone = False
        self._info, self._ring = "", 0
        self._told: tuple[str, ...] = ()
        self._heard: dict[int, bool] = {}  # by preset: rows since somebody last gave up
        self._attempts = 0
        self._failure = ""  # of the last attempt: words only, since an error holds on to sources

    def wish(self, wish: Wish) -> None:
        """Note what a source will want, until it is closed, or is no more."""
        with self._rows:
            self._wishes.add(wish)

    def forget(self, wish: Wish) -> None:
        """Tell a board no more what a source wanted that was closed."""
        with self._rows:
            self._wishes.discard(wish)

    @property
    def wishes(self) -> list[Wish]:
        """What the sources that live want."""
        with self._rows:
            return list(self._wishes)

    # -- opening and releasing ---------------------------------------------------------------

    def take(self, wish: Wish) -> Seat:
        """Open the board, or join those who read it already; sample 0 is the next one.

        Raises
        ------
        SourceError
            What BrainFlow said; or the board is open and was told something else.
        """
        seen = self._attempts
        with self._lock:
            if self.session is None and self._attempts != seen and self._failure:
                # Another one tried while this one waited for it.
                raise SourceError(self._failure)
            self._join(wish)
            seat = Seat(self, wish)
            try:
                with boards.explained(wish.name, CURE):
                    if not self._streams:
                        self.session.start_stream(self._ring)
                        self._streams = True
                    elif all(one.wish.preset_id != wish.preset_id for one in self._seats):
                        self.session.get_board_data(preset=wish.preset_id)  # of before
            except BaseException:
                self._release_unused()
                raise
            with self._rows:
                self._seats.append(seat)
            return seat

    def hold(self, wish: Wish) -> Callable[[], None]:
        """Connect without streaming; what is given lets go again."""
        with self._lock:
            self._join(wish)
            self._holds += 1
        return self._unhold

    def _unhold(self) -> None:
        with self._lock:
            self._holds -= 1
            self._release_unused()

    def leave(self, seat: Seat) -> None:
        """Let one go; the last one releases the board."""
        with self._lock:
            with self._rows:
                self._seats = [one for one in self._seats if one is not seat]
            self._release_unused()

    def _join(self, wish: Wish) -> None:
        """See that there is a session, and that it was told what this one wants."""
        if self.session is None:
            self._open(wish)
            return
        if self._gone:
            raise SourceError(
                f"{wish.name} sends nothing and is held by another source yet: it is started "
                "again once that one has let go"
            )
        said = wish.params.other_info
        missing = [command for command in wish.config if command not in self._told]
        if said not in ("", self._info, wish.startup) or (wish.startup and not self._info):
            missing.append(said or wish.startup)
        if missing:
            raise SourceError(
                f"{wish.name} streams already and was not told {', '.join(missing)}: make every "
                "source of a board before the first one starts, and tell all of them the same"
            )

    def _open(self, wish: Wish) -> None:
        """Prepare and configure the board for all who are known to want it."""
        wishes = [wish, *(one for one in self.wishes if one is not wish)]
        said = [one.params.other_info for one in wishes if one.params.other_info != one.startup]
        info = next(filter(None, said), "") or next(filter(None, (w.startup for w in wishes)), "")
        told = tuple(dict.fromkeys(command for one in wishes for command in one.config))
        wish.params.other_info, before = info, wish.params.other_info
        self._attempts += 1
        self._failure = ""
        try:
            with boards.explained(wish.name, CURE):
                session = self._factory(wish.board_id, wish.params)
                session.prepare_session()
                self.session = session
                for command in told:
                    session.config_board(command)
        except BaseException as error:
            self._failure = str(error) if isinstance(error, SourceError) else ""
            self._release_unused()
            raise
        finally:
            wish.params.other_info = before
        self._info, self._told = info, told
        self._ring = max(one.ring for one in wishes)
        self._streams = self._gone = False
        self._heard = {}

    def _release_unused(self) -> None:
        """Stop and release the board where nobody wants it any more."""
        if self._seats or self._holds or self.session is None:
            return
        session, self.session = self.session, None
        for step in (session.stop_stream, session.release_session):
            try:
                step()
            except Exception as error:
                # What cannot be stopped any more is released all the same.
                if type(error).__name__ != "BrainFlowError":
                    raise

    # -- reading -----------------------------------------------------------------------------

    def drain(self, seat: Seat, clock: HostClock) -> list[Part]:
        """Take all rows of a preset out of the ring, for all who read it."""
        preset = seat.wish.preset_id
        with self._rows:
            if self._gone:
                raise SourceError(f"{seat.wish.name} sends nothing, on none of its presets")
            with boards.explained(seat.wish.name, CURE):
                rows = np.asarray(self.session.get_board_data(preset=preset), np.float64)
            part = Part(rows, clock.monotonic_ns(), rows.shape[1] >= self._ring)
            parts = [*seat.waiting, part]
            if seat.full:
                parts[0] = Part(parts[0].rows, parts[0].arrived, full=True)
            seat.waiting.clear()
            seat.held, seat.full = 0, False
            if rows.shape[1]:
                self._heard[preset] = True
                for other in self._seats:
                    if other is not seat and other.wish.preset_id == preset:
                        self._keep(other, part)
            return parts

    def _keep(self, seat: Seat, part: Part) -> None:
        """Keep a part for one who has not read yet, within the ring's size."""
        seat.waiting.append(part)
        seat.held += part.rows.shape[1]
        while seat.held > self._ring and len(seat.waiting) > 1:
            seat.held -= seat.waiting.popleft().rows.shape[1]
            seat.full = True

    def give_up(self, seat: Seat) -> None:
        """Say that one preset is silent; where all are, the board is gone and all let go.

        As long as another preset is heard, the others go on, and this one may come back to them.
        """
        with self._rows:
            presets = {one.wish.preset_id for one in self._seats} - {seat.wish.preset_id}
            alive = any(self._heard.pop(preset, False) for preset in presets)
            if not alive and presets:
                with boards.explained(seat.wish.name, CURE):
                    alive = any(self.session.get_board_data_count(one) for one in presets)
            self._gone = not alive
