"""What the pages' figures come from: everyone tested once, and nothing made up on the way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
pytest.importorskip("torch", exc_type=ImportError)

import bidmc
import crossfit
import forms
import studies
import tasks
from test_building import RECIPE

from bioxedge.bridging.spent import Spent

pytestmark = pytest.mark.train

TINY = (
    RECIPE.replace("wearers = 8", "wearers = 6")
    .replace("hop = 128", "hop = 256")
    .replace("blocks = 4", "blocks = 2")
    .replace("epochs = 2", "epochs = 1")
)


def fold(rng: np.random.Generator, people: list[str], right: float) -> crossfit.Fold:
    """Windows of some people: a bridge that is right so often, a teacher that always is."""
    truth = np.tile([0, 1], 20 * len(people))
    said = np.where(rng.random(len(truth)) < right, truth, 1 - truth)
    answers = {"teacher": truth, "bridge": said, "distillation": 1 - truth}
    answers |= {"majority": np.zeros(len(truth), int), "classic features": said}
    return crossfit.Fold(
        truth,
        np.repeat(people, 40),
        {name: [np.eye(2)[labels]] for name, labels in answers.items()},
        {name: 100 if name == "distillation" else 10 for name in answers},
        dict.fromkeys(answers, Spent(7, 2.0, 3.0, 0.5)),
        reference={"bridge": np.eye(2)[truth], "teacher": np.eye(2)[truth]},
    )


def test_folds_are_put_together_person_by_person() -> None:
    rng = np.random.default_rng(0)
    people = [["a", "b", "c"], ["d", "e", "f"]]
    runs = {seed: [fold(rng, own, 0.8) for own in people] for seed in (0, 1)}
    found = crossfit.figures(runs)
    assert (found["people"], found["windows"], found["seeds"]) == (6, 240, [0, 1])
    rows = found["methods"]
    by_hand = [
        np.mean([
            np.mean([
                (one.answers["bridge"][0].argmax(1) == one.truth)[one.truth == label].mean()
                for one in own
            ])
            for label in (0, 1)
        ])
        for own in runs.values()
    ]  # fmt: skip
    assert rows["bridge"]["by_seed"] == pytest.approx(by_hand)
    assert rows["bridge"]["balanced_accuracy"] == pytest.approx(np.mean(by_hand))
    low, high = rows["bridge"]["interval"]
    assert low < rows["bridge"]["balanced_accuracy"] < high
    assert rows["teacher"]["balanced_accuracy"] == 1 and rows["majority"]["kappa"] == 0
    assert rows["bridge"]["pretrained"] == 7 and rows["bridge"]["window_ms"] == 0.5
    beside = found["bridge_minus"]["distillation"]
    assert beside["share_of_parameters"] == 0.1
    assert beside["difference"] == pytest.approx(np.mean(by_hand))  # it has 0
    cost, low, high = found["causal_cost"]["bridge"]
    assert cost == pytest.approx(1 - np.mean(by_hand)) and low <= cost <= high
    assert found["causal_cost"]["teacher"] == [0, 0, 0]


def test_a_row_that_one_fold_lacks_is_no_row_of_all() -> None:
    rng = np.random.default_rng(0)
    one, two = fold(rng, ["a"], 0.9), fold(rng, ["b"], 0.9)
    one.put("bridge, temperature alone", one.answers["bridge"][0], like="bridge")
    assert "bridge, temperature alone" not in crossfit.figures({0: [one, two]})["methods"]


OTHER = """\
[[others]]
name = "thirds"
channel = "HR"
rule = "bands"
labels = ["slow", "middle", "fast"]

[split]
folds = 2"""
BANDS = TINY.replace(
    'channel = "class"\nrule = "classes"', 'channel = "HR"\nrule = "bands"'
).replace("[split]\nfolds = 4", OTHER)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything on six simulated wearers, cross-fitted in two folds, as its command does it."""
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "stress_predict.toml").write_text(TINY)
    (folder / "bands.toml").write_text(BANDS)
    asked = {
        tasks: ["stress_predict", "--seeds", "0"],
        forms: ["stress_predict", "--seeds", "0"],
        studies: ["stress_predict", "--seeds", "1", "--axes", "pairs"],
        bidmc: ["bands", "--seeds", "0", "--no-distillation"],
    }
    for module, words in asked.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "RECIPES", folder)
            patch.setattr(module, "FOLDS", 2, raising=False)
            begun = ["x", "--out", str(folder / "out"), "--data", str(folder), "--recipes"]
            patch.setattr(sys, "argv", [*begun, *words])
            assert module.main() == 0
    return folder / "out"


def test_a_task_is_measured_with_every_row_and_column(measured: Path) -> None:
    found = json.loads((measured / "stress_predict.json").read_text())
    assert found["people"] == 6 and len(found["cuts"]) == 2
    rows = found["methods"]
    for name in (
        "teacher", "bridge", "untrained bridge", "random bridge", "classic features", "majority",
        "oracle: classic features, true labels", "oracle: source encoder, true labels",
        "distillation", "contrastive distillation", "bridge at fixed positions",
    ):  # fmt: skip
        assert 0 <= rows[name]["balanced_accuracy"] <= 1, name
    assert set(found["causal_cost"]) == {"teacher", "bridge"}
    assert rows["bridge"]["reference"] == pytest.approx(
        rows["bridge"]["balanced_accuracy"] + found["causal_cost"]["bridge"][0]
    )
    assert rows["distillation"]["parameters"] > rows["bridge"]["parameters"] > 0
    assert rows["distillation"]["window_ms"] > 0 and rows["bridge"]["window_ms"] > 0
    assert len(found["commit"]) == 40


def test_other_forms_stand_beside_the_published_one(measured: Path) -> None:
    rows = json.loads((measured / "forms_stress_predict.json").read_text())["methods"]
    assert {forms.PUBLISHED, forms.HEAD, forms.CUT, *forms.FORMS} <= set(rows)
    for name in (forms.HEAD, forms.CUT, *forms.FORMS):
        low, high = rows[name]["ahead_interval"]
        assert low <= rows[name]["ahead"] <= high
    plain = rows[forms.PUBLISHED]["parameters"]
    assert rows["bridge, compared at several cuts"]["parameters"] == plain
    assert rows["bridge, last block trained"]["parameters"] > plain


def test_a_study_is_kept_with_its_commit_and_drawn(measured: Path) -> None:
    found = json.loads((measured / "study_stress_predict.json").read_text())
    (pairs,) = found["axes"]
    assert pairs["name"] == "pairs" and len(pairs["places"]) > 1 and not found["pictures"]
    assert all(one["figure"] or one["why_not"] for one in pairs["places"])
    assert len(found["commit"]) == 40
    assert (measured / "study_stress_predict.png").read_bytes().startswith(b"\x89PNG")


def test_each_task_of_several_has_its_own_table_with_a_counter(measured: Path) -> None:
    halves, thirds = (
        json.loads((measured / f"{name}.json").read_text()) for name in ("bands", "bands-thirds")
    )
    for found in (halves, thirds):
        rows = found["methods"]
        # Clean simulated pulses: whoever counts them knows the rate, and has learnt nothing.
        assert rows[bidmc.COUNTER]["balanced_accuracy"] > 0.8
        assert rows[bidmc.COUNTER]["parameters"] == 0
        assert set(found["causal_cost"]) == {"teacher", "bridge"}
        assert "distillation" not in rows
    assert thirds["recipe"] == "bands, thirds"
