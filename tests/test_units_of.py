"""Units: every spelling means one thing, factors fit together, and other signals are refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import units
from bioxedge.errors import SignalError

VOLTAGES = ("nV", "uV", "mV", "V", "kV")


@pytest.mark.parametrize(
    "spelt, usual",
    [
        ("µV", "uV"), ("μV", "uV"), ("microvolts", "uV"), ("microvolt", "uV"), ("UV", "uV"),
        ("uv", "uV"), (" uV ", "uV"), ("MV", "mV"), ("mv", "mV"), ("millivolts", "mV"),
        ("Volts", "V"), ("µS", "uS"), ("microsiemens", "uS"), ("°C", "degC"), ("Celsius", "degC"),
        ("BPM", "bpm"), ("beats/min", "bpm"), ("1/min", "bpm"), ("G", "g"), ("m/s^2", "m/s2"),
        ("m/s²", "m/s2"), ("mmhg", "mmHg"), ("kΩ", "kOhm"), ("NU", "a.u."), ("", "a.u."),
        ("counts", "a.u."), ("percent", "%"),
    ],
)  # fmt: skip
def test_a_spelling_means_the_usual_unit(spelt, usual):
    assert units.known(spelt)
    assert units.same(spelt, usual)
    if usual != "a.u.":
        assert units.factor(spelt, usual) == 1.0


@pytest.mark.parametrize(
    "found, wanted, expected",
    [
        ("V", "uV", 1e6), ("mV", "uV", 1e3), ("uV", "mV", 1e-3), ("nV", "uV", 1e-3),
        ("bpm", "Hz", 1 / 60), ("g", "m/s2", 9.80665), ("mg", "g", 1e-3),
        ("mmHg", "Pa", 133.322387415), ("1", "%", 100.0), ("rad/s", "deg/s", 180 / math.pi),
        ("fT", "pT", 1e-3),
    ],
)  # fmt: skip
def test_a_factor_is_what_physics_says(found, wanted, expected):
    assert units.factor(found, wanted) == pytest.approx(expected, rel=1e-12)


@given(st.sampled_from(VOLTAGES), st.sampled_from(VOLTAGES), st.sampled_from(VOLTAGES))
def test_factors_fit_together(one, two, three):
    assert units.factor(one, one) == 1.0
    there = units.factor(one, two) * units.factor(two, three)
    assert there == pytest.approx(units.factor(one, three), rel=1e-12)


@pytest.mark.parametrize("found", ["uV", "g", "", "bpm", "NU"])
def test_what_wants_no_scale_takes_every_known_one_as_it_is(found):
    assert units.factor(found, "a.u.") == 1.0


@pytest.mark.parametrize(
    "found, wanted, said",
    [
        ("furlong", "uV", "furlong"),
        ("uV", "furlong", "furlong"),
        ("furlong", "a.u.", "furlong"),
        ("a.u.", "uV", "without a unit"),
        ("", "mV", "without a unit"),
        ("uV", "uS", "voltage"),
        ("degC", "g", "acceleration"),
    ],
)
def test_another_signal_is_refused_by_name(found, wanted, said):
    with pytest.raises(SignalError, match=said) as error:
        units.factor(found, wanted)
    assert "\n" not in str(error.value)


@given(st.text(max_size=12))
def test_no_text_is_more_than_known_or_not(unit):
    if units.known(unit):
        assert units.factor(unit, "a.u.") == 1.0
        assert units.same(unit, unit)
    else:
        with pytest.raises(SignalError):
            units.factor(unit, "a.u.")
