"""What is sent: the JSON of docs/mqtt.md, as the lines of docs/predictions.md and a little more."""

from __future__ import annotations

import math
from typing import Any

from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.sinks.jsonl import line

FORMAT = 1
"""Of the payloads; a field that changes its meaning makes it 2."""


def run(info: RunInfo, client_id: str, writer: str) -> bytes:
    """Say what runs."""
    about = {"kind": "run", "format": FORMAT, "client_id": client_id, "writer": writer}
    return _json({**about, **info.to_dict()})


def prediction(record: Prediction, writer: str) -> bytes:
    """Give one prediction, its number left open (see ``spool.NUMBER``)."""
    about = {"seq": "#", "writer": writer, "kind": "prediction", "time": _known(record.ended)}
    return _json({**about, **record.to_dict()})


def event(record: Event, writer: str, t0: float, written: float) -> bytes:
    """Give one event, its number left open; ``t0`` is the last one known, NaN for none."""
    when = math.nan if record.t is None else t0 + record.t
    about = {"seq": "#", "writer": writer, "kind": "event", "time": _known(when)}
    return _json({**about, **record.to_dict(), "written": written})


def left_out(number: int, count: int, writer: str, written: float) -> bytes:
    """Say in their place that messages were left out for want of room; the last has ``number``."""
    message = f"{count} messages were left out here: the spool was full, or its disk"
    event = {"event": "sink_failed", "message": message, "t": None, "left_out": count}
    about = {"seq": number, "writer": writer, "kind": "event", "time": None}
    return _json({**about, **event, "written": written})


def state(record: Prediction, written: float) -> bytes:
    """Give how things stand: the last prediction in short."""
    verdict = record.quality.to_dict()["channels"] or {}
    faults = {
        name: about["fault"]
        for name, about in verdict.items()
        if isinstance(about, dict) and about.get("fault")
    }
    told: dict[str, Any] = {
        "label": record.label,
        "reason": record.reason,
        "probability": max(record.probabilities.values(), default=None),
        "probabilities": record.probabilities,
    }
    if record.quantity is not None:
        told = {
            "value": record.value,
            "reason": record.reason,
            "answer": record.answer,
            "unit": record.quantity.unit,
        }
    if record.others:
        told["others"] = {name: one.to_dict() for name, one in record.others.items()}
    return _json(
        {
            **told,
            "time": _known(record.ended),
            "age": record.age,
            "latency": record.latency,
            "rate": record.rate,
            "real": record.quality.real,
            "faults": faults,
            "gap": record.gap,
            "loss": record.loss,
            "written": written,
        }
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(about: dict[str, Any]) -> bytes:
    return line(about).rstrip("\n").encode()
