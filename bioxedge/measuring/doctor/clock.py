"""Time: is the clock synchronised, and does one keep going when the power is off?"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

from bioxedge.measuring.doctor.finding import Finding, Host
from bioxedge.measuring.machine import ask

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


def check(host: Host) -> Iterator[Finding]:
    """Look at the system's clock and at the hardware's."""
    synchronised, who = _synchronised(host)
    if synchronised is None:
        yield Finding(
            check="clock", state="unknown", seen="nothing tells", wanted="synchronised",
            cure="timedatectl",
        )  # fmt: skip
    elif synchronised:
        yield Finding(
            check="clock", state="ok", seen=f"synchronised ({who})", wanted="synchronised"
        )
    else:
        yield Finding(
            check="clock", state="warning", seen=f"not synchronised ({who})", wanted="synchronised",
            cure="sudo timedatectl set-ntp true; without it the times of labels are wrong",
        )  # fmt: skip
    if host.list("dev", "rtc*"):
        yield Finding(check="hardware-clock", state="ok", seen="/dev/rtc")
    else:
        yield Finding(
            check="hardware-clock", state="warning", seen="none",
            wanted="one, where there is no network",
            cure="add a clock module (Pi 5: its battery): without, time is wrong after a power cut",
        )  # fmt: skip


def _synchronised(host: Host) -> tuple[bool | None, str]:
    """Ask those who can know, one after the other; None where none of them does."""
    said = ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if said in ("yes", "no"):
        return said == "yes", "timedatectl"
    if host.at("run/systemd/timesync/synchronized").exists():
        return True, "systemd-timesyncd"
    tracking = ask("chronyc", "-n", "tracking") or ""
    if "Leap status" in tracking:
        return "Not synchronised" not in tracking, "chrony"
    return (_kernel(), "the kernel") if host.root == Path("/") else (None, "")


def _kernel() -> bool | None:
    """Ask the kernel, which whoever steers the clock tells; needs no right."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "adjtimex"):
        return None
    # struct timex, larger than any; modes = 0 changes nothing.
    state = libc.adjtimex(ctypes.byref(ctypes.create_string_buffer(512)))
    return None if state < 0 else state != _TIME_ERROR
