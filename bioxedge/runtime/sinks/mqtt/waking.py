"""A way to wake a thread that waits for a socket."""

from __future__ import annotations

import contextlib
import os


class Wake:
    """A pipe: one thread rings, another one waits for its descriptor and listens.

    Attributes
    ----------
    descriptor : int
        Readable once rung.
    """

    def __init__(self) -> None:
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._bell, False)

    def ring(self) -> None:
        """Wake the other thread, if there still is one."""
        if self._bell >= 0:
            with contextlib.suppress(BlockingIOError):  # it was rung often enough
                os.write(self._bell, b".")

    def heard(self) -> None:
        """Be ready for the next ring."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.descriptor, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Let the pipe go; the other thread has ended."""
        if self._bell >= 0:
            os.close(self.descriptor)
            os.close(self._bell)
            self.descriptor = self._bell = -1
