"""Rows laid out by their stamps: lost rows at their exact length, and none that jitter made up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.errors import RecordingError
from bioxedge.readers.text_stamps import laid_out, places_of, rate_of, real_rate

RATES = st.sampled_from([4.0, 64.0, 130.0, 250.0, 256.0, 1000.0])
UNHURRIED = settings(max_examples=60, deadline=None)


def kept(draw_gaps):
    """Places of rows between gaps of so many rows, 60 rows each."""
    places, at = [], 0
    for gap in [0, *draw_gaps]:
        places.append(at + gap + np.arange(60))
        at = int(places[-1][-1]) + 1
    return np.concatenate(places)


@UNHURRIED
@given(RATES, st.lists(st.integers(0, 3000), max_size=6), st.floats(-0.005, 0.005),
       st.floats(0, 0.2), st.integers(0, 9))  # fmt: skip
def test_lost_rows_are_missing_at_their_exact_length(rate, gaps, off, jitter, seed):
    rng = np.random.default_rng(seed)
    places = kept(gaps)
    stamps = (places + rng.uniform(-jitter, jitter, len(places))) / (rate * (1 + off))
    found = places_of(stamps + 1e9 * (rate < 500), rate)
    wanted = np.diff(places) - 1
    # That a clock is off by 0.5 % is not seen in few rows that jitter: its gaps are known to 1 %.
    slack = 0.01 * wanted + (wanted > 20 if jitter and off else 0)
    assert np.all(np.abs(np.diff(found) - 1 - wanted) <= slack)


@UNHURRIED
@given(RATES, st.floats(0, 0.09), st.floats(0.5, 3.0), st.integers(0, 9))
def test_rows_that_came_late_are_no_gap(rate, share, by, seed):
    rng = np.random.default_rng(seed)
    due = np.arange(2000)
    late = np.where(rng.random(2000) < share / 2, by * rng.random(2000), 0.0)
    stamps = np.maximum.accumulate(due + late) / rate
    assert places_of(stamps, rate).tolist() == due.tolist()


@UNHURRIED
@given(st.sampled_from([130.0, 256.0]), st.integers(4, 40), st.floats(-0.004, 0.004),
       st.lists(st.tuples(st.integers(5, 95), st.integers(30, 400)), max_size=3,
                unique_by=lambda one: one[0] // 20))  # fmt: skip
def test_bursts_are_no_gaps_and_lost_bursts_are(rate, size, off, losses):
    kept_rows = np.ones(size * 400, bool)
    for percent, count in losses:
        first = percent * 4 * size
        kept_rows[first : first + -(-max(count, 80) // size) * size] = False
    rows = np.flatnonzero(kept_rows)
    stamps = (rows // size + 1) * size / (rate * (1 + off))  # all of a burst, as it ends
    found = places_of(stamps, rate)
    lost = rows[-1] + 1 - len(rows)
    assert abs(int(found[-1]) + 1 - len(rows) - lost) <= 0.02 * lost + 1  # a clock that is off
    steps = np.diff(found)
    assert ((steps > 1) <= (np.diff(rows) > 1)).all()


def test_a_radio_that_held_rows_back_lost_none():
    due = np.arange(5120) / 256
    stamps = np.maximum(due, np.where((due > 6) & (due < 8), 8.0, 0.0))
    assert places_of(stamps, 256).tolist() == list(range(5120))


def test_a_clock_that_is_off_loses_nothing_in_a_night():
    stamps = np.arange(8 * 3600 * 64) / 64.01
    places = places_of(stamps, 64)
    assert places[-1] == len(stamps) - 1
    assert real_rate(stamps, places) == pytest.approx(64.01, rel=1e-9)


@given(st.sampled_from([4.0, 52.0, 64.0, 130.0, 250.0, 256.0, 500.0]), st.floats(-0.004, 0.004))
def test_a_rate_is_told_from_stamps_that_are_off_or_rounded(rate, off):
    stamps = np.arange(4000) / (rate * (1 + off))
    assert rate_of(stamps) == rate
    assert rate_of(np.round(stamps, 3)) == rate


@pytest.mark.parametrize(
    ("stamps", "said"),
    [
        ([0, 1, 2, 1.5, 3], "go back by 0.5 s at row 5"),
        ([0, 1, np.nan, 3, 4], "row 4 has no time"),
        ([0, 1, 2, 3, 1e12], "days: a slip"),
    ],
)
def test_times_that_cannot_be_are_named(stamps, said):
    with pytest.raises(RecordingError, match=said):
        places_of(np.array(stamps, float), 1.0)


def test_what_lies_between_is_missing():
    found = laid_out(np.array([[1.0, 2.0, 3.0]]), np.array([0, 1, 4]))
    assert np.isnan(found[0, 2:4]).all() and found[0, [0, 1, 4]].tolist() == [1, 2, 3]
