"""Sinks that want the samples or have something to say, and runs that are told to end."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded
from test_runtime_stream import Keep
from test_sinks import RUN, Slow, events

from bioxedge import Stream
from bioxedge.runtime import ReplaySource, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks import SinkRunner
from bioxedge.runtime.sinks.runner import SIGNAL
from bioxedge.signals import Chunk

MAX = float("inf")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")  # 4 s windows, every second


def worn(seconds=60):
    return recorded(pulse(1, 64 * seconds, 64.0, 3))


class Watches(Keep):
    """A sink that wants the signal."""

    def __init__(self):
        super().__init__()
        self.chunks, self.order = [], []

    def signal(self, chunk):
        self.chunks.append(chunk)
        self.order.append(chunk.end)

    def emit(self, record):
        super().emit(record)
        if not isinstance(record, Event):
            self.order.append(record)


def test_a_sink_that_wants_the_signal_gets_all_of_it_before_what_is_said_of_it(tested):
    sink, other = Watches(), Keep()
    loop.run(ReplaySource(worn(), speed=MAX), Stream(tested), [sink, other])
    taken = np.concatenate([chunk.samples for chunk in sink.chunks], axis=1)
    np.testing.assert_array_equal(taken, worn().samples)
    end = 0
    for one in sink.order:
        if isinstance(one, int):
            end = one
        else:  # filters delay nothing here: a window lies before what was seen
            assert one.t_end * 64 <= end
    assert len(sink.predictions) == len(other.predictions) > 50


class Stuck(Slow):
    """A sink that wants the signal and does not get on."""

    def signal(self, chunk):
        self.busy.set()
        self.gate.acquire()
        self.taken.append(chunk)


def test_a_slow_sink_loses_the_signal_before_a_record_and_holds_little():
    slow = Stuck()
    runner = SinkRunner(slow, size=10)
    runner.start(RUN)
    runner.emit(Event("gap", "held"))
    assert slow.busy.wait(20)
    rows = np.zeros((4, 1000))
    for number in range(1000):
        runner.signal(Chunk(rows, 1000 * number, 500.0))
    for event in events(10):
        runner.emit(event)
    assert runner.left_out == 0
    slow.gate.release(10_000)
    runner.close()
    chunks = [one for one in slow.taken if isinstance(one, Chunk)]
    assert [chunk.first for chunk in chunks] == [1000 * n for n in range(SIGNAL // 4000)]
    assert [e.message for e in slow.taken if isinstance(e, Event)][1:] == [
        str(n) for n in range(10)
    ]


def test_records_that_are_left_out_are_counted_without_the_signal_between_them():
    slow = Stuck()
    runner = SinkRunner(slow, size=10)
    runner.start(RUN)
    runner.emit(Event("gap", "held"))
    assert slow.busy.wait(20)
    for event in events(25):
        runner.signal(Chunk(np.zeros((1, 5)), 0, 500.0))
        runner.emit(event)
    assert runner.left_out == 15
    slow.gate.release(10_000)
    runner.close()
    said = [e.message for e in slow.taken if isinstance(e, Event)]
    assert said == [
        "held", "15 records were left out here: slow took no more", *map(str, range(15, 25)),
    ]  # fmt: skip


class Tells(Keep):
    """A sink that has something to say."""

    name = "far"

    def __init__(self):
        super().__init__()
        self.said = [Event("output", "the broker is away", facts={"sink": "far"})]

    def take_events(self):
        said, self.said = self.said, []
        return said


def test_what_a_sink_has_to_say_reaches_the_others_and_the_tally(tested):
    near = Keep()
    tally = loop.run(ReplaySource(worn(), speed=MAX), Stream(tested), [Tells(), near])
    assert [e.message for e in near.events if e.kind == "output"] == ["the broker is away"]
    assert tally.events["output"] == 1


def test_a_run_that_is_told_to_ends_in_order(tested):
    stop, sink = threading.Event(), Keep()

    class Told(ReplaySource):
        def read(self):
            chunk = super().read()
            if chunk is not None and chunk.first >= 64 * 20:
                stop.set()
            return chunk

    tally = loop.run(Told(worn(), speed=MAX), Stream(tested), [sink], stop=stop)
    assert 64 * 20 <= tally.samples < 64 * 40
    assert sink.calls == ["open", "close"] and len(sink.predictions) == tally.windows
