"""Room on a disk: taken before it is filled, so that a full disk is one line and not a crash.

A mapped file that the disk has no room for is only found out when a page is written back, by a
signal that ends the process. So its blocks are taken first.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bioxedge.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MEGABYTE = 1e6


def reserve(file: BinaryIO, size: int) -> None:
    """Take a file's blocks.

    Parameters
    ----------
    file : binary file
        Open for writing.
    size : int
        Bytes from its beginning on.

    Raises
    ------
    StorageError
        The disk has no room for them.
    """
    if size <= 0:
        return
    with told(Path(file.name), size):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            os.ftruncate(file.fileno(), size)  # a file system that knows no reservation


@contextmanager
def told(path: Path, size: int = 0) -> Iterator[None]:
    """Turn a disk that is full, or cannot be written, into one line.

    Parameters
    ----------
    path : Path
        What is written.
    size : int, optional
        How many bytes it needs, where that is known.

    Raises
    ------
    StorageError
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        # torch says what a disk did not take as a RuntimeError of its zip writer.
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        if number is None and not isinstance(error, RuntimeError):
            raise
        raise StorageError(_line(path, size, number, error)) from error


def _line(path: Path, size: int, number: int | None, error: Exception) -> str:
    """Say what a disk did not take."""
    if number is not None and number not in _FULL:
        return f"{path} cannot be written: {os.strerror(number)}"
    try:
        free = f"{shutil.disk_usage(path.parent).free / _MEGABYTE:,.0f} MB are free"
    except OSError:
        free = "how much is free cannot be told"
    needed = f" {size / _MEGABYTE:,.0f} MB are needed," if size else ""
    return (
        f"the disk that holds {path.parent} is full:{needed} {free}. Make room, or name another "
        "--out; finished steps are kept"
    )
