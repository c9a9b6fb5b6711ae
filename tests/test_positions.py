"""Where the bridge is built: the golden choices, and what must not leak or pass."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("sklearn", exc_type=ImportError)

from bioxedge.bridging import linear_cka, select_positions
from bioxedge.bridging.positions import Positions
from bioxedge.errors import ModelError

pytestmark = pytest.mark.train


def pairs(seed: int = 0, n: int = 90, classes: int = 3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    noise = [rng.normal(size=(n, 6)) for _ in range(3)]
    told = noise[1] + 3 * np.eye(6)[labels]
    return [noise[0], told, noise[2]], [noise[2][:, :4], told[:, :5] * 2, noise[0]], labels


@pytest.mark.shared
def test_golden_choices_scores_and_alignments(shared: Path):
    golden = np.load(shared / "golden" / "positions.npz")
    found = select_positions(
        [golden[f"source_{k}"] for k in range(5)],
        [golden[f"target_{k}"] for k in range(4)],
        golden["pseudo_logits"].argmax(1),
    )
    assert found.source_cut == golden["best_source"]
    assert found.target_cut == golden["best_target"]
    assert np.array_equal(found.source_folds, golden["f1_macro"])
    assert found.source_scores == pytest.approx(golden["f1_macro"].mean(axis=1), abs=1e-12)
    assert found.target_scores == pytest.approx(golden["cka"], abs=1e-6)


def test_the_cut_that_tells_the_labels_is_chosen_and_its_relative():
    found = select_positions(*pairs())
    assert (found.source_cut, found.target_cut) == (1, 1)
    assert len(found.source_scores) == len(found.target_scores) == 3


def test_first_of_equal_cuts_wins():
    source, target, labels = pairs()
    found = select_positions([source[1]] * 2, [target[1]] * 3, labels)
    assert (found.source_cut, found.target_cut) == (0, 0)


def small(cuts: list[float], n: int = 120, size: float = 1e-4):
    """Give cuts that tell the labels so well, in features too small for the published probe."""
    rng = np.random.default_rng(5)
    labels = (rng.random(n) < 0.35).astype(int)
    source = [
        size * (rng.normal(size=(n, 4)) + told * np.outer(labels, np.ones(4))) for told in cuts
    ]
    return source, [rng.normal(size=(n, 3))], labels


def test_features_too_small_for_the_published_probe_are_told_apart_standardised():
    found = select_positions(*small([0.0, 0.3, 3.0, 0.5]))
    assert np.ptp(found.source_scores) < 1e-9
    assert found.source_cut == int(np.argmax(found.standardised_scores)) == 2
    assert found.standardised_scores[2] > 0.9
    assert "one class at every source cut (macro F1 0." in found.remark
    assert "cut 2 was chosen by the same probe on standardised features" in found.remark
    # The same features at a size that the published probe sees: nothing to remark.
    usual = select_positions(*small([0.0, 0.3, 3.0, 0.5], size=1.0))
    assert (usual.source_cut, usual.remark) == (2, "")
    assert usual.standardised_scores == pytest.approx(found.standardised_scores)


def test_where_no_probe_sees_anything_the_last_cut_is_taken_and_said():
    _, target, labels = small([0.0])
    flat = [np.full((120, 3), value) for value in (0.0, 0.1, 7.0)]
    found = select_positions(flat, target, labels)
    assert found.source_cut == 2
    assert "cut 2 was taken, the last" in found.remark
    assert len(set(found.source_scores)) == len(set(found.standardised_scores)) == 1


def test_one_cut_is_no_choice():
    source, target, labels = small([0.0])
    assert select_positions(source, target, labels).remark == ""


def test_a_choice_is_plain_values():
    found = select_positions(*small([0.0, 3.0]))
    plain = msgspec.json.decode(msgspec.json.encode(found))
    assert msgspec.convert(plain, Positions) == found
    # What was kept before there was a standardised probe is still read.
    older = {k: v for k, v in plain.items() if k not in ("standardised_scores", "remark")}
    assert msgspec.convert(older, Positions).standardised_scores == ()


def test_groups_keep_a_person_on_one_side():
    rng = np.random.default_rng(1)
    people = np.tile(np.arange(12), 20)
    labels = people % 2
    # Each person has a signature of their own that says nothing about the next person.
    x = rng.normal(size=(12, 8))[people] + 0.01 * rng.normal(size=(240, 8))
    within = select_positions([x], [x], labels).source_scores[0]
    between = select_positions([x], [x], labels, groups=people).source_scores[0]
    assert within > 0.99
    assert between < 0.8


def test_rare_class_and_a_fold_of_one_class_raise_no_warning():
    source, target, labels = pairs()
    labels = np.where(np.arange(90) < 3, 2, 0)
    labels[10:40] = 1
    select_positions(source, target, labels)
    people = np.repeat(np.arange(5), 18)
    select_positions(source, target, (people == 2).astype(int), groups=people)


def test_iterations_that_run_out_raise_no_warning():
    source, target, labels = pairs()
    select_positions([source[1] * np.geomspace(1, 1e5, 6)], target, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pseudo_labels": np.zeros(90, int)}, "one class"),
        ({"pseudo_labels": np.zeros((90, 3))}, "argmax"),
        ({"pseudo_labels": np.arange(90)}, "5 folds do not fit 1 pairs"),
        ({"folds": 1}, "1 folds"),
        ({"groups": np.arange(90) % 4}, "5 folds need as many groups, got 4"),
        ({"groups": np.zeros(3)}, "one for each of 90"),
        ({"source_features": []}, "source_features is empty"),
        ({"target_features": [np.zeros((89, 2))]}, r"target cut 0 has shape \(89, 2\)"),
        ({"source_features": [np.full((90, 2), np.nan)]}, "not finite"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(change, message):
    source, target, labels = pairs()
    given = {"source_features": source, "target_features": target, "pseudo_labels": labels}
    with pytest.raises(ModelError, match=message):
        select_positions(**(given | change))


def test_cka_is_the_gram_form():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 7))
    centre = np.eye(40) - 1 / 40
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    gram = np.sum(k * m) / np.linalg.norm(k) / np.linalg.norm(m)
    assert linear_cka(x, y) == pytest.approx(gram, abs=1e-12)


def test_cka_knows_no_rotation_scale_or_offset():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert linear_cka(x, -3 * x @ turn + 7) == pytest.approx(1)
    assert linear_cka(x, np.ones((40, 2))) == 0
    with pytest.raises(ModelError, match="same rows"):
        linear_cka(x, x[1:])
