"""The run loop: lateness, clocks, abstention and failures, as a user meets them at its end."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps
from test_runtime_stream import Keep, Spy, cut

from bioxedge import SinkError, SourceError, Stream, spec
from bioxedge.runtime import Engine, ReplaySource, loop
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.tally import Durations
from bioxedge.signals import Chunk

MAX = float("inf")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")  # 4 s windows, every second


class Slow(Engine):
    """An engine that takes so many seconds a window, by the given clock."""

    def __init__(self, tested, clock, seconds):
        super().__init__(tested)
        self.clock, self.seconds = clock, seconds

    def run(self, window, beside=None):
        self.clock.sleep(self.seconds)
        return super().run(window, beside)


def worn(seconds=120, seed=3):
    return recorded(pulse(1, 64 * seconds, 64.0, seed))


def run_slowly(tested, seconds, late, recording=None):
    clock, sink = SimulatedClock(), Keep()
    recording = worn() if recording is None else recording
    stream = Stream(tested, engine=Slow(tested, clock, seconds), clock=clock)
    source = ReplaySource(recording, clock=clock)
    return loop.run(source, stream, [sink], late=late, clock=clock), sink


def test_a_model_that_keeps_up_answers_every_window_whatever_is_late(tested):
    expected = cut(tested, worn())
    for late in ("all", "latest"):
        tally, sink = run_slowly(tested, 0.9, late)
        assert tally.left_out == 0 and not sink.events
        assert [p.t_end for p in sink.predictions] == [float(w.end) / 64 for w in expected]
        assert all(0.89 < p.age < 1.2 for p in sink.predictions)


def test_the_latest_window_is_answered_where_the_model_cannot_keep_up(tested):
    tally, sink = run_slowly(tested, 3.1, "latest")
    expected = cut(tested, worn())
    assert tally.windows + tally.left_out == len(expected)
    assert tally.left_out > len(expected) / 2
    # What is said is never older than the answer before it, the hop and its own answer.
    assert max(p.age for p in sink.predictions) < 3.1 + 1.0 + 3.1 + 0.2
    late = [event for event in sink.events if event.kind == "late"]
    assert late and "cannot keep up: 3.1 s a window, 1.0 s a hop" in late[0].message
    assert len(late) <= 3  # at most once a minute of signal
    assert f"{tally.left_out} windows left out: cannot keep up" in tally.line()
    assert json.loads(json.dumps(tally.to_dict()))["left_out"] == tally.left_out
    ends = [p.t_end for p in sink.predictions]
    assert ends == sorted(set(ends)) and set(ends) <= {float(w.end) / 64 for w in expected}


def test_every_window_is_answered_on_request_and_its_age_is_told(tested):
    tally, sink = run_slowly(tested, 2.0, "all")
    expected = cut(tested, worn())
    assert tally.windows == len(expected) and tally.left_out == 0
    # One second is lost with every window: the last one is as old as all that were before it.
    assert sink.predictions[-1].age == pytest.approx(len(expected) + 1, abs=1.5)
    # From the drain it looks fresh: that figure alone would be a lie.
    assert sink.predictions[-1].latency < 2.5
    assert any(event.kind == "late" for event in sink.events)


def test_a_step_of_the_wall_clock_is_an_event_and_moves_nothing(tested):
    clock, steps = SimulatedClock(), {30: 40 * 86400.0, 60: -3600.0}

    class Stepped(ReplaySource):
        def read(self):
            chunk = super().read()
            for second in [s for s in steps if chunk is not None and chunk.first >= s * 64]:
                clock.step(steps.pop(second))
            return chunk

    sink = Keep()
    stream = Stream(tested, clock=clock)
    tally = loop.run(Stepped(worn(), clock=clock), stream, [sink], clock=clock)
    found = [event for event in sink.events if event.kind == "clock_step"]
    assert [e.facts["seconds"] for e in found] == pytest.approx([40 * 86400, -3600], abs=0.1)
    assert [e.t for e in found] == pytest.approx([30, 60], abs=0.5)
    expected = cut(tested, worn())
    assert [p.t_end for p in sink.predictions] == [float(w.end) / 64 for w in expected]
    assert all(-0.01 <= p.age < 1 and p.gap == 0 for p in sink.predictions)
    assert tally.gaps == {"filled": 0, "lost": 0, "restarts": 0}


def test_values_that_are_missing_to_the_end_are_counted_while_it_lasts(tested):
    recording = with_gaps(worn(60), (1000, 3840))
    sink, seen = Keep(), []

    class Watched(ReplaySource):
        def read(self):
            seen.append(tally.gaps["lost"])
            return super().read()

    tally = loop.Tally()
    loop.run(Watched(recording, speed=MAX), Stream(tested), [sink], tally=tally)
    assert tally.gaps["lost"] == 2840 and tally.gaps["restarts"] == 0
    # Long before the end it said so.
    assert any(0 < lost < 500 for lost in seen)
    (begins,) = [event for event in sink.events if event.kind == "missing"]
    assert begins.facts["channels"] == ["ppg_2"] and begins.facts["goes_on"] is True
    assert begins.t == 1000 / 64 and "ppg_2 has given no value for" in begins.message


def test_an_electrode_without_values_is_named(tmp_path):
    tested = make_bundle(tmp_path / "b", channels=("Fz", "Cz", "Pz", "Oz"), rate=64.0, stages=())
    samples = pulse(4, 64 * 30, 64.0)
    samples[2, 640:] = np.nan
    channels = tested.manifest.input.names
    recording = recorded(samples[:1])
    recording = type(recording)(
        samples, 64.0, tuple(type(recording.channels[0])(n) for n in channels), "eeg", "p1", 0.0
    )
    sink = Keep()
    loop.run(ReplaySource(recording, speed=MAX), Stream(tested), [sink])
    (event,) = [event for event in sink.events if event.kind == "missing"]
    assert event.facts["channels"] == ["Pz"]


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
def test_events_are_the_same_for_every_chunking(tested, chunk):
    recording = with_gaps(worn(60), (0, 5), (700, 704), (900, 1100), (1400, 1409), (3000, 3840))
    sinks = [Keep(), Keep()]
    for sink, size in zip(sinks, (8, chunk), strict=True):
        loop.run(ReplaySource(recording, speed=MAX, chunk=size), Stream(tested), [sink])
    first, second = ([event.to_dict() for event in sink.events] for sink in sinks)
    assert first == second
    assert [e["event"] for e in first].count("restart") == 2


def test_a_window_that_is_hardly_real_has_no_label(tmp_path):
    # Nearly everything may be held over here, as a careless recipe would have it.
    tested = make_bundle(tmp_path / "b", max_gap=1000, quality=spec.QualitySpec())
    recording = with_gaps(worn(60), (700, 950))
    sink = Keep()
    tally = loop.run(ReplaySource(recording, speed=MAX), Stream(tested), [sink])
    least = tested.manifest.quality.min_real
    for p in sink.predictions:
        if p.quality.real < least:
            assert (
                p.label is None
                and not p.probabilities
                and p.reason.startswith("too little is real: ")
            )
    kinds = [event.kind for event in sink.events]
    assert kinds.count("abstention_begins") == kinds.count("abstention_ends") == 1
    assert tally.abstained == sum(p.quality.real < least for p in sink.predictions) > 0


def test_what_came_before_a_failure_is_answered(tested):
    clock = SimulatedClock()

    class Fails(ReplaySource):
        def read(self):
            chunk = super().read()
            if chunk is not None and chunk.first > 64 * 20:
                raise SourceError("gone")
            return chunk

    sink = Keep()
    with pytest.raises(SourceError, match="gone"):
        loop.run(
            Fails(worn(), clock=clock), Stream(tested, clock=clock), [sink],
            late="latest", clock=clock,
        )  # fmt: skip
    assert len(sink.predictions) >= 13 and sink.calls == ["open", "close"]


class Breaks(Keep):
    """A sink that takes three records."""

    name = "frail"

    def emit(self, record):
        super().emit(record)
        if len(self.predictions) == 3:
            raise OSError(28, "No space left on device")


def test_a_sink_that_fails_does_not_stop_the_others(tested):
    frail, sound = Breaks(), Keep()
    clock = SimulatedClock()  # paced, so that the failure is noticed while the run goes on

    class Paced(ReplaySource):
        def read(self):
            chunk = super().read()
            if chunk is None and not any(e.kind == "sink_failed" for e in sound.events):
                time.sleep(0.001)  # the other thread has not told yet
                return Chunk(self._samples[:, :0], self._next, self.rate)
            return chunk

    with pytest.raises(SinkError, match=r"frail.*No space left on device"):
        loop.run(
            Paced(worn(), clock=clock), Stream(tested, clock=clock), [frail, sound], clock=clock
        )
    assert len(sound.predictions) == len(cut(tested, worn()))
    (event,) = [e for e in sound.events if e.kind == "sink_failed"]
    assert event.facts["sink"] == "frail"


def test_a_sink_that_cannot_be_opened_is_an_error_before_the_first_label(tested):
    class Shut(Keep):
        name = "shut"

        def open(self, run):
            raise OSError(13, "Permission denied")

    other = Keep()
    with pytest.raises(SinkError, match="shut: Permission denied"):
        loop.run(ReplaySource(worn(), speed=MAX), Stream(tested), [other, Shut()])
    assert not other.predictions and other.calls == ["open", "close"]


def test_sinks_are_told_what_runs_once_the_source_streams(tested):
    order = []

    class Noted(ReplaySource):
        def start(self):
            order.append("source")
            super().start()

    class Told(Keep):
        def open(self, run):
            order.append("sink")
            super().open(run)

    sink = Told()
    loop.run(Noted(worn(10), speed=MAX), Stream(tested), [sink])
    assert order == ["source", "sink"]
    assert sink.run.digest == tested.manifest.digest and sink.run.labels == ("rest", "stress")
    assert sink.run.source == "replay of p1" and sink.run.started > 1.7e9
    json.dumps(sink.run.to_dict(), allow_nan=False)


def test_a_tally_does_not_grow_with_the_windows():
    took = Durations()
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.normal(-5, 1, 20000))
    for one in seconds:
        took.add(float(one))
    assert len(took._bins) < 1500
    for share in (0.5, 0.95, 0.99):
        assert took.quantile(share) == pytest.approx(np.quantile(seconds, share), rel=0.02)
    assert took.longest == seconds.max()


@pytest.mark.parametrize("chunk", [1, 8, 63, 640, 5000])
def test_nothing_beyond_the_seconds_is_used(tested, chunk):
    recording = with_gaps(worn(30), (640, 648), (1900, 1920))
    for seconds in (9.9, 10.0, 10.1, 15.0):
        sink = Keep()
        source = ReplaySource(recording, speed=MAX, chunk=chunk)
        tally = loop.run(source, Stream(tested), [sink], seconds=seconds)
        limit = round(seconds * 64)
        assert tally.samples == limit
        whole = [w for w in cut(tested, recording) if w.end <= limit]
        assert [p.t_end for p in sink.predictions] == [float(w.end) / 64 for w in whole]
        got = [p.probabilities for p in sink.predictions]
        alone = Keep()
        loop.run(ReplaySource(recording, speed=MAX), Stream(tested), [alone])
        assert got == [p.probabilities for p in alone.predictions[: len(got)]]


def spoilt(recording, *stretches):
    """The recording, railed in each ``[begin, end)``."""
    samples = recording.samples.copy()
    for begin, end in stretches:
        samples[:, begin:end] = 1e6
    return replace(recording, samples=samples)


def judged_bundle(tmp_path):
    return make_bundle(tmp_path / "b", quality=spec.QualitySpec())


@pytest.mark.parametrize("chunk", [1, 8, 777, 10000])
def test_filters_do_not_remember_what_was_condemned(tmp_path, chunk):
    tested = judged_bundle(tmp_path)
    bad = with_gaps(spoilt(worn(120), (2000, 2500), (5000, 5064)), (3000, 3004), (3500, 3600))
    sink, engine = Keep(), Spy(tested)
    stream = Stream(tested, engine=engine)
    tally = loop.run(ReplaySource(bad, speed=MAX, chunk=chunk), stream, [sink])
    afresh = [e for e in sink.events if e.kind == "restart" and "reason" in e.facts]
    assert len(afresh) == 2 and all("ppg_2 is" in e.facts["reason"] for e in afresh)
    # Each window that was asked about is one that training would cut from the same start.
    starts = [0, *(round(e.t * 64) for e in afresh)]
    expected = {}
    for start in starts:
        rest = replace(bad, samples=bad.samples[:, start:])
        expected |= {float(w.start + start) / 64: w.samples.tobytes() for w in cut(tested, rest)}
    asked = [p.t_start for p in sink.predictions if p.probabilities]
    assert len(asked) == len(engine.windows) > 60
    assert [w.tobytes() for w in engine.windows] == [expected[t] for t in asked]
    assert all("ppg_2 is" in p.reason for p in sink.predictions if not p.probabilities)
    # What was counted once is not counted again where samples come again.
    assert tally.gaps == {"filled": 4, "lost": 100, "restarts": 3}
    again = Keep()
    loop.run(ReplaySource(bad, speed=MAX, chunk=8), Stream(tested), [again])
    said = [sorted(json.dumps(e.to_dict()) for e in one.events) for one in (sink, again)]
    assert said[0] == said[1]
    assert [p.t_end for p in sink.predictions] == [p.t_end for p in again.predictions]
