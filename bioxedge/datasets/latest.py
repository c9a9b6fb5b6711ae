"""The last file that was read, kept: a session's sensors often lie in one large file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Read = TypeVar("Read")


class Latest(Generic[Read]):
    """Reads a file once for all parts of a session, and holds one file at a time.

    Parameters
    ----------
    read : callable
        From a path to what is wanted of the file.
    """

    def __init__(self, read: Callable[[Path], Read]) -> None:
        self._read = read
        self._held: tuple[Path, Read] | None = None

    def __call__(self, path: Path) -> Read:
        """Give what the file holds."""
        if self._held is None or self._held[0] != path:
            self._held = None  # two large files at once are one too many
            self._held = (path, self._read(path))
        return self._held[1]
