"""Signals that end a program, held back while something is done that must not be torn.

Python runs a signal's handler between any two instructions of the main thread: in the middle of
a step, what a sink was given and what is counted would differ; in the middle of closing, a board
would not be released. ``SIGINT``, ``SIGTERM`` and ``SIGHUP`` are therefore noted there, and
delivered to whoever handled them before as soon as that is safe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold ending signals back inside, and deliver them after.

    Inside ``with Interrupts():`` it costs next to nothing; elsewhere handlers are exchanged,
    twice. May be nested. An error from inside goes before a signal that came meanwhile.

    Examples
    --------
    >>> with held_back():
    ...     signal.raise_signal(signal.SIGINT)
    ...     print("whole")
    Traceback (most recent call last):
    KeyboardInterrupt
    """
    for number in ENDING:
        standing = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(standing, Interrupts):
            with standing.held():
                yield
            return
    with Interrupts() as made, made.held():
        yield


class Interrupts:
    """Stands before the handlers of ending signals; elsewhere than in :meth:`held` it lets them be.

    Handlers are put in place once, on entry, so that holding costs no system call. What is
    ignored stays ignored, and away from the main thread nothing is done at all: signals never
    reach another one.
    """

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
        self._pending: list[int] = []
        self._depth = 0

    def __enter__(self) -> Interrupts:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                before = signal.getsignal(number)
                if before is not None and before != signal.SIG_IGN:
                    self._before[number] = before
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them back."""
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)

    def pending(self) -> bool:
        """Whether a signal waits to be delivered: whoever waits inside should give up."""
        return bool(self._pending)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back inside, and deliver them after: see :func:`held_back`."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if not self._depth and self._pending:
            number, self._pending = self._pending[0], []
            self._deliver(number, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._depth:
            self._pending.append(number)
        else:
            self._deliver(number, frame)

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        """Do what would have been done without us."""
        before = self._before.get(number, signal.SIG_DFL)
        if callable(before):
            before(number, frame)
        else:  # the default is to die of it, and whoever waits for us is to see that
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
