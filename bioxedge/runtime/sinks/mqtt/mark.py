"""How far a spool's messages have been acknowledged, in one small file written in place."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_FORM = struct.Struct("<8sQQI")
_MAGIC = b"bxmark1\n"


class Mark:
    """Which messages are done with, and how many were left out and not yet said to be.

    It is 28 bytes, written by one call within one page: a kill leaves the old or the new one.

    Attributes
    ----------
    done : int
        Numbers below this one are acknowledged or left out.
    left_out : int
        Messages below ``done`` of which the subscribers are still to be told.
    damaged : bytes
        What was there and could not be read, empty where all is well: it begins afresh.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "mark", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        raw = os.pread(self._fd, 4096, 0)
        self.done = self.left_out = 0
        self.damaged = raw
        if len(raw) == _FORM.size:
            magic, done, left_out, crc = _FORM.unpack(raw)
            if magic == _MAGIC and zlib.crc32(raw[:-4]) == crc:
                self.done, self.left_out, self.damaged = done, left_out, b""
        if self.damaged:
            os.ftruncate(self._fd, 0)

    def write(self) -> None:
        """Keep what the attributes say."""
        raw = _FORM.pack(_MAGIC, self.done, self.left_out, 0)[:-4]
        os.pwrite(self._fd, raw + struct.pack("<I", zlib.crc32(raw)), 0)

    def sync(self) -> None:
        """Make it last a loss of power."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._fd)
