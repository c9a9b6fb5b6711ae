"""A wearer's own baseline, beside the stage that standardises: each is what it is told to be."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import dsp, spec
from bioxedge.errors import SignalError
from bioxedge.wearer import Baseline, Known, Scale, beside, scaled

law = settings(max_examples=40, deadline=None, derandomize=True, database=None)
MEMORY = st.sampled_from([0, 1, 5, 40])
TINY = float(np.finfo(np.float32).tiny)


def worn(seed: int, windows: int, features: int = 4, missing: float = 0.2) -> np.ndarray:
    """Features of a wearer's windows, some of them missing."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-3, 3, features)
    found = size * (rng.normal(size=(windows, features)) + rng.uniform(-20, 20, features))
    found[rng.random(found.shape) < missing] = np.nan
    return found


def learnt(rows: np.ndarray, memory: int = 0, settle: int = 3) -> Baseline:
    baseline = Baseline(spec.BaselineSpec(settle=settle, memory=memory), rows.shape[1])
    for row in rows:
        baseline.push(row)
    return baseline


# -- the baseline ---------------------------------------------------------------------------


@law
@given(seed=st.integers(0, 999), windows=st.integers(0, 60))
def test_without_a_memory_it_is_the_plain_mean_and_deviation(seed: int, windows: int) -> None:
    rows = worn(seed, windows)
    known = learnt(rows).known()
    assert known.windows == windows
    for column, count, mean, square in zip(
        rows.T, known.count, known.mean, known.square, strict=True
    ):
        real = column[np.isfinite(column)]
        assert count == len(real)
        if len(real):
            assert mean == pytest.approx(real.mean(), rel=1e-9)
            assert square == pytest.approx(real.var(), rel=1e-6, abs=1e-12 * real.mean() ** 2)
        else:
            assert mean == square == 0


@law
@given(seed=st.integers(0, 999), windows=st.integers(1, 60), memory=st.sampled_from([1, 5, 40]))
def test_with_a_memory_windows_weigh_as_it_is_told(seed: int, windows: int, memory: int) -> None:
    rows = worn(seed, windows, missing=0)
    new = [max(1 / n, 1 - math.exp(-1 / memory)) for n in range(1, windows + 1)]
    weight = np.array([w * math.prod(1 - v for v in new[n + 1 :]) for n, w in enumerate(new)])
    assert weight.sum() == pytest.approx(1)
    mean = weight @ rows
    known = learnt(rows, memory).known()
    assert known.mean == pytest.approx(mean, rel=1e-9)
    assert known.square == pytest.approx(weight @ (rows - mean) ** 2, rel=1e-6, abs=1e-9)


@law
@given(seed=st.integers(0, 999), memory=MEMORY)
def test_what_is_missing_teaches_nothing(seed: int, memory: int) -> None:
    rows = worn(seed, 20)
    rows[:, 0] = np.nan
    together = learnt(rows, memory).known()
    for number, column in enumerate(rows.T):
        alone = learnt(column[np.isfinite(column), None], memory).known()
        for part in ("count", "mean", "square"):
            assert getattr(together, part)[number] == getattr(alone, part)[0]
    assert learnt(rows, memory).scale().inverse[0] == 0


@law
@given(seed=st.integers(0, 999), windows=st.integers(0, 12), memory=MEMORY)
def test_what_is_kept_goes_on_to_the_last_bit(seed: int, windows: int, memory: int) -> None:
    rows = worn(seed, 24)
    whole, first = learnt(rows, memory), learnt(rows[:windows], memory)
    kept = msgspec.json.decode(msgspec.json.encode(first.known()), type=Known)
    again = learnt(rows[:0], memory)
    again.take(kept)
    assert again.known() == first.known()
    assert again.settled == first.settled == (windows >= 3)
    for row in rows[windows:]:
        again.push(row)
    assert again.known() == whole.known()
    again.reset()
    assert again.known() == learnt(rows[:0], memory).known()


@law
@given(seed=st.integers(0, 999), at=st.integers(0, 19), memory=MEMORY)
def test_a_window_is_scaled_by_those_before_it_alone(seed: int, at: int, memory: int) -> None:
    rows = worn(seed, 20)
    other = rows.copy()
    other[at:] = worn(seed + 1, 20)[at:]
    one, two = learnt(rows[:0], memory), learnt(rows[:0], memory)
    for number, (row, changed) in enumerate(zip(rows, other, strict=True)):
        if number <= at:
            before, beside_it = one.scale(), two.scale()
            assert before.mean.tobytes() == beside_it.mean.tobytes()
            assert before.inverse.tobytes() == beside_it.inverse.tobytes()
        one.push(row)
        two.push(changed)


@law
@given(seed=st.integers(0, 999), offset=st.sampled_from([0.0, 1e3, -1e6]))
def test_a_level_far_off_hurts_no_distance(seed: int, offset: float) -> None:
    rows = np.random.default_rng(seed).normal(size=(30, 3))
    near, far = learnt(rows).known(), learnt(rows + offset).known()
    assert far.square == pytest.approx(near.square, rel=1e-6)
    assert np.array(far.mean) - offset == pytest.approx(near.mean, abs=1e-8)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6 / 3, 1e30])
def test_a_feature_that_has_not_varied_is_no_distance(value: float) -> None:
    scale = learnt(np.full((50, 1), value)).scale()
    assert scale.inverse == [0] and scale.mean == np.float32(value)
    assert scaled(np.array([7.0], np.float32), scale, 8.0) == [0]


