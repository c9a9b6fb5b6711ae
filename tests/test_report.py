"""What stands beside the bridge, and how it is shown: from arrays, with holes and edges."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("sklearn", exc_type=ImportError)

from matplotlib import image
from rich.console import Console

from bioxedge.bridging.evaluate import bootstrap, differences, score
from bioxedge.bridging.train import Course
from bioxedge.bridging.values import score_value
from bioxedge.building import beside, pictures, tables
from bioxedge.building.pictures import Worn

pytestmark = pytest.mark.train

LABELS = ("rest", "stress", "a long name of a third")


def answered(people=6, windows=40):
    """Give truth, and a good and a poor method's answers, of so many people."""
    rng = np.random.default_rng(1)
    who = np.repeat([f"p{number}" for number in range(people)], windows)
    truth = np.tile([0, 1], len(who) // 2)
    right = {"bridge": 0.85, "classic features": 0.6}
    found = {
        name: np.where(rng.random(len(who)) < share, truth, 1 - truth)
        for name, share in right.items()
    }
    return truth, found, who


def printed(table, width=140):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def worn(length=12.0, hop=2.0, **change):
    """Give a session that alternates every two minutes."""
    rng = np.random.default_rng(0)
    ends = np.arange(10, length * 60, hop) / 60
    truth = (ends // 2 % 2).astype(float)
    given = {
        "title": "p1, never seen",
        "signal": np.sin(np.arange(round(length * 60 * 64)) * 0.1) + 500,
        "rate": 64.0,
        "unit": "ppg [a.u.]",
        "minutes": ends,
        "answers": np.clip(0.2 + 0.6 * truth + 0.1 * rng.standard_normal(len(ends)), 0, 1),
        "teacher": truth * 0.9,
        "truth": truth,
        "labels": ("rest", "stress"),
        "said": "class",
    }
    return Worn(**(given | change))


def test_a_linear_model_learns_what_it_is_taught_across_sizes_and_holes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)) * [1, 1e6, 1e-6, 1] + [0, 1e7, 0, 3]
    labels = (x[:, 1] > 1e7).astype(int)
    x[::9, 1] = np.nan
    x[:, 3] = np.nan
    found, parameters = beside.linear(x[:200], labels[:200], x[200:], 3)
    assert found.shape == (100, 3)
    assert found.sum(axis=1) == pytest.approx(1)
    assert np.all(found[:, 2] == 0)
    known = np.isfinite(x[200:, 1])
    assert (found.argmax(1) == labels[200:])[known].mean() > 0.95
    assert parameters == 5
    again = beside.linear(x[:200], labels[:200], x[200:], 3)[0]
    assert np.array_equal(again, found)


def test_what_test_people_look_like_changes_nothing_for_the_others():
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(80, 3)), np.tile([0, 1], 40)
    alone = beside.linear(x, labels, x[:1], 2)[0]
    among = beside.linear(x, labels, np.vstack([x[:1], 1e9 * x[1:9]]), 2)[0]
    assert among[0] == pytest.approx(alone[0], abs=1e-12)


@pytest.mark.parametrize("labels", [np.full(20, 1), np.zeros(0, int)])
def test_a_teacher_of_one_class_gives_a_constant(labels):
    rng = np.random.default_rng(0)
    found, parameters = beside.linear(rng.normal(size=(len(labels), 2)), labels, np.ones((3, 2)), 2)
    assert parameters == 0
    assert np.all(found == np.eye(2)[labels[0] if len(labels) else 0])


def test_a_value_is_never_beyond_those_learnt():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    wanted = 70 + 8 * x[:, 0]
    found, parameters = beside.values(x[:150], wanted[:150], x[150:])
    assert np.abs(found - wanted[150:]).mean() < 1
    far = beside.values(x[:150], wanted[:150], 1e6 * x[150:])[0]
    assert far.min() >= wanted[:150].min()
    assert far.max() <= wanted[:150].max()
    assert parameters == 4


def test_a_feature_that_only_rounding_moves_says_nothing():
    train = np.full((50, 1), 0.1)
    train[::2] += 1e-17
    known, asked = beside.scaled(train, np.array([[0.1], [5.0]]))
    assert np.all(known == 0)
    assert np.all(asked == 0)


