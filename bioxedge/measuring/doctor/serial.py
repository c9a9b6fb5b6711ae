"""Serial ports: are there any, may this user use them, do they deliver at once?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bioxedge.measuring.doctor.finding import Finding, Host, join, short
from bioxedge.measuring.machine import text

# Programs that open a port that they do not know, to see what is behind it.
_MEDDLERS = ("ModemManager", "brltty")
LATENCY = 1  # ms
_TIMERS = "sys/bus/usb-serial/devices"


def ports(host: Host) -> list[Path]:
    """Give the serial ports behind USB."""
    return host.list("dev", "ttyUSB*") + host.list("dev", "ttyACM*")


def product(host: Host, port: Path) -> str:
    """Say what the adapter behind a port calls itself; empty where it does not."""
    place = host.at(f"sys/class/tty/{port.name}/device").resolve()
    # The USB device stands one to three steps above the port.
    for folder in (place, *place.parents[:3]):
        named = text(folder / "product")
        if named:
            return named
    return ""


def check(host: Host) -> Iterator[Finding]:
    """Look at the ports, the rights, who else wants them, and FTDI's latency timer."""
    found = ports(host)
    if not found:
        yield Finding(
            check="serial", state="unknown", seen="no USB serial port",
            wanted="one, for boards with a dongle or cable",
            cure="plug the dongle in and ask again",
        )  # fmt: skip
        return
    yield _rights(host, found)
    yield from _meddlers(host)
    yield from _latency(host)


def _rights(host: Host, found: list[Path]) -> Finding:
    closed = [f"/dev/{port.name}" for port in found if not host.may_use(port)]
    seen = ", ".join(short([f"/dev/{port.name}" for port in found]))
    if not closed:
        return Finding(check="serial", state="ok", seen=seen, wanted="read and write")
    return Finding(
        check="serial", state="problem", seen=f"no right to {', '.join(short(closed))}",
        wanted="read and write", cure=join("dialout"),
    )  # fmt: skip


def _meddlers(host: Host) -> Iterator[Finding]:
    there = [name for name in _MEDDLERS if name in host.running()]
    if there:
        yield Finding(
            check="serial-others", state="warning", seen=f"{', '.join(there)} runs",
            wanted="nobody else opens the port",
            cure=f"sudo apt-get purge {' '.join(there).lower()}, where no modem or Braille display"
            " needs it",
        )  # fmt: skip


def _latency(host: Host) -> Iterator[Finding]:
    """Hold FTDI's timer, which keeps a part-filled packet back, to a millisecond."""
    timers = {path.parent.name: text(path) for path in host.list(_TIMERS, "*/latency_timer")}
    slow = {port: ms for port, ms in timers.items() if ms and ms.isdigit() and int(ms) > LATENCY}
    if slow:
        port, ms = next(iter(slow.items()))
        files = " ".join(f"/{_TIMERS}/{name}/latency_timer" for name in slow)
        yield Finding(
            check="latency-timer", state="warning", seen=f"{port}: {ms} ms", wanted="1 ms",
            cure=f"echo 1 | sudo tee {files} (until it is unplugged; a udev rule keeps it)",
        )  # fmt: skip
    elif timers:
        yield Finding(
            check="latency-timer", state="ok", seen=f"{', '.join(timers)}: 1 ms", wanted="1 ms"
        )
