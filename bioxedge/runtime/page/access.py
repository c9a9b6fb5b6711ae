"""Who may look: where the page listens, by which names, and with which token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from bioxedge.errors import SinkError

HOST, PORT = "127.0.0.1", 8765
# Where a token may be given beside the command line, which others on the machine can read.
ENVIRONMENT = "BIOXEDGE_PAGE_TOKEN"
# Of a token that somebody chose: it goes into an address as it is.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{12,256}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:/@\s]+)(?::\d{1,5})?")


def parse_address(text: str) -> tuple[str, int]:
    """``[HOST:]PORT`` -> the two.

    Raises
    ------
    SinkError
        It is no such thing.

    Examples
    --------
    >>> parse_address("8080"), parse_address("0.0.0.0:80"), parse_address("[::1]:8765")
    (('127.0.0.1', 8080), ('0.0.0.0', 80), ('::1', 8765))
    """
    host, _, port = text.rpartition(":")
    named = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not port.isascii() or not port.isdecimal() or int(port) > 65535 or ":" in text[:1]:
        raise SinkError(
            f"--page takes [HOST:]PORT, a port from 0 to 65535, got {text!r}: write {PORT}, or "
            f"0.0.0.0:{PORT} to be seen from elsewhere"
        )
    return named or HOST, int(port)


def read_token(path: Path | None) -> str | None:
    """Read a token from a file's first line, or from the environment; None where there is none.

    Raises
    ------
    SinkError
        The file cannot be read, or what it holds is no token.
    """
    if path is None:
        text = os.environ.get(ENVIRONMENT)
        return None if not text else check_token(text.strip(), ENVIRONMENT)
    try:
        with path.open("rb") as file:
            raw = file.readline(1024)
    except OSError as error:
        raise SinkError(
            f"{path}: {error.strerror or error}; --page-token names a file whose first line is "
            "the token"
        ) from error
    return check_token(raw.decode("utf-8", "replace").strip(), str(path))


def check_token(token: str, where: str = "token") -> str:
    """Give the token where it can be one.

    Raises
    ------
    SinkError
        It is short, or holds what an address cannot.
    """
    if not _TOKEN.fullmatch(token):
        raise SinkError(
            f"{where}: a token is 12 to 256 letters, digits and . _ ~ -, got {len(token)} "
            "characters: openssl rand -hex 16 makes one"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Access:
    """Decides about a request by its headers.

    Parameters
    ----------
    host : str
        What the page listens on.
    token : str, optional
        Left out, nobody needs one where only this machine can ask, and one is made elsewhere.

    Attributes
    ----------
    token : str or None
    made : bool
        Whether the token was made here, and has to be told.
    """

    def __init__(self, host: str, token: str | None = None) -> None:
        self.made = token is None and not is_loopback(host)
        self.token = secrets.token_urlsafe(18) if self.made else token
        if token is not None:
            check_token(token)
        # What the browser keeps is worth nothing to another run.
        digest = hmac.new(secrets.token_bytes(32), (self.token or "").encode(), hashlib.sha256)
        self._cookie = digest.hexdigest()
        own = socket.gethostname().lower()
        self._names = {"localhost", host.lower(), own, f"{own}.local"}

    def knows_host(self, header: str | None) -> bool:
        """Whether a request's ``Host`` names this machine.

        A page from elsewhere whose name was made to point here (DNS rebinding) has its own name
        there, never an address.
        """
        found = _HOST.fullmatch(header or "")
        if found is None:
            return False
        name = found[1].strip("[]").lower().rstrip(".")
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return False
        return True

    def by_token(self, text: str | None) -> bool:
        """Whether this is the token."""
        return self.token is None or (text is not None and _same(text, self.token))

    def by_header(self, authorization: str | None) -> bool:
        """Whether ``Authorization: Bearer …`` holds the token."""
        kind, _, text = (authorization or "").partition(" ")
        return kind.lower() == "bearer" and self.by_token(text.strip())

    def by_cookie(self, header: str | None, name: str) -> bool:
        """Whether a cookie of ours came."""
        try:
            found = SimpleCookie(header or "").get(name)
        except CookieError:
            return False
        return found is not None and _same(found.value, self._cookie)

    def cookie(self, name: str) -> str:
        """Give the header that makes a browser remember."""
        return f"{name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"


def _same(one: str, other: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
