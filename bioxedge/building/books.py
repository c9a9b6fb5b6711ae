"""What each session gave, kept as a file of its own: its book.

A book is written when its session's windows are on the disk. It says how many there are so far, so
that whoever is stopped goes on behind the last book that is sound.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.datasets.choosing import Left
from bioxedge.datasets.cutting import Cut

ROWS = {"source_row": np.int64, "target_row": np.int64, "start": np.float64, "moment": np.float64}
"""Columns with a row for each moment, beside those of several numbers."""

# What reading a file can end in that is no book, or half of one.
_TORN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass
class Book:
    """What one session gave, as it is kept."""

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    clocks: str = ""


def book_name(number: int) -> str:
    """Name the book of a session."""
    return f"session-{number:05d}.npz"


def packed(cut: Cut, counts: Sequence[int]) -> bytes:
    """Lay out what one session gave."""
    arrays: dict[str, Any] = {
        name: np.array(getattr(cut, name), kind) for name, kind in ROWS.items()
    }
    count = len(cut.start)
    for name in ("measures", "classic"):
        rows = getattr(cut, name)
        arrays[name] = np.array(rows, np.float64) if rows else np.empty((count, 0))
    if cut.target_classic is not None:
        arrays["target_classic"] = cut.target_classic
    arrays["seconds"] = np.full(count, cut.seconds)
    arrays["counts"] = np.array(counts, np.int64)
    said = {
        "left": [asdict(one) for one in cut.left],
        "clocks": "" if cut.clocks is None else cut.clocks.line(),
    }
    arrays["said"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
    out = BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def sound_book(path: Path) -> Book | None:
    """Read a book; None where there is none, or one that was not written to its end."""
    try:
        return read_book(path)
    except _TORN:
        return None


def holds(path: Path, size: int) -> bool:
    """Whether a file has at least so many bytes."""
    try:
        return path.stat().st_size >= size
    except OSError:
        return not size


def read_book(path: Path) -> Book:
    """Read what one session gave."""
    # Through a file of our own: numpy leaves one open that is no archive.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    said = json.loads(arrays.pop("said").tobytes())
    return Book(arrays, [Left(**one) for one in said["left"]], said["clocks"])
