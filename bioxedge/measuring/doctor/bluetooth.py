"""Bluetooth: an adapter, not blocked, a service that answers, and the right to ask it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator

from bioxedge.measuring.doctor.finding import Finding, Host, join
from bioxedge.measuring.machine import ask

BUS = "run/dbus/system_bus_socket"


def adapters(host: Host) -> list[str]:
    """Names of the adapters: ``hci0`` …; connections, which stand beside them, are none."""
    names = [path.name for path in host.list("sys/class/bluetooth", "hci*")]
    return [name for name in names if ":" not in name]


def check(host: Host) -> Iterator[Finding]:
    """Look at what BrainFlow's Bluetooth boards need of the system."""
    found = adapters(host)
    if not found:
        yield Finding(
            check="bluetooth", state="warning", seen="no adapter",
            wanted="one, for Bluetooth boards without a dongle of their own",
            cure="plug an adapter in, or enable the board's own (/boot/firmware/config.txt)",
        )  # fmt: skip
        return
    blocked = _blocked(host)
    if blocked:
        yield blocked
        return
    service = _service(host)
    if service:
        yield service
        return
    yield _answer(host, found)


def _blocked(host: Host) -> Finding | None:
    """Look for a switch that is off."""
    for switch in host.list("sys/class/rfkill", "rfkill*"):
        name = f"sys/class/rfkill/{switch.name}"
        if host.read(f"{name}/type") != "bluetooth":
            continue
        who = host.read(f"{name}/name") or switch.name
        if host.read(f"{name}/hard") == "1":
            return Finding(
                check="bluetooth", state="problem", seen=f"{who} is blocked by a switch",
                wanted="not blocked", cure="turn the machine's own radio switch on",
            )  # fmt: skip
        if host.read(f"{name}/soft") == "1":
            return Finding(
                check="bluetooth", state="problem", seen=f"{who} is blocked by software",
                wanted="not blocked", cure="sudo rfkill unblock bluetooth",
            )  # fmt: skip
    return None


def _service(host: Host) -> Finding | None:
    """Hold the system bus and BlueZ's daemon to being there."""
    try:
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(1.0)
            bus.connect(str(host.at(BUS)))
    except OSError as error:
        return Finding(
            check="bluetooth", state="problem", wanted="the system's D-Bus",
            seen=f"/{BUS}: {error.strerror or error}",
            cure="sudo apt-get install dbus && sudo systemctl start dbus; in a container, mount it",
        )  # fmt: skip
    if "bluetoothd" not in host.running():
        return Finding(
            check="bluetooth", state="problem", seen="bluetoothd does not run", wanted="runs",
            cure="sudo apt-get install bluez && sudo systemctl enable --now bluetooth",
        )  # fmt: skip
    return None


def _answer(host: Host, found: list[str]) -> Finding:
    """Ask BlueZ; where there is no tool to ask with, look at the user's groups."""
    said, seen = ask("bluetoothctl", "show") or "", ", ".join(found)
    if "Powered: no" in said:
        return Finding(
            check="bluetooth", state="problem", seen=f"{seen} is off", wanted="powered",
            cure="bluetoothctl power on (AutoEnable=true in /etc/bluetooth/main.conf to keep it)",
        )  # fmt: skip
    if "Powered: yes" in said:
        return Finding(check="bluetooth", state="ok", seen=f"{seen}, powered", wanted="powered")
    group = host.group("bluetooth")
    if host.uid != 0 and group and not group[1]:
        return Finding(
            check="bluetooth", state="warning", wanted="of group bluetooth",
            seen=f"{seen}; BlueZ did not answer this user", cure=join("bluetooth"),
        )  # fmt: skip
    why = "did not answer" if shutil.which("bluetoothctl") else "has no bluetoothctl to be asked"
    return Finding(
        check="bluetooth", state="unknown", seen=f"{seen}; BlueZ {why}", wanted="powered",
        cure="sudo apt-get install bluez; sudo systemctl restart bluetooth",
    )  # fmt: skip
