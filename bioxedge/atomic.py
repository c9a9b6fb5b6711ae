"""A new directory in the place of an old one, so that a crash leaves either of them."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path


def sync(directory: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_directory(
    path: Path, files: Mapping[str, bytes], check: Callable[[Path], object]
) -> None:
    """Write a directory beside the place where it will stand, check it there, put it in place.

    Parameters
    ----------
    path : Path
        Absolute; what stands there is replaced.
    files : mapping of str to bytes
        By name.
    check : callable
        Opens the directory while it still stands beside; nothing is replaced if it raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, raw in files.items():
            with (partial / name).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        sync(partial)
        check(partial)
        put_in_place(partial, path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def aside(path: Path) -> Path:
    """Name the place where an old directory waits until the new one stands."""
    return path.absolute().with_name(f".{path.absolute().name}.old")


def put_in_place(partial: Path, path: Path) -> None:
    """Let a new directory stand where an old one stood, in one step where there is one.

    Parameters
    ----------
    partial : Path
        The new directory, complete and durable, on the same file system.
    path : Path
        Where it is to stand; what stands there is removed.

    Raises
    ------
    OSError
        The file system refuses; the old directory stands, in its place or :func:`aside`.
    """
    if not path.exists() or not any(path.iterdir()):
        partial.replace(path)
    elif not _exchange(partial, path):
        # No atomic exchange on this file system: between the two renames the old one stands
        # aside, where whoever opens it looks, too.
        old = aside(path)
        shutil.rmtree(old, ignore_errors=True)
        path.replace(old)
        try:
            partial.replace(path)
        except BaseException:
            old.replace(path)
            raise
    # What stands aside, now or since an earlier crash, is older than what is in place.
    shutil.rmtree(aside(path), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories atomically (Linux ``renameat2``); False where that is unknown."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def write_file(path: Path, raw: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one."""
    path = path.absolute()
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
