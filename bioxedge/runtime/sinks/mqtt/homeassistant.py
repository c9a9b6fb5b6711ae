"""How a run shows up in Home Assistant: one retained message that describes a device.

Its fields are those of Home Assistant's MQTT discovery for devices (``device``, ``origin``,
``components``), which it has known since 2024.11.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from bioxedge.manifest import Value
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.sinks.mqtt.topics import Topics

BIRTH = b"online"
"""What it says on ``PREFIX/status`` once it is there."""
_MOST = 24  # labels that have an entity each for their probability
_DIAGNOSTIC = {"entity_category": "diagnostic"}


def config_topic(prefix: str, client_id: str) -> str:
    """Give the topic of the description."""
    return f"{prefix}/device/{_identifier(client_id)}/config"


def config(info: RunInfo, topics: Topics) -> bytes:
    """Give the description: label and probabilities or value, quality, age, and any problem."""
    device = _identifier(topics.client_id)
    shared = {
        "availability_topic": topics["status"],
        "state_topic": topics["state"],
        "expire_after": expire_after(info),
    }
    told = {"label": _label(info), **_probabilities(info)}
    if info.value is not None:
        told = {"value": _value(info.value)}
    entities = {**told, **_others(info), **_diagnostics(topics)}
    components = {
        name: {**shared, "unique_id": f"{device}_{name}", **entity}
        for name, entity in entities.items()
    }
    version = info.versions.get("bioxedge", "")
    about = {
        "device": {
            "identifiers": [device],
            "name": topics.client_id,
            "manufacturer": "bioxedge",
            "model": f"{info.bundle or 'bundle'} {info.digest[:12]}".strip(),
            "sw_version": version or "unknown",
        },
        "origin": {"name": "bioxedge", "sw_version": version or "unknown"},
        "components": components,
        "qos": 1,
    }
    return json.dumps(about, allow_nan=False).encode()


def expire_after(info: RunInfo) -> int:
    """Give the seconds after which a state says nothing any more: three windows late."""
    return math.ceil(3 * info.hop + 5)


def _label(info: RunInfo) -> dict[str, Any]:
    return {
        "platform": "sensor",
        "name": "Label",
        "device_class": "enum",
        "options": list(info.labels),
        "value_template": "{{ value_json.label }}",  # null is None, which is taken as unknown
    }


def _others(info: RunInfo) -> dict[str, dict[str, Any]]:
    """Give one entity a further task: its label or its value, by its name."""
    made = {}
    for name, output in info.others.items():
        label, value = {"options": list(output.labels), "name": name}, output.value
        about = {**_label(info), **label} if value is None else _value(value)
        what = "label" if value is None else "value"
        about["value_template"] = f"{{{{ value_json.others['{name}'].{what} }}}}"
        made[f"task_{name}"] = about
    return made


def _value(value: Value) -> dict[str, Any]:
    return {
        "platform": "sensor",
        "name": value.name,
        "unit_of_measurement": value.unit,
        "state_class": "measurement",
        "suggested_display_precision": value.digits,
        "value_template": "{{ value_json.value }}",  # null is None, which is taken as unknown
    }


def _probabilities(info: RunInfo) -> dict[str, dict[str, Any]]:
    """Give one entity a label, by its place: labels are free text and names here are not."""
    unit = {"unit_of_measurement": "%", "state_class": "measurement"}
    made = {
        "probability": {
            "platform": "sensor",
            "name": "Probability",
            "value_template": _percent("value_json.probability"),
            **unit,
        }
    }
    for place, label in enumerate(info.labels[:_MOST]):
        made[f"probability_{place}"] = {
            "platform": "sensor",
            "name": f"Probability of {label}",
            "value_template": _percent(f"(value_json.probabilities.values() | list)[{place}]"),
            **unit,
        }
    return made


def _diagnostics(topics: Topics) -> dict[str, dict[str, Any]]:
    return {
        "quality": {
            "platform": "sensor",
            "name": "Real samples",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": _percent("value_json.real"),
            **_DIAGNOSTIC,
        },
        "age": {
            "platform": "sensor",
            "name": "Age",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "state_class": "measurement",
            "value_template": "{{ value_json.age | round(3) }}",
            **_DIAGNOSTIC,
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "value_template": "{{ 'ON' if value_json.reason else 'OFF' }}",
            "json_attributes_topic": topics["state"],
            "json_attributes_template": (
                "{{ {'reason': value_json.reason, 'faults': value_json.faults} | tojson }}"
            ),
            **_DIAGNOSTIC,
        },
    }


def _percent(what: str) -> str:
    known = "{{ none if p is none else (p * 100) | round(1) }}"
    return f"{{% set p = {what} | default(none) %}}" + known


def _identifier(client_id: str) -> str:
    """Give a client id in the letters that a topic of discovery may have, still unlike others."""
    text = re.sub(r"[^A-Za-z0-9_-]", "_", client_id)
    if text != client_id:
        text += "_" + hashlib.sha256(client_id.encode()).hexdigest()[:8]
    return f"bioxedge_{text}"
