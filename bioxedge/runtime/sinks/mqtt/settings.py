"""What ``--sink mqtt:HOST[:PORT][,KEY=VALUE]…`` says."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from bioxedge.errors import SinkError
from bioxedge.runtime.sinks.mqtt import topics
from bioxedge.runtime.sinks.mqtt.secret import CURE, NONE, Credentials, credentials
from bioxedge.runtime.sinks.mqtt.spool import SMALLEST
from bioxedge.spelled import Spelled

KEYS = (
    "prefix", "client_id", "version", "tls", "cert", "key", "credentials", "plaintext", "spool",
    "spool_size", "keepalive", "homeassistant",
)  # fmt: skip
_SECRETS = ("password", "pass", "passwd", "username", "user", "auth", "token")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_LARGEST = 1 << 40
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


@dataclass(frozen=True)
class Settings:
    """How to reach a broker, and as what.

    Attributes
    ----------
    host : str
    port : int
    prefix : str
        Topics begin with it.
    client_id : str or None
        None: the host's name and the bundle's.
    version : str
        ``3.1.1`` or ``5``.
    credentials : Credentials
    tls : ssl.SSLContext or None
        None: in clear.
    spool : Path or None
        None: a folder in this user's state.
    spool_size : int
        Bytes that it may take.
    keepalive : int
        Seconds after which a silent connection is asked for a sign.
    homeassistant : str or None
        The prefix of its discovery; None where nothing is said to it.
    """

    host: str
    port: int
    prefix: str = "bioxedge"
    client_id: str | None = None
    version: str = "5"
    credentials: Credentials = NONE
    tls: ssl.SSLContext | None = None
    spool: Path | None = None
    spool_size: int = 64_000_000
    keepalive: int = 30
    homeassistant: str | None = None

    @property
    def address(self) -> str:
        """Give host and port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def spool_for(self, client_id: str) -> Path:
        """Give the folder where this device's messages to this broker wait."""
        if self.spool is not None:
            return self.spool
        where = hashlib.sha256(f"{self.address} {self.prefix}".encode()).hexdigest()[:8]
        # Under systemd, StateDirectory= says where a service may keep things.
        given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        base = Path(given or os.environ.get("XDG_STATE_HOME", ""))
        if not base.is_absolute():
            try:
                base = Path.home() / ".local" / "state"
            except RuntimeError as error:
                raise SinkError(
                    "there is no home folder to keep a spool in: add spool=DIR"
                ) from error
        return base / "bioxedge" / "mqtt" / f"{client_id}-{where}"


def read(spelled: Spelled, client_id: str | None = None) -> Settings:
    """Read what is written.

    Raises
    ------
    SinkError
        It cannot be right, or would send a password in clear.
    """
    for key in spelled.options:
        if key in _SECRETS:
            raise SinkError(f"{key}= would show in every list of processes: {CURE}")
    options = spelled.only(*KEYS)
    known = credentials(options.get("credentials"))
    tls = _tls(spelled)
    host, port = _address(spelled, 1883 if tls is None else 8883)
    plaintext = _switch(spelled, "plaintext")
    if known.password is not None and tls is None and not plaintext and not loopback(host):
        raise SinkError(
            f"the password would go to {host} in clear: add tls=CA.pem or tls=system (or, on a "
            "network that nobody else reads, plaintext=yes)"
        )
    version = options.get("version", "5")
    if version not in ("3.1.1", "5"):
        raise SinkError(f"version {version!r} of MQTT is not spoken here: write 3.1.1 or 5")
    keepalive = spelled.number("keepalive", 30, least=5)
    if keepalive > 65535:
        raise SinkError(f"keepalive takes 5 to 65535 seconds, got {keepalive:g}")
    given = options.get("client_id", client_id)
    home = options.get("homeassistant", "no")
    spool = options.get("spool")
    return Settings(
        host=host,
        port=port,
        prefix=topics.check_prefix(options.get("prefix", "bioxedge")),
        client_id=None if given is None else topics.check_client_id(given),
        version=version,
        credentials=known,
        tls=tls,
        spool=None if spool is None else Path(spool).expanduser().absolute(),
        spool_size=_size(options.get("spool_size", "64MB")),
        keepalive=int(keepalive),
        homeassistant=None
        if home in _NO
        else topics.check_prefix("homeassistant" if home in _YES else home, "homeassistant"),
    )


def loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(spelled: Spelled, port: int) -> tuple[str, int]:
    text = spelled.what
    if "@" in text:
        raise SinkError(f"a password has no place in mqtt:HOST, it shows in every list: {CURE}")
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+)(?::(\d{1,5}))?", text)
    if found is None or not 0 < int(found[2] or port) < 65536:
        raise SinkError(
            f"mqtt:{text} names no broker: write mqtt:HOST or mqtt:HOST:PORT, options behind it as "
            ",KEY=VALUE"
        )
    return found[1].strip("[]"), int(found[2] or port)


def _switch(spelled: Spelled, key: str) -> bool:
    text = spelled.options.get(key, "no")
    if text not in (*_YES, *_NO):
        raise SinkError(f"{key} takes yes or no, got {text!r}")
    return text in _YES


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip(), re.IGNORECASE)
    size = round(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if not SMALLEST <= size <= _LARGEST:
        raise SinkError(f"spool_size takes 64kB to 1000GB, got {text!r}")
    return size


def _tls(spelled: Spelled) -> ssl.SSLContext | None:
    options = spelled.options
    wanted, cert, key = (options.get(name) for name in ("tls", "cert", "key"))
    if wanted is None or wanted in _NO:
        if cert or key:
            raise SinkError("cert= and key= mean nothing without TLS: add tls=CA.pem or tls=system")
        return None
    if bool(cert) != bool(key):
        raise SinkError("a client certificate is cert=FILE and key=FILE: write both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the name, too
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = wanted
    try:
        if wanted == "system":
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=wanted)
        if cert and key:
            path = f"{cert}, {key}"
            # Where a key wants a password, none is asked for on the terminal.
            context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        raise SinkError(
            f"{path} cannot be used for TLS ({error.reason or 'no certificate in it'}): give PEM "
            "files, keys without a password, and a key that belongs to its certificate"
        ) from error
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}; check tls=, cert= and key=") from error
    return context
