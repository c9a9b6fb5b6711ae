"""What a check found, and what it looks at: the machine below a root directory."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from bioxedge.measuring.machine import text

State = Literal["ok", "warning", "problem", "unknown"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes
    ----------
    check : str
    state : str
        ``ok``; ``warning`` where some uses suffer or fail; ``problem`` where something that is
        there does not work; ``unknown`` where nothing could be seen.
    seen : str
        The value.
    wanted : str
        Its bound; empty where there is none.
    cure : str
        What to do, in one line; empty where nothing is to be done.
    """

    check: str
    state: State
    seen: str
    wanted: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Host:
    """The machine that is looked at, and who looks.

    Parameters
    ----------
    root : Path, optional
        Below it stand ``sys``, ``proc``, ``dev``, ``run`` and ``etc``.
    uid : int, optional
    groups : frozenset of int, optional
        The user's and those of this process, if left out.
    python : Path, optional
        The interpreter, whose machine type libraries must have.
    """

    root: Path = Path("/")
    uid: int = field(default_factory=os.getuid)
    groups: frozenset[int] = field(
        default_factory=lambda: frozenset([*os.getgroups(), os.getegid()])
    )
    python: Path = field(default_factory=lambda: Path(sys.executable).resolve())

    def at(self, path: str) -> Path:
        """Give a path below the root."""
        return self.root / path

    def read(self, path: str) -> str | None:
        """Give what a small file says; None where it says nothing."""
        return text(self.at(path))

    def list(self, folder: str, pattern: str = "*") -> list[Path]:
        """Give a folder's entries in order; none where it is not there."""
        return sorted(self.at(folder).glob(pattern))

    def may_use(self, path: Path) -> bool:
        """Whether this user may read and write a file."""
        if self.uid == os.getuid():
            return os.access(path, os.R_OK | os.W_OK)
        if self.uid == 0:
            return True
        about = path.stat()
        if about.st_uid == self.uid:
            wanted = stat.S_IRUSR | stat.S_IWUSR
        elif about.st_gid in self.groups:
            wanted = stat.S_IRGRP | stat.S_IWGRP
        else:
            wanted = stat.S_IROTH | stat.S_IWOTH
        return about.st_mode & wanted == wanted

    def group(self, name: str) -> tuple[int, bool] | None:
        """Find a group: its number, and whether this process is in it; None without the group."""
        for line in (self.read("etc/group") or "").splitlines():
            parts = line.split(":")
            if parts[0] == name and len(parts) > 2 and parts[2].isdigit():
                return int(parts[2]), int(parts[2]) in self.groups
        return None

    def running(self) -> set[str]:
        """Give the names of all processes that can be seen."""
        return {name for name in map(text, self.list("proc", "[0-9]*/comm")) if name}

    @property
    def board(self) -> str:
        """What the device tree calls the board; empty on a PC."""
        paths = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
        return next(filter(None, map(self.read, paths)), "")

    @property
    def jetson(self) -> bool:
        """Whether the board is one of NVIDIA's."""
        return "Jetson" in self.board or self.at("etc/nv_tegra_release").exists()


def join(group: str) -> str:
    """Say how a user gets into a group."""
    return f"sudo usermod -aG {group} $USER, then log in again"


def short(values: list[str], most: int = 4) -> Iterator[str]:
    """Give the first few, and how many more there are."""
    yield from values[:most]
    if len(values) > most:
        yield f"{len(values) - most} more"
