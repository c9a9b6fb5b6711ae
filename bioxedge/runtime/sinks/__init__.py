"""Where predictions and events go: a terminal, or JSON lines."""

from __future__ import annotations

from bioxedge.errors import SinkError
from bioxedge.runtime.sinks.base import RunInfo, Sink
from bioxedge.runtime.sinks.jsonl import JsonLinesSink
from bioxedge.runtime.sinks.runner import SinkRunner
from bioxedge.runtime.sinks.terminal import TerminalSink

__all__ = ["JsonLinesSink", "RunInfo", "Sink", "SinkRunner", "TerminalSink", "make_sink"]


def make_sink(text: str, *, rotate: str | None = None) -> TerminalSink | JsonLinesSink:
    """Make a sink from ``terminal``, ``jsonl`` or ``jsonl:PATH``.

    Parameters
    ----------
    text : str
    rotate : str, optional
        For a file: when to begin a new one. See :class:`JsonLinesSink`.

    Raises
    ------
    SinkError
        Anything else.
    """
    kind, colon, path = text.partition(":")
    if kind == "terminal" and not colon:
        return TerminalSink()
    if kind == "jsonl" and (path or not colon):
        to_file = path not in ("", "-")
        return JsonLinesSink(path or "-", rotate=rotate if to_file else None)
    raise SinkError(f"there is no sink {text!r}: write terminal, jsonl or jsonl:PATH")
