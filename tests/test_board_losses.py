"""What happens to people's boards, at the end of the real read loop.

Every script is what a driver would push: rows with true samples, their counter and the moment at
which they came. What comes out is compared with the truth, never with a number that the runtime
was handed.
"""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_all import some
from fixtures_bundle import make_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import FieldClock, Script, ScriptedSource, drive, truth
from test_runtime_stream import Keep

from bioxedge import SourceError, Stream
from bioxedge.runtime import loop
from bioxedge.runtime.sources import boards

pytest.importorskip("brainflow")

POLLS = {
    "5 ms": (0.005,),
    "0.5 s": (0.5,),
    "irregular": (0.005, 0.3, 0.01, 0.7, 0.02),
    "first after 5 s": (5.0, *[0.02] * 10_000),
}
CYTON = 250.0


def without(total, *holes):
    """Indices of samples but for those in the holes (begin, how many)."""
    keep = np.ones(total, bool)
    for begin, n in holes:
        keep[begin : begin + n] = False
    return np.flatnonzero(keep)


def came(index, rate, *, rows=1, latency=0.01, jitter=0.002, seed=0):
    """When rows reach the host: whole packets, after their last sample, a little late."""
    packet = index // rows
    at = (packet + 1) * rows / rate + latency
    late = np.random.default_rng(seed).exponential(jitter, int(packet.max()) + 1 if jitter else 1)
    return np.maximum.accumulate(at + (late[packet] if jitter else 0.0))


def spread(at):
    """Stamps of a Muse: a packet's rows laid evenly since the packet before."""
    begins = np.flatnonzero(np.diff(at, prepend=-1.0))
    out = at.copy()
    for begin, end in zip(begins[1:], [*begins[2:], len(at)], strict=True):
        before = at[begin - 1]
        out[begin:end] = before + (at[begin] - before) * np.arange(1, end - begin + 1) / (
            end - begin
        )
    return out


def read(script, board="cyton", polls=(0.02,), steps=(), **options):
    clock = FieldClock(polls=polls, steps=steps)
    source = ScriptedSource(script, board=board, clock=clock, **options)
    events = []
    chunks = drive(source, clock, every=lambda _: events.extend(source.take_events()))
    return source, chunks, events


def kinds(events):
    return [event.kind for event in events]


def hold(chunks, index):
    """Every row stands at its true sample, with its own value."""
    got, values = truth(chunks)
    assert got.tolist() == index.tolist()
    real = np.isfinite(values)
    assert np.array_equal(np.floor(values[real]), index[real])
    return real


# -- dropouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("polls", POLLS.values(), ids=POLLS)
@pytest.mark.parametrize(
    "lost", some([1, 2, 40, 63, 127, 64, 128, 100, 129, 255, 256, 257, 512, 300, 15_000, 1000])
)
def test_a_dropout_of_any_length_is_found(lost, polls):
    index = without(1000 + lost, (600, lost))
    source, chunks, events = read(Script(index, index % 256.0, came(index, CYTON)), polls=polls)
    hold(chunks, index)
    assert source.loss == lost
    assert kinds(events) == ["gap"] and events[0].facts["samples"] == lost
    assert events[0].t == 600 / CYTON
    assert all(chunk.loss_known for chunk in chunks)


# -- rows out of line ---------------------------------------------------------------------------


@pytest.mark.parametrize("garbage", [0.0, 77.0, 255.0, 999.0, 3.5, -1.0, np.nan])
def test_one_garbage_number_is_one_missing_sample_and_a_loss_later_is_found(garbage):
    index = without(3000, (2000, 40))
    number = index % 256.0
    number[700] = garbage
    source, chunks, events = read(Script(index, number, came(index, CYTON)))
    real = hold(chunks, index)
    assert np.flatnonzero(~real).tolist() == [700]
    assert kinds(events) == ["garbled", "gap"] and events[1].facts["samples"] == 40
    assert source.loss == 41


