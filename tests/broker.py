"""A real mosquitto on loopback: plain or with TLS, with or without a password; and who listens."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto"
)
USER, PASSWORD = "wearer", "not a secret"


def until(true, seconds=20.0, what="it"):
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < limit, f"{what} did not come about in {seconds} s"
        time.sleep(0.01)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A mosquitto that is started, stopped, killed and started again on the same port."""

    def __init__(self, folder: Path, *, tls=None, password=False, lines=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.process = folder, free_port(), None
        self.tls, self.password = tls, password
        config = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'false' if password else 'true'}",
            "log_dest none",
            "max_queued_messages 0",
            "persistence true",  # what a listener has not heard yet outlives a restart
            f"persistence_location {folder}/",
            f"user {getpass.getuser()}",  # as root it would become another one
            *lines,
        ]
        if password:
            self.know(PASSWORD)
            config.append(f"password_file {folder / 'passwords'}")
        if tls is not None:
            config += [
                f"cafile {tls / 'ca.pem'}", f"certfile {tls / 'server.pem'}",
                f"keyfile {tls / 'server.key'}",
            ]  # fmt: skip
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(config) + "\n")

    def start(self):
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._listens, what="the broker")
        return self

    def know(self, password):
        """Have this be the user's password from the next start on."""
        path = self.folder / "passwords"
        path.touch(mode=0o600)
        tool = ["mosquitto_passwd", "-b", str(path), USER, password]
        subprocess.run(tool, check=True, capture_output=True)

    def _listens(self):
        assert self.process.poll() is None, "mosquitto ended at once"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


_NUMBERS = itertools.count()


class Listener:
    """Subscribes, comes back after the broker was away, and keeps what it hears in order."""

    def __init__(self, broker, topics="bioxedge/#"):
        from paho.mqtt import client as paho

        self.heard = []  # (topic, payload, retained)
        self.subscribed = threading.Event()
        self._client = client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=f"listener-{next(_NUMBERS)}",  # a session of its own, also beside others
            protocol=paho.MQTTv311,
            clean_session=False,
        )
        client.reconnect_delay_set(1, 1)
        if broker.password:
            client.username_pw_set(USER, PASSWORD)
        if broker.tls is not None:
            client.tls_set(ca_certs=str(broker.tls / "ca.pem"))
        client.on_connect = lambda c, *_: c.subscribe(topics, qos=1)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_disconnect = lambda *_: self.subscribed.clear()
        client.on_message = lambda _c, _u, m: self.heard.append((m.topic, m.payload, m.retain))
        client.connect("localhost" if broker.tls else "127.0.0.1", broker.port)
        client.loop_start()

    def publish(self, topic, payload, *, retain=False):
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(20)

    def __enter__(self):
        assert self.subscribed.wait(20)
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def of(self, last):
        """Give what a topic said, by its last level, as JSON."""
        return [json.loads(raw) for topic, raw, _ in list(self.heard) if topic.endswith("/" + last)]

    def status(self):
        return [
            raw.decode()
            for topic, raw, _ in list(self.heard)
            if topic.endswith("/status") and not topic.startswith("homeassistant/")
        ]

    def numbered(self):
        """Give predictions and events in the order in which they came, each once.

        A double is only left out where it is exactly what came before under its number.
        """
        seen, found = {}, []
        for topic, raw, _ in list(self.heard):
            if topic.endswith(("/prediction", "/event")):
                about = json.loads(raw)
                key = about["writer"], about["seq"]
                if key not in seen:
                    found.append(about)
                assert seen.setdefault(key, raw) == raw, f"{key} came twice and not alike"
        return found


def certificates(folder: Path) -> Path:
    """Make an authority, certificates for localhost and for a client, and another authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days",
                "2", "-subj", f"/CN=test {name}")  # fmt: skip
    for name, alternative in (("server", "DNS:localhost"), ("client", "DNS:device")):
        (folder / "x.cnf").write_text(f"subjectAltName={alternative}\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                f"/CN={name}")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", "-extfile",
                "x.cnf")  # fmt: skip
    return folder


@contextlib.contextmanager
def closed_port():
    """Give a port where nobody listens, and that nobody else takes meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
