"""Files of a set, wherever below a folder its archives were unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_DEEPEST = 4  # folders below each other: somebody may name a home directory


def files_below(folder: Path) -> Iterator[Path]:
    """Give the files below a folder in the order of their paths; hidden folders are left out.

    Links are not followed into folders, and what cannot be listed holds nothing.
    """
    for place, folders, names in os.walk(folder):
        deep = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if name[0] != "." and deep < _DEEPEST)
        yield from (Path(place) / name for name in sorted(names))
