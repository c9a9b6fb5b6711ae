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
from typing import Any, BinaryIO

import torch
from torch.utils import _pytree

from bioxedge.errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    OSError
        The disk has no room for them; see `told`.
    """
    if size <= 0:
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(file.fileno(), size)  # a file system that knows no reservation


def save(values: Any, path: Path) -> None:
    """Write what ``torch.save`` takes, or leave no file.

    Parameters
    ----------
    values : dict
    path : Path
        Replaced where it exists: write beside what must not be lost.

    Raises
    ------
    StorageError
        The disk does not take it.
    """
    tensors = [one for one in _pytree.tree_leaves(values) if isinstance(one, torch.Tensor)]
    with told(path, sum(one.nbytes for one in tensors)):
        try:
            # Through a file of our own, which says why a write failed; torch's does not.
            with path.open("wb") as file:
                torch.save(values, file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


@contextmanager
def told(path: Path, size: int = 0) -> Iterator[None]:
    """Turn a disk that is full, or cannot be written, into one line.

    What fails elsewhere, such as a recording that cannot be read, is left as it is.

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
        cause = _cause(error)
        # A write names no file; what opens or maps one does.
        named = None if cause is None else cause.filename
        if cause is None or (named is not None and path.parent not in Path(str(named)).parents):
            raise
        raise StorageError(_line(path, size, cause.errno)) from error


def _cause(error: BaseException | None) -> OSError | None:
    """Find what the system said; torch's zip writer says something else while it is closed."""
    while isinstance(error, RuntimeError) and "inline_container" in str(error):
        error = error.__context__
    return error if isinstance(error, OSError) and error.errno is not None else None


def _line(path: Path, size: int, number: int | None) -> str:
    """Say what a disk did not take."""
    if number is not None and number not in _FULL:
        return f"{path} cannot be written: {os.strerror(number)}"
    try:
        free = f"{_spelled(shutil.disk_usage(path.parent).free)} are free"
    except OSError:
        free = "how much is free cannot be told"
    needed = f" {_spelled(size)} are needed," if size else ""
    return (
        f"the disk that holds {path.parent} is full:{needed} {free}. Make room, or name another "
        "--out; finished steps are kept"
    )


def _spelled(size: int) -> str:
    """Say a number of bytes as people do."""
    for unit, bytes_in in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_in:
            return f"{size / bytes_in:,.1f} {unit}"
    return f"{size / 1e3:,.0f} kB" if size >= 1e3 else f"{size} bytes"
