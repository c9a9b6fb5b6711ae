"""What was recorded at another rate, under other names, in other units runs as `build` saw it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import SourceError, cli, recording, worn
from bioxedge.bundle import Bundle
from bioxedge.errors import SignalError
from bioxedge.runtime import LogReplay, ReplaySource, Stream
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.brought import replay
from bioxedge.runtime.sources.wanted import Wanted
from bioxedge.signals import Channel, Recording
from bioxedge.windows import cut

MAX = float("inf")
ECG = Wanted(("II",), 125.0, ("mV",), "ecg")


def ecg(*units, names=("a", "b", "c"), rate=250.0, seconds=40, modality="ecg", scale=1.0):
    """A recording with one channel for each unit."""
    samples = pulse(len(units), round(seconds * rate), rate) * scale
    channels = tuple(Channel(name, unit) for name, unit in zip(names, units, strict=False))
    return Recording(samples, rate, channels, modality, "anna", 1_700_000_000.0)


def read(source):
    """All that a source gives."""
    with source:
        return np.hstack([chunk.samples for chunk in iter(source.read, None)])


def log(folder, taken, **about):
    """Record it as it comes."""
    source = ReplaySource(taken, speed=MAX)
    source.units = tuple(channel.unit for channel in taken.channels)
    with Recorded(source, folder, modality=taken.modality, person=taken.person, **about) as kept:
        while kept.read() is not None:
            pass


@settings(max_examples=12, deadline=None)
@given(
    rate=st.sampled_from([125.0, 200.0, 250.0, 256.0, 500.0]),
    unit=st.sampled_from(["uV", "mV", "V", "µV"]),
    chunk=st.integers(1, 400),
)
def test_windows_are_those_of_training_to_the_bit(tmp_path_factory, rate, unit, chunk):
    folder = tmp_path_factory.mktemp("fit")
    made = make_bundle(
        folder / "b", modality="ecg", channels=("II",), unit="mV", rate=125.0, stages=(),
        length=250, hop=125,
    )  # fmt: skip
    about = (made if isinstance(made, Bundle) else Bundle.open(folder / "b")).manifest
    taken = ecg(unit, names=("ECG I",), rate=rate)
    recording.save(taken, folder / "rec")
    goal = worn.as_worn(taken, ("ECG I",), (Channel("II", "mV"),), 125.0, "ecg")
    trained = cut(goal, about.input, about.stream, about.window)
    source = replay(folder / "rec", Wanted.of(about), speed=MAX)
    source._chunk = chunk
    stream = Bundle.open(folder / "b").windows()
    with source:
        live = [w for piece in iter(source.read, None) for w in stream.push(piece)]
    assert len(live) == len(trained) > 30
    for one, other in zip(live, trained, strict=True):
        assert one.samples.tobytes() == other.samples.tobytes()


def test_what_was_changed_is_in_its_name(tmp_path):
    recording.save(ecg("uV", names=("ECG",)), tmp_path / "rec")
    source = replay(tmp_path / "rec", ECG, speed=MAX)
    assert source.name == (
        "replay of anna (250 Hz brought to 125 Hz, ECG taken as II, ECG brought from uV to mV)"
    )
    assert (source.channels, source.rate) == (("II",), 125.0)


def test_what_fits_is_given_as_it_is(tmp_path):
    taken = ecg("mV", names=("II",), rate=125.0)
    recording.save(taken, tmp_path / "rec")
    source = replay(tmp_path / "rec", ECG, speed=MAX)
    assert source.name == "replay of anna"
    assert read(source).tobytes() == taken.samples.tobytes()


def test_columns_say_which_is_which(tmp_path):
    taken = ecg("mV", "mV", "mV", rate=125.0)
    recording.save(taken, tmp_path / "rec")
    two = Wanted(("II", "V1"), 125.0, ("mV", "mV"), "ecg")
    source = replay(tmp_path / "rec", two, speed=MAX, columns=("c", "a"))
    assert read(source).tobytes() == taken.samples[[2, 0]].tobytes()
    with pytest.raises(SourceError, match=r"has a, b, c and not .*II, V1.*columns=a\+b"):
        replay(tmp_path / "rec", two)
    with pytest.raises(
        SourceError, match=r"names 1 \(c\), the bundle takes 2 \(II, V1\): name one for"
    ):
        replay(tmp_path / "rec", two, columns=("c",))
    with pytest.raises(SourceError, match="has no channel x: it has a, b, c"):
        replay(tmp_path / "rec", two, columns=("c", "x"))


def test_a_channel_alone_is_taken_only_where_its_kind_is_known(tmp_path):
    recording.save(ecg("mV", modality="any"), tmp_path / "rec")
    with pytest.raises(SourceError, match="say which they are, as columns=a"):
        replay(tmp_path / "rec", ECG)


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        (ecg("a.u.", modality="ppg"), "is PPG, the bundle takes ECG: name another recording"),
        (ecg("g"), "g is a acceleration, mV a voltage"),
        (ecg("furlong"), "'furlong' is no unit that is known"),
        (ecg("mV", rate=250.017), "cannot be brought to the sensor's 125 Hz"),
    ],
)
def test_what_cannot_be_brought_is_refused(tmp_path, taken, says):
    recording.save(taken, tmp_path / "rec")
    with pytest.raises(SignalError, match=says):
        replay(tmp_path / "rec", ECG)


def test_whoever_scales_a_channel_knows_its_unit(tmp_path):
    taken = ecg("furlong", rate=125.0)
    recording.save(taken, tmp_path / "rec")
    source = replay(tmp_path / "rec", replace(ECG, scaled=("II",)), speed=MAX)
    assert read(source).tobytes() == taken.samples.tobytes()


def test_a_unit_that_nobody_states_is_said(tmp_path):
    recording.save(ecg("a.u."), tmp_path / "rec")
    assert "a, which states no unit, taken to be in mV" in replay(tmp_path / "rec", ECG).name


def test_of_a_session_the_stream_that_fits_is_taken(tmp_path):
    recording.save(ecg("a.u.", modality="ppg"), tmp_path / "s" / "wrist")
    recording.save(ecg("mV"), tmp_path / "s" / "chest")
    recording.save(ecg("bpm", names=("II",), modality="reference"), tmp_path / "s" / "labels")
    assert "a taken as II" in replay(tmp_path / "s", ECG).name
    recording.save(ecg("mV", rate=125.0), tmp_path / "s" / "back")
    assert replay(tmp_path / "s", ECG).name == "replay of anna (a taken as II)"  # at its rate
    recording.save(ecg("mV", rate=125.0), tmp_path / "s" / "belly")
    with pytest.raises(SourceError, match=r"more than one fits .*back \(ECG a at 125 Hz\)"):
        replay(tmp_path / "s", ECG)
    assert "250 Hz" in replay(tmp_path / "s", ECG, stream="chest").name
    with pytest.raises(SignalError, match="is PPG"):
        replay(tmp_path / "s", ECG, stream="wrist")
    recording.save(ecg("a.u.", names=("II",), modality="ppg"), tmp_path / "t" / "wrist")
    recording.save(ecg("a.u.", modality="eeg"), tmp_path / "t" / "head")
    with pytest.raises(SignalError, match="is PPG"):
        replay(tmp_path / "t", ECG)
    with pytest.raises(SourceError, match="has no stream 'neck': it has back"):
        replay(tmp_path / "s", ECG, stream="neck")


def test_what_was_recorded_as_it_came_keeps_its_events_where_it_fits(tmp_path):
    log(tmp_path / "s", ecg("mV", names=("II",), rate=125.0))
    assert isinstance(replay(tmp_path / "s", ECG), LogReplay)
    assert isinstance(replay(tmp_path / "s", replace(ECG, units=("a.u.",))), LogReplay)
    brought = replay(tmp_path / "s", replace(ECG, rate=64.0), speed=MAX)
    assert "125 Hz brought to 64 Hz" in brought.name
    goal = worn.as_worn(
        recording.load(tmp_path / "s"), ("II",), (Channel("II", "mV"),), 64.0, "ecg"
    )
    assert read(brought).tobytes() == goal.samples.tobytes()
    with pytest.raises(SourceError, match=r"take means nothing to .*has to be brought"):
        replay(tmp_path / "s", replace(ECG, rate=64.0), take=1)


def test_the_command_says_in_one_line_what_it_brings(tmp_path, monkeypatch, capsys):
    make_bundle(tmp_path / "b")
    taken = recorded(pulse(1, 125 * 40, 125.0), rate=125.0)
    recording.save(replace(taken, channels=(Channel("PLETH"), )), tmp_path / "rec")  # fmt: skip
    two = np.vstack([taken.samples, taken.samples])
    channels = (Channel("PLETH"), Channel("other"))
    recording.save(replace(taken, samples=two, channels=channels), tmp_path / "two")
    monkeypatch.chdir(tmp_path)

    def run(source):
        words = ["bioxedge", "run", "b", "--source", source, "--speed", "max", "--json"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, [json.loads(line) for line in out.splitlines()], err

    code, lines, err = run("replay:rec")
    assert code == 0
    assert "from replay of p1 (125 Hz brought to 64 Hz, PLETH taken as ppg_2);" in err
    code, same, _ = run("replay:two,columns=PLETH")
    assert code == 0
    kept = [one["probabilities"] for one in lines if one["kind"] == "prediction"]
    assert kept and kept == [one["probabilities"] for one in same if one["kind"] == "prediction"]
    code, _, err = run("replay:two")
    assert code != 0
    assert err.splitlines()[-1].startswith("error: two has PLETH, other and not what the bundle")


def test_a_stream_over_it_predicts(tmp_path):
    made = make_bundle(tmp_path / "b")
    bundle = made if isinstance(made, Bundle) else Bundle.open(tmp_path / "b")
    taken = recorded(pulse(1, 128 * 40, 128.0), rate=128.0)
    recording.save(taken, tmp_path / "rec")
    stream = Stream(bundle)
    with replay(tmp_path / "rec", Wanted.of(bundle.manifest), speed=MAX) as source:
        assert sum(len(stream.push(chunk)) for chunk in iter(source.read, None)) > 0
