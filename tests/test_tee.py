"""One acquisition, several readers: what each sees, and that none delays another."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_all import few
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import FieldClock, Script, ScriptedSource
from test_runtime_stream import Keep, Spy

from bioxedge import SignalError, SourceError, Stream
from bioxedge.runtime import ReplaySource, check_source, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.tee import TOGETHER, Tee
from bioxedge.signals import Channel, Chunk, Recording

MAX = float("inf")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")  # ppg_2 at 64 Hz, 4 s windows


class Scripted(Managed):
    """A live source whose reads are written down: chunks, events, or an error."""

    name, channels, rate = "scripted", ("a", "b"), 64.0

    def __init__(self, *reads, clock=None):
        self.reads, self.started, self.closed, self.loss = list(reads), 0, 0, 0
        self.events = []

    def start(self):
        self.started += 1

    def read(self):
        if not self.reads:
            return None
        one = self.reads.pop(0)
        if isinstance(one, Exception):
            raise one
        if isinstance(one, Event):
            self.events.append(one)
            return self.read()
        return one

    def take_events(self):
        events, self.events = self.events, []
        return events

    def close(self):
        self.closed += 1


def chunks(*firsts, n=16):
    index = np.arange(n)
    return [Chunk(np.stack([index + f, -index - f]).astype(float), f, 64.0) for f in firsts]


def drain(*views):
    """Read views in turn to their ends; what each gave."""
    got = [[] for _ in views]
    for view in views:
        view.start()
    for at, view in enumerate(views):
        chunk = view.read()  # the first is told nothing before all have begun
        if chunk.samples.shape[1]:
            got[at].append(chunk)
    open_ones = list(range(len(views)))
    while open_ones:
        for at in list(open_ones):
            chunk = views[at].read()
            if chunk is None:
                open_ones.remove(at)
            elif chunk.samples.shape[1]:
                got[at].append(chunk)
    return got


@settings(max_examples=few(30, 10), deadline=None)
@given(
    chunk=st.integers(1, 700),
    gaps=st.lists(st.integers(200, 3500), max_size=3),
    turns=st.lists(st.integers(0, 1), min_size=1, max_size=40),
)
def test_windows_through_a_tee_are_those_of_the_source_alone(tested, chunk, gaps, turns):
    samples = pulse(2, 64 * 60, 64.0)
    for at in gaps:
        samples[:, at : at + 20] = np.nan
    alone = Spy(tested)
    stream = Stream(tested, engine=alone)
    pair = Recording(samples, 64.0, (Channel("ppg_1"), Channel("ppg_2")), "ppg", "p")
    for first in range(0, samples.shape[1], chunk):
        stream.push(Chunk(samples[1:, first : first + chunk], first, 64.0))
    tee = Tee(ReplaySource(pair, speed=MAX, chunk=chunk))
    views = [tee.view(("ppg_2",)), tee.view(("ppg_2", "ppg_1"))]
    spies = [Spy(tested), Spy(tested)]
    streams = [Stream(tested, engine=spy) for spy in spies]
    for view in views:
        view.start()
    ended, turn = set(), 0
    while len(ended) < 2:
        at = turns[turn % len(turns)] if not ended else 1 - min(ended)
        turn += 1
        if turn % 7 == 0 and not ended:
            at = 1 - at  # whoever is held up is let on now and then
        got = views[at].read()
        if got is None:
            ended.add(at)
        elif got.samples.shape[1]:
            streams[at].push(Chunk(got.samples[:1], got.first, 64.0))
    expected = [w.tobytes() for w in alone.windows]
    for spy in spies:
        assert [w.tobytes() for w in spy.windows] == expected


def test_each_view_has_its_channels_in_its_order_and_all_events():
    happened = Event("gap", "16 samples are missing", 0.25, {"samples": 16})
    tee = Tee(Scripted(*chunks(0), happened, *chunks(32)))
    one, two = tee.view(("b",)), tee.view(("b", "a"))
    first, second = drain(one, two)
    assert [c.first for c in first] == [c.first for c in second] == [0, 32]
    np.testing.assert_array_equal(second[1].samples[::-1], chunks(32)[0].samples)
    np.testing.assert_array_equal(first[1].samples, second[1].samples[:1])
    assert one.take_events() == two.take_events() == [happened]
    with pytest.raises(SignalError, match="has no channel c: it has a, b"):
        tee.view(("c",))


def test_a_slow_reader_loses_its_own_oldest_and_is_told_and_nobody_else():
    source = Scripted(*chunks(*range(0, 6400, 16)))
    tee = Tee(source, held=10.0)  # 640 samples
    fast, slow = tee.view(name="fast"), tee.view(name="slow")
    fast.start(), slow.start()
    fast.read(), slow.read()
    seen = 0
    for _ in range(200):
        seen += fast.read().samples.shape[1]
    assert slow.waiting <= 640 and fast.loss == 0
    late = slow.read()
    assert late.first > 0 and slow.loss == late.first - 16  # one chunk was read before
    (event,) = slow.take_events()
    assert event.kind == "gap" and event.facts["left_out"] == slow.loss
    assert "slow was too slow" in event.message and not fast.take_events()


def test_a_recording_waits_for_the_slowest():
    tee = Tee(ReplaySource(recorded(pulse(1, 64 * 100, 64.0)), speed=MAX), held=10.0)
    fast, slow = tee.view(), tee.view()
    fast.start(), slow.start()
    fast.read(), slow.read()
    for _ in range(5000):
        fast.read()
    assert slow.waiting < 64 * 15
    total = 0
    while (chunk := slow.read()) is not None:
        total += chunk.samples.shape[1]
        fast.read()
    assert total >= 64 * 100 - 16 and slow.loss == 0


def test_it_starts_with_the_first_and_closes_with_the_last_and_an_error_reaches_all():
    source = Scripted(*chunks(0, 16), SourceError("gone"))
    tee = Tee(source)
    one, two = tee.view(), tee.view()
    with pytest.raises(SourceError, match="not started"):
        one.read()
    one.start(), two.start()
    assert source.started == 1
    one.read(), two.read()
    for view in (one, two):
        with pytest.raises(SourceError, match="gone"):
            for _ in range(5):
                view.read()
    one.close(), one.close()
    assert not source.closed
    two.close()
    assert source.closed == 1
    source.reads = chunks(0)
    one.start()
    assert source.started == 2 and one.read().samples.shape[1]  # nobody is waited for again


def test_one_that_begins_anew_counts_from_there_and_its_times_are_right():
    source = Scripted(
        *[Chunk(np.zeros((2, 16)), first, 64.0, t0=1000.0) for first in range(0, 320, 16)]
    )
    tee = Tee(source)
    one, two = tee.view(), tee.view()
    one.start(), two.start()
    two.read()
    for _ in range(5):
        one.read()
    two.close()
    base = one._end
    two.start()
    one.read()
    chunk = two.read()
    assert chunk.first == 0 and chunk.t0 == 1000.0 + base / 64


def test_what_is_over_for_good_is_not_begun_from_the_front():
    tee = Tee(source := Scripted(*chunks(0)))
    view = tee.view()
    for number in (1, 2):  # left out, who starts again has it once more
        with view:
            while view.read() is not None:
                pass
        assert source.started == number
    tee.once = True
    with pytest.raises(SourceError, match="scripted has come to its end"), view:
        pass
    assert source.started == source.closed == 2


def test_nobody_waits_for_ever_for_one_that_does_not_begin():
    clock = SimulatedClock()
    tee = Tee(Scripted(*chunks(0, 16)), clock=clock)
    one, _ = tee.view(), tee.view()
    one.start()
    assert not one.read().samples.shape[1]
    clock.sleep(TOGETHER + 1)
    one.read()
    assert one.read().samples.shape[1]


def test_a_run_on_a_view_of_a_board_has_the_ledger_of_one_on_the_board(tmp_path):
    bundle = make_bundle(
        tmp_path / "b", rate=250.0, channels=("exg_1",), modality="eeg", length=500, hop=250,
    )  # fmt: skip

    def board(clock):
        index = np.r_[0:4000, 4100:7000, 7006:9000]
        script = Script(index, index % 256.0, (index + 1) / 250.0)
        return ScriptedSource(script, board="cyton", channels=("exg_1",), clock=clock)

    alone, kept = Keep(), Keep()
    clock = FieldClock((0.05,))
    tally = loop.run(board(clock), Stream(bundle, clock=clock), [alone], clock=clock, seconds=35)
    clock = FieldClock((0.05,))
    tee = Tee(board(clock), clock=clock, held=5.0)
    first, second = tee.view(), tee.view(name="idle")
    second.start()
    second.read()  # and never again
    same = loop.run(first, Stream(bundle, clock=clock), [kept], clock=clock, seconds=35)
    assert tally.loss == same.loss == 106 and tally.gaps == same.gaps
    said = [[(p.t_start, p.gap, p.loss, p.probabilities) for p in one.predictions]
            for one in (alone, kept)]  # fmt: skip
    assert said[0] == said[1] and len(said[0]) > 10
    assert [e.message for e in kept.events] == [e.message for e in alone.events]


def test_a_view_is_a_source_by_the_checker():
    def make():
        return Tee(ReplaySource(recorded(pulse(1, 64 * 20, 64.0)), speed=MAX)).view()

    check_source(make(), seconds=2.0)
