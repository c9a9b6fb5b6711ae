"""Samples that are pushed: the same ledger as a board's, and a Polar H10's frames to labels."""

from __future__ import annotations

import importlib.util
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixtures_all import some
from fixtures_bundle import make_bundle, pulse
from scripted import FieldClock, Script, ScriptedSource, truth
from test_runtime_stream import Keep, Spy

from bioxedge import SignalError, SourceError, Stream
from bioxedge.runtime import PushSource, loop
from bioxedge.runtime.events import KEPT
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources import polar
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.signals import Chunk

ROOT = Path(__file__).resolve().parent.parent
RATE, PACKET = 250.0, 10
REAL = 249.3
SCRIPTS = {
    "nothing": {},
    "100 lost": {"lost": (2500, 2600)},
    "40 and 10 lost": {"lost": (2500, 2540), "again": (4000, 4010)},
    "a stall of 2 s": {"stall": (12.0, 2.0)},
    "a clock step of an hour": {"step": (12.0, 3600.0)},
    "a clock step back": {"step": (12.0, -3600.0)},
    "all of it": {"lost": (2000, 2100), "stall": (13.0, 1.0), "step": (18.0, 5.0)},
}


def signal(index):
    return np.sin(index * 0.05) * 100 + np.sin(index * 0.011) * 30