@pytest.mark.parametrize("polls", [(0.02,), (0.5,)])
@pytest.mark.parametrize("copies", [1, 2, 5])
def test_a_row_that_comes_again_is_left_out_and_a_loss_later_is_found(copies, polls):
    index = without(3000, (2000, 40))
    rows = np.sort(np.r_[np.arange(len(index)), np.full(copies, 700)])
    at = came(index, CYTON)[rows]
    source, chunks, events = read(Script(index[rows], index[rows] % 256.0, at), polls=polls)
    hold(chunks, index)
    assert kinds(events) == ["duplicate"] * (len(events) - 1) + ["gap"]
    assert sum(e.facts["samples"] for e in events[:-1]) == copies and source.loss == 40


@pytest.mark.parametrize("back", [1, 2, 4])
def test_rows_in_another_order_are_put_right_and_a_loss_later_is_found(back):
    index = without(3000, (2000, 40))
    rows = np.arange(len(index))
    rows[700 : 700 + back + 1] = np.roll(rows[700 : 700 + back + 1], -1)
    source, chunks, events = read(Script(index[rows], index[rows] % 256.0, came(index, CYTON)))
    hold(chunks, index)
    assert kinds(events) == ["swap", "gap"] and source.loss == 40


def test_a_loss_an_hour_after_the_oddities_is_found():
    index = without(250 * 3630, (250 * 3610, 40))
    rows = np.arange(len(index))
    rows[[5000, 5001]] = rows[[5001, 5000]]
    rows = np.insert(rows, 9000, 9000)
    number = index[rows] % 256.0
    number[12_000] = 17.0
    source, chunks, events = read(
        Script(index[rows], number, came(index, CYTON)[np.sort(rows)]), polls=(0.5,)
    )
    hold(chunks, index)
    assert kinds(events) == ["swap", "duplicate", "garbled", "gap"]
    assert events[-1].facts["samples"] == 40 and source.loss == 41


def test_a_counter_that_starts_anew_makes_no_samples():
    index = np.arange(4000)
    number = np.r_[np.arange(1501) % 256, np.arange(2499) % 256].astype(float)
    source, chunks, events = read(Script(index, number, came(index, CYTON)))
    hold(chunks, index)
    assert kinds(events) == ["contradiction"] and source.loss == 0


def test_a_board_that_starts_anew_after_three_seconds_has_lost_three_seconds():
    index = without(4000, (1501, 750))
    number = np.r_[np.arange(1501), 90 + np.arange(len(index) - 1501)] % 256.0
    source, chunks, _ = read(Script(index, number, came(index, CYTON)))
    got, values = truth(chunks)
    assert np.array_equal(np.floor(values), index)
    # Its number is any: what it says is believed to within the half turn that time leaves.
    assert abs(source.loss - 750) <= 128 and got[-1] == len(index) - 1 + source.loss


@pytest.mark.parametrize("polls", [(0.02,), (0.5,)])
@pytest.mark.parametrize("seconds", [0.3, 1.02, 3.0, 8.0])
def test_data_that_come_late_in_a_burst_are_no_loss(seconds, polls):
    index = np.arange(8000)
    at = came(index, CYTON)
    for begin, rate in ((8.0, 1e9), (16.0, 2000.0)):  # at once, and as fast as a radio can
        late = (at >= begin) & (at < begin + seconds * 1.2)
        at[late] = np.maximum(at[late], begin + seconds + (at[late] - begin) * CYTON / rate)
    at = np.maximum.accumulate(at)
    source, chunks, events = read(Script(index, index % 256.0, at), polls=polls)
    hold(chunks, index)
    assert source.loss == 0 and not events


def test_rows_that_are_held_come_out_though_nothing_follows():
    index = without(2000, (1990, 3))
    _, chunks, events = read(Script(index, index % 256.0, came(index, CYTON)))
    hold(chunks, index)
    assert kinds(events) == ["gap"]


# -- how boards count ---------------------------------------------------------------------------

