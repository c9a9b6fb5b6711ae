"""Words for a table of scores: what is better is said, what is not shown is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.bridging.evaluate import bootstrap, score
from bioxedge.bridging.values import errors, score_value
from bioxedge.bridging.verdict import BRIDGE, CLASSIC, CONSTANT, ORACLE_CLASSIC, TEACHER, verdicts
from bioxedge.bridging.verdict import digits as digits_of

ORDER = [TEACHER, BRIDGE, CLASSIC, ORACLE_CLASSIC, CONSTANT]


def said(people=12, windows=60, *, agreeing=False, seed=0, apart=0.05, **right):
    """Say what there is to say where each method is right with a chance of its own, by person."""
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{number:02d}" for number in range(people)], windows)
    truth = np.tile(np.arange(2), len(who) // 2)
    shares = {TEACHER: 0.9, BRIDGE: 0.8, CLASSIC: 0.6, ORACLE_CLASSIC: 0.7} | right
    answers = {}
    for method in ORDER:
        share = shares.get(method)
        if method == CONSTANT:
            answers[method] = np.zeros_like(truth)
        elif share is not None:
            own = np.repeat(np.clip(share + apart * rng.standard_normal(people), 0, 1), windows)
            answers[method] = np.where(rng.random(len(who)) < own, truth, 1 - truth)
    found = [score(name, truth, each, 2, 0).value for name, each in answers.items()]
    draws = bootstrap(truth, list(answers.values()), who) if people > 2 else None
    return verdicts(list(answers), found, draws, people, agreeing=agreeing)


def test_a_good_bridge_is_said_to_be_good():
    constant, classic, kept = said()
    assert constant.startswith("The bridge is better than a constant answer (0.8")
    assert classic.startswith("The bridge is better than classic features with a linear model")
    share, low, high = map(float, re.findall(r"\d\.\d+", kept.replace("95 %", "")))
    assert low < share < high
    assert 0.6 < share < 0.9
    assert high - low < 0.4


def test_a_bridge_that_answers_anything_is_no_better_than_a_constant():
    constant, classic, *_ = said(bridge=0.5)
    assert constant.startswith("The bridge is not shown to be better than a constant answer")
    assert classic.startswith("The bridge is WORSE than classic features")


def test_equal_to_classic_features_is_not_better():
    line = said(**{BRIDGE: 0.8, CLASSIC: 0.8}, apart=0.02)[1]
    assert line.startswith("The bridge is not shown to be better than classic features")
    low, high = map(float, re.search(r"95 % (\S+) to (\S+) over", line).groups())
    assert low < 0 < high


def test_a_bridge_that_is_the_constant_has_no_minus_zero():
    line = said(bridge=None, teacher=None, people=7)
    assert line == []
    methods, found = [BRIDGE, CONSTANT], [0.5, 0.5]
    (line,) = verdicts(methods, found, np.full((1000, 2), 0.5), 7)
    assert line == (
        "The bridge is not shown to be better than a constant answer (0.500 against 0.500; "
        "difference +0.000, 95 % +0.000 to +0.000 over people)"
    )


def test_true_labels_that_do_better_are_named():
    lines = said(**{BRIDGE: 0.65, ORACLE_CLASSIC: 0.9})
    assert any("WORSE than classic features of this sensor learnt from true" in x for x in lines)
    assert not any("true labels" in line for line in said(**{ORACLE_CLASSIC: 0.7}))


def test_a_teacher_at_chance_has_no_margin_to_keep():
    lines = said(teacher=0.5)
    assert "The teacher itself is not shown to be better than a constant answer" in lines
    assert not any("keeps" in line for line in lines)


@pytest.mark.parametrize("people", [1, 2])
def test_two_test_people_are_no_verdict(people):
    (line,) = said(people)
    assert "no verdict can be given" in line
    assert line.startswith(f"{people} test p")


def test_few_people_are_said_to_be_few():
    assert any("4 test people are few" in line for line in said(4))
    assert not any("few" in line for line in said(12))


def test_agreement_is_not_truth():
    lines = said(agreeing=True)
    assert lines[-1].startswith("No label is known")
    assert not any("keeps" in line for line in lines)
    assert said(2, agreeing=True)[-1].startswith("No label is known")


def test_a_chance_ahead_is_rarely_called_better():
    # Where bridge and classic features are alike, 2.5 of 100 are called better, whoever is tested.
    for people in (3, 6):
        alike = {BRIDGE: 0.7, CLASSIC: 0.7, TEACHER: None, ORACLE_CLASSIC: None}
        lines = [said(people, 20, seed=k, apart=0.1, **alike)[1] for k in range(60)]
        assert sum("better than classic" in x and "not shown" not in x for x in lines) <= 5


def test_errors_are_better_where_they_are_smaller():
    rng = np.random.default_rng(0)
    who = np.repeat([f"p{number}" for number in range(8)], 50)
    truth = 70 + 10 * rng.standard_normal(400)
    answers = {
        TEACHER: truth + rng.standard_normal(400),
        BRIDGE: truth + 3 * rng.standard_normal(400),
        CLASSIC: truth + 2 * rng.standard_normal(400),
        CONSTANT: np.full(400, 70.0),
    }
    found = [score_value(name, truth, each, 0, who).value for name, each in answers.items()]
    draws = -errors(truth, list(answers.values()), who)
    constant, classic, kept = verdicts(list(answers), found, draws, 8, unit="bpm")
    assert re.match(
        r"The bridge is better than a constant answer \(2\.\d+ against 8\.\d+ bpm", constant
    )
    assert "difference -5." in constant
    assert classic.startswith("The bridge is WORSE than classic features")
    assert "difference +0." in classic
    assert re.search(r"keeps 0\.\d+ of its teacher's margin", kept)


@settings(max_examples=200, deadline=None)
@given(width=st.floats(1e-6, 1e4))
def test_digits_follow_the_width(width):
    places = digits_of(width)
    assert 0 <= places <= 4
    if 1e-3 < width < 10:
        assert 10 <= round(width * 10**places, 6) < 100


@pytest.mark.parametrize("width", [0.0, np.nan, np.inf])
def test_a_width_that_says_nothing_gives_three_digits(width):
    assert digits_of(width) == 3


def test_without_a_bridge_nothing_is_said():
    assert verdicts([TEACHER, CONSTANT], [0.9, 0.5], np.zeros((9, 2)), 9) == []
