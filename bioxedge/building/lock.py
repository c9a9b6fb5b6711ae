"""One build in a folder at a time: the second is told who the first one is."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        file = path.open("a+b", buffering=0)
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
            pass  # a file system without locks: better to build unguarded than not at all
        with suppress(OSError):  # whom it is held by is said only as far as the disk takes it
            file.truncate(0)
            file.write(_me())
        yield


def _me() -> bytes:
    """Say who this process is."""
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": shlex.join(sys.argv),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    return json.dumps(about).encode()


def _who(raw: bytes) -> str:
    """Say who holds a lock."""
    try:
        about = json.loads(raw)
        return (
            f"process {about['pid']} on {about['host']} since {about['since']} ({about['command']})"
        )
    except (ValueError, KeyError, TypeError):
        return "another build"
