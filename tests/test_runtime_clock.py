"""The sample clock: what a counter and time stamps tell of lost samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge.runtime.clock import LEARN, SampleClock


def rows(indices, rate=64.0, jitter=None):
    indices = np.asarray(indices)
    stamps = 1.7e9 + indices / rate
    return indices % 256.0, stamps if jitter is None else stamps + jitter


@given(
    gaps=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5000)), max_size=8),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=40),
)
def test_every_gap_is_found_whatever_the_batches(gaps, sizes):
    indices, at = [], 0
    for run, gap in [*gaps, (LEARN + 9, 0)]:
        indices += range(at, at + run)
        at += run + gap
    clock, got, here = SampleClock(64.0, counts=True, start=0), [], 0
    while here < len(indices):
        size = sizes[here % len(sizes)]
        got += clock.index(*rows(indices[here : here + size])).tolist()
        here += size
    assert got == indices
    assert clock.loss == indices[-1] + 1 - len(indices)


def test_jitter_of_a_second_does_not_matter():
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, 400)
    indices = np.r_[0:100, 117:217, 1517:1717]
    clock = SampleClock(64.0, counts=True)
    assert clock.index(*rows(indices, jitter=jitter)).tolist() == indices.tolist()


def test_a_step_of_the_wall_clock_is_no_gap():
    clock = SampleClock(64.0, counts=True)
    clock.index(*rows(range(50)), passed=1.0)
    counter, stamps = rows(range(50, 100))
    assert clock.index(counter, stamps + 3600.0, passed=1.0).tolist() == list(range(50, 100))
    counter, stamps = rows(range(100, 150))
    assert clock.index(counter, stamps - 3600.0, passed=1.0).tolist() == list(range(100, 150))
    assert clock.loss == 0


@pytest.mark.parametrize(
    "counter",
    [
        np.zeros(40),  # never written (Muse PPG)
        np.repeat(np.arange(4), 12)[:40],  # one number for a packet (Muse EEG)
        np.arange(40) * 2,  # even only (Cyton with Daisy)
    ],
)
def test_a_counter_that_says_nothing_makes_the_loss_unknown(counter):
    clock = SampleClock(64.0)
    clock.learn(counter.astype(float))
    assert clock.counts is False and clock.loss is None
    stamps = np.arange(40) / 64
    assert clock.index(counter.astype(float), stamps).tolist() == list(range(40))


def test_a_counter_is_learnt_across_its_wrap_and_a_gap():
    clock = SampleClock(64.0)
    counter, _ = rows(np.r_[240:260, 263:280])
    clock.learn(counter)
    assert clock.counts is True


def test_a_counter_that_wraps_elsewhere_is_found_out():
    clock = SampleClock(64.0, counts=True)
    counter = np.arange(150) % 100.0
    clock.index(counter, np.arange(150) / 64)
    assert clock.loss is None
