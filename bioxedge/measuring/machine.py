"""Which machine this is, and how hot, how fast and how throttled it is now.

Where nothing can be read there is None, never a guess: a container and many desktops show no
temperature, and only a Raspberry Pi tells its throttle bits.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import msgspec

from bioxedge import __version__

SYS = Path("/sys")
PROC = Path("/proc")
PACKAGES = (
    "onnxruntime", "onnxruntime-gpu", "openvino", "numpy", "scipy", "msgspec",
    "brainflow",
)  # fmt: skip
# Firmware's own words for the bits that vcgencmd get_throttled gives.
BITS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
NOW = 0xF
"""Throttle bits that speak of this moment."""
# Thermal zones of processors, best first; zones of batteries and radios tell nothing here.
ZONES = ("cpu", "x86_pkg_temp", "soc", "tj", "core", "acpitz")
SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
PATIENCE = 5.0  # seconds for a tool of the board's


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that something was measured on.

    Attributes
    ----------
    board : str
        As its firmware calls it; the processor's architecture where it does not.
    cpu : str
    cores : int
        Processors that this process may use.
    architecture : str
    memory_bytes : int
    os, kernel : str
    governor : str or None
        What sets the frequency; several, comma between, where cores differ.
    python : str
    versions : dict of str to str
        Packages that are installed, and the board's software where it names one.
    power_mode : str or None
        A Jetson's, as ``nvpmodel`` calls it.
    """

    board: str
    cpu: str
    cores: int
    architecture: str
    memory_bytes: int
    os: str
    kernel: str
    governor: str | None
    python: str
    versions: dict[str, str]
    power_mode: str | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine says of itself at one moment; None where it says nothing.

    Attributes
    ----------
    t : float
        Unix time.
    temperature_c : float or None
        Of the processor.
    frequency_hz : float or None
        The first processor's.
    throttled : int or None
        A Raspberry Pi's bits, see :data:`BITS`.
    throttle_count : int or None
        How often Intel's processors were throttled for heat since boot, all cores together.
    """

    t: float
    temperature_c: float | None
    frequency_hz: float | None
    throttled: int | None
    throttle_count: int | None = None


def machine() -> Machine:
    """Describe this machine."""
    return Machine(
        board=_board(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        architecture=platform.machine(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        os=_os(),
        kernel=platform.release(),
        governor=governor(),
        python=platform.python_version(),
        versions=_versions(),
        power_mode=_power_mode(),
    )


def reading() -> Reading:
    """Ask for temperature, frequency and throttling, now.

    A Raspberry Pi is asked through ``vcgencmd``, since its sysfs file is known to say 0 while
    the board is throttled.
    """
    temperature = _number(ask("vcgencmd", "measure_temp"), r"temp=([\d.]+)")
    frequency = _number(ask("vcgencmd", "measure_clock", "arm"), r"=(\d+)")
    return Reading(
        t=time.time(),
        temperature_c=_temperature() if temperature is None else temperature,
        frequency_hz=_frequency() if frequency is None else frequency,
        throttled=throttled(),
        throttle_count=_throttle_count(),
    )


def throttled() -> int | None:
    """Throttle bits of a Raspberry Pi; None elsewhere."""
    found = re.search(r"throttled=(0x[0-9a-fA-F]+)", ask("vcgencmd", "get_throttled") or "")
    return int(found[1], 16) if found else None


def governor() -> str | None:
    """What sets the processors' frequency; None where nothing says."""
    files = (SYS / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({said for said in map(text, files) if said})) or None


def bits(value: int) -> list[str]:
    """Say throttle bits in words."""
    return [said for bit, said in BITS.items() if value >> bit & 1]


def ask(*words: str) -> str | None:
    """Run a tool of the board's; None where there is none, or it fails."""
    program = shutil.which(words[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *words[1:]],
            capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def text(path: Path) -> str | None:
    """Give what a small file of the kernel's says; None where it says nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _number(said: str | None, pattern: str) -> float | None:
    found = re.search(pattern, said or "")
    return float(found[1]) if found else None


def _board() -> str:
    """Ask the device tree (boards), then DMI (PCs)."""
    tree = _first(map(text, (PROC / "device-tree/model", SYS / "firmware/devicetree/base/model")))
    if tree:
        return tree
    dmi = [text(SYS / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return " ".join(part for part in dmi if part) or f"unnamed {platform.machine()} machine"


def _cpu() -> str:
    """Give the processor's name, or the numbers that Arm's stand for a name."""
    said = text(PROC / "cpuinfo") or ""
    facts: dict[str, str] = dict(re.findall(r"^([^\t:]+?)\s*:\s*(.+)$", said, re.MULTILINE))
    if "model name" in facts:
        return facts["model name"]
    if "CPU part" in facts:
        known = {"0xd03": "Cortex-A53", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76",
                 "0xd42": "Cortex-A78AE"}  # fmt: skip
        part = facts["CPU part"]
        return known.get(part, f"implementer {facts.get('CPU implementer', '?')} part {part}")
    named: str = platform.processor()
    return named or platform.machine()


def _os() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _versions() -> dict[str, str]:
    found = {"bioxedge": __version__}  # also where it is not installed, but on the path
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for path in (Path("/etc/nv_tegra_release"), Path("/etc/rpi-issue")):
        said = text(path)
        if said:
            found[path.name] = said.splitlines()[0]
    return found


def _power_mode() -> str | None:
    found = re.search(r"NV Power Mode:\s*(\S+)", ask("nvpmodel", "-q") or "")
    return found[1] if found else None


def _temperature() -> float | None:
    """Ask the thermal zone, or the sensor chip, that stands for the processor."""
    zones = {
        (text(zone / "type") or "").lower(): zone / "temp"
        for zone in sorted((SYS / "class/thermal").glob("thermal_zone*"))
    }
    chips = {
        (text(chip / "name") or "").lower(): chip / "temp1_input"
        for chip in sorted((SYS / "class/hwmon").glob("hwmon*"))
    }
    wanted = [path for start in ZONES for kind, path in zones.items() if kind.startswith(start)]
    wanted += [chips[name] for name in SENSORS if name in chips]
    for path in wanted:
        said = text(path)  # millidegrees
        if said and said.lstrip("-").isdigit():
            return int(said) / 1000
    return None


def _frequency() -> float | None:
    said = text(SYS / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return 1e3 * float(said) if said and said.isdigit() else None


def _throttle_count() -> int | None:
    files = (SYS / "devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [int(said) for said in map(text, files) if said and said.isdigit()]
    return sum(counts) if counts else None
