"""Predictions and events to an MQTT broker, kept on disk while it is away (docs/mqtt.md)."""

from __future__ import annotations

from bioxedge.runtime.sinks.mqtt import settings
from bioxedge.runtime.sinks.mqtt.settings import Settings
from bioxedge.runtime.sinks.mqtt.sink import MqttSink
from bioxedge.spelled import Spelled

__all__ = ["MqttSink", "Settings", "make_mqtt"]


def make_mqtt(spelled: Spelled, client_id: str | None = None) -> MqttSink:
    """Make the sink from what is written: ``mqtt:HOST[:PORT][,KEY=VALUE]…``.

    Raises
    ------
    SinkError
        It cannot be right.
    MissingExtraError
        paho-mqtt is not installed.
    """
    return MqttSink(settings.read(spelled, client_id))
