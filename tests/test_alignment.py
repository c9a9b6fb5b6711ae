"""Pairs that were recorded stay aligned, whatever the sensors' real rates and the host's clock."""

from __future__ import annotations

import math
from typing import get_args

import msgspec
import numpy as np
import pytest
from fixtures_all import ALL
from fixtures_sessions import pairs_in, windowed

from bioxedge.datasets import folder
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.choosing import choose
from bioxedge.errors import DatasetError
from bioxedge.recipes import Data, Model, Recipe, Sensor, Side, Task
from bioxedge.recording import save
from bioxedge.runtime.faults import Fault
from bioxedge.runtime.faults.source import FaultSource
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Channel, Chunk, Recording
from bioxedge.spec import Fault as Fault_

HOUR = 3600.0


class Ticks(Managed):
    """A sensor whose samples say which they are."""

    channels, name, loss = ("tick",), "ticks", 0

    def __init__(self, rate):
        self.rate, self._next = rate, 0

    def read(self):
        count = 4096
        first, self._next = self._next, self._next + count
        return Chunk(np.arange(first, first + count, dtype=float)[None], first, self.rate)


def record(session, role, rate, percent, faults=(), *, seconds=HOUR, wait=0.0, person="anna"):
    """Record a sensor that is off by so much, on simulated clocks; give when it took a tick."""
    clock = SimulatedClock()
    clock.sleep(wait)
    faulty = FaultSource(Ticks(rate), [Fault("rate", 0.0, percent), *faults], clock=clock)
    source = Recorded(faulty, session, role=role, modality=role, person=person, clock=clock)
    begin = clock.monotonic_ns() / 1e9
    with source:
        while clock.monotonic_ns() / 1e9 - begin < seconds:
            if not source.read().samples.shape[1]:
                clock.sleep(0.25)
            source.take_events()
    return lambda tick: begin + (tick + 1) / (rate * (1 + percent / 100))


def side(role, rate):
    sensor = Sensor(modality=role, column="tick", channel="tick", unit="a.u.", rate=rate)
    return Side(
        sensor=sensor, model=Model(name="papagei"), length=round(10 * rate), hop=round(5 * rate)
    )


RECIPE = Recipe(
    name="aligned",
    data=Data(dataset="folder", folder="x"),
    task=Task(channel="class", labels=("rest", "stress"), rule="classes"),
    source=side("source", 64.0),
    target=side("target", 250.0),
    quality={"off": list(get_args(Fault_))},  # ticks are no signal
)


def errors(recordings, source_taken, target_taken):
    """By how many milliseconds the windows of each pair lie apart, and when they were."""
    found = windowed(pairs_in(recordings), RECIPE)
    begin = source_taken(found.source[:, 0, 0].astype(float))
    other = target_taken(found.target[:, 0, 0].astype(float))
    return begin, (other - begin) * 1e3, found


@pytest.mark.parametrize(
    ("faults", "say"),
    [
        ((), "two clean sensors"),
        (
            (
                Fault("loss", 900.0, 640),
                Fault("clock", 1200.0, 3600.0),
                Fault("stall", 1500.0, seconds=3.0),
                Fault("silence", 2000.0, seconds=30.0),
            ),
            "a loss, a step of the clock, a stall and a silence",
        ),
    ],
)
def test_two_sensors_that_drift_apart_stay_a_pair(tmp_path, faults, say):
    if not (faults or ALL):
        pytest.skip("what is held with faults is held without: BIOXEDGE_ALL=1 shows its figure")
    session = tmp_path / "recordings" / "anna-monday"
    source = record(session, "source", 64.0, 0.05, faults)
    clock = tuple(fault for fault in faults if fault.kind == "clock")
    target = record(session, "target", 250.0, -0.05, clock, wait=0.7)
    begin, off, found = errors(tmp_path / "recordings", source, target)
    assert len(off) > 650 and begin[-1] - begin[0] > 3500
    print(f"{say}: at the end {off[-1]:+.1f} ms, at most {np.abs(off).max():.1f} ms")
    assert np.abs(off).max() < 30
    # As nominal rates would have had it: 3.6 s apart after an hour.
    assert (found.source[-1, 0, 0] / 64 - found.target[-1, 0, 0] / 250) > 3
    pair = pairs_in(tmp_path / "recordings")[0]
    assert pair.source.facts["real_rate"] == pytest.approx(64 * 1.0005, rel=2e-5)
    assert pair.target.facts["real_rate"] == pytest.approx(250 * 0.9995, rel=2e-5)


def test_a_clock_that_is_set_between_two_starts_moves_no_window(tmp_path):
    session = tmp_path / "recordings" / "anna-monday"
    source = record(session, "source", 64.0, 0.0, seconds=120.0)
    early = (Fault("clock", 0.0, 500.0),)
    target = record(session, "target", 250.0, 0.0, early, seconds=120.0)
    _, off, _ = errors(tmp_path / "recordings", source, target)
    assert len(off) > 15 and np.abs(off).max() < 30


