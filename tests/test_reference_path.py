"""Windows of whole recordings: what is in them, and where they stand."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from bioxedge import recipes, spec
from bioxedge.datasets import noncausal
from bioxedge.datasets.choosing import choose
from bioxedge.datasets.cutting import Cut, cut_session
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.windowed import stream_of, window_of
from bioxedge.errors import SignalError
from bioxedge.filters import sections_of, settling
from bioxedge.models.cards import card
from bioxedge.models.reference import prepare
from bioxedge.recipes import Model, Sensor, Side
from bioxedge.signals import Channel, Recording
from bioxedge.windows import cutting, cutting_at, zscore

DEMO = Path(__file__).parent.parent / "export" / "recipes" / "demo_stress_ecg_to_ppg.toml"
SMALL = ["data.wearers=1", "data.minutes=2.0"]
REFERENCE = [f'{name}.preprocessing="reference"' for name in ("source", "target")]
BAND = spec.Filter(design="butterworth", cutoff=(0.5, 8.0))


def side(stages="model", then="model", *, model="papagei", rate=64.0, length=640, max_gap=8):
    """Make a side as a recipe that was read has it: what is its model's is written out."""
    own = card(model).contract.streaming(rate) if "model" in (stages, then) else ((), ())
    return Side(
        sensor=Sensor(modality="any", column="x", channel="x", unit="a.u.", rate=rate),
        model=Model(name=model),
        length=length,
        hop=length // 2,
        stages=own[0] if stages == "model" else stages,
        max_gap=max_gap,
        then=own[1] if then == "model" else then,
        preprocessing="reference",
    )


def recorded(samples, rate=64.0) -> Recording:
    """Wrap samples of one channel."""
    return Recording(np.atleast_2d(samples), rate, (Channel("x", "a.u."),), "any", "anna")


def noise(count: int, seed: int = 0):
    return np.cumsum(np.random.default_rng(seed).standard_normal(count))


def both(about: Side, worn: Recording):
    """Cut a recording as the device would, and the same windows from the whole of it."""
    source, stream, window = about.sensor.input, stream_of(about), window_of(about)
    streamed = list(cutting(worn, source, stream, window))
    return streamed, list(noncausal.as_wanted(iter(streamed), about, worn))


# -- what is in them ---------------------------------------------------------------------------


def test_published_steps_are_taken_where_stages_are_the_models_own() -> None:
    about, worn = side(length=1250), recorded(noise(64 * 90))
    streamed, found = both(about, worn)
    whole, rate = prepare(card("papagei").contract.reference, worn.samples, 64.0)
    assert rate == 125.0 and len(found) == len(streamed) > 5
    for mine, theirs in zip(found, streamed, strict=True):
        assert (mine.start, mine.end) == (theirs.start, theirs.end)
        at = round(float(mine.start) * whole.shape[1] / worn.samples.shape[1])
        assert np.array_equal(mine.samples, whole[:, at : at + 1250].astype(np.float32))
    assert noncausal.said(about).startswith("as published: Fourier(to=125.0), ")


def test_what_was_published_for_a_window_is_done_to_each() -> None:
    about = side(model="openecg", rate=250.0, length=5000)
    streamed, found = both(about, recorded(noise(250 * 60), 250.0))
    plan = noncausal.plan(about)  # ranks, at the model's rate: a resampler stands before them
    assert [f"{step}" for step in plan.whole] == ["resampled by 2/1"] and len(plan.windowed) == 1
    assert len(found) == len(streamed) > 2
    for window in found:
        assert sorted(np.unique(window.samples))[::4999] == [-1.0, 1.0]


def test_the_counterpart_of_written_stages_is_each_filter_both_ways() -> None:
    then = (spec.ZScore(),)
    about, worn = side((BAND,), then), recorded(noise(64 * 60))
    _, found = both(about, worn)
    sections = sections_of(BAND, 64.0)
    whole = signal.sosfiltfilt(sections, worn.samples, axis=1, padlen=settling(sections))
    for window in found:
        at = int(window.start)
        by_hand = zscore(np.ascontiguousarray(whole[:, at : at + 640])).astype(np.float32)
        assert np.array_equal(window.samples, by_hand)
    assert "both ways; to each window" in noncausal.said(about)


def test_the_counterpart_of_a_running_spread_is_that_of_the_recording() -> None:
    about = side((spec.Standardise(warmup=900, memory=2000),), ())
    worn = recorded(noise(64 * 60))
    streamed, found = both(about, worn)
    assert streamed[0].start == found[0].start == 900  # no window is there that a device has not
    whole = zscore(worn.samples)
    for window in found:
        at = int(window.start)
        assert np.array_equal(window.samples, whole[:, at : at + 640].astype(np.float32))


gaps = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 40)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(gaps=gaps, max_gap=st.integers(0, 30), up=st.sampled_from([1, 2, 3]))
def test_without_a_filter_both_are_equal_to_the_last_bit(gaps, max_gap, up) -> None:
    samples = noise(800)
    for first, count in gaps:
        samples[first : first + count] = np.nan
    stages = (spec.Scale(gain=2.0, offset=-1.0),)
    stages += () if up == 1 else (spec.Resample(up=up, down=2 if up == 3 else 1),)
    about = side(stages, (spec.ZScore(),), length=30, max_gap=max_gap)
    streamed, found = both(about, recorded(samples))
    assert [w.samples.tobytes() for w in found] == [w.samples.tobytes() for w in streamed]


