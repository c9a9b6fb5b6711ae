"""Scores: that they are the field's, that the unit is the person, that few people are few."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge.bridging.evaluate import FEWEST, bootstrap, differences, middle, score
from bioxedge.errors import DatasetError

quick = settings(max_examples=25, deadline=None)


def study(people: int, windows: int = 40, share: float = 0.75, seed: int = 0):
    """Give truth, answers that are right with a chance of each person's own, and who is who."""
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{number:02d}" for number in range(people)], windows)
    truth = np.tile(np.arange(2), len(who) // 2)
    chance = np.clip(share + 0.12 * rng.standard_normal(people), 0, 1)
    right = rng.random(len(who)) < np.repeat(chance, windows)
    return truth, np.where(right, truth, 1 - truth), who


@st.composite
def answered(draw):
    classes, size = draw(st.integers(2, 5)), draw(st.integers(1, 60))
    labels = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    return np.array(draw(labels)), np.array(draw(labels)), classes


@quick
@given(case=answered())
def test_kappa_is_that_of_scikit_learn(case):
    metrics = pytest.importorskip("sklearn.metrics", exc_type=ImportError)
    truth, answers, classes = case
    found = score("x", truth, answers, classes, 3).kappa
    if len(set(truth) | set(answers)) == 1:
        assert found == 0  # scikit-learn: not a number
    else:
        assert found == pytest.approx(metrics.cohen_kappa_score(truth, answers), abs=1e-12)


@quick
@given(case=answered(), seed=st.integers(0, 99))
def test_order_of_windows_changes_no_score(case, seed):
    truth, answers, classes = case
    rng = np.random.default_rng(seed)
    who = np.array([f"p{k % 4}" for k in range(len(truth))])
    order = rng.permutation(len(truth))
    one = score("x", truth, answers, classes, 0, people=who)
    other = score("x", truth[order], answers[order], classes, 0, people=who[order])
    assert one.to_dict() == other.to_dict()
    assert (one.interval is None) == (one.people < FEWEST)


def test_calibration_error_is_how_far_sureness_is_from_being_right():
    truth = np.array([0, 0, 0, 1] * 25)
    sure = np.tile([0.75, 0.25], (100, 1))
    answers = sure.argmax(1)
    assert score("x", truth, answers, 2, 0, probabilities=sure).calibration_error == pytest.approx(
        0
    )
    cocky = np.tile([0.95, 0.05], (100, 1))
    found = score("x", truth, answers, 2, 0, probabilities=cocky).calibration_error
    assert found == pytest.approx(0.2)
    certain = np.tile([1.0, 0.0], (100, 1))
    found = score("x", truth, answers, 2, 0, probabilities=certain).calibration_error
    assert found == pytest.approx(0.25)
    assert score("x", truth, answers, 2, 0).calibration_error is None


@pytest.mark.parametrize("people", [1, 2])
def test_two_people_have_no_interval(people):
    truth, answers, who = study(people)
    found = score("x", truth, answers, 2, 0, people=who)
    assert found.interval is None
    assert (found.people, found.windows) == (people, 40 * people)
    assert "low" not in found.metrics()


def test_interval_stands_around_the_score_and_narrows_with_people():
    widths = []
    for people in (3, 6, 12, 48):
        truth, answers, who = study(people)
        found = score("x", truth, answers, 2, 0, people=who)
        low, high = found.interval
        assert low < found.balanced_accuracy < high
        assert (found.metrics()["low"], found.metrics()["high"]) == (low, high)
        widths.append(high - low)
    assert widths[-1] < widths[0] / 2


@pytest.mark.parametrize("people", [3, 5, 6, 12])
def test_interval_holds_what_it_says_with_few_people(people):
    held = plain = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        own = rng.normal(0.75, 0.1, people)
        drawn = own[rng.integers(people, size=(400, people))].mean(axis=1)
        low, high = middle(drawn, people)
        held += low < 0.75 < high
        low, high = middle(drawn)
        plain += low < 0.75 < high
    assert 0.9 < held / 400 < 0.985
    assert plain < held


def test_every_draw_has_every_class():
    # One person in five is the only one who shows class 1: without it a constant would score 1.
    who = np.repeat(list("abcde"), 20)
    truth = np.where(who == "a", 1, 0)
    constant, right = np.zeros(100, int), truth
    draws = bootstrap(truth, [constant, right], who)
    assert np.all(draws == [0.5, 1.0])


def test_classes_of_one_person_each_are_scored_as_they_occur():
    who = np.repeat([f"p{k:02d}" for k in range(25)], 4)
    truth = np.repeat(np.arange(25), 4)
    draws = bootstrap(truth, [truth, np.zeros_like(truth)], who, draws=50)
    assert np.all(draws[:, 0] == 1)
    assert np.all(draws[:, 1] < 0.2)


def test_differences_are_paired():
    truth, answers, who = study(8)
    worse = answers.copy()
    worse[::20] = 1 - truth[::20]
    methods = ["bridge", "same", "worse"]
    given = [answers, answers, worse]
    found = [score("x", truth, each, 2, 0).value for each in given]
    draws = bootstrap(truth, given, who)
    same, other = differences(methods, found, draws, 8, "bridge")
    assert (same.difference, same.interval) == (0, (0, 0))
    assert other.other == "worse"
    assert 0 < other.interval[0] <= other.difference <= other.interval[1]
    alone = score("x", truth, answers, 2, 0, people=who).interval
    assert other.interval[1] - other.interval[0] < (alone[1] - alone[0]) / 2
    assert json.loads(json.dumps(other.to_dict()))["interval"] == list(other.interval)


def test_a_score_is_plain_values():
    truth, answers, who = study(4)
    found = score("x", truth, answers, 2, 7, people=who, probabilities=np.eye(2)[answers])
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["people"] == 4
    assert plain["interval"] == list(found.interval)
    assert plain["calibration_error"] == pytest.approx((truth != answers).mean())


def test_nothing_to_score_is_said():
    none = np.array([], int)
    with pytest.raises(DatasetError, match="bridge: 0 windows"):
        score("bridge", none, none, 2, 0)
