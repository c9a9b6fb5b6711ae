"""Where predictions go: a terminal, or JSON lines."""

from __future__ import annotations

from bioxedge.errors import SourceError
from bioxedge.runtime.sinks.base import Sink
from bioxedge.runtime.sinks.jsonl import JsonLinesSink
from bioxedge.runtime.sinks.terminal import TerminalSink

__all__ = ["JsonLinesSink", "Sink", "TerminalSink", "make_sink"]


def make_sink(text: str) -> TerminalSink | JsonLinesSink:
    """Make a sink from ``terminal``, ``jsonl`` or ``jsonl:PATH``.

    Raises
    ------
    SourceError
        Anything else.
    """
    kind, colon, path = text.partition(":")
    if kind == "terminal" and not colon:
        return TerminalSink()
    if kind == "jsonl" and (path or not colon):
        return JsonLinesSink(path or "-")
    raise SourceError(f"there is no sink {text!r}: write terminal, jsonl or jsonl:PATH")
