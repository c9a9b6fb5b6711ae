"""Classic features: what they measure is what they are named, of any window, each alone."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from bioxedge import classic
from bioxedge.classic.peaks import peaks
from bioxedge.errors import SignalError

MODALITIES = ("ppg", "ecg", "eda", "temperature", "acceleration", "eeg", "eog", "emg", "sound")
quick = settings(max_examples=60, deadline=None)


def of(rows, rate, modality):
    """Describe rows [n, samples] of one channel, by name."""
    found = classic.describe(np.atleast_2d(rows)[:, None], rate, modality)
    return dict(zip(classic.names(modality, ["x"]), found.T, strict=True))


def seconds(length, rate):
    return np.arange(round(length * rate)) / rate


@pytest.mark.parametrize("modality", MODALITIES)
def test_names_are_one_for_each_feature_channel_by_channel(modality):
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(5, 2, 640)).cumsum(axis=2)
    found = classic.describe(windows, 64.0, modality)
    names = classic.names(modality, ["left", "right"])
    assert found.shape == (5, len(names))
    assert found.dtype == np.float64
    assert len(set(names)) == len(names)
    half = len(names) // 2
    assert all(name.startswith("left ") for name in names[:half])
    assert all(name.startswith("right ") for name in names[half:])
    second = classic.describe(windows[:, 1:], 64.0, modality)
    assert np.array_equal(found[:, half:], second, equal_nan=True)


@pytest.mark.parametrize("modality", MODALITIES)
def test_each_window_is_described_alone_and_left_as_it_is(modality):
    rng = np.random.default_rng(1)
    windows = rng.normal(size=(20, 1, 640)).cumsum(axis=2)
    windows[3] = 7.1
    kept = windows.copy()
    together = classic.describe(windows, 64.0, modality)
    alone = np.concatenate([classic.describe(one[None], 64.0, modality) for one in windows])
    assert together == pytest.approx(alone, rel=1e-9, nan_ok=True)
    assert np.array_equal(windows, kept)


@quick
@given(
    modality=st.sampled_from(MODALITIES),
    samples=st.integers(1, 80),
    rate=st.sampled_from([1.0, 4.0, 64.0, 250.0]),
    size=st.sampled_from([1e-9, 1.0, 1e9]),
    kind=st.sampled_from(["noise", "flat", "steps", "line"]),
    seed=st.integers(0, 999),
)
def test_no_window_gives_a_warning_or_an_infinity(modality, samples, rate, size, kind, seed):
    rng = np.random.default_rng(seed)
    rows = {
        "noise": rng.normal(size=(3, samples)),
        "flat": np.full((3, samples), 0.1),
        "steps": rng.integers(0, 2, (3, samples)).astype(float),
        "line": np.outer([0.1, 1, 3], np.arange(samples)) + 0.3,
    }[kind]
    found = classic.describe(size * rows[:, None], rate, modality)
    assert not np.isinf(found).any()


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("level", [0.0, 0.1, 1e6 / 3])
def test_what_does_not_vary_has_no_beats_no_spread_and_no_spectrum(modality, level):
    found = of(np.full(640, level), 64.0, modality)
    for name, (value,) in found.items():
        if "level" in name:
            assert value == pytest.approx(level)
        else:  # rounding is no signal: of its logarithm a model would make much
            assert np.isnan(value) or value == 0, name


@pytest.mark.parametrize("modality", ["ppg", "ecg"])
@pytest.mark.parametrize("bpm", [40, 62.5, 90, 150, 195])
def test_rate_of_a_pulse(modality, bpm):
    rate = 125.0
    t = seconds(12, rate)
    beat = (t * bpm / 60 + 0.3) % 1
    width = 0.1 if modality == "ppg" else 0.02 * bpm / 60
    pulse = np.exp(-((beat - 0.5) ** 2) / (2 * width**2)) + 0.3 * np.sin(0.4 * t) + 900
    found = of(pulse, rate, modality)
    assert found["x rate (bpm)"] == pytest.approx([bpm], rel=0.015)
    assert found["x SDNN (s)"] < 0.01
    assert found["x regularity"] > 0.7


def test_variability_of_a_pulse_is_that_of_its_intervals():
    rate, rng = 250.0, np.random.default_rng(3)
    intervals = 0.85 + 0.06 * rng.standard_normal(30)
    at = 0.7 + np.concatenate([[0], np.cumsum(intervals)])
    t = seconds(at[-1] + 0.7, rate)
    pulse = np.exp(-((t[:, None] - at) ** 2) / (2 * 0.02**2)).sum(axis=1)
    found = of(pulse, rate, "ecg")
    clean = np.abs(intervals / np.median(intervals) - 1) <= 0.2  # the others are hidden beats
    assert 0.8 < clean.mean() < 1 and found["x clean beats"] == pytest.approx([clean.mean()])
    assert found["x SDNN (s)"] == pytest.approx([intervals[clean].std()], abs=0.003)
    steps = np.diff(intervals)[clean[1:] & clean[:-1]]
    assert found["x RMSSD (s)"] == pytest.approx([np.sqrt(np.mean(steps**2))], abs=0.005)


@settings(quick, max_examples=150)
@given(
    seed=st.integers(0, 9999),
    samples=st.integers(0, 90),
    kind=st.sampled_from(["noise", "walk", "steps", "walk of steps"]),
    height=st.sampled_from([-np.inf, 0.0, 1.0]),
    prominence=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    distance=st.integers(1, 9),
)
def test_peaks_are_those_that_scipy_finds(seed, samples, kind, height, prominence, distance):
    rng = np.random.default_rng(seed)
    row = rng.integers(-3, 4, samples) if "steps" in kind else rng.normal(size=samples)
    row = (np.cumsum(row) if "walk" in kind else row).astype(float)
    # Which of two equal peaks stays, where they are too near to each other, is not told there.
    distance = 1 if "steps" in kind else distance
    about = {"height": height, "prominence": prominence, "distance": distance}
    places, heights = peaks(row, **about)
    wanted, facts = find_peaks(row, **about)
    assert np.array_equal(places, wanted)
    assert np.array_equal(heights, facts["prominences"])


def test_of_peaks_of_one_height_that_are_near_the_later_stays():
    row = np.array([0.0, 1, 0, 1, 0, 1, 0])
    assert peaks(row, distance=3)[0].tolist() == [1, 5]
    assert peaks(row, distance=5)[0].tolist() == [5]


@pytest.mark.parametrize(
    ("modality", "column", "numeric"), [("ppg", "PLETH", "PULSE"), ("ecg", "II", "HR")]
)
@pytest.mark.parametrize("record", ["02", "13", "22"])  # 13: a T wave taller than its R
@pytest.mark.shared
def test_rate_of_real_hearts_is_that_of_the_monitor(shared, record, modality, column, numeric):
    folder = shared / "data" / "bidmc"
    with gzip.open(folder / f"bidmc_{record}_Signals.csv.gz", "rt", newline="") as file:
        rows = csv.reader(file)
        at = [name.strip() for name in next(rows)].index(column)
        signal = np.array([float(row[at]) for row in rows])
    with (folder / f"bidmc_{record}_Numerics.csv").open(newline="") as file:
        rows = csv.reader(file)
        at = [name.strip() for name in next(rows)].index(numeric)
        monitor = np.array([float(row[at]) for row in rows])
    windows = signal[: len(signal) // 1250 * 1250].reshape(-1, 1250)
    wanted = np.array([np.median(monitor[10 * k : 10 * k + 10]) for k in range(len(windows))])
    off = np.abs(of(windows, 125.0, modality)["x rate (bpm)"] - wanted)
    assert np.median(off) < 2


def test_responses_of_the_skin():
    rate = 4.0
    t = seconds(60, rate)
    level = 3 + 0.002 * t
    rises = sum(
        0.2 * np.where(t > at, np.exp(-(t - at) / 6) - np.exp(-(t - at) / 0.8), 0)
        for at in (8, 25, 41)
    )
    found = of(np.stack([level, level + rises]), rate, "eda")
    assert found["x responses (1/min)"] == pytest.approx([0, 3])
    assert found["x response amplitude"][0] == 0
    assert 0.08 < found["x response amplitude"][1] < 0.2
    assert found["x slope (1/s)"][0] == pytest.approx(0.002)
    assert found["x level"] == pytest.approx([level.mean(), (level + rises).mean()])


def test_temperature_is_a_level_and_a_slope():
    t = seconds(30, 4.0)
    found = of(33.5 - 0.01 * t, 4.0, "temperature")
    assert found["x slope (1/s)"] == pytest.approx([-0.01])
    assert found["x level"] == pytest.approx([33.5 - 0.01 * t.mean()])
    assert found["x spread"] == pytest.approx([0], abs=1e-12)


def test_movement_tells_who_moves():
    rng = np.random.default_rng(0)
    still = 1 + 0.001 * rng.standard_normal(320)
    found = of(np.stack([still, still + 0.5 * np.sin(9 * seconds(10, 32.0))]), 32.0, "acceleration")
    assert found["x level"] == pytest.approx([1, 1], abs=0.02)
    assert np.diff(found["x movement (log)"]) > 4


@pytest.mark.parametrize(
    ("hertz", "band"), [(2.5, "delta"), (6, "theta"), (10, "alpha"), (20, "beta"), (38, "gamma")]
)
def test_bands_of_a_brain(hertz, band):
    t = seconds(4, 250.0)
    found = of(20 * np.sin(2 * np.pi * hertz * t), 250.0, "eeg")
    assert found[f"x {band} share"] > 0.98
    # The power of a sine is half its amplitude's square, whatever the length of the window.
    assert np.exp(found[f"x {band} (log)"]) == pytest.approx([200], rel=0.02)


def test_scale_moves_powers_by_its_square_and_no_share():
    rng = np.random.default_rng(4)
    row = rng.normal(size=1000).cumsum()
    one, ten = of(row, 250.0, "eeg"), of(10 * row, 250.0, "eeg")
    for name, value in one.items():
        more = np.log(100) if "log" in name else 0
        assert ten[name] == pytest.approx(value + more, rel=1e-9)


def test_a_muscle():
    t = seconds(2, 1000.0)
    found = of(3 * np.sin(2 * np.pi * 80 * t + 0.1), 1000.0, "emg")
    assert np.exp(found["x RMS (log)"]) == pytest.approx([3 / np.sqrt(2)], rel=0.01)
    assert found["x zero crossings (1/s)"] == pytest.approx([160], rel=0.02)
    assert found["x mean frequency (Hz)"] == pytest.approx([80], abs=1)
    assert found["x median frequency (Hz)"] == pytest.approx([80], abs=1)


def test_anything_else_has_a_level_a_spread_and_a_spectrum():
    rng = np.random.default_rng(5)
    found = of(5 + 2 * rng.standard_normal((1, 4000)), 100.0, "sound")
    assert found["x level"] == pytest.approx([5], abs=0.2)
    assert found["x spread"] == pytest.approx([2], abs=0.1)
    assert found["x quartiles"] == pytest.approx([2 * 1.349], abs=0.15)
    powers = [np.exp(value[0]) for name, value in found.items() if "power" in name]
    assert sum(powers) == pytest.approx(4, rel=0.1)  # white: all of its variance


def test_windows_of_another_shape_are_refused():
    with pytest.raises(SignalError, match=r"\[n, channels, samples\], got \[3, 640\]"):
        classic.describe(np.zeros((3, 640)), 64.0, "ppg")


def test_no_window_is_no_row():
    assert classic.describe(np.zeros((0, 1, 640)), 64.0, "ppg").shape == (0, 12)


# -- breathing ----------------------------------------------------------------------------


def breathing_of(rows, rate, modality):
    """Describe breathing in rows [n, samples], by name."""
    found = classic.describe(np.atleast_2d(rows)[:, None], rate, modality, breathing=True)
    return dict(zip(classic.names(modality, ["x"], breathing=True), found.T, strict=True))


def breathed(way, modality, per_minute, *, length=60, rate=125.0, depth=0.25, bpm=78):
    """Simulate beats that breathing moves in one way: the wave, their height, or their distance."""
    t = seconds(length, rate)
    breath = 2 * np.pi * per_minute / 60 * t + 0.4
    swing = depth * np.sin(breath) if way != "interval" else 0 * t
    # The phase of the heart, whose rate breathing moves by a tenth.
    early = 0.1 * np.cos(breath) * bpm / per_minute / (2 * np.pi) if way == "interval" else 0
    beat = (t * bpm / 60 - early + 0.3) % 1
    pulse = np.exp(-((beat - 0.5) ** 2) / (2 * (0.1 if modality == "ppg" else 0.02) ** 2))
    return pulse * (1 + swing) if way == "amplitude" else pulse + (swing if way == "wave" else 0)


@pytest.mark.parametrize("modality", ["ppg", "ecg"])
@pytest.mark.parametrize("way", ["wave", "amplitude", "interval"])
@pytest.mark.parametrize("per_minute", [9, 14, 17.5, 22, 28])
def test_breathing_is_told_however_it_shows(modality, way, per_minute):
    found = breathing_of(breathed(way, modality, per_minute), 125.0, modality)
    assert found["x breathing rate (1/min)"] == pytest.approx([per_minute], abs=1.5)
    assert found["x breathing regularity"] > 0.45  # beats lie at samples: they jitter, too
    bands = {name: value[0] for name, value in found.items() if "(log)" in name}
    low, high = max(bands, key=bands.get).split()[3].split("–")
    # Beats of uneven length differ in height as well, at twice the rate, which beats fold back.
    assert int(low) <= per_minute <= int(high) or way == "interval"


@quick
@given(
    modality=st.sampled_from(["ppg", "ecg"]),
    seed=st.integers(0, 999),
    size=st.sampled_from([1e-6, 0.5, 1e5]),
    level=st.sampled_from([0.0, 1.0, -30.0]),
)
def test_breathing_hangs_on_no_unit_and_its_shares_are_all_there_is(modality, seed, size, level):
    rng = np.random.default_rng(seed)
    way, pace = rng.choice(["wave", "amplitude", "interval"]), rng.uniform(8, 30)
    row = breathed(way, modality, pace, length=30) + 0.01 * rng.standard_normal(30 * 125)
    one, other = (breathing_of(each, 125.0, modality) for each in (row, size * (row + level)))
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-6)
    shares = [np.exp(value) - 0.01 for name, value in one.items() if "(log)" in name]
    assert sum(shares) == pytest.approx(1)
    assert 6 <= one["x breathing rate (1/min)"] <= 36.2
    assert 0 < one["x breathing regularity"] <= 1 + 1e-9


@pytest.mark.parametrize("modality", ["ppg", "ecg"])
def test_breathing_takes_ten_seconds_and_something_that_varies(modality):
    row = breathed("wave", modality, 15, length=12)
    for given_, there in ((row[:1250], True), (row[:1249], False), (np.full(1500, 0.1), False)):
        found = breathing_of(given_, 125.0, modality)
        assert all(np.isfinite(value).all() == there for value in found.values())


def test_breathing_without_beats_is_told_by_the_wave():
    found = breathing_of(np.sin(2 * np.pi * 0.25 * seconds(30, 64.0)), 64.0, "ecg")
    assert found["x breathing rate (1/min)"] == pytest.approx([15], abs=0.5)


@pytest.mark.parametrize("modality", ["ppg", "ecg"])
def test_breathing_stands_in_place_of_the_sensors_own(modality):
    rng = np.random.default_rng(2)
    windows = rng.normal(size=(3, 2, 700)).cumsum(axis=2)
    both = classic.describe(windows, 64.0, modality, breathing=True)
    one = classic.describe(windows[:, 1:], 64.0, modality, breathing=True)
    assert both.shape == (3, 16) and np.array_equal(both[:, 8:], one)  # to the bit
    names, own = (classic.names(modality, ["a", "b"], breathing=each) for each in (True, False))
    assert names[0] == "a breathing rate (1/min)" and names[8] == "b breathing rate (1/min)"
    assert len(names) == 16 and not set(names) & set(own)
    assert classic.breathes(names) and not classic.breathes(own)


def test_breathing_of_another_sensor_is_refused():
    with pytest.raises(SignalError, match="from ppg or ecg, not from eda"):
        classic.names("eda", ["x"], breathing=True)
    with pytest.raises(SignalError, match="own features"):
        classic.describe(np.zeros((1, 1, 640)), 4.0, "eda", breathing=True)
