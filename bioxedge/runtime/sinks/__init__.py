"""Where predictions and events go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bioxedge.errors import SinkError
from bioxedge.runtime.sinks.base import BaseSink, RunInfo, SignalSink, Sink, TellingSink
from bioxedge.runtime.sinks.jsonl import JsonLinesSink
from bioxedge.runtime.sinks.runner import SinkRunner
from bioxedge.runtime.sinks.terminal import TerminalSink
from bioxedge.spelled import Spelled

__all__ = [
    "KINDS",
    "BaseSink",
    "JsonLinesSink",
    "RunInfo",
    "SignalSink",
    "Sink",
    "SinkRunner",
    "TellingSink",
    "TerminalSink",
    "make_sink",
]


@dataclass(frozen=True)
class Asked:
    """What is said about sinks beside the word for each.

    Attributes
    ----------
    rotate : str or None
        For files: when to begin a new one. See :class:`JsonLinesSink`.
    client_id : str or None
        What a broker is to know this device by.
    """

    rotate: str | None = None
    client_id: str | None = None


def _terminal(spelled: Spelled, asked: Asked) -> BaseSink:
    spelled.only()
    if spelled.what:
        raise spelled.error(f"takes nothing behind a colon, got {spelled.what!r}")
    return TerminalSink()


def _jsonl(spelled: Spelled, asked: Asked) -> BaseSink:
    spelled.only("rotate")
    path = spelled.what or "-"
    rotate = spelled.options.get("rotate", asked.rotate if path != "-" else None)
    return JsonLinesSink(path, rotate=rotate)


def _mqtt(spelled: Spelled, asked: Asked) -> BaseSink:
    from bioxedge.runtime.sinks.mqtt import make_mqtt

    return make_mqtt(spelled, asked.client_id)


def _lsl(spelled: Spelled, asked: Asked) -> BaseSink:
    from bioxedge.runtime.sinks.lsl import LslSink

    spelled.only()
    return LslSink(spelled.what)


KINDS: dict[str, tuple[str, Callable[[Spelled, Asked], BaseSink]]] = {
    "terminal": ("terminal", _terminal),
    "jsonl": ("jsonl[:PATH]", _jsonl),
    "lsl": ("lsl[:NAME]", _lsl),
    "mqtt": ("mqtt:HOST[:PORT]", _mqtt),
}
"""How each kind is written, and what makes it. What a kind needs is imported when it is made."""


def make_sink(text: str, *, rotate: str | None = None, client_id: str | None = None) -> BaseSink:
    """Make a sink from what is written: ``terminal``, ``jsonl:PATH`` …

    Parameters
    ----------
    text : str
        ``KIND[:WHAT][,KEY=VALUE]…``
    rotate, client_id : str, optional
        See :class:`Asked`.

    Raises
    ------
    SinkError
        No such kind, or what it cannot take.
    """
    spelled = Spelled.parse(text, "sink")
    if spelled.kind not in KINDS or text == f"{spelled.kind}:":
        known = ", ".join(how for how, _ in KINDS.values())
        raise SinkError(f"there is no sink {text!r}: write one of {known}")
    return KINDS[spelled.kind][1](spelled, Asked(rotate, client_id))
