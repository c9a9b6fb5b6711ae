"""Why there is no connection to a broker, in words with their cure."""

from __future__ import annotations

import socket
import ssl

from bioxedge.runtime.sinks.mqtt.secret import CURE
from bioxedge.runtime.sinks.mqtt.settings import Settings


class Away(Exception):  # noqa: N818 - a state, not a mistake
    """There is no connection.

    Attributes
    ----------
    fatal : bool
        Whether somebody must change something: waiting does not help.
    unwanted : bool
        Whether it is because of what came in.
    """

    def __init__(self, why: str, *, fatal: bool = False, unwanted: bool = False) -> None:
        super().__init__(why)
        self.fatal, self.unwanted = fatal, unwanted


def of_error(error: Exception, settings: Settings) -> Away:
    """Say what an error of the network, of name look-up or of TLS means."""
    address = settings.address
    if isinstance(error, ssl.SSLCertVerificationError):
        return Away(
            f"the certificate of {address} does not fit ({error.verify_message.rstrip('.')}): name "
            "its authority with tls=CA.pem, and the host as the certificate does",
            fatal=True,
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return Away(
            f"{address} refuses our side of TLS ({error.reason}): does it want a client "
            "certificate (cert=, key=), or another one?",
            fatal=True,
        )
    if isinstance(error, ssl.SSLError | ConnectionError) and settings.tls is not None:
        refused = isinstance(error, ConnectionRefusedError)
        if not refused:
            said = getattr(error, "reason", None) or "it ended the connection"
            return Away(
                f"{address} does not speak TLS as we do ({said}): is this its port for TLS (often "
                "8883), or is tls= too much?",
                fatal=True,
            )
    if isinstance(error, socket.gaierror):
        return Away(f"the host {settings.host} is not known ({error.strerror})")
    if isinstance(error, TimeoutError):
        return Away(f"{address} does not answer")
    if isinstance(error, OSError):
        return Away(f"{address} is not there ({error.strerror or error})")
    return Away(f"{address} cannot be reached ({error})")


_CODES = {
    132: "does not speak MQTT {version}: write version={other}",
    133: "does not take this client id: give another one with --client-id",
    134: "refuses user name or password: {cure}",
    135: "does not let us in, or not under this name: {cure}",
    138: "has banned this client: ask who runs it",
    140: "wants another way to log in than a name and a password",
    142: "has given our client id to somebody else: give each device its own --client-id",
    136: "is not available now",
    137: "is busy",
    139: "shuts down",
    141: "heard nothing from us for too long",
    149: "takes no message as long as ours",
    151: "says that a quota is used up",
}
_FATAL = (132, 133, 134, 135, 138, 140)


def of_code(code: int, settings: Settings) -> Away:
    """Say what a reason code of MQTT 5 means, into which paho turns those of 3.1.1."""
    other = "3.1.1" if settings.version == "5" else "5"
    words = _CODES.get(code, f"ended the connection with code {code}")
    words = words.format(version=settings.version, other=other, cure=CURE)
    return Away(f"{settings.address} {words}", fatal=code in _FATAL)
