"""What two sensors' beats, or marks, say of how their clocks differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.datasets import bidmc
from bioxedge.datasets.clocks import between, by_marks
from bioxedge.datasets.simulated import wearers
from bioxedge.marks import Mark
from bioxedge.recipes import Align

ALIGN = Align()
SOURCE, TARGET = next(
    (pair.source, pair.target) for pair in wearers(count=1, minutes=20, seed=3, ecg_rate=125.0)
)
BARE = between(SOURCE, TARGET, ALIGN)


def worn(recording, lag, ppm, *, keep=None):
    """The same person through a device whose clock is off: it shows T as T + lag + ppm · T."""
    seconds = np.arange(recording.samples.shape[1]) / recording.rate
    row = np.interp(seconds / (1 + ppm * 1e-6), seconds, recording.samples[0])
    if keep is not None:
        row = row[keep]
    return replace(recording, samples=row[None], t0=recording.t0 + lag)


def test_of_two_clocks_that_agree_the_pulse_is_told_and_nothing_moved():
    assert BARE.told and BARE.agree
    assert -0.65 < BARE.lag < 0 and abs(BARE.ppm) < 15
    times = np.arange(0.0, 1200.0, 60.0)
    assert BARE.moved(times) is times
    assert not BARE.unsure(times, 10.0).any()
    assert "can be the pulse's way" in BARE.line()


@settings(max_examples=4, deadline=None)
@given(lag=st.floats(-29, 29), ppm=st.floats(-1000, 1000))
def test_lag_and_drift_are_found(lag, ppm):
    found = between(SOURCE, worn(TARGET, lag, ppm), ALIGN)
    # How long the pulse took is in both, and varies by some milliseconds.
    assert found.lag - BARE.lag == pytest.approx(lag, abs=0.03)
    assert found.ppm == pytest.approx(ppm, abs=20)
    assert found.scatter < 0.02 and found.share > 0.9


@pytest.mark.parametrize(("lag", "ppm"), [(0.9, 28), (-12.0, -300), (25.0, 300)])
def test_moved_times_show_the_same_moment(lag, ppm):
    found = between(SOURCE, worn(TARGET, lag, ppm), ALIGN)
    times = np.arange(0.0, 1200.0, 60.0)
    true = times * (1 + ppm * 1e-6) + lag
    assert found.told and not found.agree
    assert np.abs(found.moved(times) - true).max() < 0.15  # beyond which a pulse's way is not known


def test_two_sensors_of_one_kind_are_aligned_to_some_milliseconds():
    found = between(SOURCE, worn(SOURCE, 0.6, 100), ALIGN)
    times = np.arange(0.0, 1200.0, 60.0)
    assert np.abs(found.moved(times) - (times * 1.0001 + 0.6)).max() < 0.01
    assert "pulse's way" not in found.line()


def test_light_that_falls_with_blood_tells_the_same():
    found = between(replace(SOURCE, samples=-SOURCE.samples), TARGET, ALIGN)
    assert found.lag == pytest.approx(BARE.lag, abs=0.02)


def test_the_channel_that_shows_the_heart_is_taken():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1, SOURCE.samples.shape[1]))
    flat = np.zeros_like(noise)
    channels = tuple(replace(SOURCE.channels[0], name=name) for name in ("dark", "noise", "light"))
    many = replace(SOURCE, samples=np.vstack([flat, noise, SOURCE.samples]), channels=channels)
    found = between(many, TARGET, ALIGN)
    assert found.told and found.lag == pytest.approx(BARE.lag, abs=0.01)


def test_lost_samples_that_nobody_counted_make_windows_unsure():
    length = TARGET.samples.shape[1]
    jump = round(0.6 * length)
    keep = np.r_[0:jump, jump + round(3 * TARGET.rate) : length]
    found = between(SOURCE, worn(TARGET, 0, 0, keep=keep), ALIGN)
    begin = np.arange(0.0, 1150.0, 10.0)
    unsure = found.unsure(begin, 10.0)
    assert found.told and found.lag == pytest.approx(BARE.lag, abs=0.02)
    assert not unsure[begin < 500].any()
    assert unsure[(begin > 780) & (begin < 1060)].all()
    assert "contradict it" in found.line()


def test_holes_and_a_late_start_tell_the_same():
    samples = TARGET.samples.copy()
    rng = np.random.default_rng(1)
    for first in rng.integers(0, samples.shape[1] - 4000, 20):
        samples[:, first : first + rng.integers(50, 4000)] = np.nan
    holes = replace(TARGET, samples=samples)
    assert between(SOURCE, holes, ALIGN).lag == pytest.approx(BARE.lag, abs=0.02)
    first = round(400 * TARGET.rate)
    late = replace(TARGET, samples=TARGET.samples[:, first:], t0=400.0)
    found = between(SOURCE, late, ALIGN)
    assert found.at(np.array([600.0]))[0] == pytest.approx(BARE.at(np.array([600.0]))[0], abs=0.02)


def test_nothing_is_told_of_what_is_no_heart_or_another_one():
    rng = np.random.default_rng(0)
    stranger = wearers(count=2, minutes=20, seed=3, ecg_rate=125.0)[1].target
    for other in (
        replace(TARGET, samples=rng.normal(size=TARGET.samples.shape)),
        stranger,
        replace(TARGET, samples=TARGET.samples[:, ::-1]),
    ):
        found = between(SOURCE, other, ALIGN)
        assert not found.told
        assert found.moved(np.arange(3.0)).tolist() == [0, 1, 2]
        assert "do not tell" in found.line()
    for value in (0.0, np.nan):
        assert between(SOURCE, replace(TARGET, samples=TARGET.samples * value), ALIGN) is None


def test_what_shows_no_pulse_or_is_short_or_not_wanted_is_not_compared():
    assert between(SOURCE, replace(TARGET, modality="eeg"), ALIGN) is None
    assert between(SOURCE, TARGET, replace_align(estimate=False)) is None
    short = replace(TARGET, samples=TARGET.samples[:, : round(100 * TARGET.rate)])
    assert between(SOURCE, short, replace_align(most=2.0)) is None
    slow = replace(SOURCE, samples=SOURCE.samples[:, ::64], rate=1.0)
    assert between(slow, TARGET, ALIGN) is None


def replace_align(**changes):
    return Align(**changes)


def test_what_anchors_say_is_not_found_again():
    slow = worn(TARGET, 0, -1000)  # by its nominal rate it runs ahead of itself
    marks = np.arange(0, slow.samples.shape[1], 1250)
    taken = marks / slow.rate / (1 - 1000e-6)
    anchors = [[int(i), float(t), float(t)] for i, t in zip(marks, taken, strict=True)]
    anchored = replace(slow, facts={"anchors": anchors, "real_rate": slow.rate * (1 - 1000e-6)})
    assert between(SOURCE, slow, ALIGN).ppm == pytest.approx(-1000, abs=20)
    found = between(SOURCE, anchored, ALIGN)
    assert found.agree and abs(found.ppm) < 20


def test_real_hearts_are_never_told_wrong(shared):
    told = 0
    pairs = bidmc.load(shared / "data" / "bidmc")[18:24]
    for number, pair in enumerate(pairs):
        found = between(pair.source, worn(pair.target, 3.3, -200), ALIGN)
        if found.told:  # a ventilated heart may beat too evenly for eight minutes to tell
            told += 1
            # This monitor shows a pulse 0.5 to 0.65 s after its R wave.
            assert found.lag == pytest.approx(3.3 - 0.58, abs=0.08)
            assert found.ppm == pytest.approx(-200, abs=100)
        else:
            assert "too evenly" in found.line() or "do not tell" in found.line()
        other = pairs[(number + 1) % len(pairs)]
        if other.person != pair.person:
            assert not between(pair.source, replace(other.target, person=pair.person), ALIGN).told
    assert told >= 3


# -- marks --------------------------------------------------------------------------------------


def test_marks_tell_lag_and_drift():
    times = np.array([10.0, 600.0, 1800.0, 3600.0])
    mine = [Mark(t, "tap") for t in times]
    theirs = [Mark(t + 2.5 + 4e-4 * (t - 10), "tap") for t in times]
    found = by_marks(mine, theirs)
    assert found.lag == pytest.approx(2.5) and found.ppm == pytest.approx(400)
    assert np.allclose(found.moved(times), [mark.start for mark in theirs])
    assert found.line().startswith("the target shows a mark 2.50 s later")


def test_marks_that_are_missing_on_one_side_pair_nothing():
    mine = [Mark(1.0, "tap"), Mark(9.0, "tap"), Mark(5.0, "sit")]
    found = by_marks(mine, [Mark(2.0, "tap"), Mark(6.0, "sit")])
    assert (found.lag, found.blocks) == (1.0, 1)
    assert by_marks(mine, [Mark(2.0, "tap")]) is None
    assert by_marks([], []) is None


def test_marks_that_contradict_each_other_tell_nothing():
    mine = [Mark(t, "tap") for t in (0.0, 100.0, 200.0, 300.0)]
    theirs = [Mark(t, "tap") for t in (0.0, 150.0, 160.0, 390.0)]
    found = by_marks(mine, theirs)
    assert not found.told
    assert "do not tell" in found.line()
