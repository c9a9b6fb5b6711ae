"""Real recordings through the real BrainFlow library, by its playback board."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fixtures_bundle import answers, make_bundle, pulse, weights_of
from fixtures_signal import real_ppg, recorded, with_gaps
from test_runtime_stream import Keep, Spy, cut

from bioxedge import SourceError, Stream
from bioxedge.runtime import PlaybackSource, loop, write_playback
from bioxedge.runtime.sources import boards
from bioxedge.signals import Channel, Recording

pytest.importorskip("brainflow")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")


@pytest.fixture(scope="module")
def ppg(shared):
    return real_ppg(shared)


def play(tested, recording, speed=200.0, **options):
    engine, sink = Spy(tested), Keep()
    source = PlaybackSource(recording, channels=tested.manifest.input.names, speed=speed, **options)
    tally = loop.run(source, Stream(tested, engine=engine), [sink])
    return engine.windows, sink.predictions, tally


@pytest.mark.shared
@pytest.mark.parametrize(
    "gaps",
    [
        (),
        ((1000, 1001), (1500, 1508), (3000, 3003)),  # held over
        ((0, 9), (2000, 2009), (5000, 5700)),  # a late start, and two that are too long
        ((1000, 1256), (3000, 3512), (6000, 6255)),  # the counter comes round to where it was
    ],
    ids=["whole", "short", "long", "whole turns of the counter"],
)
def test_a_real_recording_through_brainflow_is_the_recording(tested, ppg, gaps):
    recording = with_gaps(ppg, *gaps)
    expected = cut(tested, recording)
    got, predictions, tally = play(tested, recording)
    assert len(expected) > 80
    assert [w.tobytes() for w in got] == [w.samples.tobytes() for w in expected]
    assert [p.t_start for p in predictions] == [float(w.start) / 64 for w in expected]
    assert [p.gap for p in predictions] == [w.filled for w in expected]
    assert {p.t0 for p in predictions} == {recording.t0}
    model = weights_of(2, 256, seed=0)
    found = np.array([list(p.probabilities.values()) for p in predictions])
    np.testing.assert_allclose(found, answers(np.stack(got), *model), atol=1e-6, rtol=0)
    inside = [end - begin for begin, end in gaps if begin]
    assert tally.loss == sum(inside)
    assert tally.gaps == {
        "filled": sum(n for n in inside if n <= 8),
        "lost": sum(n for n in inside if n > 8),
        "restarts": sum(n > 8 for n in inside),
    }


def test_it_ends_soon_after_the_last_row(tested):
    began = time.monotonic()
    _, _, tally = play(tested, recorded(pulse(1, 6400, 64.0)), speed=float("inf"))
    assert tally.samples == 6400 and time.monotonic() - began < 5


def test_a_gap_longer_than_the_stall_limit_is_no_stall(tested):
    recording = with_gaps(recorded(pulse(1, 6400, 64.0)), (1000, 5000))
    _, _, tally = play(tested, recording, speed=50.0, stall=1.0)  # the gap lasts 1.25 s
    assert tally.samples == 6400 and tally.gaps["lost"] == 4000


@pytest.mark.parametrize("t0", [0.0, -5.0])
def test_a_recording_without_a_clock_plays_too(tested, t0):
    recording = recorded(pulse(1, 1280, 64.0), t0=t0)
    got, predictions, _ = play(tested, recording)
    assert [w.tobytes() for w in got] == [w.samples.tobytes() for w in cut(tested, recording)]
    assert {p.t0 for p in predictions} == {t0}


def test_values_come_back_to_the_last_bit():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 2000)) * 10.0 ** rng.integers(-300, 300, (1, 2000))
    values[0, :4] = [0.0, -0.0, 1e-310, -1e-310]  # the last two are not normal
    with PlaybackSource(recorded(values), speed=float("inf")) as source:
        chunks = [c.samples for c in iter(source.read, None)]
    played = np.concatenate(chunks, axis=1)
    values[0, 2:4] = 0.0
    assert np.array_equal(played, values)


@pytest.mark.parametrize(
    ("board", "preset", "names", "rate"),
    [
        ("muse_2", "default", ("TP10", "AF7"), 256.0),
        ("muse_2", "auxiliary", ("accel_2",), 52.0),
        ("emotibit", "auxiliary", ("ppg_2", "ppg_1"), 25.0),
        ("cyton", "default", ("ecg_3",), 250.0),
    ],
)
def test_every_preset_can_be_played(board, preset, names, rate):
    samples = pulse(len(names), 300, rate)
    channels = tuple(Channel(name) for name in names)
    recording = Recording(samples, rate, channels, "any", "p", 5.0)
    with PlaybackSource(recording, board=board, preset=preset, speed=float("inf")) as source:
        chunks = [c.samples for c in iter(source.read, None)]
    assert np.concatenate(chunks, axis=1).tobytes() == samples.tobytes()


def test_the_file_is_what_a_board_would_have_sent(tmp_path):
    recording = with_gaps(recorded(pulse(1, 300, 64.0)), (10, 20))
    path = tmp_path / "rows.tsv"
    assert write_playback(recording, path, board="muse_2", speed=2.0) == 290
    table = np.loadtxt(path, delimiter="\t")
    layout = boards.layout("muse_2", "ancillary")
    assert table.shape == (290, 6)
    kept = np.r_[0:10, 20:300]
    assert np.array_equal(table[:, layout.counter], kept % 256)
    assert np.array_equal(table[:, layout.stamp], recording.t0 + kept / 128)
    assert np.array_equal(table[:, layout.channels["ppg_2"]], recording.samples[0, kept])


def test_what_cannot_be_played_is_one_line(tmp_path):
    recording = recorded(pulse(1, 300, 64.0))
    for call, says in (
        (lambda: PlaybackSource(recording, board="muse2"), "did you mean muse_2"),
        (lambda: PlaybackSource(recording, board="synthetic"), "runs at 250 Hz, 64 Hz"),
        (lambda: PlaybackSource(recording, board="cyton"), "no channel ppg_2"),
        (lambda: PlaybackSource(recording, speed=-1), "above 0"),
        (lambda: PlaybackSource(recorded(pulse(1, 9, 3.5), rate=3.5)), "none of BrainFlow's"),
        (
            lambda: PlaybackSource(with_gaps(recording, (0, 300))).start(),
            "no whole sample to play",
        ),
    ):
        with pytest.raises(SourceError, match=says):
            call()
