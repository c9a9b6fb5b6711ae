"""Sample numbers from a sender's stamps, against the true index of each sample."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_all import few, some
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.runtime import PushSource
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources.stamping import Stamping

WARM = 40  # packets before anything is lost


class Sent:
    """A sender's packets and what became of them."""

    def __init__(
        self,
        *,
        rate=130.0,
        real=130.0,
        packets=400,
        size=73,
        lose=0.0,
        jitter=0.0,
        delay=0.02,
        stalls=(),
        made=False,
        per_sample=False,
        steps=(),
        warm=WARM,
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        stamping = Stamping(rate)
        true, numbers, self.heard, self.counts, self.sent, self.arrived = [], [], [], [], [], []
        at = 0
        before = 0.0
        for packet in range(packets):
            n = size if isinstance(size, int) else int(rng.integers(*size))
            index = np.arange(at, at + n)
            at += n
            gone = packet > warm and rng.random() < lose
            arrived = index[-1] / real + 50.0 + rng.exponential(delay)
            for begin, seconds in stalls:
                if begin <= arrived - 50.0 < begin + seconds:
                    arrived = 50.0 + begin + seconds
            before = arrived = max(arrived, before)
            if gone:
                continue
            stamps = index / real + 8e8 + rng.exponential(jitter, n) * (jitter > 0)
            stamps += sum(by for when, by in steps if index[-1] / real > when)
            if made:
                stamps[:] = arrived + 1.7e9 + rng.uniform(0, 1e-4)
            if not per_sample:
                stamps[:-1] = np.nan
            number, heard = stamping.take(stamps, arrived)
            assert number.shape == heard.shape == (n,) and (heard <= arrived).all()
            true.append(index)
            numbers.append(number)
            self.counts.append(stamping.counts)
            self.heard.append(heard[-1])
            self.sent.append(index[-1] / real + 50.0)
            self.arrived.append(arrived)
        self.stamping = stamping
        self.true = np.concatenate(true)
        self.numbers = np.concatenate(numbers)

    @property
    def right(self):
        return np.array_equal(self.numbers, self.true)


# -- found exactly ------------------------------------------------------------------------------


@settings(max_examples=few(20, 6), deadline=None)
@given(
    off=st.floats(-0.02, 0.02),
    size=st.one_of(st.integers(1, 80), st.just((1, 50)), st.just((5, 12))),
    lose=st.floats(0, 0.3),
    delay=st.floats(1e-3, 0.1),
    stalls=st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 3)), max_size=3),
    per_sample=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_on_a_clock_of_its_own_every_loss_is_found(
    off, size, lose, delay, stalls, per_sample, seed
):
    sent = Sent(
        real=130 * (1 + off),
        size=size,
        packets=900,
        warm=400,
        lose=lose,
        delay=delay,
        stalls=stalls,
        per_sample=per_sample,
        seed=seed,
    )
    assert sent.right and sent.stamping.counts and sent.stamping.steps == 0
    assert abs(sent.stamping.rate / (130 * (1 + off)) - 1) < 1e-6


@settings(max_examples=few(15, 6), deadline=None)
@given(
    off=st.floats(-0.02, 0.02),
    jitter=st.floats(0, 0.00025),
    lose=st.floats(0, 0.1),
    seed=st.integers(0, 2**31),
)
def test_jitter_that_explains_no_packet_is_none(off, jitter, lose, seed):
    sent = Sent(real=130 * (1 + off), jitter=jitter, packets=600, lose=lose, seed=seed)
    assert sent.right and sent.stamping.counts


@settings(max_examples=few(15, 6), deadline=None)
@given(
    off=st.floats(-0.02, 0.02),
    jitter=st.floats(0.008, 0.05),
    size=st.sampled_from([1, 10, 73, (1, 50)]),
    stalls=st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 3)), max_size=3),
    seed=st.integers(0, 2**31),
)
def test_where_stamps_scatter_nothing_is_made_up(off, jitter, size, stalls, seed):
    sent = Sent(real=130 * (1 + off), jitter=jitter, size=size, stalls=stalls, seed=seed)
    assert sent.right and not any(sent.counts)  # nothing was lost, and nobody says so


@settings(max_examples=few(15, 6), deadline=None)
@given(
    delay=st.floats(1e-3, 0.05),
    stalls=st.lists(st.tuples(st.floats(8, 200), st.floats(0.1, 3)), max_size=3),
    seed=st.integers(0, 2**31),
)
def test_stamps_that_are_made_on_arrival_tell_no_more_than_arrival(delay, stalls, seed):
    sent = Sent(delay=delay, stalls=stalls, made=True, seed=seed)
    assert sent.right and not any(sent.counts)


