"""Room: on disk, for the cache, and in memory."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bioxedge.measuring.doctor.finding import Finding, Host, State

MB, GB = 1e6, 1e9
# A full-size bundle takes up to 300 MB, in memory and on disk; the demo's runs in 120 MB.
DISK = (0.2 * GB, 1.0 * GB)
MEMORY = (0.15 * GB, 0.5 * GB)


def check(host: Host) -> Iterator[Finding]:
    """Look at the disk below the cache directory and at memory."""
    place = cache()
    yield _cache(place)
    yield _disk(_standing(place))
    yield _memory(host)


def cache() -> Path:
    """Where bioxedge keeps what it may lose, as :func:`bioxedge.runtime.choice.cache` says.

    Said again, since that module imports ONNX Runtime, which may end this process.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = given if given.is_absolute() else Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111
    return base / "bioxedge"


def _standing(path: Path) -> Path:
    """Give the nearest directory that is there."""
    # os.path: what may not be looked into counts as not there, and is no error.
    every = (path.absolute(), *path.absolute().parents)
    return next(folder for folder in every if os.path.exists(folder))  # noqa: PTH110


def _cache(place: Path) -> Finding:
    standing = _standing(place)
    if standing.is_dir() and os.access(standing, os.W_OK | os.X_OK):
        return Finding(check="cache", state="ok", seen=str(place), wanted="can be written")
    return Finding(
        check="cache", state="warning", wanted="can be written",
        seen=f"{standing} cannot be written",
        cure="set XDG_CACHE_HOME to a directory of this user's: what bench finds is kept there",
    )  # fmt: skip


def _disk(place: Path) -> Finding:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Finding(check="disk", state="unknown", seen=f"{place}: {error.strerror}")
    state: State = "problem" if free < DISK[0] else "warning" if free < DISK[1] else "ok"
    return Finding(
        check="disk", state=state, wanted=f"{DISK[1] / GB:g} GB",
        seen=f"{free / GB:.1f} GB free at {place}",
        cure="" if state == "ok" else "free some: sudo apt-get clean; journalctl --vacuum-size=50M",
    )  # fmt: skip


def _memory(host: Host) -> Finding:
    said = host.read("proc/meminfo") or ""
    kilobytes = {key: int(value) for key, value in re.findall(r"(?m)^(\w+):\s+(\d+) kB", said)}
    free, total = (1024 * kilobytes.get(key, -1) for key in ("MemAvailable", "MemTotal"))
    if free < 0:
        return Finding(check="memory", state="unknown", seen="the kernel tells nothing")
    swap = 1024 * kilobytes.get("SwapTotal", 0)
    used = swap - 1024 * kilobytes.get("SwapFree", 0)
    seen = f"{free / GB:.1f} of {total / GB:.1f} GB free, " + (
        f"{used / GB:.1f} of {swap / GB:.1f} GB swap used" if swap else "no swap"
    )
    state: State = "problem" if free < MEMORY[0] else "warning" if free < MEMORY[1] else "ok"
    return Finding(
        check="memory", state=state, seen=seen, wanted=f"{MEMORY[1] / GB:g} GB",
        cure="" if state == "ok" else "end other programs (a desktop), or take a smaller bundle",
    )  # fmt: skip
