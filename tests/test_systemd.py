"""systemd's side is a real datagram socket here: what is heard on it is what counts."""

from __future__ import annotations

import os
import socket
import uuid

import pytest

from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.systemd import Watchdog, notify


class Manager:
    """A socket as systemd opens it, at a path or an abstract name."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    @property
    def environ(self):
        return {"NOTIFY_SOCKET": self.address}

    def heard(self):
        said = []
        while True:
            try:
                said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return said


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = "@bioxedge-" + uuid.uuid4().hex if request.param == "abstract" else tmp_path / "notify"
    made = Manager(str(name))
    yield made
    made.socket.close()


def test_a_service_says_that_it_is_ready_what_it_does_and_that_it_stops(manager):
    service = Watchdog(environ=manager.environ)
    service.ready()
    service.status("stress 81 %, 12 windows\nan hour")
    service.status("stress 81 %, 12 windows an hour")
    service.status("rest")
    service.stopping()
    assert manager.heard() == [
        "READY=1",
        "STATUS=stress 81 %, 12 windows an hour",
        "STATUS=rest",
        "STOPPING=1",
    ]


def test_signs_of_life_come_at_most_every_half_interval(manager):
    clock = SimulatedClock()
    environ = {**manager.environ, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    service = Watchdog(environ=environ, clock=clock)
    assert service.interval == 30
    for _ in range(600):  # a minute, asked ten times a second
        service.alive()
        clock.sleep(0.1)
    assert manager.heard() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "me"},
    ],
)
def test_no_sign_of_life_is_sent_where_none_is_wanted(manager, more):
    service = Watchdog(environ={**manager.environ, **more})
    service.alive()
    service.alive()
    assert service.interval is None and manager.heard() == []


def test_the_watchdog_of_a_unit_without_a_pid_is_this_process_s(manager):
    service = Watchdog(environ={**manager.environ, "WATCHDOG_USEC": "2000000"})
    service.alive()
    assert service.interval == 2 and manager.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative", "/nowhere/notify"])
def test_without_systemd_nothing_happens(monkeypatch, address):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    assert notify("READY=1") is False
    service = Watchdog()
    service.ready()
    service.alive()
    service.status("fine")
    service.stopping()


def test_a_manager_that_went_away_does_not_stop_the_service(manager):
    assert notify("READY=1", environ=manager.environ)
    manager.socket.close()
    assert not notify("WATCHDOG=1", environ=manager.environ)
