"""What systemd wants to hear from a service: that it is ready, that it lives, that it stops.

A datagram to the socket that systemd names, as sd_notify(3) describes it. Where there is no
systemd, every call does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from bioxedge.runtime.hostclock import SYSTEM, HostClock

# A manager that takes no datagram for so long is left alone: the windows are worth more.
_PATIENCE = 1.0


def notify(state: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell systemd something.

    Parameters
    ----------
    state : str
        Assignments, one a line: ``READY=1``, ``STATUS=text`` …
    environ : mapping of str to str, optional
        Where ``NOTIFY_SOCKET`` is: a path, or ``@name`` for an abstract socket.

    Returns
    -------
    bool
        Whether it was sent. A service goes on where it was not: there may be no systemd, or one
        that is being restarted.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as talk:
            talk.settimeout(_PATIENCE)
            talk.sendto(state.encode(), address)
    except OSError:
        return False
    return True


class Watchdog:
    """A service's side of the talk with systemd.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are.
    clock : HostClock, optional

    Attributes
    ----------
    interval : float or None
        Seconds within which systemd wants a sign of life; None where it wants none from this
        process.
    """

    def __init__(
        self, *, environ: Mapping[str, str] = os.environ, clock: HostClock = SYSTEM
    ) -> None:
        self._environ, self._clock = environ, clock
        self.interval = _interval(environ)
        self._sent: int | None = None
        self._status = ""

    def ready(self) -> None:
        """Say that the sensor streams: what starts after this service may start."""
        self._tell("READY=1")

    def alive(self) -> None:
        """Give a sign of life; call it as often as you like, one in half an interval is sent."""
        if self.interval is None:
            return
        now = self._clock.monotonic_ns()
        if self._sent is None or now - self._sent >= self.interval * 0.5e9:
            self._sent = now
            self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``; the same one again is not sent."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def stopping(self) -> None:
        """Say that the service ends, so that the time it takes is no failure."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        notify(state, environ=self._environ)


def _interval(environ: Mapping[str, str]) -> float | None:
    """Read the watchdog's seconds; None where they are not there or meant for another process."""
    try:
        interval = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
        pid = int(environ.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    return interval if interval > 0 and pid == os.getpid() else None


class Beats:
    """One service of several loops: ready once all are, alive only while each of them turns.

    Parameters
    ----------
    watchdog : Watchdog
    clock : HostClock, optional
    """

    def __init__(self, watchdog: Watchdog, clock: HostClock = SYSTEM) -> None:
        self._watchdog, self._clock = watchdog, clock
        self._last: dict[str, int] = {}
        self._ready: set[str] = set()
        self._told = False

    def of(self, name: str) -> Beat:
        """Make what a loop is given in place of a watchdog."""
        self._last[name] = self._clock.monotonic_ns()
        return Beat(self, name)

    def note(self, name: str, *, ready: bool = False) -> None:
        """Note that a loop turns; one that waits to be started again does, too."""
        self._last[name] = self._clock.monotonic_ns()
        if ready:
            self._ready.add(name)

    def leave(self, name: str) -> None:
        """Expect nothing more of a loop that has ended."""
        self._last.pop(name, None)
        self._ready.discard(name)

    def look(self) -> None:
        """Tell systemd what is so; call it every second."""
        if not self._told and set(self._last) <= self._ready:
            self._told = True
            self._watchdog.ready()
        interval = self._watchdog.interval
        if interval is None:
            return
        now = self._clock.monotonic_ns()
        if all(now - last < interval * 0.5e9 for last in list(self._last.values())):
            self._watchdog.alive()


class Beat(Watchdog):
    """What one loop of several says."""

    def __init__(self, beats: Beats, name: str) -> None:
        super().__init__(environ={})
        self._beats, self._name = beats, name

    def ready(self) -> None:
        """Say that this one's sensor streams."""
        self._beats.note(self._name, ready=True)

    def alive(self) -> None:
        """Give a sign of life."""
        self._beats.note(self._name)

    def stopping(self) -> None:
        """Nothing: the service goes on."""
