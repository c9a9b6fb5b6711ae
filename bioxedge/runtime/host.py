"""What the runtime has to know of the machine and the user that it runs for."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
from pathlib import Path


def cores() -> int:
    """Give the number of cores that this process may use (by affinity, not by quota)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def identity() -> str:
    """Name this machine by its architecture, its board or processor, and the usable cores."""
    return f"{platform.machine()}, {_model()}, {cores()} cores"


def _model() -> str:
    """Name the board or, where none is told, the processor."""
    try:
        board = Path("/sys/firmware/devicetree/base/model").read_text(errors="replace")
        return board.strip("\0 \n")
    except OSError:
        pass
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def cache() -> Path:
    """Give the user's cache directory for bioxedge; it need not be there.

    Raises
    ------
    RuntimeError
        The user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return base / "bioxedge"


def give_back_memory() -> None:
    """Let the C library return what is free to the system, where it can (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def return_at_once(least: int = 2 * 2**20) -> None:
    """Let the C library return every block of at least so many bytes as soon as it is free (glibc).

    For a process that runs one model: a large one's activations would else stay between two
    windows (134 of 330 MB for one of the published models, whose answer takes 1.5 % longer so). A
    process that trains is better off without.
    """
    threshold = -3  # M_MMAP_THRESHOLD of malloc.h; once it is set it does not grow by itself
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(threshold, least)
