"""Paired windows: cut as the device cuts, at the same times, with the reference that was there."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import msgspec
import numpy as np
import pytest
from fixtures_sessions import windowed
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import spec
from bioxedge.datasets import Pair
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.simulated import wearers
from bioxedge.datasets.windowed import stream_of, streamed_rate, window_of
from bioxedge.errors import SignalError
from bioxedge.recipes import Data, Model, Recipe, Sensor, Side, Task
from bioxedge.signals import Channel, Chunk, Recording, Samples
from bioxedge.windows import WindowStream, cut

BAND = spec.Filter(design="butterworth", kind="bandpass", cutoff=(0.5, 8.0), order=2)
HEART = Task(channel="HR", labels=("slow", "fast"), rule="bands")
CLASSES = Task(channel="class", labels=("rest", "stress"), rule="classes")


def side(modality: str, column: str, rate: float, length: int, **options) -> Side:
    live = f"live_{column}"
    sensor = Sensor(modality=modality, column=column, channel=live, unit="a.u.", rate=rate)
    return Side(sensor=sensor, model=Model(name="papagei"), length=length, **options)


def recipe(source: Side, target: Side, task: Task = HEART) -> Recipe:
    data = Data(dataset="simulated")
    # Straight lines and clocks are no signals; what is tested here is where they are cut.
    off = {"off": list(get_args(spec.Fault))}
    return Recipe(name="windows", data=data, task=task, source=source, target=target, quality=off)


WORN = recipe(
    side("ppg", "ppg_2", 64.0, 320, hop=100, stages=(BAND,), max_gap=8, then=(spec.ZScore(),)),
    side("ecg", "II", 125.0, 625, stages=(BAND,), then=(spec.ZScore(),)),
)


def recorded(samples: Samples, rate: float, name: str, t0: float = 0.0) -> Recording:
    return Recording(np.atleast_2d(samples), rate, (Channel(name),), "any", "anna", t0)


def clock(rate: float, t0: float, seconds: float, name: str) -> Recording:
    """Give a recording whose samples are the times at which they were taken."""
    return recorded(t0 + np.arange(round(seconds * rate)) / rate, rate, name, t0)


@pytest.fixture(scope="module")
def people() -> list[Pair]:
    return wearers(count=3, seed=3, minutes=2)


# -- law 5: the source as the device cuts it ----------------------------------------------------


def test_source_windows_are_bitwise_those_of_the_worn_recording(people: list[Pair]) -> None:
    found = windowed(people, WORN)
    sensor = WORN.source.sensor
    for pair in people:
        own = found.source[found.session == pair.name]
        worn = worn_of(pair.source, sensor)
        assert np.isnan(worn.samples).any()  # lost packets are part of the test
        cuts = cut(worn, sensor.input, stream_of(WORN.source), window_of(WORN.source))
        starts = [float(window.start) / 64.0 for window in cuts]
        expected = {start: window.samples for start, window in zip(starts, cuts, strict=True)}
        kept = found.start[found.session == pair.name]
        assert len(own) == len(kept) >= len(cuts) - 2  # the target's filter settles, too
        for window, start in zip(own, kept, strict=True):
            assert window.tobytes() == expected[start].tobytes()


def test_source_windows_are_bitwise_those_of_the_device(people: list[Pair]) -> None:
    found = windowed(people[:1], WORN)
    sensor = WORN.source.sensor
    live = WindowStream(sensor.input, stream_of(WORN.source), window_of(WORN.source))
    worn = worn_of(people[0].source, sensor).samples
    windows = [
        window.samples
        for first in range(0, worn.shape[1], 7)
        for window in live.push(Chunk(worn[:, first : first + 7], first, 64.0))
    ]
    assert {w.tobytes() for w in found.source} <= {w.tobytes() for w in windows}


def test_windows_are_ready_for_a_model(people: list[Pair]) -> None:
    found = windowed(people, WORN)
    assert found.source.shape[1:] == (1, 320) and found.target.shape[1:] == (1, 625)
    assert found.source.dtype == found.target.dtype == np.float32
    assert np.isfinite(found.source).all() and np.isfinite(found.target).all()
    assert set(found.person) == {pair.person for pair in people}
    assert len(found) == len(found.source) == len(found.target) == len(found.start)


# -- the target at the same times ---------------------------------------------------------------


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    rates=st.tuples(*[st.sampled_from([50.0, 64.0, 125.0, 250.0])] * 2),
    offsets=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    hop=st.integers(5, 150),
)
def test_both_windows_tell_the_same_time(
    rates: tuple[float, float], offsets: tuple[float, float], hop: int
) -> None:
    source = side("ppg", "clock", rates[0], 100, hop=hop)
    target = side("ecg", "clock", rates[1], 80)
    recordings = [clock(rate, t0, 20.0, "clock") for rate, t0 in zip(rates, offsets, strict=True)]
    found = windowed([Pair("clocks", *recordings)], recipe(source, target))
    np.testing.assert_allclose(found.source[:, 0, 0], found.start, atol=1e-5)
    difference = found.target[:, 0, 0].astype(float) - found.start
    assert np.abs(difference).max() <= 0.5 / rates[1] + 1e-5
    steps = np.diff(found.target[:, 0], axis=1)
    np.testing.assert_allclose(steps, 1 / rates[1], atol=1e-5)


def test_a_resampled_target_tells_the_same_time() -> None:
    source = side("ppg", "clock", 64.0, 128, hop=32)
    quadruple = (spec.Resample(up=4, down=1),)
    target = side("ecg", "clock", 125.0, 1000, stages=quadruple)
    pair = Pair("clocks", clock(64.0, 1.7, 30.0, "clock"), clock(125.0, 0.9, 30.0, "clock"))
    found = windowed([pair], recipe(source, target))
    assert streamed_rate(target) == 500.0
    difference = found.target[:, 0, 0].astype(float) - found.start
    assert np.abs(difference).max() <= 0.5 / 500.0 + 1e-4


def test_a_chirp_is_in_phase_on_both_sides() -> None:
    def chirp(times: Samples) -> Samples:
        return np.asarray(np.sin(2 * np.pi * (0.2 * times + 0.04 * times**2)))

    recordings = [
        recorded(chirp(t0 + np.arange(int(20 * rate)) / rate), rate, "x", t0)
        for rate, t0 in ((64.0, 0.31), (250.0, -0.47))
    ]
    source, target = side("a", "x", 64.0, 128, hop=50), side("b", "x", 250.0, 500)
    found = windowed([Pair("chirp", *recordings)], recipe(source, target))
    times = np.arange(128) / 64.0
    for one, other in zip(found.source[:, 0], found.target[:, 0], strict=True):
        # Half a target sample is 2 ms, in which the fastest part (1.8 Hz) moves by 0.023.
        assert np.abs(np.interp(times, np.arange(500) / 250.0, other) - one).max() < 0.025


def test_a_window_without_a_whole_target_is_left_out() -> None:
    source, target = side("a", "x", 64.0, 64, hop=64), side("b", "x", 125.0, 125)
    pair = Pair("late", clock(64.0, 0.0, 20.0, "x"), clock(125.0, 5.5, 9.0, "x"))
    found = windowed([pair], recipe(source, target))
    np.testing.assert_array_equal(found.start, np.arange(6.0, 14.0))


def test_a_recording_too_short_for_a_window_says_so() -> None:
    source, target = side("a", "x", 64.0, 640, hop=64), side("b", "x", 125.0, 1250)
    pair = Pair("short", clock(64.0, 0.0, 5.0, "x"), clock(125.0, 0.0, 30.0, "x"))
    found = windowed([pair], recipe(source, target))
    assert len(found) == 0
    (left,) = found.cuts[0].left
    assert left.why == "its source of 5 s holds no whole settled window"


# -- what is known of a window ------------------------------------------------------------------


def values(reference: list[float], task: Task, *, t0: float = 0.0, hop: int = 64) -> list[float]:
    """Give the value of each 4 s window of a 20 s recording, one a second unless ``hop`` says."""
    source, target = side("a", "x", 64.0, 256, hop=hop), side("b", "x", 64.0, 256)
    pair = Pair(
        "p",
        clock(64.0, 0.0, 20.0, "x"),
        clock(64.0, 0.0, 20.0, "x"),
        recorded(np.array(reference), 1.0, task.channel, t0),
    )
    return windowed([pair], recipe(source, target, task)).value.tolist()


def test_a_band_value_is_the_mean_over_the_window() -> None:
    assert values([*range(20)], HEART) == [start + 1.5 for start in range(17)]


def test_the_reference_has_a_clock_of_its_own() -> None:
    found = values([*range(20)], HEART, t0=2.0)
    assert found[2:] == [start + 1.5 for start in range(15)]
    assert np.isnan(found[0]) and np.isnan(found[1])  # half of it known, or less
    assert values([*range(20)], HEART, t0=-3.0)[0] == 4.5


def test_a_window_between_seconds_takes_those_that_begin_in_it() -> None:
    assert values([*range(20)], HEART, hop=96)[:3] == [1.5, 3.5, 4.5]  # from 0, 1.5 and 3 s


def test_too_little_known_is_unknown() -> None:
    nan = float("nan")
    three_of_four = msgspec.structs.replace(HEART, coverage=0.75)
    reference = [nan, 2.0, 4.0, 6.0, nan, nan, *[8.0] * 14]
    assert values(reference, three_of_four)[0] == 4.0
    assert np.isnan(values(reference, three_of_four)[1:4]).tolist() == [False, True, True]
    assert np.isnan(values(reference, HEART)[0])  # coverage 0.8


def test_a_class_fills_enough_of_its_window() -> None:
    nan = float("nan")
    task = msgspec.structs.replace(CLASSES, coverage=0.75)
    reference = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, nan, nan, 1, 1, 1, 1, 0, 1, 0, 1]
    found = values(reference, task)
    assert found[:3] == [0, 0, 0]
    assert np.isnan(found[3])  # half and half
    assert found[4:7] == [1, 1, 1]
    assert np.isnan(found[8:11]).all()  # two unknown seconds of four
    assert found[13] == 1 and np.isnan(found[16])


def test_a_pair_without_a_reference_has_no_values(people: list[Pair]) -> None:
    bare = [Pair(pair.name, pair.source, pair.target) for pair in people[:1]]
    assert np.isnan(windowed(bare, WORN).value).all()


def test_a_window_shorter_than_a_second_of_the_reference_may_be_unknown() -> None:
    source, target = side("a", "x", 64.0, 32, hop=16), side("b", "x", 64.0, 32)
    both = [clock(64.0, 0.0, 3.0, "x")] * 2
    pair = Pair("p", *both, recorded(np.array([60.0, 61.0, 62.0]), 1.0, "HR"))
    found = windowed([pair], recipe(source, target)).value
    assert found[[0, 4, 8]].tolist() == [60.0, 61.0, 62.0] and np.isnan(found[1])


def test_a_channel_that_the_reference_lacks_is_named(people: list[Pair]) -> None:
    task = msgspec.structs.replace(HEART, channel="SpO2")
    with pytest.raises(SignalError, match="no channel SpO2: it has class, HR"):
        windowed(people[:1], msgspec.structs.replace(WORN, task=task))


# -- the sensor that a recipe is for ------------------------------------------------------------


def test_a_worn_recording_has_the_live_sensors_name_rate_and_unit() -> None:
    sensor = Sensor(modality="ppg", column="PLETH", channel="ppg_2", unit="a.u.", rate=64.0)
    two = Recording(
        np.arange(20.0).reshape(2, 10), 64.0, (Channel("II", "mV"), Channel("PLETH")), "", "x", 7.0
    )
    worn = worn_of(two, sensor)
    np.testing.assert_array_equal(worn.samples, two.samples[1:])
    assert worn.channels == (Channel("ppg_2", "a.u."),)
    assert (worn.modality, worn.person, worn.rate, worn.t0) == ("ppg", "x", 64.0, 7.0)


@pytest.mark.parametrize("rates", [(125.0, 64.0), (64.0, 125.0), (250.0, 125.0), (51.2, 64.0)])
def test_resampling_keeps_the_time(rates: tuple[float, float]) -> None:
    sensor = Sensor(modality="ppg", column="x", channel="y", unit="a.u.", rate=rates[1])
    worn = worn_of(clock(rates[0], 3.25, 20.0, "x"), sensor)
    expected = worn.t0 + np.arange(worn.samples.shape[1]) / worn.rate
    # A filter that passes every constant passes a straight line up to its ripple.
    np.testing.assert_allclose(worn.samples[0], expected, atol=0.02 / rates[1])
    assert worn.t0 >= 3.25 and worn.t0 + worn.seconds <= 23.25
    assert worn.seconds > 19.0


def test_what_is_missing_stays_missing() -> None:
    recording = clock(125.0, 0.0, 20.0, "x")
    recording.samples[0, 1000:1010] = np.nan
    sensor = Sensor(modality="ppg", column="x", channel="y", unit="a.u.", rate=64.0)
    worn = worn_of(recording, sensor)
    lost = worn.t0 + np.flatnonzero(np.isnan(worn.samples[0])) / 64.0
    assert lost.min() < 8.0 and lost.max() > 8.07
    assert lost.max() - lost.min() < 0.5


@pytest.mark.parametrize("rate", [64.1234567, 0.05, 1e6])
def test_an_impossible_ratio_is_one_line(rate: float) -> None:
    sensor = Sensor(modality="ppg", column="x", channel="y", unit="a.u.", rate=rate)
    with pytest.raises(SignalError, match="the ratio must be one of whole numbers") as error:
        worn_of(clock(125.0, 0.0, 5.0, "x"), sensor)
    assert "\n" not in str(error.value) and "125 Hz" in str(error.value)


def test_a_column_that_is_not_there_is_named() -> None:
    sensor = Sensor(modality="ppg", column="PLETH", channel="ppg_2", unit="a.u.", rate=64.0)
    with pytest.raises(SignalError, match="no channel PLETH: it has x"):
        worn_of(clock(64.0, 0.0, 5.0, "x"), sensor)


def test_warm_ups_are_filled_in() -> None:
    (stage,) = stream_of(WORN.source).stages
    assert isinstance(stage, spec.Filter) and stage.warmup
    first = cut(
        recorded(np.zeros(1000), 64.0, "live_ppg_2"),
        WORN.source.sensor.input,
        stream_of(WORN.source),
        window_of(WORN.source),
    )[0]
    assert first.start == Fraction(stage.warmup)