def test_recordings_that_do_not_say_are_taken_at_their_nominal_rate():
    quiet = Recording(np.zeros((1, 640)), 64.0, (Channel("x"),), "ppg", "anna", 5.0)
    other = Recording(np.zeros((1, 640)), 250.0, (Channel("x"),), "ecg", "anna", 6.0)
    times = np.array([5.0, 6.123456789, 9.0])
    assert Places(quiet).on(other, times) is times and Places(quiet).at(times) is times


def test_one_side_that_says_is_laid_on_the_unix_time_of_the_other():
    anchors = [[10.0 * k * 64, 1000.0 + 10.0 * k * 1.01, 50.0 + 10.1 * k] for k in range(40)]
    facts = {"anchors": anchors, "boot": "here", "real_rate": 64 / 1.01}
    slow = Recording(np.zeros((1, 25600)), 64.0, (Channel("x"),), "ppg", "anna", 1000.0, facts)
    other = Recording(np.zeros((1, 25600)), 64.0, (Channel("x"),), "ecg", "anna", 1000.0)
    times = 1000.0 + np.array([-20.0, 0.0, 100.0, 390.0, 500.0])
    moments = 1000.0 + (times - 1000.0) * 1.01
    assert np.allclose(Places(slow).on(other, times), moments, atol=1e-6)
    assert np.allclose(Places(other).on(slow, moments), times, atol=1e-6)


def test_what_was_recorded_of_a_fast_replay_is_taken_at_its_nominal_rate():
    facts = {"anchors": [[0, 100.0, 5.0], [6400, 100.4, 5.4]], "boot": "x", "real_rate": 64.0}
    one = Recording(np.zeros((1, 6400)), 64.0, (Channel("x"),), "ppg", "anna", 100.0, facts)
    times = np.array([100.0, 150.0])
    assert Places(one).at(times) is times and Places(one).on(one, times) is times


def test_an_anchor_that_is_late_is_not_believed():
    anchors = [[640.0 * k, 10.0 * k, 10.0 * k] for k in range(40)]
    anchors[20][1] += 4.0
    facts = {"anchors": anchors, "boot": "", "real_rate": 64.0}
    one = Recording(np.zeros((1, 25600)), 64.0, (Channel("x"),), "ppg", "anna", 0.0, facts)
    times = np.arange(0.0, 390.0, 7.0)
    assert np.allclose(Places(one).at(times), times, atol=1e-6)


def test_what_was_recorded_for_nobody_is_no_pair_yet(tmp_path):
    session = tmp_path / "recordings" / "monday"
    for role, rate in (("source", 64.0), ("target", 250.0)):
        record(session, role, rate, 0.0, seconds=5.0, person="")
    with pytest.raises(DatasetError, match=r'says no person: .*"person" .*stream\.json'):
        folder.sessions(tmp_path / "recordings")


def test_a_session_without_a_target_says_which_streams_it_has(tmp_path):
    session = tmp_path / "recordings" / "monday"
    for role in ("source", "chest"):
        record(session, role, 64.0, 0.0, seconds=5.0)
    found = msgspec.structs.replace(RECIPE, data=Data(folder="recordings"))
    with pytest.raises(DatasetError, match="chest holds tick and is CHEST, the recipe's target"):
        choose(found, tmp_path)


def test_a_recording_that_was_saved_again_keeps_its_anchors(tmp_path):
    session = tmp_path / "recordings" / "monday"
    taken = record(session, "source", 64.0, 0.05, seconds=300.0)
    other = record(session, "target", 250.0, -0.05, seconds=300.0)
    (pair,) = pairs_in(tmp_path / "recordings")
    save(pair.source, tmp_path / "again" / "monday" / "source")
    save(pair.target, tmp_path / "again" / "monday" / "target")
    _, first, _ = errors(tmp_path / "recordings", taken, other)
    _, second, _ = errors(tmp_path / "again", taken, other)
    assert first.tobytes() == second.tobytes() and math.isfinite(first[0])


def test_what_was_imported_with_stamps_lies_where_its_real_rate_says():
    # A Polar's PPG of 55 Hz came at 54.75: after an hour that is 16 s.
    facts = {"real_rate": 54.75}
    polar = Recording(np.zeros((1, 55 * 3600)), 55.0, (Channel("x"),), "ppg", "anna", 100.0, facts)
    other = Recording(np.zeros((1, 64 * 3600)), 64.0, (Channel("y"),), "ecg", "anna", 100.0)
    times = 100.0 + np.array([0.0, 1800.0, 3600.0])
    moments = 100.0 + (times - 100.0) * 55.0 / 54.75
    assert np.allclose(Places(polar).on(other, times), moments, atol=1e-6)
    assert np.allclose(Places(polar).at(times), moments, atol=1e-6)
    assert np.allclose(Places(other).on(polar, moments), times, atol=1e-6)