def test_a_table_says_people_intervals_kappa_and_differences():
    truth, found, who = answered()
    scores = [score(name, truth, each, 2, 1234, people=who) for name, each in found.items()]
    draws = bootstrap(truth, list(found.values()), who)
    ahead = differences(list(found), [one.value for one in scores], draws, 6, "bridge")
    text = printed(tables.scores(scores, "x: scores", ahead=ahead))
    for part in ("6 people never seen, 240 windows", "kappa", "bridge ahead by", "1,234", "0.8"):
        assert part in text
    low, high = ahead[0].interval
    assert f"{low:+.2f} to {high:+.2f}" in text
    assert "95 %: over people" in text


@pytest.mark.parametrize(("people", "said"), [(1, "1 person: no interval"), (2, "2 people: no")])
def test_a_table_of_two_people_has_no_interval(people, said):
    truth, found, who = answered(people)
    scores = [score(name, truth, each, 2, 0, people=who) for name, each in found.items()]
    assert said in printed(tables.scores(scores, "x"))


def test_a_table_of_four_says_that_they_are_few():
    truth, found, who = answered(4)
    scores = [score(name, truth, each, 2, 0, people=who) for name, each in found.items()]
    assert "4 people are few" in printed(tables.scores(scores, "x"))


def test_values_have_a_table_and_pictures_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    who = np.repeat(list("abcd"), 30)
    truth = 70 + 9 * rng.standard_normal(120)
    answers = truth + 3 * rng.standard_normal(120)
    found = [
        score_value("bridge", truth, answers, 9, who),
        score_value("majority", truth, np.full(120, 70.0), 0, who),
    ]
    text = printed(tables.scores(found, "x", unit="bpm"))
    assert "mean error [bpm]" in text
    assert "0.00" in text  # a constant goes with nothing
    pictures.scatter(found[0], truth, answers, "bpm", tmp_path / "values.png")
    assert image.imread(tmp_path / "values.png").std() > 0


def test_confusions_and_a_training_are_drawn(tmp_path):
    truth, found, who = answered()
    scores = [score(name, truth, each, 3, 0, people=who) for name, each in found.items()]
    pictures.confusions(scores, LABELS, tmp_path / "confusion.png")
    pictures.training(Course([1.0, 0.5, 0.4], [1.1, 0.6, 0.7], 1), "cosine", tmp_path / "t.png")
    pictures.training(Course([1.0]), "cosine", tmp_path / "one.png")
    for name in ("confusion.png", "t.png", "one.png"):
        assert image.imread(tmp_path / name).std() > 0


def test_a_worn_session_shows_its_phases_and_both_lines(tmp_path):
    pictures.wearing(worn(), tmp_path / "worn.png")
    shown = image.imread(tmp_path / "worn.png")[..., :3]
    assert shown.shape[:2] == (768, 1104)
    for colour in ((0, 114, 178), (213, 94, 0), (237, 241, 244), (251, 224, 228)):
        here = np.abs(shown * 255 - colour).max(axis=2) < 3
        assert here.sum() > 100, colour


@pytest.mark.parametrize(
    "change",
    [
        {"teacher": None},
        {"signal": np.full(46080, np.nan)},
        {"signal": np.full(46080, 3.0)},
        {"truth": np.full(355, -1.0)},
        {"labels": (), "truth": np.full(355, np.nan)},
        {"labels": (), "truth": 70 + np.arange(355) % 9.0, "answers": 72 + np.arange(355) % 7.0},
        {"minutes": np.array([1.0]), "answers": np.ones(1), "teacher": None, "truth": np.ones(1)},
        {"signal": np.zeros(0)},
    ],
    ids=["no teacher", "lost", "flat", "unknown", "no value", "values", "one answer", "none"],
)
def test_whatever_was_worn_is_drawn(tmp_path, change):
    pictures.wearing(worn(**change), tmp_path / "worn.png")
    assert image.imread(tmp_path / "worn.png").std() > 0


def test_a_night_is_told_in_hours_and_gaps_are_not_bridged(tmp_path):
    night = worn(length=420.0, hop=30.0)
    kept = (night.minutes < 100) | (night.minutes > 200)
    cut = {name: getattr(night, name)[kept] for name in ("minutes", "answers", "teacher", "truth")}
    pictures.wearing(worn(length=420.0, hop=30.0, **cut), tmp_path / "worn.png")
    shown = image.imread(tmp_path / "worn.png")[..., :3]
    blue = np.abs(shown * 255 - (0, 114, 178)).max(axis=2) < 3
    columns = blue[330:655].any(axis=0)  # of the lower axes, from 95 to 1088
    inside = slice(95 + round(993 * 105 / 420), 95 + round(993 * 195 / 420))
    assert not columns[inside].any()
    assert columns[95:330].mean() > 0.8
