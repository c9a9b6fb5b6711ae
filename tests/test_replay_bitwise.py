"""What was recorded beside a run gives the same windows, gaps and events again, bit by bit.

``benchmarks/record.py --hour`` does the same over an hour.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from cyton import Cyton
from fixtures_all import some
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import FieldClock, Script, ScriptedSource

from bioxedge import SourceError, Stream
from bioxedge.runtime import ReplaySource, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.faults import FaultSource, draw, parse
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.soak import BusyClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.counters import pattern
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.runtime.supervise import Supervised
from bioxedge.signals import Chunk

MAX = float("inf")
# Of the moment at which something is computed, not of what is computed.
_OF_THE_RUN = ("due", "latency", "age", "written")


class Lines:
    """A sink that keeps what comes, in order, as it would be written."""

    name = "kept"

    def __init__(self):
        self.lines = []

    def open(self, run):
        pass

    def emit(self, record):
        said = record.to_dict()
        if not isinstance(record, Event):
            said = {key: value for key, value in said.items() if key not in _OF_THE_RUN}
        self.lines.append(json.dumps(said))  # the shortest digits that give the same bits

    def close(self):
        pass

    def of(self, kind):
        found = [json.loads(line) for line in self.lines]
        return [one for one in found if one.get("event") == kind]


def run(bundle, source, clock, **options):
    sink = Lines()
    tally = loop.run(source, Stream(bundle, clock=clock), [sink], clock=clock, **options)
    return sink, tally


def hold(bundle, folder, live, tally, **options):
    """Replay and compare, line by line, and the whole account."""
    clock = FieldClock()
    again, told = run(bundle, LogReplay(folder, speed=MAX, clock=clock, **options), clock)
    assert again.lines == live.lines
    kept = ("windows", "samples", "loss", "gaps", "labels", "events", "left_out")
    for name in kept:
        assert told.to_dict()[name] == tally.to_dict()[name], name


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "b", hop=32, length=128)


def failing(seconds, faults, *, seed=0, rate=64.0, channels=1, board="cyton"):
    """A board that fails and is started again, on a host that is busy; and its clock."""
    clock = BusyClock(seed)
    worn = recorded(pulse(channels, round(seconds * rate), rate, seed), rate=rate)
    plan = parse(faults) if isinstance(faults, str) else faults
    board = FaultSource(
        ReplaySource(worn, speed=MAX, clock=clock),
        plan,
        seed=seed,
        clock=clock,
        pattern=pattern(board, "default"),
    )
    return Supervised(board, clock=clock, seed=0), clock


def test_losses_stalls_clock_steps_and_disconnects_come_again(tested, tmp_path):
    faults = (
        "loss:100@20s,stall:3s@40s,clock:86400s@60s,swap@70s,duplicate@75s,garble@80s,"
        "disconnect:4s@90s,nan:2s@110s,clock:-3600s@120s,rate:-2%:30s@130s,silence:5s@170s"
    )
    source, clock = failing(200, faults)
    live, tally = run(tested, Recorded(source, tmp_path / "s", clock=clock), clock)
    assert len(live.of("clock_step")) == 2 and live.of("reconnect") and live.of("stall")
    assert live.of("gap") and live.of("restart") and tally.loss > 100
    hold(tested, tmp_path / "s", live, tally)


@pytest.mark.parametrize("seed", some(range(4)))
def test_faults_of_every_kind_come_again(tested, tmp_path, seed):
    faults = draw(12, 300, channels=1, seed=seed, quiet=10, rate=64)
    source, clock = failing(300, faults, seed=seed)
    live, tally = run(tested, Recorded(source, tmp_path / "s", clock=clock), clock)
    assert len(live.lines) > 100
    hold(tested, tmp_path / "s", live, tally)


def test_recording_changes_nothing_of_a_run(tested, tmp_path):
    faults = "loss:100@20s,clock:86400s@30s,disconnect:4s@40s"
    source, clock = failing(60, faults)
    plain, _ = run(tested, source, clock)
    source, clock = failing(60, faults)
    beside, _ = run(tested, Recorded(source, tmp_path / "s", clock=clock), clock)
    assert beside.lines == plain.lines


def test_a_scripted_board_comes_again(tmp_path):
    channels = ("ecg_1", "ecg_2")
    bundle = make_bundle(
        tmp_path / "b", modality="ecg", channels=channels, rate=250.0, stages=(), length=250, hop=50
    )
    index = np.delete(np.arange(250 * 60), np.r_[3000:3100, 5000:5001, 9000:9300])
    at = (index + 1) / 250 + 0.01
    at[(at > 45) & (at < 48)] = 48.0  # nothing comes, then all at once
    shape = {1: np.sin(index / 9.0), 2: np.cos(index / 11.0)}
    clock = FieldClock(polls=(0.004, 0.05, 0.011), steps=[(20, 3600.0), (50, -7.25)])
    source = ScriptedSource(
        Script(index, index % 256.0, at, shapes=shape), board="cyton", channels=channels,
        clock=clock,
    )  # fmt: skip
    live, tally = run(bundle, Recorded(source, tmp_path / "s", clock=clock), clock)
    assert [one["samples"] for one in live.of("gap")] == [100, 1, 300] and tally.loss == 401
    assert [round(one["seconds"], 2) for one in live.of("clock_step")] == [3600, -7.25]
    hold(bundle, tmp_path / "s", live, tally)


def test_boards_in_a_pair_come_again_each_by_what_the_bundle_takes(tested, tmp_path):
    session = tmp_path / "anna"
    source, clock = failing(90, "loss:64@20s,clock:60s@40s")
    wrist, of_wrist = run(tested, Recorded(source, session, person="a", clock=clock), clock)
    ecg = make_bundle(
        tmp_path / "ecg", modality="ecg", channels=("ppg_2", "ppg_1"), rate=250.0, stages=(),
        length=250, hop=125,
    )  # fmt: skip
    source, clock = failing(90, "disconnect:5s@30s", rate=250.0, channels=2)
    strap, of_strap = run(
        ecg, Recorded(source, session, role="target", person="a", clock=clock), clock
    )
    hold(tested, session, wrist, of_wrist, channels=("ppg_2",), rate=64.0)
    hold(ecg, session, strap, of_strap, channels=("ppg_2", "ppg_1"), rate=250.0)
    hold(ecg, session, strap, of_strap, stream="target")
    with pytest.raises(
        SourceError, match=r"none fits: source \(ppg_2 at 64 Hz\); target \(.*\); s"
    ):
        LogReplay(session, channels=("Fp1",), rate=256.0)
    with pytest.raises(SourceError, match=r"more than one fits.*say which, as stream=source"):
        LogReplay(session, channels=("ppg_2",))


class Cut(Managed):
    """A source of these samples in these pieces; some are told of, some are lost."""

    name, channels, rate, waits = "cut", ("ppg_2",), 64.0, True

    def __init__(self, samples, pieces):
        self.samples, self.pieces, self.loss = samples, pieces, 0

    def start(self):
        self.left, self.at, self.events, self.loss = list(self.pieces), 0, [], 0

    def read(self):
        if not self.left or self.at >= self.samples.shape[1]:
            return None
        many, what = self.left.pop(0)
        if what == "lost":
            self.at, self.loss = self.at + many, self.loss + many
            self.events.append(Event("gap", "lost", self.at / 64, {"samples": many}))
        first = self.at
        self.at += 0 if what == "lost" else many
        return Chunk(
            self.samples[:, first : self.at],
            first,
            64.0,
            1.7e9 + first * 1e-6,
            1000 + first,
            first and 900 + first,
            float("nan") if first < 500 else 64.0 + first * 1e-5,
            what != "blind",
        )

    def take_events(self):
        events, self.events = self.events, []
        return events


PIECES = st.lists(
    st.tuples(st.integers(0, 90), st.sampled_from(["real", "real", "lost", "blind"])),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES)
def test_any_reads_come_again_exactly(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("cut")
    samples = with_gaps(recorded(pulse(1, 4000, 64.0, 5)), (700, 703), (1500, 1600)).samples
    source, clock = Cut(samples, [(200, "real"), *pieces]), FieldClock()
    given_, again = [], []
    for one, kept in ((Recorded(source, folder, clock=clock), given_), (None, again)):
        reading = LogReplay(folder, speed=MAX, clock=clock) if one is None else one
        with reading:
            while (chunk := reading.read()) is not None:
                events = [event.to_dict() for event in reading.take_events()]
                if chunk.samples.shape[1] or events:
                    kept.append((chunk, events, reading.loss))
    assert len(again) == len(given_)
    for (one, told, loss), (two, said, lost) in zip(given_, again, strict=True):
        assert one.samples.tobytes() == two.samples.tobytes() and told == said and loss == lost
        assert (one.first, one.rate, one.t0, one.loss_known) == (
            two.first, two.rate, two.t0, two.loss_known,
        )  # fmt: skip
        assert repr(one.real_rate) == repr(two.real_rate)
        assert bool(one.acquired) == bool(two.acquired)


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_a_replay_takes_its_time(tested, tmp_path, speed):
    source, clock = failing(40, "stall:3s@20s")
    live, _ = run(tested, Recorded(source, tmp_path / "s", clock=clock), clock)
    clock = FieldClock()
    began = clock.seconds
    ages, sink = [], Lines()
    sink.signal = lambda chunk: ages.append(chunk.arrived - chunk.acquired)
    replay = LogReplay(tmp_path / "s", speed=speed, clock=clock)
    loop.run(replay, Stream(tested, clock=clock), [sink], clock=clock)
    assert clock.seconds - began == pytest.approx(40 / speed, abs=1)
    assert sink.lines == live.lines
    assert min(ages) > 0 and max(ages) / 1e9 < 0.5 / speed + 0.1  # moved to now, not to then


def test_the_command_line_records_a_board_and_replays_it(tmp_path):
    """Through BrainFlow's own driver, with losses on the air."""
    pytest.importorskip("brainflow", reason="it comes with pip install 'bioxedge[brainflow]'")
    channels = ("ecg_1", "ecg_8")
    bundle = make_bundle(
        tmp_path / "b", modality="ecg", channels=channels, rate=250.0, stages=(), length=100, hop=25
    )
    with Cyton(tmp_path / "tty", lost={*range(200, 240), 300, *range(400, 700)}) as board:
        live = command(
            bundle, tmp_path, "live", f"brainflow:cyton,serial_port={board.port}",
            "--record", str(tmp_path / "anna"), "--person", "anna",
        )  # fmt: skip
    again = command(bundle, tmp_path, "again", f"replay:{tmp_path / 'anna'}", "--speed", "max")
    assert again == live
    kinds = [one.get("event") for one in map(json.loads, live)]
    assert kinds.count("gap") == 3 and kinds.count(None) > 20


def command(bundle, folder, name, source, *options):
    """Run four seconds of signal from the command line; its lines, but for when they came."""
    out = folder / f"{name}.jsonl"
    words = ["run", str(bundle.path), "--source", source, "--sink", f"jsonl:{out}", *options]
    done = subprocess.run(
        [sys.executable, "-m", "bioxedge", *words, "--seconds", "4.4"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    lines = [one for one in lines if one["kind"] != "run"]
    return [json.dumps({k: v for k, v in one.items() if k not in _OF_THE_RUN}) for one in lines]
