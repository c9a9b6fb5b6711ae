"""A run as messages to an MQTT broker: docs/mqtt.md."""

from __future__ import annotations

import math
import secrets

from bioxedge.errors import SinkError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.runtime.sinks.mqtt import homeassistant, payloads
from bioxedge.runtime.sinks.mqtt.courier import Courier
from bioxedge.runtime.sinks.mqtt.link import load
from bioxedge.runtime.sinks.mqtt.settings import Settings
from bioxedge.runtime.sinks.mqtt.spool import Spool
from bioxedge.runtime.sinks.mqtt.telling import Telling
from bioxedge.runtime.sinks.mqtt.topics import Topics, default_client_id

_KINDS = ("prediction", "event")
# Seconds that an opening waits for the broker's answer: less than the run waits for the sink.
_ANSWER = 1.5
# Seconds that the end waits for what is still to be sent: less than the run waits for its sinks.
_PATIENCE = 5.0


class MqttSink(BaseSink):
    """Sends every prediction and event at least once, in order, and how things stand now.

    What is emitted is on disk before it is sent, and stays there until the broker has it.

    Parameters
    ----------
    settings : Settings
    clock : HostClock, optional
        For when messages are written.

    Raises
    ------
    MissingExtraError
        paho-mqtt is not installed.
    """

    def __init__(self, settings: Settings, *, clock: HostClock = SYSTEM) -> None:
        load()
        self.name = f"mqtt {settings.address}"
        self._settings, self._clock = settings, clock
        self._writer = secrets.token_hex(8)  # a number is one message's only together with this
        self._t0 = math.nan
        self._left_out = 0
        self._telling = Telling(self.name)
        self._spool: Spool | None = None
        self._courier: Courier | None = None
        self._waiting = self._state_topic = ""

    @property
    def note(self) -> str:
        """Give what there is to say at the end of a run: what still waits, and where."""
        return self._waiting

    def open(self, run: RunInfo) -> None:
        """Take the spool, connect, and say what runs.

        A broker that is not there is waited for beside the run.

        Raises
        ------
        SinkError
            The spool cannot be used, or the broker is there and does not take us.
        """
        settings = self._settings
        client_id = settings.client_id or default_client_id(run.bundle, run.name)
        topics = Topics(settings.prefix, client_id)
        self._spool = Spool(settings.spool_for(client_id), settings.spool_size)
        self._courier = courier = Courier(
            settings, topics, _KINDS, self._spool, self._notice, self._telling
        )
        for line in self._spool.said:
            self._telling.say(line, damaged=True)
        courier.retain(topics["run"], payloads.run(run, client_id, self._writer))
        if settings.homeassistant is not None:
            config = homeassistant.config(run, topics)
            courier.retain(homeassistant.config_topic(settings.homeassistant, client_id), config)
        courier.retain(topics["status"], b"online")
        self._state_topic = topics["state"]
        courier.start()
        if courier.first.wait(_ANSWER):
            refused = courier.refused
            if refused is not None and refused.fatal:
                self.close()
                raise SinkError(str(refused)) from refused

    def emit(self, record: Prediction | Event) -> None:
        """Keep a prediction or an event, and let it be sent."""
        if self._spool is None or self._courier is None:
            raise SinkError(f"{self.name} is not open")
        now = self._clock.time()
        if isinstance(record, Event):
            self._spool.append(1, payloads.event(record, self._writer, self._t0, now))
        else:
            self._t0 = record.t0
            self._spool.append(0, payloads.prediction(record, self._writer))
            self._courier.retain(self._state_topic, payloads.state(record, now))
        self._courier.nudge()
        if self._spool.left_out and not self._left_out:
            self._telling.say(
                f"the spool {self._spool.folder} is full: its oldest messages are left out",
                left_out=self._spool.left_out,
            )
        self._left_out = self._spool.left_out

    def take_events(self) -> list[Event]:
        """Give what happened to the broker and the spool since the last call."""
        return self._telling.take()

    def close(self) -> None:
        """Send what the broker still takes; the rest waits on disk for the next run."""
        if self._spool is None or self._courier is None:
            return
        ended = self._courier.close(_PATIENCE)
        waiting = len(self._spool)
        if waiting:
            self._waiting = (
                f"{self.name}: {waiting} messages wait in {self._spool.folder} and go out with the "
                "next run of this device"
            )
        if ended:  # else the thread still reads it: the end of the process lets it go
            self._spool.close()
        else:
            self._spool.sync()
        self._courier = None

    def _notice(self, number: int, count: int) -> bytes:
        return payloads.left_out(number, count, self._writer, self._clock.time())
