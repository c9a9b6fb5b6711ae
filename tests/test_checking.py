"""The checkers: our own sources and sinks hold, and what is broken is named."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from fixtures_signal import recorded

from bioxedge import SinkError, SourceError
from bioxedge.runtime import (
    BrainFlowSource,
    JsonLinesSink,
    PlaybackSource,
    PushSource,
    ReplaySource,
    TerminalSink,
    check_sink,
    check_source,
)
from bioxedge.runtime.events import Event
from bioxedge.runtime.faults import FaultSource, parse
from bioxedge.runtime.hostclock import SYSTEM
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.runtime.supervise import Supervised
from bioxedge.signals import Chunk

MAX = float("inf")


def replay(**options):
    rng = np.random.default_rng(1)
    options = {"speed": MAX, "chunk": 64, **options}
    return ReplaySource(recorded(rng.standard_normal((1, 640))), **options)


# -- ours ---------------------------------------------------------------------------------------


def test_a_replay_holds():
    report = check_source(replay(), seconds=20)
    assert "the end, which stays" in report.looked and "starting again" in report.looked
    assert "loss: 0" in str(report) and "gaps: none happened" in report.missed


def test_a_source_that_others_push_into_holds():
    source, stop = PushSource(["x", "y"], 1000.0), threading.Event()

    def pushes():
        for number in itertools.count():
            if stop.wait(0.01):
                return
            source.push(np.zeros((2, 10)), counter=number)

    thread = threading.Thread(target=pushes)
    thread.start()
    try:
        report = check_source(source, seconds=0.4)
    finally:
        stop.set()
        thread.join()
    assert "starting again" in report.looked


def test_a_source_that_nobody_pushes_into_says_what_was_not_looked_at():
    report = check_source(PushSource(["x"], 100.0), seconds=0.05)
    assert {"chunks: no sample came", "starting again: no sample came"} <= set(report.missed)


def test_brainflows_synthetic_board_holds():
    pytest.importorskip("brainflow")
    source = BrainFlowSource("synthetic", channels=("eeg_1", "eeg_2"), rate=250.0)
    assert "starting again" in check_source(source, seconds=0.6).looked


def test_a_playback_holds():
    pytest.importorskip("brainflow")
    rng = np.random.default_rng(1)
    recording = recorded(rng.standard_normal((1, 640)))
    source = PlaybackSource(recording, board="muse_2", speed=20.0, channels=("ppg_2",))
    assert check_source(source, seconds=3).looked


def test_a_recorded_and_a_replayed_source_hold(tmp_path):
    with Recorded(replay(), tmp_path / "once") as source:
        while source.read() is not None:
            pass
    again = LogReplay(tmp_path / "once", channels=None, speed=MAX)
    assert "starting again" in check_source(again, seconds=20).looked


def test_a_supervised_source_holds():
    assert check_source(Supervised(replay()), seconds=20).looked


def test_a_source_with_faults_holds():
    source = FaultSource(replay(speed=1.0), parse("loss:9@0.1s"), clock=SYSTEM)
    assert "gaps: 9 samples" in check_source(source, seconds=0.6).looked


# -- broken ones --------------------------------------------------------------------------------


class Good(Managed):
    """A source that holds: 10 samples a read, 50 in all."""

    name, channels, rate = "mine", ("x",), 100.0
    size, last, kept = 10, 5, 0

    def __init__(self):
        self.at = None

    @property
    def loss(self):
        return 0

    def start(self):
        self.at = 0

    def read(self):
        if self.at is None:
            raise SourceError("not started")
        if self.at >= self.last:
            return None
        self.at += 1
        return self.chunk(self.at - 1)

    def chunk(self, at):
        return Chunk(np.full((1, self.size), float(at)), at * self.size, self.rate)

    def close(self):
        self.at = None


def broken(**parts):
    return type("Broken", (Good,), parts)()


def raising(kind):
    def call(self):
        raise kind("it broke\nin two lines")

    return call


def slow(self):
    time.sleep(1.05)
    return Good.read(self)


def ends_twice(self):
    chunk = Good.read(self)
    if chunk is None:
        self.at = 0
    return chunk


def goes_on(self):
    self.at = self.kept


def keeps(self):
    self.kept, self.at = self.kept if self.at is None else self.at, None


class Rewriting(Good):
    def __init__(self):
        super().__init__()
        self.array = np.zeros((1, 10))

    def chunk(self, at):
        self.array[:] = at
        return Chunk(self.array, at * 10, 100.0)


class Falling(Good):
    falling = itertools.count(5, -1)

    @property
    def loss(self):
        return next(self.falling) if self.at else 9


BROKEN = {
    "has no attribute units|units is": broken(units=("uV", "uV")),
    "channels is": broken(channels=["x"]),
    "channels is ..x., .x..": broken(channels=("x", "x")),
    "rate is nan": broken(rate=float("nan")),
    "name is ''": broken(name=""),
    "sensor is 3": broken(sensor=3),
    "waits is 1": broken(waits=1),
    "loss is 0.5": broken(loss=0.5),
    "loss is -1": broken(loss=-1),
    "loss fell": Falling(),
    "has no method read": broken(read=None),
    "close before start raised ValueError: it broke in two lines": broken(
        close=raising(ValueError)
    ),
    "start raised OSError": broken(start=raising(OSError)),
    "read before start gave something": broken(read=lambda self: None),
    "read before start raised TypeError": broken(read=lambda self: 1 + None),
    "read took": broken(read=slow),
    "read gave array": broken(chunk=lambda self, at: np.zeros(3)),
    "a chunk has 2 rows": broken(chunk=lambda self, at: Chunk(np.zeros((2, 3)), at, 100.0)),
    "a chunk's rate is 90": broken(chunk=lambda self, at: Chunk(np.zeros((1, 3)), at, 90.0)),
    "the first chunk begins at sample 7": broken(
        chunk=lambda self, at: Chunk(np.zeros((1, 3)), 7 + 3 * at, 100.0)
    ),
    "ended at 3; indices never go back": broken(
        chunk=lambda self, at: Chunk(np.zeros((1, 3)), 2 * at, 100.0)
    ),
    "were changed after they were handed out": Rewriting(),
    "take_events gave": broken(take_events=lambda self: ["lost"]),
    "gave a chunk after None": broken(read=ends_twice),
    "started again, the first chunk begins at sample 50": broken(
        start=goes_on, close=keeps, last=20
    ),
}


@pytest.mark.parametrize("said", BROKEN)
def test_what_is_broken_in_a_source_is_named(said):
    with pytest.raises(SourceError, match=said) as caught:
        check_source(BROKEN[said], seconds=0.5 if "started again" in said else 1.0)
    assert "\n" not in str(caught.value)


def test_gaps_are_seen():
    source = broken(chunk=lambda self, at: Chunk(np.zeros((1, 3)), 5 * at, 100.0))
    assert "gaps: 8 samples" in check_source(source).looked


def test_a_time_that_is_none_is_refused():
    with pytest.raises(SourceError, match="above 0"):
        check_source(Good(), seconds=float("nan"))


# -- sinks --------------------------------------------------------------------------------------


class Mine:
    """A sink that holds."""

    name = "mine"

    def __init__(self):
        self.got = []

    def open(self, run):
        self.got.append(run.bundle)

    def emit(self, record):
        self.got.append(record)

    def close(self):
        pass


class Page(Mine):
    def signal(self, chunk):
        self.got.append(chunk.end)

    def take_events(self):
        return [Event("output", "here")]


def test_ours_and_mine_hold(tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    for sink in (Mine(), JsonLinesSink(path), TerminalSink()):
        assert "close, twice and before open" in check_sink(sink).looked
    assert len(path.read_text().splitlines()) > 20
    assert {"signal", "take_events"} <= set(check_sink(Page()).looked)


SINKS = {
    "has no method emit": {"emit": None},
    "name is None": {"name": None},
    "to_stdout is 'yes'": {"to_stdout": "yes"},
    "open raised OSError": {"open": lambda self, run: raising(OSError)(self)},
    "emit of a prediction raised": {"emit": lambda self, record: record.label.upper()},
    "emit of an event gap raised": {"emit": lambda self, record: record.probabilities},
    "close before open raised": {"close": lambda self: self.file.close()},
    "signal changed the samples": {"signal": lambda self, chunk: chunk.samples.fill(0.0)},
    "take_events gave None": {"take_events": lambda self: None},
}


@pytest.mark.parametrize("said", SINKS)
def test_what_is_broken_in_a_sink_is_named(said):
    with pytest.raises(SinkError, match=said) as caught:
        check_sink(type("Broken", (Mine,), SINKS[said])())
    assert "\n" not in str(caught.value)