def test_clean_stamps_of_a_host_that_stalls_are_believed_ever_less():
    rng = np.random.default_rng(0)
    stamping, off = Stamping(250.0), []
    for packet in range(6000):
        stamp = (packet + 1) * 0.04 + rng.exponential(1e-4)
        if 900 < packet % 1000 <= 920:  # it comes to itself after 1 s, and has all of them
            stamp = (packet - packet % 1000 + 925) * 0.04
        stamps = np.full(10, np.nan)
        stamps[-1] = stamp
        numbers, _ = stamping.take(stamps, stamp + 0.01 + rng.exponential(0.005))
        off.append(int(numbers[0]) - packet * 10)
    assert np.count_nonzero(np.diff(off)) <= 2


@pytest.mark.parametrize("off", some([0.02, -1e-5]))
def test_after_an_hour_of_drift_too(off):
    sent = Sent(real=130 * (1 + off), packets=8000, lose=0.01)  # over an hour
    assert sent.right and sent.stamping.counts


def test_the_rate_that_changes_slowly_is_followed():
    rng = np.random.default_rng(2)
    stamping, at, stamp, numbers, true = Stamping(130.0), 0, 5.0, [], []
    for packet in range(8000):
        stamp += 73 / (130 * (1 + 0.001 * np.sin(packet / 1000)))
        at += 73
        if packet > WARM and rng.random() < 0.02:
            continue
        stamps = np.full(73, np.nan)
        stamps[-1] = stamp
        number, _ = stamping.take(stamps, stamp + 100 + rng.exponential(0.02))
        numbers.append(number[-1])
        true.append(at - 1)
    assert numbers == true


# -- what people write ---------------------------------------------------------------------------


def test_the_rounded_formula_fails_where_this_does_not():
    real, t0, at = 129.6, 0.0, 0
    wrong, stamping = 0, Stamping(130.0)
    for packet in range(2600):
        stamp = 8e8 + (at + 72) / real
        t0 = stamp if packet == 0 else t0
        wrong += round((stamp - t0) * 130.0) != at
        stamps = np.full(73, np.nan)
        stamps[-1] = stamp
        number, _ = stamping.take(stamps, stamp)
        assert number[0] == at
        at += 73
    assert wrong > 2000


# -- the sender's clock is set -------------------------------------------------------------------


@settings(max_examples=few(15, 6), deadline=None)
@given(
    by=st.one_of(st.floats(-1e5, -0.8), st.floats(1.0, 1e5)),
    off=st.floats(-0.02, 0.02),
    seed=st.integers(0, 2**31),
)
def test_a_step_of_the_senders_clock_is_no_loss(by, off, seed):
    clock = SimulatedClock()
    source = PushSource(["x"], 130.0, clock=clock)
    rng = np.random.default_rng(seed)
    chunks, late = [], 0.0
    with source:
        for packet in range(100):
            at = (packet + 1) * 73 / (130 * (1 + off))
            wait = at + rng.exponential(0.02) - late
            clock.sleep(max(wait, 0.0))
            late += max(wait, 0.0)
            source.push(np.zeros(73), stamps=1e6 + at + (by if packet > 60 else 0.0))
            chunks.append(source.read())
        source.end()
        chunks += iter(source.read, None)
    assert source.loss == 0 and chunks[-1].end == 7300
    assert "contradiction" in [event.kind for event in source.take_events()]


# -- on this host's clock ------------------------------------------------------------------------


@settings(max_examples=few(20, 6), deadline=None)
@given(drift=st.floats(-0.02, 0.02), delay=st.floats(1e-3, 0.05), seed=st.integers(0, 2**31))
def test_stamps_are_moved_to_this_hosts_clock(drift, delay, seed):
    rng = np.random.default_rng(seed)
    stamping, off = Stamping(130.0), []
    for packet in range(300):
        taken = 1000 + packet * 73 / 130.0
        stamps = np.full(73, np.nan)
        stamps[-1] = 8e8 + taken * (1 + drift)
        arrived = taken + 0.01 + rng.exponential(delay)
        _, heard = stamping.take(stamps, arrived)
        if packet > 60:
            off.append(heard[-1] - taken - 0.01)
    # Least delays are what shows: within a few of them, whatever the drift.
    assert -0.5 * delay - 1e-3 < np.median(off) < 0.5 * delay + 1e-3


def test_odd_calls_give_as_many_numbers_as_there_are_rows():
    stamping = Stamping(100.0)
    for rows, marks in ((0, []), (5, []), (3, [1]), (4, [0, 3]), (0, []), (2, [])):
        stamps = np.full(rows, np.nan)
        stamps[marks] = 1.0
        numbers, heard = stamping.take(stamps, 9.0)
        assert len(numbers) == len(heard) == rows and np.isfinite(numbers).all()
