"""A recording as the live sensor would have given it: rows, units and rate, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import dsp, spec, worn
from bioxedge.errors import SignalError
from bioxedge.signals import Channel, Recording


def taken(samples, *units, rate=250.0, modality="ecg"):
    channels = tuple(Channel(name, unit) for name, unit in zip("abcd", units, strict=False))
    return Recording(samples, rate, channels, modality, "anna", 100.0)


def noise(rows, count, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, count))


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 50_000),
    rates=st.sampled_from([(250.0, 125.0), (125.0, 64.0), (64.0, 250.0), (256.0, 200.0)]),
    rows=st.integers(1, 3),
)
def test_a_night_in_blocks_is_a_night_at_once_to_the_bit(count, rates, rows):
    found, wanted = rates
    recording = taken(noise(rows, count), *["mV"] * rows, rate=found)
    names = tuple("abcd"[:rows])
    goals = tuple(Channel(name, "mV") for name in names)
    brought = worn.as_worn(recording, names, goals, wanted, "ecg")
    stage = dsp.ResampleStage(spec.Resample(up=round(wanted), down=round(found)))
    whole = stage.push(recording.samples)
    assert brought.samples.shape == whole.shape
    assert brought.samples.tobytes() == whole.tobytes()
    assert brought.t0 == 100.0 + float(stage.position(0)) / found


def test_rows_are_picked_in_order_named_and_scaled():
    recording = taken(noise(3, 100), "uV", "mV", "V")
    before = recording.samples.copy()
    goals = (Channel("II", "mV"), Channel("I", "mV"))
    brought = worn.as_worn(recording, ("c", "a"), goals, 250.0, "ecg")
    assert brought.channels == goals
    assert brought.samples.tolist() == [(before[2] * 1000).tolist(), (before[0] * 0.001).tolist()]
    assert recording.samples.tobytes() == before.tobytes()


def test_what_fits_is_not_copied():
    recording = taken(noise(3, 100), "mV", "mV", "mV")
    goals = (Channel("x", "mV"), Channel("y", "mV"))
    brought = worn.as_worn(recording, ("b", "c"), goals, 250.0, "ecg")
    assert np.shares_memory(brought.samples, recording.samples)
    assert brought.samples.tobytes() == recording.samples[1:].tobytes()


def test_what_is_missing_stays_missing():
    samples = noise(1, 4000)
    samples[0, 1000:1010] = np.nan
    brought = worn.as_worn(taken(samples, "uV"), ("a",), (Channel("a", "mV"),), 125.0, "ecg")
    assert np.isnan(brought.samples[0, 500:505]).all()
    assert np.isfinite(brought.samples[0, :400]).all()


@pytest.mark.parametrize(
    ("recording", "column", "unit", "rate", "says"),
    [
        (taken(noise(1, 9), "mV", modality="eeg"), "a", "mV", 250.0, "is EEG, the sensor gives"),
        (taken(noise(1, 9), "mV"), "x", "mV", 250.0, "no channel x: it has a"),
        (taken(noise(1, 9), "g"), "a", "mV", 250.0, "g is a acceleration, mV a voltage"),
        (taken(noise(1, 9), "a.u."), "a", "mV", 250.0, "without a unit cannot be brought to mV"),
        (taken(noise(1, 9), "furlong"), "a", "a.u.", 250.0, "'furlong' is no unit"),
        (taken(noise(1, 9), "mV"), "a", "mV", 133.77, "whole numbers up to 1000"),
    ],
)
def test_what_does_not_fit_is_one_line(recording, column, unit, rate, says):
    with pytest.raises(SignalError, match=says) as error:
        worn.as_worn(recording, (column,), (Channel("II", unit),), rate, "ecg")
    assert "\n" not in str(error.value)


def test_a_kind_that_nobody_said_passes():
    goals = (Channel("a", "mV"),)
    for there, here in (("", "ecg"), ("any", "ecg"), ("ecg", "any"), ("unknown", "ecg")):
        recording = taken(noise(1, 9), "mV", modality=there)
        assert worn.as_worn(recording, ("a",), goals, 250.0, here).modality == here


def test_changes_are_told_in_words():
    recording = taken(noise(2, 9), "uV", "mV")
    goals = (Channel("II", "mV"), Channel("b", "mV"))
    assert worn.changes(recording, ("a", "b"), goals, 125.0) == [
        "250 Hz brought to 125 Hz", "a taken as II", "a brought from uV to mV",
    ]  # fmt: skip
    assert worn.changes(recording, ("b",), (Channel("b", "mV"),), 250.0) == []
