"""A page on a free port, and what asks it."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager

from bioxedge.runtime.page import Page

TOKEN = "correct-horse-battery"


def quiet(token=None, host="127.0.0.1"):
    """A page on a free port, and what it said."""
    said = []
    return Page(host, 0, token, say=said.append), said


def port_of(page):
    return int(page.address.rstrip("/").rpartition(":")[2])


def get(page, path, method="GET", **headers):
    """Ask the page; give status, headers and body."""
    port = port_of(page)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def raw(page, sent, wait=True):
    """Send bytes as they are; give all that comes back."""
    port = port_of(page)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        got = b""
        while wait and (more := connection.recv(65536)):
            got += more
        return got.decode()


@contextmanager
def following(page, path="/events", **headers):
    """Follow the events; give a function that reads the next message."""
    port = port_of(page)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")

    def read():
        about = {}
        while line := answer.fp.readline().decode().rstrip("\n"):
            key, _, value = line.partition(": ")
            about[key] = json.loads(value) if key == "data" else value
        return about

    assert read() == {"retry": "2000"}
    try:
        yield read
    finally:
        answer.close()
        connection.close()
