"""The disk that is recorded onto, and the machine: how much is free, and since when it is on."""

from __future__ import annotations

import os
from pathlib import Path

from bioxedge.errors import RecordingError

KEEP_FREE = 500_000_000
"""Bytes that are left free on a disk, or a twentieth of one that is small."""
LOOK = 1 << 20
"""Bytes after which it is looked at again."""


class Disk:
    """Watches that so much stays free.

    Parameters
    ----------
    folder : Path
        On it.
    keep_free : int or None
        Bytes; None for :data:`KEEP_FREE`, or a twentieth of a disk that is small.
    """

    def __init__(self, folder: Path, keep_free: int | None) -> None:
        self._folder = folder
        about = os.statvfs(folder)
        twentieth = about.f_blocks * about.f_frsize // 20
        self._keep = min(KEEP_FREE, twentieth) if keep_free is None else keep_free
        self._unlooked = 0

    def room(self, more: int) -> None:
        """Look from time to time, before so many bytes more are written.

        Raises
        ------
        RecordingError
            See :meth:`look`.
        """
        self._unlooked += more
        if self._unlooked >= LOOK:
            self._unlooked = 0
            self.look(more)

    def look(self, more: int = 0) -> None:
        """Look whether there is room.

        Raises
        ------
        RecordingError
            Less is free than is to be kept free.
        """
        about = os.statvfs(self._folder)
        free = about.f_bavail * about.f_frsize
        if free - more < self._keep:
            raise RecordingError(
                f"{self._folder}: {free / 1e6:.4g} MB are free on its disk, "
                f"{self._keep / 1e6:.4g} MB are kept free: the recording ends here; make room, or "
                "name another disk"
            )


def boot() -> str:
    """Name this start of the machine, by which monotonic times can be told apart."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