@pytest.mark.parametrize("size", [1e-300, 1e-44, TINY / 2, TINY, 1.0, 1e18, 1e37])
def test_distances_of_any_size_are_numbers_in_float32(size: float) -> None:
    rows = size * np.array([[1.0], [3.0], [1.0], [3.0]])
    scale = learnt(rows).scale()
    found = scaled(rows[1].astype(np.float32), scale, 8.0)
    assert np.isfinite(scale.inverse).all() and found == pytest.approx([float(size >= TINY)])


def test_another_number_of_features_is_refused() -> None:
    with pytest.raises(SignalError, match=r"2 features was given \[3\]"):
        learnt(np.zeros((1, 2))).push(np.zeros(3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (1.0,)}, "not of 2 features"),
        ({"count": (1.0, 2.0, 3.0)}, "not of 2 features"),
        ({"mean": (math.nan, 1.0)}, "not finite"),
        ({"square": (math.inf, 1.0)}, "not finite"),
        ({"windows": -1}, "below 0"),
        ({"square": (-1e-9, 1.0)}, "cannot be"),
        ({"count": (-1.0, 1.0)}, "cannot be"),
        ({"windows": 3}, "cannot be"),
        ({"mean": (1e39, 1.0)}, "beyond float32"),
        ({"square": (1e80, 1.0)}, "beyond float32"),
    ],
)
def test_what_no_baseline_gave_is_not_taken(changes: dict, message: str) -> None:
    baseline = learnt(worn(1, 6, 2, 0))
    before = baseline.known()
    with pytest.raises(SignalError, match=message):
        baseline.take(msgspec.structs.replace(before, **changes))
    assert baseline.known() == before


def test_a_missing_classic_feature_is_the_wearers_mean_or_what_is_usual() -> None:
    about = spec.FeaturesSpec(
        encoder=1, classic=("a", "b", "c"), fill=(5.0, 6.0, 7.0),
        baseline=spec.BaselineSpec(settle=2),
    )  # fmt: skip
    # Of a the wearer has shown two values, of b one alone, of c none.
    scale = learnt(np.array([[1, 2, 9, np.nan], [3, 4, np.nan, np.nan]])).scale()
    given = beside(about, np.full(3, np.nan), scale)
    assert given.tolist() == [3, 6, 7, *scale.mean, *scale.inverse]
    assert beside(about, np.arange(3.0), scale)[:3].tolist() == [0, 1, 2]
    bare = msgspec.structs.replace(about, baseline=None)
    assert beside(bare, np.array([1, np.nan, 3]), None).tolist() == [1, 6, 3]
    alone = msgspec.structs.replace(about, classic=(), fill=())
    one = Scale(np.zeros(1, np.float32), np.ones(1, np.float32))
    assert beside(alone, np.empty(0), one).tolist() == [0, 1]


# -- the stage: the laws of every stage are in test_laws.py -----------------------------------


def brute(x: np.ndarray, memory: int) -> np.ndarray:
    """Each sample's distance, from weights and all samples before it."""
    found = np.zeros(x.shape)
    for n in range(x.shape[1]):
        weight = np.exp(-np.arange(n, -1, -1) / memory) if memory else np.ones(n + 1)
        seen = x[:, : n + 1]
        mean = seen @ weight / weight.sum()
        spread = np.sqrt((seen - mean[:, None]) ** 2 @ weight / weight.sum())
        varied = np.ptp(seen, axis=1) > 0
        found[varied, n] = ((x[:, n] - mean) / np.where(varied, spread, 1))[varied]
    return found


@law
@given(
    seed=st.integers(0, 999),
    samples=st.integers(0, 120),
    memory=st.sampled_from([0, 3, 50]),
    warmup=st.integers(1, 40),
    offset=st.sampled_from([0.0, 1e6, -1e6]),
)
def test_the_stage_is_what_it_is_told_to_be(
    seed: int, samples: int, memory: int, warmup: int, offset: float
) -> None:
    x = np.random.default_rng(seed).normal(size=(2, samples)).cumsum(axis=1)
    stage = dsp.StandardiseStage(spec.Standardise(warmup=warmup, memory=memory))
    found = stage.push(x + offset)
    assert found == pytest.approx(brute(x, memory)[:, warmup:], abs=1e-6)
    assert np.isfinite(found).all()


def test_the_stage_forgets_how_a_sensor_began() -> None:
    x = np.random.default_rng(0).normal(size=(1, 4000))
    spoilt = x.copy()
    spoilt[0, 0] = -1e4
    stages = [dsp.StandardiseStage(spec.Standardise(warmup=1, memory=100)) for _ in range(2)]
    good, found = (one.push(each) for one, each in zip(stages, (x, spoilt), strict=True))
    assert found[:, 3500:] == pytest.approx(good[:, 3500:], abs=1e-3)


def test_the_stage_keeps_a_level_that_a_window_loses() -> None:
    """What rises over minutes is still seen long after, which no z-score of a window shows."""
    rng = np.random.default_rng(1)
    level = np.repeat([2.0, 5.0], 2000) + 0.1 * rng.normal(size=4000)
    found = dsp.StandardiseStage(spec.Standardise(warmup=400)).push(level[None])[0]
    assert found[:1000].mean() == pytest.approx(0, abs=0.2) and found[-1000:].mean() > 0.9
