"""Hold a sink that somebody else wrote to what the run loop relies on."""

from __future__ import annotations

import math
import time
from typing import get_args

import numpy as np

from bioxedge.errors import SinkError
from bioxedge.runtime.checking.holding import Checked, Holding
from bioxedge.runtime.events import Event, Kind
from bioxedge.runtime.prediction import Prediction, Quality
from bioxedge.runtime.sinks.base import RunInfo, SignalSink, Sink, TellingSink
from bioxedge.signals import Chunk


def check_sink(sink: Sink) -> Checked:
    """Open a sink, give it one of everything, and hold it to the protocol.

    Parameters
    ----------
    sink : Sink
        Not opened. It writes what it is given: point it to where that does not matter.

    Returns
    -------
    Checked

    Raises
    ------
    SinkError
        The clause that is broken, and the cure; or what the sink raised itself.
    """
    holding = Holding(sink, SinkError, "sink")
    named = "name it for messages: a path, an address"
    holding.attribute("name", lambda name: isinstance(name, str) and name != "", named)
    holding.methods("open", "emit", "close")
    for name in ("to_stdout", "to_file", "stuck"):
        if hasattr(sink, name):
            holding.attribute(name, lambda value: isinstance(value, bool), "give True or False")
    holding.looked.append("attributes and their types")
    holding.call("close before open", sink.close)
    now = time.monotonic_ns()
    run = RunInfo(
        ("rest", "stress"), "a check", "0" * 64, "nothing", None, 64.0, time.time(), now,
        channels=("x",), units=("a.u.",), modality="ppg", window=2.0, hop=1.0,
    )  # fmt: skip
    chunk = Chunk(np.arange(128.0)[None], 0, 64.0, time.time(), now, now, 64.0)
    before = chunk.samples.copy()
    known = Prediction(
        "rest", {"rest": 0.75, "stress": 0.25}, 0.0, 2.0, time.time(), now, 0.01, 0.02, 64.0,
        Quality(1.0), 0, 0,
    )  # fmt: skip
    unknown = Prediction(
        None, {}, 1.0, 3.0, math.nan, now, 0.01, 0.02, None, Quality(0.2), 100, None, "no signal"
    )
    try:
        holding.call("open", lambda: sink.open(run))
        if isinstance(sink, SignalSink):
            holding.call("signal", lambda: sink.signal(chunk))
            same = np.array_equal(chunk.samples, before)
            holding.hold(same, "signal changed the samples", "copy what is to be changed")
            holding.looked.append("signal")
        for prediction in (known, unknown):
            holding.call("emit of a prediction", lambda one=prediction: sink.emit(one))  # type: ignore[misc]
        for kind in get_args(Kind):
            event = Event(kind, f"a check of {kind}", None, {"samples": 1})
            holding.call(f"emit of an event {kind}", lambda one=event: sink.emit(one))  # type: ignore[misc]
        holding.looked.append("predictions with and without a label, events of every kind")
        if isinstance(sink, TellingSink):
            holding.events()
            holding.looked.append("take_events")
    finally:
        holding.call("close", sink.close)
    holding.call("close a second time", sink.close)
    holding.looked.append("close, twice and before open")
    holding.missed.append("whether what was emitted is where it should be")
    return holding.done()
