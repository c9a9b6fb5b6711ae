"""Every fault alone, through a reader that is told nothing, to the end of the run loop."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
import pytest
from fixtures_all import some
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps

from bioxedge import SourceError, spec
from bioxedge.quality.measures import measure
from bioxedge.runtime import ReplaySource, Stream, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.faults import KINDS, Fault, FaultSource, draw, parse
from bioxedge.runtime.hostclock import SYSTEM
from bioxedge.runtime.soak import BusyClock, Recorder
from bioxedge.runtime.soak.examine import digest
from bioxedge.runtime.sources.counters import pattern
from bioxedge.runtime.supervise import Supervised
from bioxedge.windows import as_chunk

RATE = 64
MAX = float("inf")


class Keep:
    """A sink that keeps everything."""

    name = "kept"

    def __init__(self):
        self.predictions, self.events = [], []

    def open(self, run):
        pass

    def emit(self, record):
        (self.events if isinstance(record, Event) else self.predictions).append(record)

    def close(self):
        pass

    def told(self, kind):
        return [event for event in self.events if event.kind == kind]


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("faults") / "b", hop=32, length=128)


def expected_of(raw, rate, window):
    """What training saw of each channel of a recording."""
    found = [[] for _ in raw]
    for begin in range(0, raw.shape[1] - window, window):
        for seen, figures in zip(found, measure(raw[:, begin : begin + window], rate), strict=True):
            seen.append(figures)
    for row, seen in enumerate(found):
        quantiles = {
            name: spec.Quantiles(**dict(zip(
                ("least", "low", "middle", "high", "most"),
                np.quantile([one[name] for one in seen], (0, 0.01, 0.5, 0.99, 1)).tolist(),
                strict=True,
            )))
            for name in seen[0]
        }  # fmt: skip
        yield row, len(seen), quantiles


def judged_bundle(path, channels=("ppg_2",), rate=64.0, **parts):
    """A bundle that knows what its signal looks like."""
    length = parts.setdefault("length", 128)
    raw = pulse(len(channels), round(180 * rate), rate, 9)
    expect = [
        spec.Expect(
            channel=channels[row], samples=length, windows=count, people=1, measures=quantiles
        )
        for row, count, quantiles in expected_of(raw, rate, length)
    ]
    quality = spec.QualitySpec()
    return make_bundle(path, channels=channels, rate=rate, expect=expect, quality=quality, **parts)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judged_bundle(tmp_path_factory.mktemp("faults") / "judged", hop=32)


def worn(seconds=90):
    return recorded(pulse(1, RATE * seconds, float(RATE), 3))


class Ran:
    """One run of a recording under faults."""

    def __init__(self, bundle, faults, *, recording=None, seed=0, board="cyton", told=True):
        self.recording = worn() if recording is None else recording
        self.clock = BusyClock(
            seed
        )  # polls as they come on a busy host: often none, then many rows
        plan = parse(faults) if isinstance(faults, str) else faults
        self.board = FaultSource(
            ReplaySource(self.recording, speed=MAX, clock=self.clock),
            plan,
            seed=seed,
            clock=self.clock,
            pattern=pattern(*(f"{board}/default".split("/")[:2])),
            told=told,
        )
        self.sink = Keep()
        digests = deque()
        stream = Stream(bundle, engine=Recorder(bundle, digests, "every"), clock=self.clock)
        source = Supervised(self.board, clock=self.clock, seed=0)
        self.tally = loop.run(source, stream, [self.sink], clock=self.clock)
        self.windows = [
            (said.t_start, digests.popleft() if said.probabilities else None, said.gap)
            for said in self.sink.predictions
        ]
        assert not digests

    def kinds(self):
        return Counter(event.kind for event in self.sink.events)


def wanted(bundle, recording, *gaps):
    """The windows of a recording that lacks the gaps."""
    chunk = as_chunk(with_gaps(recording, *gaps), bundle.manifest.input)
    cut = bundle.windows().push(chunk)
    return [(float(one.start) / RATE, digest(one.samples), one.filled) for one in cut]


def removed(ran):
    return [(mark.first, mark.end) for mark in ran.board.marks if mark.harm == "removed"]


@pytest.mark.parametrize("board", ["cyton", "ganglion", "muse_2/ancillary", "cyton_daisy", "galea"])
@pytest.mark.parametrize("rows", some([1, 64, 300, 1000]))
def test_lost_rows_are_counted_for_every_number_and_every_counter(tested, board, rows):
    ran = Ran(tested, f"loss:{rows}@30s", board=board)
    (gap,) = removed(ran)
    assert rows <= gap[1] - gap[0] < rows + 6
    assert [event.facts["samples"] for event in ran.sink.told("gap")] == [gap[1] - gap[0]]
    assert ran.tally.loss == gap[1] - gap[0]
    assert ran.windows == wanted(tested, ran.recording, gap)


def test_silence_of_many_empty_polls_is_counted_to_the_row(tested):
    ran = Ran(tested, "silence:20s@30s")
    (gap,) = removed(ran)
    assert gap[1] - gap[0] == 20 * RATE
    assert [event.facts["samples"] for event in ran.sink.told("gap")] == [20 * RATE]
    assert ran.windows == wanted(tested, ran.recording, gap)


@pytest.mark.parametrize(
    "fault", ["stall:3s@30s", "stall:15s@30s", "pause:3s@30s", "pause:15s@30s"]
)
def test_what_only_comes_late_is_not_lost(tested, fault):
    ran = Ran(tested, fault)
    assert ran.tally.loss == 0 and not ran.kinds()
    assert ran.windows == wanted(tested, ran.recording)
    assert max(said.age for said in ran.sink.predictions) > 2.5  # and it is said that it is old


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("duplicate@30s", "duplicate"),
        ("swap@30s", "swap"),
        ("clock:-3600s@30s", "clock_step"),
        ("clock:3456000s@30s", "clock_step"),
    ],
)
def test_what_harms_no_sample_is_told_and_moves_no_window(tested, fault, kind):
    ran = Ran(tested, fault)
    assert ran.kinds() == {kind: 1} and ran.tally.loss == 0
    assert ran.windows == wanted(tested, ran.recording)


def test_times_are_right_after_the_clock_was_set(tested):
    ran = Ran(tested, "clock:-3600s@30s")
    began = ran.clock.time() - (ran.clock.monotonic_ns() / 1e9 - 1)  # its clock begins at 1 s
    ends = [said.t0 + said.t_end for said in ran.sink.predictions if said.t_end > 31]
    true = [began + said.t_end for said in ran.sink.predictions if said.t_end > 31]
    np.testing.assert_allclose(ends, true, atol=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_a_row_with_a_garbage_counter_counts_as_missing(tested, seed):
    ran = Ran(tested, "garble@30s,loss:40@60s", seed=seed)
    assert ran.kinds()["garbled"] == 1
    assert ran.tally.loss == 1 + 40  # and a loss afterwards is still found
    assert ran.windows == wanted(tested, ran.recording, *removed(ran))


def test_a_board_that_goes_is_started_again_and_the_hole_is_told(tested):
    ran = Ran(tested, "disconnect:20s@30s", recording=worn(60))
    assert ran.kinds()["reconnect"] == 1 and ran.kinds()["stall"] >= 1
    (event,) = ran.sink.told("reconnect")
    assert 20 < event.facts["seconds"] < 60
    # A replay begins again; what was worn before and after is cut as two recordings.
    first, second = ran.board.sessions
    before = wanted(tested, ran.recording, (first.end, ran.recording.samples.shape[1]))
    assert ran.windows[: len(before)] == before
    again = [one for _, one, _ in wanted(tested, ran.recording)]
    assert [one for _, one, _ in ran.windows[len(before) :]] == again
    assert second.origin == 0


def test_a_sensor_that_is_slow_is_said_to_be(tested):
    ran = Ran(tested, "rate:-2.5%@0s", recording=worn(600))
    assert ran.kinds() == {"rate": 1}
    assert ran.tally.rate == pytest.approx(RATE * 0.975, rel=2e-3)
    assert ran.windows == wanted(tested, ran.recording)


@pytest.mark.parametrize("fault", ["nan:0.1s@30s", "nan:3s/0@30s"])
def test_values_that_are_none_are_missing(tested, fault):
    ran = Ran(tested, fault)
    assert ran.kinds()["missing"] and ran.tally.loss == 0  # nothing was lost on the way
    assert "ppg_2" in ran.sink.told("missing")[0].message
    assert ran.windows == wanted(tested, ran.recording, *removed(ran))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("rail:10s@30s", "flat"),  # railed at its ends, and a constant in between
        ("flat:10s@30s", "flat"),
        ("contact:10s@30s", "noise"),
        ("unit:1000:10s@30s", "amplitude"),
        ("unit:0.001:10s@30s", "flat"),
    ],
)
def test_a_spoiled_channel_gets_no_label_and_is_named(judged, fault, reason):
    ran = Ran(judged, fault)
    (mark,) = ran.board.marks
    begin, end = mark.first / RATE, mark.end / RATE
    inside = [s for s in ran.sink.predictions if s.t_start >= begin and s.t_end <= end]
    assert len(inside) > 10 and all(said.label is None for said in inside)
    assert all(said.reason.startswith("ppg_2 is ") for said in inside)
    named = Counter(said.quality.signal.channels[0].fault for said in inside)
    assert named.most_common(1)[0][0] == reason
    clear = [s for s in ran.sink.predictions if s.t_end <= begin or s.t_start >= end + 10]
    assert clear and all(said.label for said in clear)


def test_a_counter_that_nobody_knows_is_learnt(tested):
    ran = Ran(tested, "loss:40@60s", told=False)
    assert ran.tally.loss == 40 and ran.kinds()["counter"] >= 1
    assert ran.windows == wanted(tested, ran.recording, *removed(ran))


def test_where_nothing_can_tell_nothing_is_claimed(tested):
    ran = Ran(tested, "loss:2@30s", board="brainbit")
    assert ran.tally.loss is None
    assert all(said.loss is None for said in ran.sink.predictions)


def test_a_hole_without_a_counter_is_found_by_time(tested):
    ran = Ran(tested, "loss:192@30s", board="brainbit")
    (gap,) = ran.sink.told("gap")
    assert gap.facts["samples"] == pytest.approx(192, abs=RATE / 4)
    assert ran.kinds()["restart"] == 1


def test_a_run_under_faults_is_the_same_every_time(tested):
    plan = draw(40, 80, channels=1, seed=5, quiet=5, kinds=[k for k in KINDS if k != "disconnect"])
    one, two = Ran(tested, plan, seed=5), Ran(tested, plan, seed=5)
    assert one.windows == two.windows and one.sink.events == two.sink.events
    assert one.board.marks and one.board.applied == two.board.applied
    other = Ran(tested, plan, seed=6)
    assert [m.first for m in other.board.marks] != [m.first for m in one.board.marks]


def test_plans_are_the_same_for_the_same_seed_and_hold_every_kind():
    one = draw(150, 3600, channels=2, seed=3)
    assert one == draw(150, 3600, channels=2, seed=3) != draw(150, 3600, channels=2, seed=4)
    assert {fault.kind for fault in one} == set(KINDS)
    assert min(Counter(fault.kind for fault in one).values()) >= 8
    assert [fault.at for fault in one] == sorted(fault.at for fault in one)
    assert {fault.channel for fault in one if fault.spoils} == {None, 0, 1}


def test_faults_are_read_from_text():
    assert parse("loss:64@120s, stall:5s,rate:-2%:600s@0,unit:1000x:30s/1@7s,clock:-3600s@8s") == [
        Fault("rate", 0, -2, 600),
        Fault("unit", 7, 1000, 30, 1),
        Fault("clock", 8, -3600),
        Fault("loss", 120, 64),
        Fault("stall", 180, seconds=5),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lost:3@1s", "there is no fault 'lost'"),
        ("loss;3", "is no fault: write"),
        ("loss:0@1s", "must be 1 or more"),
        ("rate:80%@1s", "less than 50 %"),
        ("loss:1.2.3@1s", "is no number"),
    ],
)
def test_what_is_no_fault_is_one_line(text, says):
    with pytest.raises(SourceError, match=says):
        parse(text)


def test_the_hosts_own_clock_is_not_set(tested):
    with pytest.raises(SourceError, match="SimulatedClock"):
        FaultSource(ReplaySource(worn()), parse("clock:5s@1s"), clock=SYSTEM)
    with pytest.raises(SourceError, match="channel 3"):
        FaultSource(ReplaySource(worn()), parse("rail:5s/3@1s"), clock=SYSTEM)


def test_a_live_source_goes_through_in_real_time(tested):
    recording = worn(2)
    with FaultSource(ReplaySource(recording, speed=1.0), parse("loss:5@0.8s")) as source:
        chunks = []
        while (chunk := source.read()) is not None:
            if chunk.samples.shape[1]:
                chunks.append(chunk)
            SYSTEM.sleep(0.002)
    missing = recording.samples.shape[1] - sum(chunk.samples.shape[1] for chunk in chunks)
    assert missing == 5 == source.loss
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.samples, recording.samples[:, chunk.first : chunk.end])