BOARDS = {
    # board, preset, rows a number, number of a row, stamps
    "cyton": ("cyton", "default", 1, lambda i: i % 256),
    "cyton_wifi": ("cyton_wifi", "default", 1, lambda i: i % 256),
    "daisy": ("cyton_daisy", "default", 1, lambda i: 2 * i % 256),
    "ganglion": ("ganglion", "default", 2, lambda i: i // 2 % 100),
    "ganglion without acceleration": ("ganglion", "default", 2, lambda i: 100 + i // 2 % 100),
    "ganglion_wifi": ("ganglion_wifi", "default", 1, lambda i: i % 256),
    "galea": ("galea", "default", 1, lambda i: i % 256),
    "galea auxiliary": ("galea", "auxiliary", 1, lambda i: i % 52 * 5),
    "muse eeg": ("muse_2", "default", 12, lambda i: (65_400 + i // 12) % 65_536),
    "muse motion": ("muse_2", "auxiliary", 3, lambda i: (65_400 + i // 3) % 65_536),
    "muse ppg": ("muse_s", "ancillary", 6, lambda i: (65_500 + i // 6) % 65_536),
    "athena, 4 channels": (
        "muse_s_athena", "default", 4, lambda i: (i // 4 * 3) % 65_536 * 256 + i // 4 % 256
    ),
    "athena, 8 channels": (
        "muse_s_athena", "default", 2, lambda i: (i // 2 * 3) % 65_536 * 256 + i // 2 % 256
    ),
    "brainbit_bled": ("brainbit_bled", "default", 2, lambda i: i // 2 % 2048),
    "enophone": ("enophone", "default", 1, lambda i: (65_000 + i) % 65_536),
    "explore": ("explore_4_chan", "default", 33, lambda i: i // 33 % 256),
    "knight": ("neuropawn_knight", "default", 1, lambda i: i % 256),
    "aavaa": ("aavaa_v3", "default", 1, lambda i: i % 256),
}  # fmt: skip


def rate_of(board, preset):
    return boards.layout(board, preset).rate


def sent(board, preset, k, number, index, **late):
    rate = rate_of(board, preset)
    at = came(index, rate, rows=k, **late)
    stamp = spread(at) if board.startswith(("muse_2", "muse_s", "explore")) else None
    return Script(index, number(index).astype(float), at, stamp=stamp)


@pytest.mark.parametrize("polls", some([(0.02,), (0.5,)]))
@pytest.mark.parametrize("name", BOARDS)
def test_a_counter_makes_no_samples_where_none_is_lost(name, polls):
    board, preset, k, number = BOARDS[name]
    total = int(rate_of(board, preset) * 20) // k * k
    index = np.arange(total)
    source, chunks, events = read(
        sent(board, preset, k, number, index), board, polls, preset=preset
    )
    hold(chunks, index)
    assert source.loss == 0 and not [e for e in events if e.kind != "counter"]


@pytest.mark.parametrize("polls", some([(0.5,), (0.02,)]))
@pytest.mark.parametrize("name", BOARDS)
def test_a_counter_shows_every_packet_that_is_lost(name, polls):
    board, preset, k, number = BOARDS[name]
    rate = rate_of(board, preset)
    total = int(rate * 30) // k * k
    packets = [(int(rate * s) // k, n) for s, n in ((4, 1), (6, 3), (9, 1))]
    packets.append((int(rate * 15) // k, max(int(rate * 7) // k, 1)))  # and seven seconds
    index = without(total, *((p * k, n * k) for p, n in packets))
    source, chunks, events = read(
        sent(board, preset, k, number, index), board, polls, preset=preset
    )
    hold(chunks, index)
    assert source.loss == total - len(index)
    assert [e.facts["samples"] for e in events if e.kind == "gap"] == [n * k for _, n in packets]


def test_the_numbers_of_an_older_core_are_seen_to_say_nothing():
    rate = 64.0
    index = without(64 * 30, (64 * 15, 192))  # 3 s
    at = came(index, rate, rows=6)
    script = Script(index, np.zeros(len(index)), at, stamp=spread(at))
    source, chunks, events = read(script, "muse_2", preset="ancillary", channels=("ppg_2",))
    assert source.loss is None and not any(c.loss_known for c in chunks)
    got, _ = truth(chunks)
    (gap,) = (e for e in events if e.kind == "gap")
    assert abs(gap.facts["samples"] - 192) <= 6 and gap.facts["witness"] == "arrival"
    assert got[-1] + 1 - len(got) == gap.facts["samples"]


# -- counters that say nothing ------------------------------------------------------------------


@pytest.mark.parametrize("polls", [(0.02,), (0.5,)], ids=["20 ms", "0.5 s"])
@pytest.mark.parametrize(
    ("board", "number"),
    [
        ("brainbit", lambda n: np.arange(1, n + 1)),  # written by the host: looks perfect
        ("shimmer3", lambda n: np.arange(n)),
        ("callibri_ecg", lambda n: np.arange(1, n + 1)),
        ("unicorn", lambda n: np.zeros(n)),  # not in the table, always 0
        ("ant_neuro_ee_430", lambda n: np.arange(n)),
    ],
)
def test_a_hole_that_the_counter_hides_is_found_by_time(board, number, polls):
    rate = rate_of(board, "default")
    lost = round(3 * rate)
    index = without(round(rate * 25), (round(rate * 15), lost))
    script = Script(index, number(len(index)).astype(float), came(index, rate))
    source, chunks, events = read(script, board, polls)
    got, values = truth(chunks)
    assert source.loss is None and not any(chunk.loss_known for chunk in chunks)
    (gap,) = (event for event in events if event.kind == "gap")
    near = 0.02 * rate
    assert abs(gap.facts["samples"] - lost) <= near and gap.facts["witness"] == "stamps"
    assert abs(gap.t - 15) < 0.01
    assert np.array_equal(np.floor(values), index) and abs(got[-1] - index[-1]) <= near


@pytest.mark.parametrize("board", ["brainbit", "muse_2"])
def test_late_data_are_no_hole_though_the_counter_says_nothing(board):
    preset = "ancillary" if board == "muse_2" else "default"
    rate = rate_of(board, preset)
    index = np.arange(int(rate * 30))
    at = came(index, rate)
    late = (at >= 10) & (at < 12.5)
    at[late] = 12.5
    script = Script(index, np.zeros(len(index)), at)
    _, chunks, events = read(script, board, preset=preset)
    hold(chunks, index)
    assert "gap" not in kinds(events)


# -- counters that have to be learnt --------------------------------------------------------------

LEARNT = {
    "0-255": (1, lambda i: i % 256),
    "0-200": (1, lambda i: i % 201),
    "0-99, two rows": (2, lambda i: i // 2 % 100),
    "100-199, two rows": (2, lambda i: 100 + i // 2 % 100),
    "even": (1, lambda i: 2 * i % 256),
    "0-2047, two rows": (2, lambda i: i // 2 % 2048),
    "65536, twelve rows": (12, lambda i: (65_400 + i // 12) % 65_536),
    "65536, six rows": (6, lambda i: (65_400 + i // 6) % 65_536),
    "65536, three rows": (3, lambda i: (65_400 + i // 3) % 65_536),
    "fives": (1, lambda i: i % 52 * 5),
}


@pytest.mark.parametrize("name", some(LEARNT))
def test_an_unknown_counter_is_learnt_in_spite_of_garbage_and_loss(name):
    k, number = LEARNT[name]
    total = 250 * 60 // k * k
    holes = ((24 // k * k, 4 * k), (40 * 250 // k * k, 40 * k))
    index = without(total, *holes)
    numbers = number(index).astype(float)
    numbers[[40, 300, 1300]] = 7777.0
    script = Script(index, numbers, came(index, 250.0, rows=k))
    source, chunks, events = read(script, "unicorn")
    (learnt,) = (event for event in events if "was learnt" in event.message)
    assert learnt.t < 36
    # A loss before it was learnt is not seen; the one after it is, to the sample.
    got, values = truth(chunks)
    assert np.array_equal(np.floor(values[np.isfinite(values)]), index[np.isfinite(values)])
    assert [e.facts["samples"] for e in events if e.kind == "gap"] == [40 * k]
    assert source.loss == 40 * k + np.isnan(values).sum()
    assert not chunks[0].loss_known and chunks[-1].loss_known
    assert len(got) == len(index) and got[-1] == index[-1] - 4 * k


def test_a_counter_that_is_not_the_tables_is_found_out_and_learnt():
    index = without(250 * 60, (250 * 40, 40))
    script = Script(index, index % 201.0, came(index, CYTON))
    source, chunks, events = read(script)
    assert kinds(events).count("contradiction") <= 3
    assert "0–200" in events[-2].message and kinds(events)[-2:] == ["counter", "gap"]
    got, _ = truth(chunks)
    assert events[-1].facts["samples"] == 40 and source.loss == 40
    assert np.array_equal(got, index)


# -- Daisy ----------------------------------------------------------------------------------------


def daisy(lost_even=(), lost_odd=()):
    """A Cyton with Daisy: pairs of packets; a row comes with the odd one."""
    index = np.arange(125 * 20)
    number = 2 * index % 256
    first, second = index.copy(), index.copy()
    for pair in lost_even:  # number and channels 9-16 stay those of the pair before
        number[pair], second[pair] = number[pair - 1], second[pair - 1]
    keep = ~np.isin(index, lost_odd)
    rows = {row: (first if row < 9 else second)[keep] + row / 64 for row in range(1, 17)}
    at = came(index[keep], 125.0)
    return Script(index[keep], number[keep].astype(float), at, shapes=rows)


def test_daisys_lost_even_packet_is_no_gap_and_its_old_half_is_missing():
    script = daisy(lost_even=(500, 1000))
    source, chunks, events = read(script, "cyton_daisy", channels=("eeg_1", "eeg_9", "eeg_16"))
    samples = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    assert np.array_equal(np.floor(samples[0]), np.arange(2500))
    for row in (1, 2):
        assert np.flatnonzero(np.isnan(samples[row])).tolist() == [500, 1000]
    assert kinds(events) == ["stale", "stale"] and source.loss == 0
    assert len(chunks[-1].samples) == 3 and chunks[-1].end == 2500


def test_daisys_lost_odd_packet_is_one_sample():
    script = daisy(lost_odd=(500,))
    source, chunks, events = read(script, "cyton_daisy", channels=("eeg_9",))
    hold(chunks, script.index)
    assert kinds(events) == ["gap"] and source.loss == 1


# -- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("board", some(["cyton", "brainbit"]))
@pytest.mark.parametrize("by", [40 * 86_400.0, -3600.0, 0.4])
def test_a_step_of_the_wall_clock_moves_no_sample_and_later_times_are_right(by, board):
    index = without(CYTON_TOTAL, (3000, 300) if board == "cyton" else (0, 0))
    script = Script(index, index % 256.0, came(index, CYTON))
    clock = FieldClock(steps=((9.99, by),))
    source = ScriptedSource(script, board=board, clock=clock)
    wrong = []

    def look(chunk):
        if not chunk.samples.shape[1]:
            return
        told = chunk.t0 + chunk.end / CYTON
        taken = clock.time() - clock.seconds + chunk.end / CYTON  # by the clock as it is now
        if abs(told - taken) > 0.05:
            wrong.append((chunk.end, told - taken))

    chunks = drive(source, clock, every=look)
    hold(chunks, index)
    assert not wrong


CYTON_TOTAL = 5000


def test_a_sensor_that_is_two_percent_slow_is_found_and_its_times_stay_right():
    real = CYTON * 0.98
    index = np.arange(int(real * 1800))
    script = Script(index, index % 256.0, came(index, real))
    clock = FieldClock(polls=(0.25,))
    source = ScriptedSource(script, board="cyton", clock=clock)
    off, events = [], []

    def look(chunk):
        events.extend(source.take_events())
        if chunk.samples.shape[1]:
            taken = clock.begin + chunk.end / real
            off.append((chunk.acquired / 1e9 - taken, clock.time() - chunk.t0 - chunk.end / CYTON))

    chunks = drive(source, clock, every=look)
    hold(chunks, index)
    worst = np.abs(np.array(off)[:, 0])
    assert worst.max() < 0.05
    assert np.abs(np.array(off)[:, 1]).max() < 1
    assert abs(chunks[-1].real_rate / real - 1) < 1e-4
    assert np.isnan(chunks[0].real_rate)
    assert kinds(events) == ["rate"] and events[0].t < 120
    assert abs(events[0].facts["rate"] / real - 1) < 0.005


def test_a_dropout_of_a_slow_sensor_is_exact_once_its_rate_is_known():
    real = CYTON * 0.97
    index = without(20_000, (15_000, 3000))
    source, chunks, _ = read(Script(index, index % 256.0, came(index, real)))
    hold(chunks, index)
    assert source.loss == 3000


@pytest.mark.parametrize("polls", [(0.005,), (0.1,), (0.4,)])
@pytest.mark.parametrize("run", [20, 45])
@pytest.mark.parametrize(
    ("board", "turn"), [("ganglion", 100), ("ganglion", 200), ("daisy", 512), ("cyton", 256)]
)
def test_a_loss_that_the_counter_hides_lies_where_it_was_when_another_follows(
    board, turn, run, polls
):
    """Packets lost by whole turns, then a few that come in time, then one more that is lost."""
    name, preset, k, number = BOARDS[board]
    index = without((60 + turn + run + 100) * k, (60 * k, turn * k), ((60 + turn + run) * k, k))
    source, chunks, _ = read(sent(name, preset, k, number, index), name, polls, preset=preset)
    hold(chunks, index)
    assert source.loss == (turn + 1) * k


# -- all at once ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    holes=st.lists(
        st.tuples(st.integers(20, 400), st.integers(1, 30) | st.integers(200, 3000)), max_size=8
    ),
    polls=st.lists(st.sampled_from([0.005, 0.02, 0.1, 0.4]), min_size=1, max_size=6),
    board=st.sampled_from(["cyton", "daisy", "ganglion", "galea auxiliary", "muse motion"]),
    seed=st.integers(0, 99),
)
def test_every_loss_is_found_whatever_the_polls(holes, polls, board, seed):
    name, preset, k, number = BOARDS[board]
    where, at = [], 0
    for run, lost in holes:
        where.append(((at + run) * k, lost * k))
        at += run + lost
    index = without((at + 100) * k, *where)
    script = sent(name, preset, k, number, index, seed=seed)
    source, chunks, _ = read(script, name, polls, preset=preset)
    hold(chunks, index)
    assert source.loss == (at + 100) * k - len(index)


# -- all the way to the sink ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Windows of a second, twice a second; at most eight samples are held over."""
    path = tmp_path_factory.mktemp("bundles") / "b"
    return make_bundle(path, channels=("eeg_1",), rate=250.0, stages=(), length=250, hop=125)


def run(tested, script, board="cyton", polls=(0.02,)):
    clock, sink = FieldClock(polls=polls), Keep()
    source = ScriptedSource(script, board=board, clock=clock, channels=("eeg_1",))
    tally = loop.run(source, Stream(tested, clock=clock), [sink], clock=clock)
    return tally, sink


@pytest.mark.parametrize("polls", [(0.005,), (0.5,), (5.0, 0.1)], ids=["5 ms", "0.5 s", "5 s"])
@pytest.mark.parametrize("lost", some([1, 8, 64, 63, 256, 300, 2500, 512]))
def test_every_window_over_a_hole_says_so_or_is_not_given(tested, lost, polls):
    index = without(4000 + lost, (2000, lost))
    values = 100 * np.sin(index / 9.0)
    script = Script(index, index % 256.0, came(index, CYTON), values=values)
    tally, sink = run(tested, script, polls=polls)
    assert tally.loss == lost and tally.samples == 4000 + lost
    over = [p for p in sink.predictions if p.t_start < (2000 + lost) / 250 and p.t_end > 8]
    assert [(p.gap, p.loss) for p in over] == ([(lost, lost)] * 3 if lost <= 8 else [])[: len(over)]
    assert bool(over) == (lost <= 8)
    whole = [p for p in sink.predictions if p not in over]
    assert len(whole) > 20 and all(p.gap == p.loss == 0 and p.quality.real == 1 for p in whole)
    assert [e.facts["samples"] for e in sink.events if e.kind == "gap"] == [lost]
    # Of a window that waits for the next poll, the age is from acquisition.
    assert all(p.age >= p.latency - 1e-9 for p in sink.predictions)
    assert max(p.age for p in sink.predictions) < max(polls) + 1.2


def test_where_nothing_can_tell_each_prediction_says_so(tested):
    index = without(5000, (2500, 750))
    number = 1.0 + np.arange(len(index))
    script = Script(index, number, came(index, CYTON), values=100 * np.sin(index / 9.0))
    tally, sink = run(tested, script, board="brainbit")
    assert tally.loss is None
    assert sink.predictions and all(p.loss is None for p in sink.predictions)
    assert not [p for p in sink.predictions if p.t_start < 13 - 0.02 and p.t_end > 10 + 0.02]
    (gap,) = (event for event in sink.events if event.kind == "gap")
    assert abs(gap.facts["samples"] - 750) <= 5
    assert "restart" in kinds(sink.events)


def test_a_garbled_row_is_held_over_and_counted(tested):
    index = np.arange(3000)
    number = index % 256.0
    number[1500] = 7.0
    script = Script(index, number, came(index, CYTON), values=100 * np.sin(index / 9.0))
    tally, sink = run(tested, script)
    over = [p for p in sink.predictions if p.t_start <= 6 < p.t_end]
    assert over and all(p.gap == p.loss == 1 for p in over) and tally.loss == 1


# -- the board's own interface ----------------------------------------------------------------


def test_every_command_is_sent_in_order_before_the_stream_starts():
    index = np.arange(100)
    script = Script(index, index % 256.0, came(index, CYTON))
    clock = FieldClock()
    source = ScriptedSource(script, board="cyton", clock=clock, config=("x1060110X", "~6", "d"))
    drive(source, clock)
    assert source.scripted.calls == [
        "prepare_session",
        "config_board x1060110X",
        "config_board ~6",
        "config_board d",
        "start_stream",
        "stop_stream",
        "release_session",
    ]


def test_a_full_ring_is_said():
    index = without(2000, (1000, 300))
    at = came(index, CYTON)
    script = Script(index, index % 256.0, at)
    clock = FieldClock()
    source = ScriptedSource(script, board="cyton", clock=clock, ring_seconds=0.8)
    at[(at > 3.0) & (at < 4.0)] = 4.0  # two hundred rows at once: as many as there is room for
    events = []
    drive(source, clock, every=lambda _: events.extend(source.take_events()))
    assert any("ring was full" in event.message for event in events) and source.loss == 300


def test_rows_that_are_held_come_out_before_the_driver_fails():
    index = without(2000, (1990, 3))
    script = Script(index, index % 256.0, came(index, CYTON))
    clock = FieldClock(polls=(0.001,))
    source = ScriptedSource(script, board="cyton", clock=clock)
    given = source.scripted.get_board_data

    def breaks(*, preset):
        if source.scripted.over:
            raise SourceError("the driver broke")
        return given(preset=preset)

    source.scripted.get_board_data = breaks
    chunks = []
    with source, pytest.raises(SourceError, match="the driver broke"):
        while True:
            chunk = source.read()
            chunks += [chunk] if chunk.samples.shape[1] else []
            clock.sleep(0.001)
    hold(chunks, index)
    source.scripted.get_board_data = given
    with source:  # and it can be started again
        assert source.read() is not None
