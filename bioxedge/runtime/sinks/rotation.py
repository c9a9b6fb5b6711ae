"""When a file of lines is put aside for a new one, and under which name."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from bioxedge.errors import SinkError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
# A smaller file would hold little beside the record that it begins with.
_SMALLEST = 10_000


@dataclass(frozen=True)
class Rotation:
    """A new file at a size, or at midnight UTC.

    Attributes
    ----------
    size : int or None
        Bytes that a file may have; None for one file a day.
    """

    size: int | None

    @classmethod
    def parse(cls, text: str) -> Rotation:
        """Read ``day``, or a size such as ``500kB``, ``100MB`` or ``2GB``.

        Raises
        ------
        SinkError
            Anything else, or less than 10 kB.
        """
        if text == "day":
            return cls(None)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip(), re.IGNORECASE)
        size = round(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
        if size < _SMALLEST:
            raise SinkError(f"--rotate takes day or a size of at least 10kB, got {text!r}")
        return cls(size)

    def due(self, size: int, more: int, day: str, today: str) -> bool:
        """Whether a file of ``size`` bytes, begun on ``day``, takes ``more`` bytes today."""
        return day != today if self.size is None else size + more > self.size

    def aside(self, path: Path, day: str) -> Path:
        """Give a name that is free: ``labels.2026-03-01.jsonl``, or ``labels.1.jsonl``."""
        parts = [] if self.size is not None else [day]
        number = 1 if self.size is not None else 0
        while True:
            name = ".".join([path.stem, *parts, *([str(number)] if number else [])])
            aside = path.with_name(name + path.suffix)
            if not aside.exists():
                return aside
            number += 1 if number else 2


def day_of(unix: float) -> str:
    """Give the date, UTC, of a Unix time."""
    return time.strftime("%Y-%m-%d", time.gmtime(unix))
