"""What a soak found."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge.runtime.soak.examine import CATEGORIES, Found


@dataclass
class Report:
    """What a soak found.

    Attributes
    ----------
    simulated, seconds, processor : float
        Seconds of simulated and of real time, and of a processor's.
    faults : dict of str to int
        Faults that came, by kind.
    found : Found
    time_error : float
        Largest difference between a time that a chunk states and the true one, in seconds.
    late_times : int
        Chunks whose time is off by more than a second.
    rss : list of float
        MiB of resident memory at the start, in the middle and at the end.
    files : list of int
        Open files then.
    left_out : tuple of str
        Kinds of faults that the bundle has no means to find.
    interrupted : bool
    """

    simulated: float = 0.0
    seconds: float = 0.0
    processor: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    found: Found = field(default_factory=Found)
    time_error: float = 0.0
    late_times: int = 0
    rss: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def windows(self) -> int:
        """Expected windows."""
        return sum(self.found.windows.values())

    @property
    def wrong(self) -> int:
        """Windows that are wrong and not marked."""
        return self.found.windows["wrong"]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        found = self.found
        return {
            "windows": self.windows,
            "wrong": self.wrong,
            "categories": {name: found.windows[name] for name in CATEGORIES},
            "faults": self.faults,
            "by_kind": {kind: dict(counts) for kind, counts in sorted(found.by_kind.items())},
            "needless": dict(found.needless),
            "causes": dict(found.causes.most_common()),
            "events": dict(found.events.most_common()),
            "examples": found.examples,
            "left_out": list(self.left_out),
            "time_error_s": round(self.time_error, 4),
            "late_times": self.late_times,
            "simulated_s": round(self.simulated, 1),
            "seconds": round(self.seconds, 2),
            "processor_s": round(self.processor, 2),
            "speed": round(self.simulated / max(self.seconds, 1e-9), 1),
            "rss_mib": [round(value, 1) for value in self.rss],
            "open_files": self.files,
            "interrupted": self.interrupted,
        }

    def line(self) -> str:
        """Give one line."""
        counts = self.found.windows
        shares = ", ".join(f"{counts[name]} {name}" for name in CATEGORIES[:-1] if counts[name])
        missing = f"; not tried: {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"{self.wrong} of {self.windows} windows wrong and unmarked, "
            f"{sum(self.faults.values())} faults in {self.simulated / 3600:.2f} h: {shares}; "
            f"{self.simulated / max(self.seconds, 1e-9):.0f} times as fast as time; memory "
            f"{' → '.join(f'{value:.0f}' for value in self.rss)} MiB, open files "
            f"{' → '.join(map(str, self.files))}{missing}"
            f"{'; interrupted' if self.interrupted else ''}"
        )

    def weigh(self) -> None:
        """Note how much memory and how many files are in use."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.rss.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        self.files.append(len(list(Path("/proc/self/fd").iterdir())))
