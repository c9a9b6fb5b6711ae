"""How much is tried: enough by default, all of it with ``BIOXEDGE_ALL=1`` (``make test-all``).

What is left out by default are more of the same: other numbers for a promise that is still held by
those that stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
ALL = bool(os.environ.get("BIOXEDGE_ALL"))


def some(values: Iterable[T], every: int = 2) -> list[T]:
    """Every second value, the first one among them, or every so manieth; all if all is wanted."""
    return list(values)[:: 1 if ALL else every]


def few(examples: int, fewer: int) -> int:
    """So many examples of a property, or fewer."""
    return examples if ALL else fewer
