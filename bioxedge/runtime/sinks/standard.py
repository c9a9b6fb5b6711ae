"""Standard output as a place for whole lines, from a thread that may be left behind."""

from __future__ import annotations

import io
import os
import sys
from typing import IO

from bioxedge.errors import SinkError

NAME = "standard output"


class StandardOutput:
    """Writes each line at once, past Python's own buffer.

    A thread that is stuck inside that buffer would hold its lock, and the interpreter could not
    end; what is left in it after a failure would fail once more at exit. Where standard output
    is no file of the system's (a notebook, a test), Python's way is the only one.

    Parameters
    ----------
    file : text file, optional
        Standard output as it is at :meth:`open` by default.

    Attributes
    ----------
    stuck : bool
        Whether a line is being written, or could not be: nobody else should write there.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._given = file
        self._file: IO[str] = io.StringIO()
        self._fd: int | None = None
        self.stuck = False

    def open(self) -> IO[str]:
        """Find out where to; give the text file, to ask what it can show."""
        self._file = sys.stdout if self._given is None else self._given
        try:
            self._fd = self._file.fileno()
        except (OSError, ValueError):  # what has none says so in either way
            self._fd = None
        return self._file

    def write(self, line: str) -> None:
        """Write one line, its end included.

        Raises
        ------
        SinkError
            Nobody reads it any more, or it cannot be written to.
        """
        self.stuck = True
        try:
            if self._fd is None:
                self._file.write(line)
                self._file.flush()
            else:
                self._file.flush()  # what was printed before comes first
                raw = line.encode(getattr(self._file, "encoding", None) or "utf-8", "replace")
                while raw:
                    raw = raw[os.write(self._fd, raw) :]
        except BrokenPipeError as error:
            raise SinkError(f"{NAME} was closed by whoever read it") from error
        except OSError as error:
            raise SinkError(f"{NAME}: {error.strerror or error}") from error
        self.stuck = False
