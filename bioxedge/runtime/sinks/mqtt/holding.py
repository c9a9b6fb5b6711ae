"""A folder that one process holds, and only its user can read."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bioxedge.errors import SinkError


class Lock:
    """Holds a folder until closed, or until the process ends in whatever way.

    Raises
    ------
    SinkError
        Another one holds it, or it is somebody else's.
    OSError
        It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.stat()
        if about.st_uid != os.geteuid():
            raise SinkError(
                f"the spool {folder} belongs to another user (uid {about.st_uid}): name a folder "
                "of your own with spool=DIR"
            )
        if about.st_mode & 0o077:
            folder.chmod(0o700)
        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.closed = False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(self._fd, 64, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            process = f"process {who}" if who.isdigit() else "another process"
            raise SinkError(
                f"the spool {folder} is held by {process}: stop it, or give this one another "
                "--client-id or spool=DIR"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Let it go."""
        if not self.closed:
            self.closed = True
            os.close(self._fd)
