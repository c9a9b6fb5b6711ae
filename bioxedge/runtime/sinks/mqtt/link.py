"""One connection to a broker, from its opening to its end, driven by one thread.

A connection that ends is not mended: the next one is a new object, and what was not acknowledged
comes from the spool again. So paho holds nothing that outlives a connection, and what it holds
is bounded by who calls :meth:`Link.publish`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from bioxedge.errors import MissingExtraError
from bioxedge.runtime.sinks.mqtt.reasons import Away, of_code, of_error
from bioxedge.runtime.sinks.mqtt.settings import Settings

WINDOW = 20
"""Messages that are on their way at once."""
_OPENING = 5.0  # seconds for TCP and for TLS
_ANSWER = 10.0  # seconds for the broker's first word
_BIGGEST = 1 << 16  # bytes that a message which comes in may have


def load() -> Any:
    """Import paho.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        from paho.mqtt import client
    except ImportError as error:
        raise MissingExtraError("paho", "mqtt") from error
    return client


def _bounded() -> Any:
    """Make a client that takes no message of any size from anybody."""
    paho: Any = load()

    class Bounded(paho.Client):  # type: ignore[misc]
        failure: BaseException | None = None

        def _sock_recv(self, bufsize: int) -> bytes:
            if bufsize > _BIGGEST:
                self.failure = Away(f"a message of {bufsize} bytes came in", unwanted=True)
                raise ConnectionAbortedError(str(self.failure))
            try:
                return bytes(super()._sock_recv(bufsize))
            except BlockingIOError:
                raise
            except OSError as error:
                self.failure = error
                raise

        def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
            """Do paho's part of TLS; a connection that does not fit is closed, not left behind."""
            made: ssl.SSLSocket = self._ssl_context.wrap_socket(
                tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
            )
            try:
                made.settimeout(_OPENING)
                made.do_handshake()
            except BaseException:
                made.close()
                raise
            return made

    return Bounded


class Link:
    """One connection.

    Parameters
    ----------
    settings : Settings
    client_id : str
    will : str
        The topic where the broker says ``offline`` should this process be gone.
    on_ack : callable
        Is given a message's handle and its reason code, 128 or more where the broker refused it.
    on_message : callable
        Is given topic and payload of what comes in.

    Attributes
    ----------
    window : int
        Messages that the broker takes at once.
    most : int or None
        Bytes that it takes in one; None where it did not say.
    """

    def __init__(
        self,
        settings: Settings,
        client_id: str,
        will: str,
        on_ack: Callable[[int, int], None],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        paho: Any = load()
        self._settings = settings
        self.window = WINDOW
        self.most: int | None = None
        self._five = settings.version == "5"
        self._client = _bounded()(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311,
            clean_session=None if self._five else True,
            reconnect_on_failure=False,
        )
        client = self._client
        client.connect_timeout = _OPENING
        client.max_inflight_messages_set(2 * WINDOW)
        client.max_queued_messages_set(2 * WINDOW)
        client.will_set(will, b"offline", qos=1, retain=True)
        known = settings.credentials
        if known.username is not None:
            client.username_pw_set(known.username, known.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = lambda _c, _u, mid, code, _p: on_ack(mid, code.value)
        client.on_message = lambda _c, _u, message: on_message(message.topic, message.payload)
        self._code: int | None = None
        self._ended: int | None = None

    def open(self, wake: int, going: Callable[[], bool]) -> None:
        """Connect, and wait for the broker's word.

        Parameters
        ----------
        wake : int
            A descriptor that becomes readable when there is something to do.
        going : callable
            Tells whether to go on waiting.

        Raises
        ------
        Away
            There is no connection.
        """
        settings = self._settings
        more: dict[str, Any] = {}
        if self._five:
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties

            asked: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            asked.MaximumPacketSize = _BIGGEST
            more = {"clean_start": True, "properties": asked}
        try:
            self._client.connect(settings.host, settings.port, settings.keepalive, **more)
            limit = time.monotonic() + _ANSWER
            while self._code is None:
                if not going():
                    raise Away("the run ends")
                if time.monotonic() > limit:
                    raise Away(f"{settings.address} says nothing: does it speak MQTT?")
                self.step(0.1, wake)
        except (OSError, ValueError) as error:
            raise of_error(error, settings) from error
        if self._code >= 128:
            raise of_code(self._code, settings)

    def step(self, timeout: float, wake: int) -> None:
        """Wait for something to read or to do, and do what the connection needs.

        Raises
        ------
        Away
            The connection is gone.
        """
        sock = self._client.socket()
        if sock is None:
            raise self._gone()
        poller = select.poll()
        poller.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        poller.register(wake, select.POLLIN)
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            timeout = 0.0
        ready = dict(poller.poll(1000 * timeout))
        events = ready.get(sock.fileno(), 0)
        if events & ~select.POLLOUT or timeout == 0.0:
            self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()
        if self._client.socket() is None or (self._ended is not None):
            raise self._gone()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send a message with QoS 1; give its handle.

        Raises
        ------
        Away
            The connection is gone.
        """
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != 0:
            raise self._gone()
        return int(info.mid)

    def subscribe(self, topic: str) -> None:
        """Ask for what others say on a topic."""
        self._client.subscribe(topic, qos=0)

    def close(self, *, politely: bool) -> None:
        """End the connection; impolitely the broker gives out the last will."""
        client = self._client
        client.on_publish = client.on_message = client.on_disconnect = client.on_connect = None
        if politely:
            client.disconnect()
            with contextlib.suppress(OSError, ValueError):
                client.loop_write()
        sock = client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        client._reset_sockets()  # closes all three: no thread of paho's own does it for us

    # -- what paho tells ----------------------------------------------------------------

    def _connected(self, _c: Any, _u: Any, _flags: Any, code: Any, properties: Any) -> None:
        self._code = code.value
        if properties is not None:
            self.window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
            self.most = getattr(properties, "MaximumPacketSize", None)

    def _disconnected(self, _c: Any, _u: Any, flags: Any, code: Any, _p: Any) -> None:
        if not self._ended:  # paho tells twice, the second time without the reason
            self._ended = code.value if flags.is_disconnect_packet_from_server else 0

    def _gone(self) -> Away:
        """Say why there is no connection any more."""
        failure = self._client.failure
        if isinstance(failure, Away):
            return failure
        if self._ended:
            return of_code(self._ended, self._settings)
        if self._code is not None and self._code >= 128:
            return of_code(self._code, self._settings)
        if isinstance(failure, ssl.SSLError):
            return of_error(failure, self._settings)
        address = self._settings.address
        if self._code is None:
            return Away(
                f"{address} ended the connection before its first word: does it speak MQTT "
                f"{self._settings.version} there, "
                + ("and does it want TLS (tls=)?" if self._settings.tls is None else "with TLS?"),
                fatal=True,
            )
        return Away(f"the connection to {address} was lost")
