"""What can be seen of boards from here: serial ports, and Bluetooth devices that announce."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

import msgspec

from bioxedge.measuring.doctor import bluetooth, serial
from bioxedge.measuring.doctor.finding import Host
from bioxedge.measuring.machine import ask

SECONDS = 4  # of listening; ask() waits for 5
_DEVICE = re.compile(r"Device ((?:[0-9A-F]{2}:){5}[0-9A-F]{2}) ([^\n\r]+)", re.IGNORECASE)


class Seen(msgspec.Struct, frozen=True):
    """Something that may be a board.

    Attributes
    ----------
    how : str
        ``serial`` or ``Bluetooth``.
    address : str
        A port, or a MAC address.
    name : str
        What it calls itself; empty where it does not.
    boards : list of str
        Which boards it may be; none where no board announces itself so.
    """

    how: str
    address: str
    name: str
    boards: list[str]


def scan(
    host: Host, wired: list[str], announced: Mapping[str, tuple[str, ...]]
) -> tuple[list[Seen], list[str]]:
    """Look for boards.

    Parameters
    ----------
    host : Host
    wired : list of str
        Boards behind a serial port or a dongle.
    announced : mapping of str to tuple of str
        How the Bluetooth names of boards begin.

    Returns
    -------
    tuple of list
        What was seen, and in words where was looked and where not.
    """
    found = [
        Seen("serial", f"/dev/{port.name}", serial.product(host, port), wired)
        for port in serial.ports(host)
    ]
    said = [f"Serial ports: {len(found)} of USB; a port does not tell which board is behind it."]
    devices, how = _bluetooth(host)
    said.append(how)
    for address, name in devices:
        may_be = [board for board, starts in announced.items() if any(map(name.startswith, starts))]
        found.append(Seen("Bluetooth", address, name, may_be))
    said.append(
        "Not looked for: boards in the network (BrainFlow finds them itself as it starts) and "
        "those of makers' own libraries."
    )
    return found, said


def _bluetooth(host: Host) -> tuple[list[tuple[str, str]], str]:
    """Listen for a few seconds; give addresses with names, and in words what was done."""
    if not bluetooth.adapters(host):
        return [], "Bluetooth: not looked for, since there is no adapter."
    if shutil.which("bluetoothctl") is None:
        return [], "Bluetooth: not looked for, since bluetoothctl (package bluez) is missing."
    listened = ask("bluetoothctl", "--timeout", str(SECONDS), "scan", "on")
    known = ask("bluetoothctl", "devices")
    if known is None:
        return [], "Bluetooth: not looked for, since BlueZ does not answer: see bioxedge doctor."
    names = dict(_DEVICE.findall(known))
    devices = [(address, name.strip()) for address, name in sorted(names.items())]
    how = f"{SECONDS} s of listening" if listened is not None else "only those known before"
    return devices, f"Bluetooth: {len(devices)} devices, {how}; a connected board is silent."
