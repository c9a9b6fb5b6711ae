"""From a recipe of several tasks to one bundle that tells them all."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import shutil

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from test_building import RECIPE
from test_sinks import lines_of, schema
from test_values_build import CHANGES, call

from bioxedge import recipes
from bioxedge.building import build, shipping
from bioxedge.building.learnt import further
from bioxedge.building.offline import export
from bioxedge.bundle import Bundle
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import DatasetError, ModelError, RecipeError
from bioxedge.exporting.parity import answers
from bioxedge.recording import save

pytestmark = pytest.mark.train

OTHERS = """
[[others]]
name = "heart"
channel = "HR"
rule = "bands"
labels = ["slow", "fast"]
rate = true
decision = { threshold = 0.6 }

[[others]]
name = "rate"
channel = "HR"
rule = "value"
unit = "bpm"
"""


def recipe_text(others=OTHERS):
    text = RECIPE
    fewer = (("hop = 128", "hop = 256"), ("blocks = 4", "blocks = 2"))
    for before, after in (*list(CHANGES.items())[1:], *fewer):
        assert before in text
        text = text.replace(before, after)
    return text + others


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tasks")
    (made / "one.toml").write_text(recipe_text(""))
    (made / "three.toml").write_text(recipe_text())
    return made


@pytest.fixture(scope="module")
def one(folder):
    return build(folder / "one.toml", out=folder / "out")


@pytest.fixture(scope="module")
def done(folder, one):
    """Built where the first task was built before: what it shares is found there."""
    kept = folder / "kept"
    shutil.copytree(folder / "out" / "bundle", kept)
    return build(folder / "three.toml", out=folder / "out")


def test_the_first_task_is_what_it_is_alone(folder, one, done):
    alone = Bundle.open(folder / "kept")
    both = done.bundle
    assert both.manifest.output == alone.manifest.output
    found, wanted = both.golden.answers[:, :2], alone.golden.answers
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    for key, value in one.learnt.bridge.state_dict().items():
        assert torch.equal(value, done.learnt.bridge.state_dict()[key])
    assert [row.to_dict() for row in one.scores] == [row.to_dict() for row in done.scores]


def test_one_graph_answers_all_as_the_trained_heads_do(done):
    bundle, learnt = done.bundle, done.learnt
    assert bundle.manifest.variant().output.name == "answers"
    assert [name for name, *_ in bundle.manifest.tasks] == ["", "heart", "rate"]
    wanted = answers(shipping.bridged(learnt), bundle.golden.windows)
    np.testing.assert_allclose(bundle.golden.answers, wanted, rtol=1e-5)
    rows, columns = learnt.prepared.of("test")[:4], {n: c for n, _, c in bundle.manifest.tasks}
    windows = learnt.prepared.windows
    some = windows.source[torch.from_numpy(windows.source_row[rows])].numpy()
    given = answers(shipping.bridged(learnt), some)
    for name, own in learnt.others.items():
        logits = own.calibration.apply(own.bridged(rows))
        told = logits.softmax(1) if logits.shape[1] > 1 else logits
        np.testing.assert_allclose(given[:, columns[name]], told.numpy(), rtol=1e-3, atol=1e-4)


def test_each_task_is_taught_by_its_own_labels(done):
    heart, rate = (done.learnt.others[name] for name in ("heart", "rate"))
    assert heart.bridge is done.learnt.bridge is rate.bridge
    assert heart.prepared.people == done.learnt.prepared.people
    known = np.isfinite(heart.prepared.values)
    np.testing.assert_array_equal(heart.prepared.values[known], rate.prepared.values[known])
    # What lies in a transition is of no class, and has a heart rate all the same.
    assert known.sum() > (done.learnt.prepared.labels >= 0).sum()
    assert set(done.others) == {"heart", "rate"}
    about = done.bundle.manifest
    assert {"bridge", "heart: bridge", "rate: teacher"} <= set(about.made_by.metrics)
    assert about.others[0].output.decision.threshold == 0.6
    assert about.others[1].output.value.unit == "bpm"


def test_each_task_has_a_report_of_its_own(folder, done):
    for name in ("heart", "rate"):
        report = json.loads((folder / "out" / "report" / name / "report.json").read_text())
        assert [row["method"] for row in report["scores"]] == [
            row.method for row in done.others[name].scores
        ]
        assert report["verdicts"]


def test_verify_and_run_tell_them_all_at_the_command_line(done, tmp_path):
    assert "PASS" in call("verify", done.bundle.path)
    worn = wearers(count=1, seed=9, minutes=2.0, ecg_rate=125.0, ppg_rate=64.0)[0]
    save(worn.source, tmp_path / "rec")
    said = call(
        "run", done.bundle.path, "--source", f"replay:{tmp_path / 'rec'}", "--speed", "max",
        "--seconds", "40", "--sink", "terminal", "--sink", f"jsonl:{tmp_path / 'x.jsonl'}",
    )  # fmt: skip
    assert "· heart" in said and "; rate: HR " in said
    found = lines_of(tmp_path / "x.jsonl")
    for line in found:
        schema().validate(line)
    told = [line for line in found if line["kind"] == "prediction" and line["label"]]
    assert told and all(set(line["others"]) == {"heart", "rate"} for line in told)


def test_what_was_trained_is_exported_again_without_training(folder, done, tmp_path):
    trained = folder / "out" / "trained"
    made = export(
        folder / "three.toml", tmp_path / "b",
        bridge=trained / "bridge.pt", head=trained / "head.pt",
    ).shipped.bundle  # fmt: skip
    assert made.manifest.others == done.bundle.manifest.others
    assert made.golden.answers.tobytes() == done.bundle.golden.answers.tobytes()

    for path in trained.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(tmp_path / "head-rate.pt", tmp_path / "head-heart.pt")
    files = {"bridge": tmp_path / "bridge.pt", "head": tmp_path / "head.pt"}
    with pytest.raises(ModelError, match="head-heart"):
        export(folder / "three.toml", tmp_path / "c", **files)
    text = recipe_text(OTHERS.replace('name = "heart"', 'name = "pulse"'))
    (tmp_path / "other.toml").write_text(text)
    with pytest.raises(RecipeError, match="no task pulse"):
        export(tmp_path / "other.toml", tmp_path / "c", **files)
    assert not (tmp_path / "c").exists()


# -- the recipe ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('name = "rate"', 'name = "heart"', "called heart - at `$.others`"),
        ('name = "rate"', 'name = "../x"', "`$.others[1].name`"),
        ('labels = ["slow", "fast"]', 'labels = ["slow"]', "`$.others[0].labels`"),
        ('unit = "bpm"', 'unit = ""', "`$.others[1].unit`"),
        ('unit = "bpm"', 'unit = "bpm"\ndecision = { patience = 3 }',
         "`$.others[1].decision.patience`"),
        ('unit = "bpm"', 'unit = "bpm"\n[variants]\nmake = ["int8"]', "`$.variants.make`"),
        ('channel = "HR"\nrule = "value"', 'channel = "HR"\nrule = "sum"', "`$.others[1].rule`"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_with_its_place(tmp_path, before, after, says):
    text = recipe_text(OTHERS.replace(before, after))
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        recipes.read(tmp_path / "r.toml")
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("head.weights=[1.0, 2.0]", "`$.head.weights`"),
        ('bridge.loss="answers"', "`$.bridge.loss`"),
        ('teacher=[{head="checkpoint", licence="own"}]', "`$.others`"),
    ],
)
def test_what_only_one_task_can_have_is_refused(folder, change, says):
    with pytest.raises(RecipeError) as caught:
        recipes.read(folder / "three.toml", [change])
    assert says in str(caught.value)


def test_a_task_that_nobody_knows_is_refused_before_it_is_taught(folder, done):
    from bioxedge.building.preparation import prepare_other
    from bioxedge.building.progress import Steps
    from bioxedge.building.store import Store

    recipe = recipes.read(folder / "three.toml")
    absent = msgspec.structs.replace(recipe.others[0], channel="RESP")
    with pytest.raises(DatasetError, match="no window has a known RESP"):
        prepare_other(recipe.of(absent), done.learnt.prepared, Store(folder / "steps", Steps(None)))


def test_what_is_trained_for_comparison_is_read_by_every_head(folder, done, tmp_path):
    shutil.copytree(folder / "out" / "steps", tmp_path / "out" / "steps")
    everything = build(folder / "three.toml", out=tmp_path / "out", rows="all")
    names = {"distillation", "contrastive distillation", "bridge at fixed positions"}
    reports = {"": everything.scores} | {n: o.scores for n, o in everything.others.items()}
    assert set(reports) == {"", "heart", "rate"}
    for scores in reports.values():
        assert names <= {one.method for one in scores}
    sizes = [
        {one.method: one.parameters for one in scores if one.method in names}
        for scores in reports.values()
    ]
    assert sizes[0] == sizes[1] == sizes[2]  # one student, three heads
    # A bridge that is read once more says what it said.
    learnt = everything.learnt
    for name, again in further(learnt, learnt.others).items():
        own = learnt.others[name]
        assert torch.equal(own.answers(own.bridge, "test"), again.answers(again.bridge, "test"))
        assert again.calibration == own.calibration
