"""Power of the whole machine, where it can be read; idle is subtracted by whoever asks.

Three meters are known: Intel's and AMD's counters (RAPL, the processor package alone), the Pi 5's
power chip (an estimate: its rails, not its plug), and a Jetson's input rail. A sum of a Jetson's
rails is never taken, since they feed each other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bioxedge.measuring.machine import SYS, ask, text

NONE = "not measurable here"


class Meter(Protocol):
    """Gives mean power.

    Attributes
    ----------
    name : str
        What is measured, and how.
    """

    name: str

    def start(self) -> None:
        """Begin."""
        ...

    def look(self) -> None:
        """Look, about once a second."""
        ...

    def stop(self) -> float | None:
        """Mean watts since the start; None where nothing was read."""
        ...


def meter() -> Meter | None:
    """Give the meter of this machine; None where there is none that may be read."""
    rapl = Rapl.find()
    if rapl is not None:
        return rapl
    rail = _jetson_rail()
    if rail is not None:
        return Sampled("Jetson VDD_IN (whole module, INA sensor)", lambda: _watts_of(rail))
    if pmic() is not None:
        return Sampled("Raspberry Pi 5 PMIC (estimate: the sum of its rails)", pmic)
    return None


class Rapl:
    """Energy counters of processor packages, in microjoules, that wrap around."""

    def __init__(self, counters: list[tuple[Path, int]]) -> None:
        self.name = f"RAPL, {len(counters)} processor package{'s' * (len(counters) > 1)} alone"
        self._counters = counters
        self._last: list[int] = []
        self._joules = 0.0
        self._began = 0.0

    @classmethod
    def find(cls) -> Rapl | None:
        """Find the counters that may be read; the kernel gives them to root alone by default."""
        counters = []
        for zone in sorted((SYS / "class/powercap").glob("intel-rapl:*")):
            if (text(zone / "name") or "").startswith("package"):
                value, most = text(zone / "energy_uj"), text(zone / "max_energy_range_uj")
                if value and most:
                    counters.append((zone / "energy_uj", int(most)))
        return cls(counters) if counters else None

    def start(self) -> None:
        """Begin."""
        self._last, self._joules = self._values(), 0.0
        self._began = time.monotonic()

    def look(self) -> None:
        """Add what has passed; more often than they wrap around (a minute, at least)."""
        now = self._values()
        for (_, most), before, after in zip(self._counters, self._last, now, strict=True):
            self._joules += ((after - before) % (most + 1)) / 1e6
        self._last = now

    def stop(self) -> float | None:
        """Mean watts."""
        self.look()
        seconds = time.monotonic() - self._began
        return self._joules / seconds if seconds > 0 else None

    def _values(self) -> list[int]:
        return [int(text(path) or 0) for path, _ in self._counters]


class Sampled:
    """Looks at a power now and then and takes the mean."""

    def __init__(self, name: str, watts: Callable[[], float | None]) -> None:
        self.name = name
        self._watts = watts
        self._seen: list[float] = []

    def start(self) -> None:
        """Begin."""
        self._seen = []
        self.look()

    def look(self) -> None:
        """Look."""
        watts = self._watts()
        if watts is not None:
            self._seen.append(watts)

    def stop(self) -> float | None:
        """Mean watts."""
        self.look()
        return sum(self._seen) / len(self._seen) if self._seen else None


def pmic() -> float | None:
    """Watts of a Pi 5, the sum of current times voltage of each rail; None elsewhere."""
    said = ask("vcgencmd", "pmic_read_adc") or ""
    found: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for rail, unit, value in re.findall(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)", said):
        found[unit][rail] = float(value)
    both = found["A"].keys() & found["V"].keys()
    return sum(found["A"][rail] * found["V"][rail] for rail in both) if both else None


def _jetson_rail() -> Path | None:
    """Find the sensor's rail that is named VDD_IN (all that the module takes)."""
    for label in sorted((SYS / "class/hwmon").glob("hwmon*/in*_label")):
        if text(label) == "VDD_IN":
            return label
    return None


def _watts_of(label: Path) -> float | None:
    """Watts of a rail: its voltage (mV) times its current (mA)."""
    number = label.name[len("in") : -len("_label")]
    volts = text(label.with_name(f"in{number}_input"))
    amperes = text(label.with_name(f"curr{number}_input"))
    return int(volts) * int(amperes) / 1e6 if volts and amperes else None
