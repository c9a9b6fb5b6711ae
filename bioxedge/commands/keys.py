"""Keys as they are pressed, where a person sits at a terminal."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import sys
from collections.abc import Iterator


class Keys:
    """Turns key presses into marks: a key is a mark of its name, Enter begins and ends a text.

    Attributes
    ----------
    typed : str or None
        The text so far; None while none is being typed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self.typed: str | None = None

    def marks(self) -> list[str]:
        """Give the marks that were made since the last call; never waits."""
        raw = b""
        while select.select([self._fd], [], [], 0)[0]:
            try:
                more = os.read(self._fd, 256)
            except OSError:  # the terminal has gone
                break
            if not more:
                break
            raw += more
        text = self._decoder.decode(raw)
        return [mark for key in _keys(text) for mark in self._press(key)]

    def _press(self, key: str) -> list[str]:
        if self.typed is None:
            if key in "\r\n":
                self.typed = ""
                return []
            return [_NAMES.get(key, key)] if key.isprintable() else []
        if key in "\r\n":
            text, self.typed = self.typed.strip(), None
            return [text] if text else []
        if key in "\x7f\b":
            self.typed = self.typed[:-1]
        elif key == "\x1b":
            self.typed = None
        elif key.isprintable():
            self.typed += key
        return []


_NAMES = {" ": "space"}


def _keys(text: str) -> Iterator[str]:
    """Give key by key; what arrows and function keys send is none."""
    at = 0
    while at < len(text):
        if text.startswith(("\x1b[", "\x1bO"), at):
            at += 2
            while at < len(text) and not ("@" <= text[at] <= "~"):
                at += 1
            at += 1
            continue
        yield text[at]
        at += 1


@contextlib.contextmanager
def pressed() -> Iterator[Keys | None]:
    """Read keys one by one inside; None where no terminal is on the other end."""
    try:
        import termios
        import tty

        fd = sys.stdin.fileno()
        if not os.isatty(fd) or os.getpgrp() != os.tcgetpgrp(fd):  # in the background: not ours
            yield None
            return
        before = termios.tcgetattr(fd)
    except (ImportError, OSError, ValueError):
        yield None
        return
    try:
        tty.setcbreak(fd)  # Ctrl-C stays a signal
        yield Keys(fd)
    finally:
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