def packets(seconds=24.0, lost=(0, 0), again=(0, 0), stall=(0.0, 0.0), step=None, seed=0):
    """Whole packets as they reach the host: (at, indices, number)."""
    rng = np.random.default_rng(seed)
    out, before = [], 0.0
    for number in range(int(seconds * REAL) // PACKET):
        index = np.arange(number * PACKET, (number + 1) * PACKET)
        if any(a <= index[0] < b for a, b in (lost, again)):
            continue
        at = (index[-1] + 1) / REAL + 0.01 + rng.exponential(0.002)
        if stall[0] < at < sum(stall):
            at = sum(stall)
        before = max(at, before)
        out.append((before, index, number))
    return out


class Played(PushSource):
    """A source whose packets are pushed as the clock passes them."""

    def __init__(self, script, how, clock, step=None, **options):
        super().__init__(("x",), RATE, clock=clock, **options)
        self.script, self.how, self.ticking, self.step = list(script), how, clock, step

    def start(self):
        super().start()
        self.began = self.ticking.monotonic_ns() / 1e9

    def read(self):
        now = self.ticking.monotonic_ns() / 1e9 - self.began
        while self.script and self.script[0][0] <= now:
            at, index, number = self.script.pop(0)
            sent = index / REAL + 7e5
            if self.step is not None and at > self.step[0]:
                sent = sent + self.step[1]
            witness = {
                "counter a packet": {"counter": number},
                "counter of a byte": {"counter": number % 256},
                "counter a sample": {"counter": index},
                "stamps a sample": {"stamps": sent},
                "stamp a packet": {"stamps": sent[-1]},
                "neither": {},
            }[self.how]
            self.push(signal(index), **witness)
        if not self.script:
            self.end()
        return super().read()


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "b"
    return make_bundle(path, channels=("x",), rate=RATE, max_gap=60, length=512, hop=250)


def ledger(tested, source, clock):
    engine, sink = Spy(tested), Keep()
    stream = Stream(tested, engine=engine, clock=clock)
    tally = loop.run(source, stream, [sink], clock=clock)
    gaps = [e.facts["samples"] for e in sink.events if e.kind == "gap" and "sure" in e.facts]
    return tally, gaps, engine.windows, sink


def by_board(tested, script):
    about = SCRIPTS[script]
    sent = packets(**about)
    index = np.concatenate([i for _, i, _ in sent])
    at = np.concatenate([np.full(PACKET, when) for when, _, _ in sent])
    clock = FieldClock((0.02,), steps=[about["step"]] if "step" in about else ())
    board = Script(index, index % 256.0, at, shapes={1: signal(index)})
    source = ScriptedSource(board, board="cyton", clock=clock)
    source.channels = ("x",)
    return ledger(tested, source, clock)


@pytest.mark.parametrize("script", some(SCRIPTS))
def test_the_ledger_is_that_of_a_board(tested, script):
    pytest.importorskip("brainflow")
    tally, gaps, windows, _ = by_board(tested, script)
    about = SCRIPTS[script]
    truly = sum(b - a for a, b in (about.get("lost", (0, 0)), about.get("again", (0, 0))))
    assert tally.loss == truly
    for how in (
        "counter a packet",
        "counter of a byte",
        "counter a sample",
        "stamps a sample",
        "stamp a packet",
    ):
        clock = FieldClock((0.02,))
        source = Played(packets(**about), how, clock, about.get("step"))
        ours, seen, same, sink = ledger(tested, source, clock)
        assert (ours.loss, ours.gaps, seen) == (tally.loss, tally.gaps, gaps), how
        assert len(same) == len(windows)
        assert all(np.array_equal(a, b) for a, b in zip(same, windows, strict=True)), how
        assert sink.predictions[-1].loss is not None


def test_without_stamps_and_counter_losses_are_unknown_and_long_holes_found(tested):
    about = {"lost": (2500, 2620)}
    tally, gaps, _, sink = ledger(
        tested, Played(packets(**about), "neither", clock := FieldClock((0.02,))), clock
    )
    assert tally.loss is None and sink.predictions[-1].loss is None
    assert len(gaps) == 1 and abs(gaps[0] - 120) <= 3  # by arrival
    short = packets(**SCRIPTS["40 and 10 lost"])
    _, gaps, _, sink = ledger(tested, Played(short, "neither", clock := FieldClock((0.02,))), clock)
    assert gaps == [] and sink.predictions[-1].loss is None


def test_a_packet_that_came_again_is_left_out():
    source = PushSource(["x"], RATE)
    with source:
        for number in (0, 1, 2, 1, 3):
            source.push(np.arange(number * 4.0, number * 4 + 4), counter=number)
        source.end()
        chunks = [c for c in iter(source.read, None) if c.samples.shape[1]]
    index, values = truth(chunks)
    assert index.tolist() == values.tolist() == list(range(16)) and source.loss == 0
    assert any("came again" in event.message for event in source.take_events())


def test_a_stated_pattern_is_gone_by():
    source = PushSource(["x"], RATE, pattern=Pattern(100, rows=2, stamps="unknown"))
    kept = [n for n in range(300) if n not in (110, 111)]
    with source:
        for number in kept:
            source.push(np.array([2.0 * number, 2.0 * number + 1]), counter=number % 100)
        source.end()
        index, values = truth([c for c in iter(source.read, None) if c.samples.shape[1]])
    assert np.array_equal(index, values) and source.loss == 4


# -- the queue ---------------------------------------------------------------------------------


def test_threads_push_while_another_reads():
    source = PushSource(["x"], 1000.0, held=1e6)
    total = 20_000
    rng = np.random.default_rng(3)
    cuts = np.unique(np.append(rng.integers(0, total, 900), [0, total]))

    def pushes():
        for a, b in pairwise(cuts.tolist()):
            source.push(np.arange(a, b, dtype=float), counter=np.arange(a, b))
        source.end()

    with source:
        thread = threading.Thread(target=pushes)
        thread.start()
        chunks = [c for c in iter(source.read, None) if c.samples.shape[1]]
        thread.join()
    index, values = truth(chunks)
    assert np.array_equal(index, np.arange(total)) and np.array_equal(values, index)


@pytest.mark.parametrize("how", ["counter", "neither"])
def test_the_queue_is_bounded_and_what_it_left_out_is_counted(how):
    clock = SimulatedClock()
    source = PushSource(["x"], 100.0, held=2.0, clock=clock)
    with source:
        for number in range(100):
            clock.sleep(0.1)
            at = np.arange(number * 10.0, number * 10 + 10)
            source.push(at, **({"counter": at} if how == "counter" else {}))
            if number < 20:
                source.read()
        source.end()
        chunks = [c for c in iter(source.read, None) if c.samples.shape[1]]
    assert source.left_out == 600 and chunks[-1].end == 1000
    assert sum(c.samples.shape[1] for c in chunks) == 200
    assert source.loss == (600 if how == "counter" else None)
    events = source.take_events()
    assert any(e.facts.get("left_out") == 600 for e in events)
    assert sum(e.facts.get("samples", 0) for e in events if e.kind == "gap") == 600


def test_the_end_is_in_order_and_starting_again_begins_at_0():
    source = PushSource(["x"], 100.0)
    source.close()
    with pytest.raises(SourceError, match="not started"):
        source.read()
    source.push([1.0])  # nobody listens yet
    for _ in range(2):
        with source:
            source.push([1.0, 2.0])
            source.end()
            with pytest.raises(SourceError, match="was ended"):
                source.push([3.0])
            chunks = list(iter(source.read, None))
            assert chunks[0].first == 0 and sum(c.samples.size for c in chunks) == 2
            assert source.read() is None
        source.close()


# -- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "options", "said"),
    [
        (np.zeros((2, 4)), {}, r"\[channels, n\] with 1 channels"),
        (np.zeros((1, 2, 3)), {}, "got shape"),
        ("abc", {}, "got str"),
        (np.array([1j]), {}, "array of numbers"),
        (np.zeros(4), {"stamps": [1.0, 2.0]}, "one a sample or one for all"),
        (np.zeros(4), {"stamps": np.nan}, "must be finite"),
        (np.zeros(4), {"counter": -1}, "from 0 on"),
        (np.zeros(4), {"stamps": 1.0, "counter": 1}, "got both"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_taken(tested, samples, options, said):
    stream = Stream(tested)
    with pytest.raises(SignalError, match=said):
        stream.push(samples, **options)
    assert stream.push(Chunk(np.zeros((1, 4)), 0, RATE)) == []


def test_chunks_and_arrays_do_not_mix(tested):
    stream = Stream(tested)
    stream.push(np.zeros(4))
    with pytest.raises(SignalError, match="reset"):
        stream.push(Chunk(np.zeros((1, 4)), 4, RATE))
    with pytest.raises(SignalError, match="neither so far"):
        stream.push(np.zeros(4), counter=1)
    stream.reset()
    stream.push(Chunk(np.zeros((1, 4)), 0, RATE))
    with pytest.raises(SignalError, match="reset"):
        stream.push(np.zeros(4))


def test_a_stream_takes_arrays_of_odd_sizes(tested):
    rng = np.random.default_rng(1)
    whole, stream = Stream(tested), Stream(tested)
    x = signal(np.arange(3000.0))
    expected = whole.push(Chunk(x[None], 0, RATE))
    got, at = [], 0
    while at < len(x):
        n = int(rng.integers(0, 40))
        got += stream.push(x[at : at + n], counter=np.arange(at, min(at + n, len(x))))
        at += n
    got += stream.flush()
    assert [p.probabilities for p in got] == [p.probabilities for p in expected]
    assert [p.t_end for p in got] == [p.t_end for p in expected]
    assert stream.gaps == whole.gaps and all(p.loss == 0 for p in got)


@pytest.mark.parametrize("size", [10, 2500, 10**6])
@pytest.mark.parametrize("hole", [1000, 5])  # samples, from 4 s on
def test_a_hole_shows_in_stamps_however_much_is_pushed_at_once(tested, size, hole):
    index = np.r_[0:1000, 1000 + hole : 7000]
    x, stamps, stream = signal(index), 77 + index / REAL, Stream(tested)
    got = []
    for at in range(0, len(index), size):
        got += stream.push(x[at : at + size], stamps=stamps[at : at + size])
    got += stream.flush()
    held = hole <= tested.manifest.stream.max_gap
    assert stream.gaps == {
        "filled": hole if held else 0, "lost": 0 if held else hole, "restarts": int(not held),
    }  # fmt: skip
    assert got[-1].t_end == pytest.approx(7000 / RATE, abs=1.1)
    over = [p for p in got if p.t_start < 1000 / RATE < p.t_end]
    assert all(p.loss == p.gap == hole for p in over) and (over or not held)


@pytest.mark.parametrize("size", [10, 10**6])
def test_a_loss_before_stamps_were_known_is_unknown_however_much_is_pushed(tmp_path, size):
    at_once = make_bundle(
        tmp_path / "b", channels=("x",), rate=RATE, stages=(), max_gap=60, length=512, hop=250
    )
    index = np.r_[0:200, 350:7000]
    x, stamps, stream = signal(index), 77 + index / REAL, Stream(at_once)
    got = []
    for at in range(0, len(index), size):
        got += stream.push(x[at : at + size], stamps=stamps[at : at + size])
    assert got[0].t_start == 0 and got[0].loss is None  # the hole lies in it, and nobody knew
    assert got[-1].loss == 0


def test_what_was_pushed_at_once_is_never_left_out_of_the_queue():
    x = signal(np.arange(RATE * 900))
    with PushSource(("x",), RATE, held=10.0) as source:
        source.push(x, stamps=9 + np.arange(len(x)) / RATE)
        source.end()
        got = sum(chunk.samples.shape[1] for chunk in iter(source.read, None))
    assert got == len(x) and source.left_out == 0


@pytest.mark.parametrize("empty", [{3}, {3, 4, 9}, {0}])
def test_an_empty_packet_is_one_that_came(tested, empty):
    stream, whole = Stream(tested), Stream(tested)
    x = signal(np.arange(4000.0))
    got, at = [], 0
    for number in range(120):
        n = 0 if number in empty else 32
        got += stream.push(x[at : at + n], counter=number)
        at += n
    expected = whole.push(Chunk(x[None, :at], 0, RATE))
    got += stream.flush()
    assert [p.t_end for p in got] == [p.t_end for p in expected]
    assert stream.gaps == {"filled": 0, "lost": 0, "restarts": 0}
    assert not any(event.kind == "gap" for event in stream.take_events())


def test_events_that_nobody_takes_are_bounded(tested):
    stream = Stream(tested)
    for number in range(4400):
        stream.push(np.zeros(1), counter=2 * number)
    assert 1000 < len(stream.take_events()) <= KEPT + 100


# -- a Polar H10 -------------------------------------------------------------------------------


def frame(microvolts, nanoseconds):
    body = b"".join(int(v).to_bytes(3, "little", signed=True) for v in microvolts)
    return bytearray(bytes([0]) + int(nanoseconds).to_bytes(8, "little") + bytes([0]) + body)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("polar_h10", ROOT / "device" / "polar_h10.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_frames_are_read_as_published():
    ecg = polar.decode(frame([1, -1, 8_388_607, -8_388_608], 5e17))
    assert ecg.samples.tolist() == [[1.0, -1.0, 8388607.0, -8388608.0]] and ecg.stamp == 5e8
    acceleration = polar.decode(bytes([2]) + bytes(8) + bytes([1]) + bytes(6))
    assert "acceleration" in acceleration.reason
    good = bytes(frame([1, 2], 1))
    for bad in (b"", good[:10], good[:-1], good + b"1" * 600, good[:9] + b"\x01" + good[10:]):
        with pytest.raises(SignalError):
            polar.decode(bad)


@pytest.mark.shared
def test_an_h10s_frames_come_to_predictions_with_the_right_gaps(shared, script, tmp_path):
    from scipy.signal import resample_poly

    from bioxedge.datasets import bidmc

    ecg = bidmc.load(shared / "data" / "bidmc")[0].target.samples[0, : 125 * 120]
    microvolts = np.round(resample_poly(ecg, 26, 25) * 1000).astype(int)
    bundle = make_bundle(
        tmp_path / "ecg",
        modality="ecg",
        channels=("ecg",),
        rate=130.0,
        unit="uV",
        length=520,
        hop=130,
    )
    clock, rng, real = SimulatedClock(), np.random.default_rng(5), 129.6
    source = PushSource(("ecg",), polar.RATE, ("uV",), clock=clock)
    receive = script.Receiver(source)
    lost = {60, 61, 120}
    sent = []
    for number in range(len(microvolts) // 73):
        index = np.arange(number * 73, number * 73 + 73)
        at = (index[-1] + 1) / real + 0.02 + rng.exponential(0.02)
        at = 47.0 if 45.0 < at < 47.0 else at  # delayed, and all at once
        if number not in lost:
            sent.append((at, frame(microvolts[index], 7e17 + index[-1] / real * 1e9)))
    began = clock.monotonic_ns() / 1e9

    class Worn:
        """The source, with a sensor's notifications as time passes."""

        def __getattr__(self, name):
            return getattr(source, name)

        def read(self):
            while sent and sent[0][0] <= clock.monotonic_ns() / 1e9 - began:
                receive(None, sent.pop(0)[1])
                receive(None, bytearray([2]) + bytearray(8) + bytearray([1]) + bytearray(6))
            if not sent:
                source.end()
            return source.read()

    tally, gaps, _, sink = ledger(bundle, Worn(), clock)
    assert gaps == [146, 73] and tally.loss == 219
    assert tally.gaps == {"filled": 0, "lost": 219, "restarts": 2}
    assert len(sink.predictions) > 60 and sink.predictions[-1].loss == 0
    assert list(receive.ignored) and "acceleration" in next(iter(receive.ignored))


@pytest.mark.parametrize(
    "witness",
    [
        {"counter": lambda f: f // 16},
        {"counter": lambda f: np.arange(f, f + 16) % 256},
        {"stamps": lambda f: 5.0 + (f + 16) / 64},
    ],
)
@pytest.mark.parametrize("gap", [(960, 976), (1600, 1760)])
def test_where_samples_come_faster_than_they_were_taken_numbers_testify(tmp_path, witness, gap):
    """Out of a file: no time goes by, and what is lost is lost all the same."""
    bundle = make_bundle(tmp_path / "b")
    stream, samples, given = Stream(bundle), pulse(1, 64 * 60, 64.0), []
    for first in range(0, samples.shape[1], 16):
        if not gap[0] <= first < gap[1]:
            said = {name: numbers(first) for name, numbers in witness.items()}
            given += stream.push(samples[:, first : first + 16], **said)
    given += stream.flush()
    assert stream.gaps == {"filled": 0, "lost": gap[1] - gap[0], "restarts": 1}
    assert "contradiction" not in {event.kind for event in stream.take_events()}
    assert given and all(p.loss == 0 and 0 <= p.latency <= p.age < 1 for p in given)
