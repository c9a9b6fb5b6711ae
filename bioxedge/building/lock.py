"""One build in a folder at a time: the second is told who the first one is."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from bioxedge.bridging.room import told
from bioxedge.errors import StorageError

FILE = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder while something is built in it.

    The lock is the operating system's: one whose holder died is free.

    Parameters
    ----------
    folder : Path
        Made if need be.

    Raises
    ------
    StorageError
        Somebody else holds it; names who, and since when.
    """
    path = folder / FILE
    with told(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise StorageError(
                f"{folder} is in use by {_who(file.read())}: wait for it, stop it, or name another "
                "--out"
            ) from error
        except OSError:
            # A file system without locks: better to build unguarded than not at all.
            yield
            return
        file.truncate(0)
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": shlex.join(sys.argv),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        file.write(json.dumps(about))
        file.flush()
        yield


def _who(text: str) -> str:
    """Say who holds a lock."""
    try:
        about = json.loads(text)
        return (
            f"process {about['pid']} on {about['host']} since {about['since']} ({about['command']})"
        )
    except (ValueError, KeyError, TypeError):
        return "another build"
