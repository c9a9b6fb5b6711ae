"""The boards that this process reads, found by what tells them apart, and connected together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bioxedge.runtime.sources.shared import SharedBoard, Wish

# They say how a board is to be used, not which one it is.
_NOT_IDENTITY = ("other_info", "timeout")


class _Boards:
    """Every board that this process reads, by what tells boards apart.

    BrainFlow's sessions are the process's, so this must be, too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[object, ...], SharedBoard] = {}

    def find(self, wish: Wish, factory: Callable[[int, Any], Any]) -> SharedBoard:
        given = {k: v for k, v in vars(wish.params).items() if k not in _NOT_IDENTITY}
        key = (wish.board_id, *sorted(given.items()))
        with self._lock:
            return self._known.setdefault(key, SharedBoard(factory))


find = _Boards().find
"""Find the board that a wish is about, known or not."""


@contextmanager
def connected(sources: Iterable[object]) -> Iterator[None]:
    """Connect the boards of sources without starting them; inside, start the sources.

    One lock of BrainFlow's is held while a board connects (seconds over Bluetooth), and no other
    board can be read meanwhile. Here all connect before the first one streams.

    Parameters
    ----------
    sources : iterable of Source
        What they wrap (to supervise it, to scale it) is found; what has no board is left alone.

    Raises
    ------
    SourceError
        A board cannot be connected; all are let go.
    """
    with ExitStack() as stack:
        for source in sources:
            while source is not None:
                connect = getattr(source, "connect", None)
                if connect is not None:
                    stack.callback(connect())
                    break
                source = getattr(source, "_source", None)
        yield