def test_statistics_of_a_recording_stop_at_a_long_gap() -> None:
    samples = noise(64 * 100)
    samples[3000:3040] = np.nan  # 41 samples are more than 8
    samples[5000:5004] = np.nan
    about = side(length=1250)
    _, found = both(about, recorded(samples))
    held = samples[3040:].copy()
    held[1960:1964] = held[1959]
    pieces = {0: samples[:3000], 3040: held}
    steps, origins = card("papagei").contract.reference, set()
    for window in found:
        origin = 3040 if window.start > 3040 else 0
        origins.add(origin)
        whole, _ = prepare(steps, pieces[origin], 64.0)
        scale = whole.shape[1] / len(pieces[origin])
        at = round(float(window.start - origin) * scale)
        assert np.array_equal(window.samples, whole[:, at : at + 1250].astype(np.float32))
    assert origins == {0, 3040}


def test_a_recording_too_short_for_a_published_filter_is_one_line() -> None:
    about = side(model="hubert_ecg", rate=250.0, length=50)
    worn = recorded(noise(200), 250.0)
    found = noncausal.as_wanted_at(iter([(0, None)]), about, worn, [0.0])
    with pytest.raises(SignalError, match=r"too few: filtering both ways .* give more"):
        next(found)


# -- where they stand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "rate"),
    [
        (side((BAND,), ()), 64.0),
        (side((BAND, spec.Resample(up=25, down=16)), (), length=1000), 100.0),
        (side(length=1250), 125.0),
        (side(model="hubert_ecg", rate=250.0, length=1000), 100.0),
    ],
    ids=["filter", "resampled", "papagei", "hubert_ecg"],
)
def test_a_beat_stands_where_it_was_and_not_behind(about: Side, rate: float) -> None:
    worn_rate = about.sensor.rate
    seconds = np.arange(round(60 * worn_rate)) / worn_rate
    beat = 30.3
    samples = np.exp(-0.5 * ((seconds - beat) / 0.04) ** 2) + 1e-9 * np.cos(seconds)
    worn = recorded(samples, worn_rate)
    streamed, found = both(about, worn)
    number = next(
        k for k, w in enumerate(found) if beat - 8 < float(w.start) / worn_rate < beat - 2
    )
    shown = float(found[number].start) / worn_rate + found[number].samples[0].argmax() / rate
    assert abs(shown - beat) <= 1 / rate  # half a sample of rounding, half of the peak's own place
    # Cut at a time, as the target's windows are: the same one.
    time = float(found[number].start) / worn_rate
    stream, window = stream_of(about), window_of(about)
    windows = cutting_at(worn, about.sensor.input, stream, window, [time])
    ((_, samples),) = noncausal.as_wanted_at(windows, about, worn, [time])
    assert np.array_equal(samples, found[number].samples)
    causal = streamed[number].samples[0].argmax() - found[number].samples[0].argmax()
    assert causal >= 0  # a causal filter shows it late, if at all


def cut(chosen, recipe) -> tuple[Cut, np.ndarray, np.ndarray]:
    """Cut a session; give both sides' windows."""
    kept: dict[str, list] = {"source": [], "target": []}

    def put(name):
        return lambda window: (kept[name].append(window), len(kept[name]) - 1)[1]

    found = cut_session(chosen, recipe, put("source"), put("target"))
    return found, np.stack(kept["source"]), np.stack(kept["target"])


def test_a_session_gives_the_same_windows_in_time() -> None:
    recipe = recipes.read(DEMO, SMALL)
    chosen = choose(recipe, None)[0][0]
    streamed, source, target = cut(chosen, recipe)
    found, whole, beside = cut(chosen, recipes.read(DEMO, [*SMALL, *REFERENCE]))
    for name in ("start", "moment", "source_row", "target_row", "left", "seconds"):
        assert getattr(found, name) == getattr(streamed, name)
    assert np.array_equal(found.measures, streamed.measures)
    assert np.array_equal(found.classic, streamed.classic)  # from raw samples, whatever is done
    assert whole.shape == source.shape and beside.shape == target.shape
    assert not np.array_equal(whole, source) and not np.array_equal(beside, target)
    # The target's first window, by hand: at the moment at which the source's begins.
    worn = worn_of(chosen.target.read(), recipe.target.sensor, chosen.data.target)
    sections = sections_of(recipe.target.stages[0], worn.rate)
    ready = signal.sosfiltfilt(sections, worn.samples, axis=1, padlen=settling(sections))
    number = found.target_row.index(0)
    at = math.floor((found.start[number] - worn.t0) * worn.rate + 0.5)
    by_hand = zscore(np.ascontiguousarray(ready[:, at : at + recipe.target.length]))
    assert np.array_equal(beside[0], by_hand.astype(np.float32))


def test_streamed_windows_are_keyed_as_before() -> None:
    """A recipe that says nothing of preprocessing finds the steps that it finished."""
    pytest.importorskip("torch", exc_type=ImportError)
    from bioxedge.building.windowing import _facts

    about = side((BAND,), (spec.ZScore(),))
    plain = msgspec.structs.replace(about, preprocessing="streaming")
    recipe = _recipe(plain)
    assert "preprocessing" not in _facts(recipe)[0]
    assert _facts(_recipe(about))[0]["preprocessing"] == noncausal.said(about)


def _recipe(about: Side) -> recipes.Recipe:
    task = recipes.Task(channel="class", rule="classes", labels=("rest", "stress"))
    return recipes.Recipe(name="x", task=task, source=about, target=about)
