"""Power and heat: what sets the frequency, what holds it down, what the supply gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from bioxedge.measuring import machine
from bioxedge.measuring.doctor.finding import Finding, Host, State, join
from bioxedge.measuring.machine import text

# Bits of vcgencmd get_throttled: 0 and 16 are the supply's, the others heat's.
SUPPLY = 1 << 0 | 1 << 16
HEAT = 0xF000F & ~SUPPLY
_CPU = "sys/devices/system/cpu"
_FIXED = ("intel_pstate", "amd-pstate", "amd-pstate-epp", "intel_cpufreq")
_COOL = "cool the board (heatsink, fan), then reboot: these bits last until then"
_FEED = "use the board's own power supply and a short cable (Pi 5: 5 V 5 A, Pi 4: 5 V 3 A)"
_ASK = "sudo apt-get install raspi-utils (older systems: libraspberrypi-bin)"


def check(host: Host) -> Iterator[Finding]:
    """Look at the governor, at throttling and at the supply."""
    yield _governor(host)
    bits = machine.throttled()
    yield _throttling(host, bits)
    yield _supply(host, bits)
    yield from _mode(host)


def _governor(host: Host) -> Finding:
    cores = host.list(_CPU, "cpu[0-9]*/cpufreq")
    names = sorted({said for said in (text(core / "scaling_governor") for core in cores) if said})
    drivers = {text(core / "scaling_driver") for core in cores}
    seen = ", ".join(names)
    if not names:
        return Finding(
            check="governor", state="unknown", wanted="performance",
            seen="the kernel names none (a virtual machine or a container?)",
        )  # fmt: skip
    # With these drivers powersave is a governor that follows the load.
    slow = {"conservative", "userspace"} | (set() if drivers & set(_FIXED) else {"powersave"})
    if slow & set(names):
        return Finding(
            check="governor", state="warning", seen=seen, wanted="performance or schedutil",
            cure=f"echo performance | sudo tee /{_CPU}/cpu*/cpufreq/scaling_governor",
        )  # fmt: skip
    note = "" if names == ["performance"] else "; performance has steadier latencies"
    return Finding(check="governor", state="ok", seen=seen + note)


def _throttling(host: Host, bits: int | None) -> Finding:
    """Decode a Raspberry Pi's bits; elsewhere take what the processor counts."""
    if bits is not None:
        held = bits & HEAT
        state: State = "problem" if held & machine.NOW else "warning" if held else "ok"
        return Finding(
            check="throttling", state=state, wanted="no bit set", cure=_COOL if held else "",
            seen=f"0x{bits:x}: {', '.join(machine.bits(held)) or 'not throttled since boot'}",
        )  # fmt: skip
    if "Raspberry Pi" in host.board:
        there = shutil.which("vcgencmd")
        return Finding(
            check="throttling", state="unknown", wanted="no bit set",
            seen="vcgencmd " + ("gave no answer" if there else "is not installed"),
            cure=join("video") if there else _ASK,
        )  # fmt: skip
    counts = [
        int(said)
        for said in map(text, host.list(_CPU, "cpu*/thermal_throttle/core_throttle_count"))
        if said and said.isdigit()
    ]
    if not counts:
        return Finding(
            check="throttling", state="unknown", seen="nothing here counts it", wanted="never"
        )
    if sum(counts):
        return Finding(
            check="throttling", state="warning", seen=f"{sum(counts)} times since boot",
            wanted="never", cure="cool the machine (dust, fan), then reboot",
        )  # fmt: skip
    return Finding(check="throttling", state="ok", seen="never since boot", wanted="never")


def _supply(host: Host, bits: int | None) -> Finding:
    """Take a Raspberry Pi's word on its voltage; elsewhere whether mains or a battery feeds it."""
    if bits is not None:
        low = bits & SUPPLY
        state: State = "problem" if low & machine.NOW else "warning" if low else "ok"
        return Finding(
            check="supply", state=state, wanted="no under-voltage", cure=_FEED if low else "",
            seen=", ".join(machine.bits(low)) or "no under-voltage since boot",
        )  # fmt: skip
    for chip in host.list("sys/class/hwmon", "hwmon*"):
        if text(chip / "name") == "rpi_volt" and text(chip / "in0_lcrit_alarm") == "1":
            return Finding(
                check="supply", state="problem", seen="under-voltage", wanted="none", cure=_FEED
            )
    feeds = host.list("sys/class/power_supply")
    mains = [text(feed / "online") for feed in feeds if text(feed / "type") in ("Mains", "USB")]
    if "1" in mains:
        return Finding(check="supply", state="ok", seen="on mains")
    if any(text(feed / "type") == "Battery" for feed in feeds):
        return Finding(
            check="supply", state="warning", seen="on battery", wanted="mains",
            cure="plug the mains in: processors are slower on battery",
        )  # fmt: skip
    return Finding(check="supply", state="unknown", seen="nothing here measures it")


def _mode(host: Host) -> Iterator[Finding]:
    """Hold a Jetson to its full power mode."""
    said = machine.ask("nvpmodel", "-q") or ""
    name = said.partition("NV Power Mode:")[2].strip().split("\n")[0].strip()
    if not name:
        if host.jetson:
            yield Finding(
                check="power-mode", state="unknown", seen="nvpmodel gave no answer",
                wanted="MAXN", cure="sudo nvpmodel -q",
            )  # fmt: skip
        return
    full = name.upper().startswith("MAXN")
    yield Finding(
        check="power-mode", state="ok" if full else "warning", seen=name, wanted="MAXN",
        cure="" if full else "sudo nvpmodel -m 0 && sudo jetson_clocks (2 for MAXN_SUPER on some)",
    )  # fmt: skip
