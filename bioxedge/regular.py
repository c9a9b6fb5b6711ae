"""What a directory of ours holds: files read through descriptors that follow no link."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

from bioxedge.errors import BundleError

LIMIT = 4 * 2**20
"""Bytes that are read of a file whose size nothing states."""


def read_file(directory: Path, name: str, size: int | None = None, what: str = "bundle") -> bytes:
    """Read a file that belongs to a bundle, or to what is checked like one.

    Parameters
    ----------
    directory : Path
    name : str
        Of the file, below the directory.
    size : int, optional
        Bytes that it must have; without it, it has at most :data:`LIMIT`.
    what : str
        What the directory is, for people.

    Raises
    ------
    BundleError
        Missing, a link, no regular file, or of another size.
    """
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise BundleError(f"{directory} lacks {name}: the {what} is incomplete") from error
    except OSError as error:
        why = "it is a link" if error.errno in (errno.ELOOP, errno.EMLINK) else error.strerror
        raise BundleError(f"{directory / name} cannot be read: {why}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise BundleError(f"{directory / name} is not a regular file")
        if size is None and facts.st_size > LIMIT:
            raise BundleError(
                f"{directory / name} has {facts.st_size} bytes: at most {LIMIT} are read"
            )
        if size is not None and facts.st_size != size:
            raise BundleError(
                f"{directory / name} has {facts.st_size} bytes, the manifest says {size}: "
                f"it was truncated or swapped; copy the {what} again"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise BundleError(f"{directory / name} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def replaceable(path: Path, manifest: str, keys: set[str]) -> bool:
    """Tell whether only something of ours, or nothing at all, would be lost.

    Parameters
    ----------
    path : Path
        What is there already.
    manifest : str
        The file that tells; many tools have one of that name.
    keys : set of str
        What ours has at least.
    """
    if not path.is_dir():
        return False
    try:
        about = json.loads((path / manifest).read_bytes())
    except FileNotFoundError:
        return not any(path.iterdir())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and keys <= set(about)
