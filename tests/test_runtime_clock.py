"""The parts of the sample clock: patterns, the line of arrivals, stamps, the learner."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.line import Line
from bioxedge.runtime.sources import boards, counters
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.runtime.sources.learning import Learner
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.runtime.sources.stamps import Hearing


@pytest.mark.parametrize(
    ("pattern", "turn"),
    [
        (Pattern(256), 256),
        (Pattern(256, step=2), 128),
        (Pattern(256, step=5), 52),  # 0, 5 … 255, and then 0: not 51.2
        (Pattern(200, base=100, rows=2), 200),
        (Pattern(65536, rows=12), 786_432),
        (Pattern(None), None),
    ],
)
def test_a_turn_is_so_many_rows(pattern, turn):
    assert pattern.turn == turn


def test_what_is_no_number_is_told_from_one():
    numbers = np.array([0.0, 5, 255, 256, -5, 3, 2.5, np.nan, np.inf, -np.inf, 1e300])
    expected = [0, 1, 51, *[-1] * 8]
    assert Pattern(256, step=5).ordinals(numbers).tolist() == expected
    low = Pattern(256, low_byte=True).ordinals(np.array([513.0, np.nan, np.inf, -1.0, 0.5]))
    assert low.tolist() == [1, -1, -1, -1, -1]


def test_every_board_in_the_table_is_one_of_brainflows():
    pytest.importorskip("brainflow")
    for board, presets in counters._TABLE.items():
        assert set(presets) <= set(boards.layouts(board))


@pytest.mark.parametrize(
    ("board", "preset"),
    [("brainbit", "default"), ("callibri_emg", "default"), ("shimmer3", "default"),
     ("gforce_pro", "default"), ("gforce_dual", "default"), ("pieeg", "default")],
)  # fmt: skip
def test_boards_that_count_on_the_host_are_named(board, preset):
    assert counters.pattern(board, preset).blind


def reader(pattern, clock, rate=250.0, **options):
    return RowReader([0], counter=1, stamp=2, rate=rate, pattern=pattern, clock=clock, **options)


def table(index, number, stamp):
    return np.array([index, number, stamp], float).reshape(3, -1)


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    pattern=st.sampled_from([Pattern(256), Pattern(100, rows=2), Pattern(65536, rows=12)]),
)
def test_whole_samples_come_out_as_they_went_in(sizes, pattern):
    clock = SimulatedClock()
    rows, at, got = reader(pattern, clock), 0, []
    for size in [*sizes, 30]:
        clock.sleep(size / 250)
        index = np.arange(at, at + size)
        stamps = clock.time() - np.arange(size)[::-1] / 250
        number = index // pattern.rows % pattern.modulus
        rows.take(table(index, number, stamps), clock.monotonic_ns())
        at += size
    rows.flush()
    while (chunk := rows.pop()) is not None:
        got.append(chunk)
    assert np.concatenate([c.samples[0] for c in got]).tolist() == list(range(at))
    assert got[0].first == 0 and all(a.end == b.first for a, b in pairwise(got))
    assert rows.loss == 0 and not rows.take_events()
    assert all(chunk.acquired <= chunk.arrived <= clock.monotonic_ns() for chunk in got)


def test_true_sample_times_out_of_a_file_settle_any_turn_at_once():
    clock = SimulatedClock()
    rows = reader(Pattern(256, stamps="recorded"), clock, start=7, t0=5.0, pace=2500.0)
    index = np.r_[7:100, 356:400, 5000:5020]
    rows.take(table(index, index % 256, 1.0 + index / 2500), clock.monotonic_ns())
    rows.flush()
    got = [(c.first, c.end, c.t0, c.real_rate) for c in iter(rows.pop, None)]
    assert [(g[0], g[1]) for g in got] == [(7, 100), (356, 400), (5000, 5020)]
    assert {g[2:] for g in got} == {(5.0, 250.0)} and rows.loss == 256 + 4600


@pytest.mark.parametrize("ratio", [1.0, 0.98, 1.03])
@pytest.mark.parametrize("jitter", [0.002, 0.05])
def test_the_rate_is_the_slope_of_what_comes_soonest(ratio, jitter):
    line, rng = Line(64.0), np.random.default_rng(0)
    for second in range(300):
        index = 64 * (second + 1)
        due = 100 + index / (64.0 * ratio)
        line.note(np.array([index]), np.array([due + rng.exponential(jitter)]))
        line.arrive(index, due + rng.exponential(jitter))
        assert second > 10 or np.isnan(line.figure)
        assert second < 16 or np.isfinite(line.figure)
    assert abs(line.figure / (64 * ratio) - 1) < 5e-4
    assert -0.01 < line.acquired(index, np.inf) - due < jitter


def test_a_rate_that_drifts_is_followed():
    line, at = Line(250.0), 0.0
    for second in range(3000):
        rate = 250.0 * (1 - 1e-5 * second)
        at += 250 / rate
        line.note(np.array([250 * second]), np.array([at]))
        line.arrive(250 * second, at)
        assert second < 20 or abs(line.figure / rate - 1) < 0.006


@pytest.mark.parametrize("by", [3_456_000.0, -3600.0])
def test_a_stamp_is_moved_by_the_clock_that_made_it(by):
    clock = SimulatedClock()
    hearing = Hearing("row", 250.0, clock)
    hearing.take(np.empty(0), clock.monotonic_ns() / 1e9)
    clock.sleep(0.1)
    early = clock.time()
    clock.step(by)
    clock.sleep(0.1)
    now = clock.monotonic_ns() / 1e9
    heard = hearing.take(np.array([early, clock.time()]), now)
    assert heard.stamped
    np.testing.assert_allclose(heard.seconds, [now - 0.1, now], atol=1e-5)


def test_a_stamp_that_cannot_be_true_is_not_believed():
    clock = SimulatedClock()
    hearing = Hearing("row", 250.0, clock)
    hearing.take(np.empty(0), 1.0)
    clock.sleep(0.5)
    heard = hearing.take(np.array([clock.time() + 60, clock.time() + 60]), 1.5)
    assert not heard.stamped
    np.testing.assert_allclose(heard.seconds, [1.496, 1.5])


def learn(numbers):
    learner = Learner()
    for part in np.array_split(np.asarray(numbers, float), 37):
        learner.look(part)
    return learner.found


def test_a_learner_says_nothing_of_what_it_cannot_know():
    assert learn(np.zeros(5000)) is None
    assert learn(np.arange(5000)) is None
    assert learn(np.random.default_rng(0).integers(0, 256, 5000)) is None
    assert learn([]) is None
    assert learn([np.nan] * 100) is None


@given(
    modulus=st.integers(20, 400), step=st.integers(1, 4), rows=st.integers(1, 12),
    base=st.integers(0, 100), begin=st.integers(0, 300),
)  # fmt: skip
def test_a_learner_finds_any_regular_counter(modulus, step, rows, base, begin):
    count = -(-modulus // step)
    packets = np.arange(begin, begin + 4 * count + 12)
    found = learn(np.repeat(base + packets % count * step, rows))
    assert found is not None
    assert (found.step, found.rows, found.base) == (step, rows, base)
    assert found.turn == count * rows
