"""No hardware at hand: a simulated wearer, live, as a board would send it."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest
from fixtures_bundle import make_bundle
from test_runtime_stream import Keep

from bioxedge import SourceError, Stream, cli
from bioxedge.datasets.simulated import wearers
from bioxedge.runtime import faults, loop
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources.synthetic import simulated
from bioxedge.runtime.supervise import Supervised
from bioxedge.simulated.endless import PIECE, Endless


def everything(source, clock, seconds):
    """Read a source for so many seconds; samples on the index line, NaN where none came."""
    values = np.full(round(seconds * source.rate), np.nan)
    with source:
        while True:
            chunk = source.read()
            if chunk is None or chunk.first >= len(values):
                return values
            part = chunk.samples[0][: len(values) - chunk.first]
            values[chunk.first : chunk.first + len(part)] = part
            if not chunk.samples.shape[1]:
                clock.sleep(0.05)


def test_the_data_set_is_the_same_to_the_bit_since_it_was_published():
    found = hashlib.sha256()
    for pair in wearers(count=2, seed=5, minutes=4, ecg_rate=100, ppg_rate=64):
        for one in (pair.source, pair.target, pair.reference):
            found.update(np.round(one.samples, 6).tobytes())
    assert found.hexdigest()[:16] == "66505b74a651b141"


@pytest.mark.parametrize("modality", ["ppg", "ecg"])
def test_pieces_join_without_a_jump(modality):
    made = Endless(modality, 64.0, person=3, seed=1)
    pieces = [made.piece(k) for k in range(4)]
    assert all(len(piece) == made.length == round(PIECE * 64) for piece in pieces)
    steps = np.abs(np.diff(np.concatenate(pieces)))
    usual = np.nanquantile(steps, 0.999)
    for joint in (1, 2, 3):
        at = joint * made.length
        assert np.nanmax(steps[at - 3 : at + 3]) <= usual
    # another life in each piece, of the same person
    assert not np.array_equal(pieces[1], pieces[2], equal_nan=True)
    np.testing.assert_array_equal(made.piece(2), Endless(modality, 64.0, person=3, seed=1).piece(2))
    levels = [np.nanmedian(piece) for piece in pieces]
    assert max(levels) - min(levels) < 0.05 * (np.nanmax(pieces[0]) - np.nanmin(pieces[0]))


def test_what_comes_is_the_wearers_and_what_the_wearers_sensor_loses_is_found():
    clock = SimulatedClock()
    source = simulated("ppg", person=2, clock=clock, seconds=600)
    got = everything(source, clock, 600)
    made = Endless("ppg", 64.0, person=2)
    true = np.concatenate([made.piece(k) for k in range(3)])[: len(got)]
    assert np.isnan(true).any()
    assert source.loss == np.isnan(true).sum()
    np.testing.assert_array_equal(got, true)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b")  # ppg_2 at 64 Hz


def test_faults_are_found_as_on_a_board(tested):
    clock, sink = SimulatedClock(), Keep()
    source = faults.wrap(
        simulated("ppg", clock=clock, seconds=120), "loss:100@30s,stall:3s@50s,disconnect:5s@80s"
    )
    source = Supervised(source, clock=clock, seed=0)
    tally = loop.run(source, Stream(tested, clock=clock), [sink], clock=clock)
    gaps = [e.facts["samples"] for e in sink.events if e.kind == "gap"]
    assert 100 in gaps
    kinds = {event.kind for event in sink.events}
    assert {"gap", "restart", "stall", "reconnect"} <= kinds
    assert tally.loss >= 100 + 5 * 64 and len(sink.predictions) > 50


def test_from_the_command_line(call, tested, tmp_path):
    out = tmp_path / "out.jsonl"
    code, said, err = call(
        "run", str(tested.path), "--source", "synthetic:ppg,person=2,minutes=0.13",
        "--sink", f"jsonl:{out}", "--faults", "loss:6@1s",
    )  # fmt: skip
    assert code == 0, err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0]["sensor"] == "simulated/ppg"
    (gap,) = [line for line in lines if line.get("event") == "gap"]
    assert gap["samples"] == 6
    assert lines[-1]["kind"] == "prediction" and "simulated wearer of ppg (person 2)" in said


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("synthetic:emg", (), "a simulated emg where ppg is wanted: write synthetic:ppg"),
        ("synthetic:ecg", (), "a simulated ecg where ppg is wanted"),
        ("synthetic:ppg,person=0", (), "takes a whole number from 1 on as person, got '0'"),
        ("synthetic:ppg,person=2.5", (), "takes a whole number from 1 on as person, got '2.5'"),
        ("synthetic:ppg,seed=1e300", (), "takes a whole number from 0 on as seed, got '1e300'"),
        ("synthetic:ppg,speed=2", (), "speed means nothing to a synthetic source"),
        ("synthetic:ppg", ("--faults", "clock:5s"), "would set this machine's clock"),
        ("synthetic:ppg", ("--faults", "bang"), "there is no fault 'bang'"),
        ("synthetic:ppg", ("--faults", ""), "says nothing: write one"),
        ("synthetic:ppg", ("--faults", "flat:5s/3@1s"), "a fault on channel 3"),
    ],
)
def test_a_mistake_is_one_line(call, tested, source, options, says):
    code, out, err = call("run", str(tested.path), "--source", source, *options)
    assert code == 2 and says in err and len(err.splitlines()) == 1 and not out


def test_a_unit_that_an_ecg_has_not_is_refused():
    with pytest.raises(SourceError, match="simulated in mV, uV, V, not in 'mmHg'"):
        simulated("ecg", unit="mmHg")
    with pytest.raises(SourceError, match="no 'eeg' can be simulated: there are ppg, ecg"):
        simulated("eeg")
    clock = SimulatedClock()
    millivolts = everything(simulated("ecg", clock=clock, seconds=5), clock, 5)
    microvolts = everything(simulated("ecg", unit="uV", clock=clock, seconds=5), clock, 5)
    np.testing.assert_allclose(microvolts, millivolts * 1000)
