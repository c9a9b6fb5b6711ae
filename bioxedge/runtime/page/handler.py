"""One request: who asks, for what, and the answer."""

from __future__ import annotations

import io
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bioxedge.runtime.page.feed import message
from bioxedge.runtime.page.files import served
from bioxedge.runtime.page.metrics import CONTENT
from bioxedge.runtime.page.server import PATIENCE, Server, read_head
from bioxedge.runtime.sinks.jsonl import line

if TYPE_CHECKING:
    from bioxedge.runtime.page.page import Page

# Seconds between two words to a client that hears nothing else: proxies and phones hang up.
HEARTBEAT = 10.0
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Connection": "close",
}
_WHY = {
    400: "this is no request of HTTP",
    408: f"the request did not come within {PATIENCE:g} s",
    431: "the request is too long",
    501: "only GET and HEAD are answered",
    505: "HTTP/1.1 is spoken here",
}


class Handler(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bioxedge", ""
    server: Server
    page: Page  # set in a class of its own for each page

    def handle(self) -> None:
        """Read the request within bounds, and answer it."""
        self.close_connection = True
        self.command, self.request_version = "GET", "HTTP/1.1"
        self.requestline = ""
        head = read_head(self.connection)
        try:
            if isinstance(head, int):
                self.send_error(head)
            else:
                self.rfile = io.BufferedReader(io.BytesIO(head))
                self.handle_one_request()
        except OSError:  # it has gone, or takes nothing
            pass

    def do_GET(self) -> None:
        """Answer what may be asked by whoever may ask."""
        try:
            url = urlsplit(self.path)
            query = parse_qs(url.query, max_num_fields=8)
        except ValueError:
            self._say(400, _WHY[400])
            return
        if not self.page.access.knows_host(self.headers.get("Host")):
            self._say(421, "this is not a name of this machine: use its address")
        elif self._foreign():
            self._say(403, "another site's page may not ask here")
        elif self._allowed(query.get("token", [None])[0]):
            if url.path == "/" and "token" in query:  # so that it is not in the address bar
                self._answer(303, b"", _TEXT, {"Location": "/"})
            else:
                self._give(url.path, query)

    do_HEAD = do_GET  # noqa: N815

    def _foreign(self) -> bool:
        """Whether a browser says that another site's page asks, not a person."""
        site, mode = self.headers.get("Sec-Fetch-Site"), self.headers.get("Sec-Fetch-Mode")
        return site in ("cross-site", "same-site") and mode != "navigate"

    def _allowed(self, token: str | None) -> bool:
        """Look for the token; where it is not, say so."""
        access, name = self.page.access, f"bioxedge-{self.server.port}"
        self._cookie: dict[str, str] = {}
        if access.token is None or access.by_cookie(self.headers.get("Cookie"), name):
            return True
        if access.by_header(self.headers.get("Authorization")):
            return True
        if token is not None and access.by_token(token):
            self._cookie = {"Set-Cookie": access.cookie(name)}
            return True
        self._say(
            401,
            "this page needs its token: open the address that the run printed, with ?token=…",
            {"WWW-Authenticate": 'Bearer realm="bioxedge"'},
        )
        return False

    def _give(self, path: str, query: dict[str, list[str]]) -> None:
        """Give a file, the state, the metrics or the events."""
        if path in served():
            raw, kind, tag = served()[path]
            if self.headers.get("If-None-Match") == tag:
                self._answer(304, b"", kind, {"ETag": tag})
            else:
                self._answer(200, raw, kind, {"ETag": tag, "Cache-Control": "no-cache"})
        elif path == "/state":
            self._answer(200, line(self.page.state()).encode(), _JSON)
        elif path == "/metrics":
            self._answer(200, self.page.metrics().encode(), CONTENT)
        elif path == "/healthz":
            well, about = self.page.health()
            self._answer(200 if well else 503, line(about).encode(), _JSON)
        elif path == "/events":
            self._follow(query.get("signal") == ["1"])
        else:
            self._say(404, "there is nothing here: / /state /events /metrics /healthz are")

    def _follow(self, signal: bool) -> None:
        """Send events as they come, until the client or the run ends."""
        if not self.server.followers.acquire(blocking=False):
            self._say(503, "too many follow the events: close one", {"Retry-After": "5"})
            return
        try:
            self._head(200, "text/event-stream; charset=utf-8", {"Cache-Control": "no-store"})
            if self.command == "HEAD":
                return
            feed = self.page.feed
            if signal:
                with feed.look():
                    self._stream(True)
            else:
                self._stream(False)
        finally:
            self.server.followers.release()

    def _stream(self, signal: bool) -> None:
        feed = self.page.feed
        last = self.headers.get("Last-Event-ID", "") if not signal else ""
        place, first = feed.place(last)
        if signal:  # one who looks sees all that there is, whatever was missed
            first = message("state", self.page.state())
            first += b"".join(message("signal", one) for one in self.page.shown())
        self.wfile.write(b"retry: 2000\n\n" + first)
        while True:
            place, raw = feed.after(place, signal=signal, timeout=HEARTBEAT)
            if raw is None:
                self.wfile.write(message("end", {"message": "the run has ended"}))
                return
            self.wfile.write(raw or b": still here\n\n")

    # -- the answer -------------------------------------------------------------------------

    def _say(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        """Answer with one line."""
        self._answer(status, f"{text}\n".encode(), _TEXT, headers)

    def _answer(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        about = {"Content-Length": str(len(body)), "Cache-Control": "no-store", **(headers or {})}
        self._head(status, kind, about)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.request_version = self.protocol_version  # whatever was asked in
        self.send_response(status)
        cookie = getattr(self, "_cookie", {})
        for key, value in {"Content-Type": kind, **_HEADERS, **headers, **cookie}.items():
            self.send_header(key, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be understood with one line that repeats nothing of it."""
        self._say(code, _WHY.get(code, "this cannot be answered"))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: standard error belongs to the run."""
