"""The engine, the stream, the replay source and the run loop, without any board."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np
import pytest
from fixtures_bundle import make_bundle, onnx_model, parts, pulse
from fixtures_signal import recorded, with_gaps
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import (
    BundleError,
    SignalError,
    SourceError,
    Stream,
    bundle,
    goldenfile,
    manifest,
    spec,
    windows,
)
from bioxedge.quality.modality import quality_of
from bioxedge.runtime import Engine, ReplaySource, TerminalSink, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.signals import Channel, Chunk, Recording

MAX = float("inf")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")


@pytest.fixture(scope="module")
def recording():
    return with_gaps(recorded(pulse(1, 64 * 60, 64.0, 3)), (0, 5), (900, 906), (2000, 2100))


def cut(tested, recording):
    about = tested.manifest
    return windows.cut(recording, about.input, about.stream, about.window)


class Keep:
    """A sink that keeps what comes."""

    name = "kept"

    def __init__(self):
        self.predictions, self.events, self.calls = [], [], []

    def open(self, run):
        self.run = run
        self.calls.append("open")

    def emit(self, record):
        (self.events if isinstance(record, Event) else self.predictions).append(record)

    def close(self):
        self.calls.append("close")


class Spy(Engine):
    """An engine that keeps the windows it is given."""

    def __init__(self, tested):
        super().__init__(tested)
        self.windows = []

    def run(self, window, beside=None):
        self.windows.append(window.copy())
        return super().run(window, beside)


def play(tested, recording, **options):
    engine, sink = Spy(tested), Keep()
    source = ReplaySource(recording, channels=tested.manifest.input.names, **options)
    tally = loop.run(source, Stream(tested, engine=engine), [sink])
    return engine.windows, sink, tally


@settings(max_examples=20, deadline=None)
@given(chunk=st.integers(1, 5000))
def test_a_replay_gives_the_windows_that_are_cut_from_the_recording(tested, recording, chunk):
    got, sink, tally = play(tested, recording, speed=MAX, chunk=chunk)
    expected = cut(tested, recording)
    assert [w.tobytes() for w in got] == [w.samples.tobytes() for w in expected]
    assert [p.t_start for p in sink.predictions] == [float(w.start) / 64 for w in expected]
    assert [p.t_end for p in sink.predictions] == [float(w.end) / 64 for w in expected]
    assert [p.gap for p in sink.predictions] == [w.filled for w in expected]
    assert tally.gaps == {"filled": 6, "lost": 100, "restarts": 1}
    assert tally.loss == 0 and tally.windows == len(expected) > 30


def test_a_prediction_says_what_it_knows(tested, recording):
    _, sink, _ = play(tested, recording, speed=MAX)
    held = [p for p in sink.predictions if p.gap]
    assert held and all(p.quality.real == 1 - p.gap / 256 for p in sink.predictions)
    for p in sink.predictions:
        assert p.label == max(p.probabilities, key=p.probabilities.get)
        assert sum(p.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert p.t_end - p.t_start == 4.0 and p.t0 == recording.t0
        assert 0 < p.latency < 5 and p.due > 0


class Later(ReplaySource):
    """A replay that begins a minute into its recording."""

    def read(self):
        chunk = super().read()
        return chunk and replace(chunk, first=chunk.first + 60 * 64)


def test_seconds_count_from_where_a_replay_begins(tested):
    held = recorded(pulse(1, 64 * 120, 64.0, 1))
    sink = Keep()
    source = Later(held, channels=tested.manifest.input.names, speed=MAX)
    tally = loop.run(source, Stream(tested), [sink], seconds=30)
    assert tally.samples == 30 * 64 and tally.windows > 20
    assert sink.predictions[-1].t_end <= 90


def test_a_sensor_that_was_right_once_is_not_refused_later(tmp_path):
    """Movement that looks like another signal abstains; a patient decision asks on, and goes on."""
    pytest.importorskip("torch", exc_type=ImportError)
    from bioxedge.building.expect import expectations

    people = [recorded(pulse(1, 64 * 40, 64.0, seed)) for seed in range(12)]
    plain = make_bundle(tmp_path / "plain", hop=256).manifest
    seen = expectations(people, plain.input, plain.stream, plain.window)
    slow = make_bundle(
        tmp_path / "b", hop=256, expect=seen, quality=quality_of(plain.input),
        decision=manifest.Decision(patience=200),
    )  # fmt: skip
    x, t = pulse(1, 64 * 300, 64.0, 77), np.arange(64 * 6) / 64
    for at in (60, 148, 240):
        noise = np.random.default_rng(at).standard_normal(384)
        x[:, at * 64 : at * 64 + 384] = 2 + 8 * ((t * 0.25) % 1) ** 2 + 0.05 * noise
    _, sink, tally = play(slow, recorded(x), speed=MAX)
    reasons = [p.reason or "" for p in sink.predictions]
    assert sum("unlike" in one for one in reasons) >= 3 and tally.windows > 60
    with pytest.raises(SignalError, match="does not look like"):
        play(slow, recorded(np.tile(x[:, 60 * 64 : 66 * 64], 10)), speed=MAX)


def test_a_short_lead_is_held_to_what_a_window_may_have_flat(tmp_path):
    """A coarse converter repeats values: five are a quarter of a lead, and little of a window."""
    low = spec.Filter(design="butterworth", kind="lowpass", cutoff=(0.5,), order=4)
    slow = make_bundle(
        tmp_path / "slow", modality="eda", channels=("eda",), rate=8.0, stages=(low,),
        length=240, hop=80, quality=spec.QualitySpec(),
    )  # fmt: skip
    (settling,) = slow.manifest.stream.stages
    assert 32 <= settling.warmup < 80
    n = np.arange(8 * 600)
    skin = 2 + 0.4 * np.sin(n / 160) + 0.3 * np.sin(n / 12)
    skin[:30] = skin[0]
    held = Recording(skin[None], 8.0, (Channel("eda", "a.u."),), "eda", "p")
    _, sink, tally = play(slow, held, speed=MAX)
    assert tally.gaps["restarts"] == 0 and sum(p.label is not None for p in sink.predictions) > 50


@pytest.mark.parametrize("rate", [1.0, 4.0, 8.0, 25.0])
def test_a_slow_sensors_first_windows_are_given(tmp_path, rate):
    """What its filters settled on is a few samples, of which nothing can be said."""
    low = spec.Filter(design="butterworth", kind="lowpass", cutoff=(rate / 4,), order=2)
    slow = make_bundle(
        tmp_path / "slow", modality="eda", channels=("eda",), rate=rate, stages=(low,),
        length=40, hop=20, quality=spec.QualitySpec(),
    )  # fmt: skip
    n = np.arange(400)
    drawn = np.random.default_rng(0).standard_normal(400)
    skin = 2 + np.sin(n / 15) + 0.3 * np.sin(n / 4) + 0.02 * drawn
    held = Recording(skin[None], rate, (Channel("eda", "a.u."),), "eda", "p")
    _, sink, tally = play(slow, held, speed=MAX)
    assert tally.windows == len(cut(slow, held)) > 15
    assert all(p.label for p in sink.predictions) and tally.gaps["restarts"] == 0


def test_reset_is_a_fresh_stream(tested, recording):
    stream = Stream(tested)
    chunk = Chunk(np.nan_to_num(recording.samples), 0, 64.0)

    def answers():
        return [(p.t_start, p.probabilities) for p in stream.push(chunk)]

    first = answers()
    stream.reset()
    assert first and answers() == first


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (Chunk(np.zeros((2, 4)), 100, 64.0), "1 channels"),
        (Chunk(np.zeros((1, 4)), 100, 125.0), "125 Hz"),
        (Chunk(np.zeros((1, 4)), 0, 64.0), "pushed already"),
    ],
)
def test_a_wrong_chunk_leaves_the_stream_as_it_was(tested, recording, chunk, says):
    samples = np.nan_to_num(recording.samples)
    whole = [p.probabilities for p in Stream(tested).push(Chunk(samples, 0, 64.0))]
    stream = Stream(tested)
    got = stream.push(Chunk(samples[:, :1000], 0, 64.0))
    with pytest.raises(SignalError, match=says):
        stream.push(chunk)
    got += stream.push(Chunk(samples[:, 1000:], 1000, 64.0))
    assert [p.probabilities for p in got] == whole


def test_values_beyond_float32_are_an_error(tmp_path):
    stream = Stream(make_bundle(tmp_path / "b", stages=(), then=()))
    with pytest.raises(SignalError, match="beyond float32"):
        stream.push(Chunk(np.full((1, 256), 1e300), 0, 64.0))


def broken(tmp_path, **weights):
    """A bundle whose model is another than the one its golden answers came from."""
    settings = {
        "modality": "ppg", "channels": ("ppg_2",), "rate": 64.0, "stages": (), "max_gap": 0,
        "length": 8, "hop": 8, "then": (), "labels": ("rest", "stress"), "seed": 0,
    }  # fmt: skip
    _, about, golden = parts(**settings)
    model = onnx_model(
        weights.get("weights", np.zeros((8, 2), np.float32)),
        weights.get("bias", np.zeros(2, np.float32)),
        weights.get("channels", 1),
        8,
    )
    files = {"model.onnx": model, "golden.npz": goldenfile.pack(golden)}
    return bundle.write(tmp_path / "b", bundle.with_files(about, files), files)


def test_a_probability_that_is_not_finite_is_an_error_and_no_label(tmp_path):
    tested = broken(tmp_path, bias=np.array([np.nan, 0], np.float32))
    with pytest.raises(BundleError, match="no probabilities"):
        Stream(tested).push(Chunk(np.zeros((1, 8)), 0, 64.0))


def test_a_graph_that_is_not_shaped_as_the_manifest_says_is_refused(tmp_path):
    with pytest.raises(BundleError, match="the manifest says"):
        Engine(broken(tmp_path, weights=np.zeros((16, 2), np.float32), channels=2))


def test_a_model_that_onnx_runtime_refuses_is_one_line(tmp_path):
    with pytest.raises(BundleError, match=r"ONNX Runtime .* refuses") as caught:
        Engine(broken(tmp_path, weights=np.zeros((7, 2), np.float32)))
    assert "\n" not in str(caught.value)


def test_the_engine_says_what_it_runs_on(tested):
    engine = Engine(tested)
    assert (engine.provider, engine.variant) == ("cpu", "fp32")
    with pytest.raises(BundleError, match=r"provider NoSuch is not on this machine: it has cpu"):
        Engine(tested, providers=["NoSuch"])
    with pytest.raises(BundleError, match="no variant 'int8': it has fp32"):
        Engine(tested, "int8")
    with pytest.raises(SignalError, match=r"takes windows of \[1, 256\]"):
        engine.run(np.zeros((1, 255), np.float32))


def test_a_paced_replay_keeps_the_clock(recording):
    began = time.monotonic()
    with ReplaySource(recording, speed=100.0, chunk=64) as source:
        whole, samples = 0, 0
        for chunk in iter(source.read, None):
            whole += bool(chunk.samples.shape[1])
            samples += chunk.samples.shape[1]
            if chunk.samples.shape[1]:
                # Chunk i is never early, and never later than the machine is slow.
                assert chunk.arrived / 1e9 - began >= (chunk.first / 64) / 100
    assert samples == 64 * 60 and whole == 60
    assert 0.59 <= time.monotonic() - began < 3


def test_a_replay_refuses_what_makes_no_sense(recording):
    for bad in ({"speed": 0}, {"speed": float("nan")}, {"chunk": 0}):
        with pytest.raises(SourceError):
            ReplaySource(recording, **bad)
    with pytest.raises(SignalError, match="no channel ecg_1: it has ppg_2"):
        ReplaySource(recording, channels=("ecg_1",))
    with pytest.raises(SourceError, match="not started"):
        ReplaySource(recording).read()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_seconds_are_of_signal(tested, recording, chunk):
    source = ReplaySource(recording, speed=MAX, chunk=chunk)
    tally = loop.run(source, Stream(tested), [], seconds=10.5)
    assert tally.samples == 672
    assert tally.windows == sum(w.end <= 672 - 0 for w in cut(tested, recording))


def test_sinks_and_source_are_closed_whatever_happens(tested, recording):
    class Fails(ReplaySource):
        closed = False

        def read(self):
            raise SourceError("gone")

        def close(self):
            self.closed = True

    sink, source = Keep(), Fails(recording)
    with pytest.raises(SourceError, match="gone"):
        loop.run(source, Stream(tested), [sink])
    assert source.closed and sink.calls == ["open", "close"]


def test_a_loss_that_cannot_be_seen_is_unknown_and_never_none(tested, recording):
    class Blind(ReplaySource):
        loss = None

    tally = loop.run(Blind(recording, speed=MAX), Stream(tested), [])
    assert "loss unknown" in tally.line()
    assert tally.to_dict()["gaps"]["loss_known"] is False


def test_a_terminal_line_is_aligned_and_marks_gaps(tested, recording):
    _, kept, _ = play(tested, recording, speed=MAX)
    out = io.StringIO()
    sink = TerminalSink(out)
    sink.open(RunInfo(("rest", "stress")))
    for prediction in kept.predictions:
        sink.emit(prediction)
    lines = out.getvalue().splitlines()
    assert len(lines) == len(kept.predictions)
    assert len({line.index(" ms") for line in lines}) == 1
    assert any("6 samples held over" in line for line in lines)
