"""How a run is told to end: by Ctrl-C, by ``kill``, by a terminal that closes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """A signal asked for the end; it passes where Ctrl-C passes.

    Parameters
    ----------
    number : int
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number

    @property
    def code(self) -> int:
        """The exit code by which shells tell it: 130, 143, 129."""
        return 128 + self.number


@contextmanager
def told_to_end() -> Iterator[None]:
    """Raise :class:`Terminated` on the first ending signal, and hear no second one.

    What follows the first is bounded: sinks are closed, the board is released, a summary is
    printed. A second signal would tear that. ``SIGQUIT`` still ends at once. A signal
    that whoever started us had ignored (``nohup``) stays ignored.
    """
    from bioxedge.runtime.interrupts import ENDING

    heard = False

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise Terminated(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            # Told once, the process is about to end, and Python's own end must not be torn.
            signal.signal(number, signal.SIG_IGN if heard else handler)
