"""A server for few: a bounded number of connections, each with a thread and a deadline."""

from __future__ import annotations

import contextlib
import errno
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

from bioxedge.errors import SinkError
from bioxedge.runtime.page.access import is_loopback

# Connections at once, and those of them that follow the events.
CLIENTS, FOLLOWERS = 32, 12
# Seconds that a request may take to come, and bytes of it.
PATIENCE, HEAD = 5.0, 8192
# Seconds that a client may take none of what it is sent, and bytes that the kernel holds for it.
STUCK, BUFFER = 5.0, 1 << 16

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    b"too many are connected: close one, or try again\n"
)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens, and gives each connection a thread while there are not too many.

    Parameters
    ----------
    host, port
        Port 0 is any that is free.
    handler : callable
        Makes a request handler.

    Raises
    ------
    SinkError
        It cannot listen there.
    """

    allow_reuse_address = True
    request_queue_size = 16
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: Callable[..., Any]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread | None] = {}
        self.followers = threading.BoundedSemaphore(FOLLOWERS)
        try:
            super().__init__((host, port), handler)
        except OSError as error:
            raise SinkError(_why(host, port, error)) from error
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.25,), name="page", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.socket.getsockname()[1])

    @property
    def clients(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or tell it that there is no room."""
        request.settimeout(STUCK)
        with contextlib.suppress(OSError):
            request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        with self._room:
            room = len(self._connections) < CLIENTS
            if room:
                self._connections[request] = None
        if room:
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.send(_BUSY)
        super().shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        self._connections[request] = threading.current_thread()
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Let a connection go."""
        with self._room:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: what a client does to its own connection is no news."""

    def close(self) -> None:
        """Stop listening, and end every connection."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        limit = time.monotonic() + 2.0
        with self._room:
            left = list(self._connections.items())
        for _, thread in left:  # they have been told, and end by themselves
            if thread is not None:
                thread.join(max(min(0.5, limit - time.monotonic()), 0.0))
        for request, thread in left:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
            if thread is not None:
                thread.join(max(limit - time.monotonic(), 0.0))


def read_head(request: socket.socket) -> bytes | int:
    """Read a request up to its blank line; a status where it is too long or too slow."""
    head, limit = b"", time.monotonic() + PATIENCE
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = limit - time.monotonic()
        if left <= 0:
            return 408
        request.settimeout(left)
        try:
            more = request.recv(4096)
        except TimeoutError:
            return 408
        if not more:
            return 400
        head += more
        if len(head) > HEAD:
            return 431
    request.settimeout(STUCK)
    return head


def _why(host: str, port: int, error: OSError) -> str:
    """Say why nobody can listen there, and what to do."""
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: another run may show its page there; say --page {port + 1}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where}: a port below 1024 needs rights that this user lacks; say --page 8765"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        cure = "name an address of this machine, or 0.0.0.0 for all"
        return f"{where}: this machine has no such address: {cure}"
    kind = "this machine" if is_loopback(host) else "the network"
    return f"{where}: {error.strerror or error}; {kind} does not allow it, name another [HOST:]PORT"
