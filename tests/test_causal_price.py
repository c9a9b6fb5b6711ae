"""What being causal costs: figures of windows that no device can cut, beside causal ones."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from test_building import RECIPE

from bioxedge.bridging.evaluate import bootstrap, middle
from bioxedge.bridging.values import score_value
from bioxedge.building import Built, build, unshippable
from bioxedge.building.causal_price import Price, paired
from bioxedge.building.evaluation import ORACLE_ENCODER, Evaluation
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store
from bioxedge.datasets.windowed import stream_of
from bioxedge.errors import DatasetError, ExportError, RecipeError, StorageError

CHANGES = (
    "data.wearers=6", "split.folds=2", "bridge.epochs=1", "head.epochs=4",
    "source.model.epochs=1", "target.model.epochs=1",
)  # fmt: skip
REFERENCE = tuple(f'{name}.preprocessing="reference"' for name in ("source", "target"))


@dataclass(frozen=True)
class Done:
    recipe: Path
    out: Path
    built: Built
    said: str


def run(recipe: Path, out: Path, **options) -> tuple[Built, str]:
    console = Console(file=io.StringIO(), width=200)
    built = build(recipe, out, console=console, **options)
    return built, console.file.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "tiny.toml").write_text(RECIPE)
    out = folder / "out"
    return Done(
        folder / "tiny.toml",
        out,
        *run(folder / "tiny.toml", out, changes=CHANGES, beside="reference"),
    )


@pytest.mark.train
def test_every_row_stands_beside_its_own_paired_by_person(done: Done) -> None:
    built, price = done.built, done.built.price
    mine = {one.method: one.balanced_accuracy for one in built.scores}
    theirs = {one.method: one.balanced_accuracy for one in price.found.scores}
    assert [row.method for row in price.rows][: len(mine)] == list(mine)
    learnt = built.learnt  # chosen once: places move figures more than what was done to the signal
    assert price.cuts == (learnt.source_cut, learnt.target_cut)
    assert price.people == 3 and price.windows == len(built.found.truth)
    assert np.array_equal(price.found.truth, built.found.truth)
    assert np.array_equal(price.found.people, built.found.people)
    for row in price.rows:
        assert (row.streaming, row.reference) == (mine.get(row.method), theirs.get(row.method))
        if row.method in mine and row.method in theirs:
            assert row.cost == row.reference - row.streaming
            answers = [each.answers[row.method].argmax(1) for each in (built.found, price.found)]
            draws = bootstrap(built.found.truth, answers, built.found.people)
            assert row.interval == pytest.approx(middle(draws[:, 1] - draws[:, 0], 3))
    constant = next(row for row in price.rows if row.method == "majority")
    assert constant.cost == 0 and constant.interval == (0.0, 0.0)  # paired: no width of its own
    written = json.loads((done.out / "report" / "report.json").read_text())
    assert written["preprocessing"] == {"source": "streaming", "target": "streaming"}
    assert written["reference"]["rows"][0]["method"] == "teacher"
    assert written["reference"]["preprocessing"]["source"].startswith("counterpart of")
    assert written["scores"] == [one.to_dict() for one in built.scores]
    assert "what being causal costs" in done.said and "PASS" in done.said
    assert built.bundle.manifest.stream == stream_of(built.learnt.recipe.source)
    assert json.dumps(built.to_dict())


def evaluation(truth, people, **answers) -> Evaluation:
    """Score answered values."""
    scores = [score_value(name, truth, found, 1, people) for name, found in answers.items()]
    return Evaluation(scores, answers, truth, people, [], [])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(1, 8))
def test_a_cost_in_units_is_the_error_that_being_causal_adds(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    people = np.repeat([f"p{k}" for k in range(count)], 5)
    truth = rng.normal(70, 10, len(people))
    near, far = (truth + size * rng.normal(size=len(truth)) for size in (1, 20))
    causal = evaluation(truth, people, bridge=far, constant=truth + 1, alone=near)
    whole = evaluation(truth, people, bridge=near, constant=truth + 1, other=near)
    there, back = paired(causal, whole), paired(whole, causal)
    assert [row.method for row in there] == ["bridge", "constant", "alone", "other"]
    bridge = there[0]
    assert bridge.streaming == causal.scores[0].mean_error
    assert bridge.cost == pytest.approx(bridge.streaming - bridge.reference) and bridge.cost > 0
    assert there[1].cost == 0 and there[2].cost is None and there[3].streaming is None
    for one, other in zip(there[:2], back[:2], strict=True):
        assert one.cost == -other.cost and (one.interval is None) == (count < 3)
        if one.interval is not None:  # the other way round it is the same, mirrored
            assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    price = Price("x", there, {}, whole, (1, 2), count, len(truth), "bpm")
    said = price.verdicts[0]
    assert ("test at least 3" in said) if count < 3 else (" bpm streaming, " in said)
    assert json.dumps(price.to_dict()) and price.table().row_count == 4


@pytest.mark.train
def test_a_build_of_whole_recordings_has_figures_and_no_bundle(done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.out / "steps", tmp_path / "steps")
    place = f"bridge.source_cut={done.built.learnt.source_cut}"
    built, said = run(done.recipe, tmp_path, changes=(*CHANGES, *REFERENCE, place))

    # Beside a causal build or alone at its place, it is the same build, to the last bit; only the
    # oracle reads the last cut that there is.
    def told(one: object) -> dict:  # but for what it took
        took = ("pretrained", "seconds", "memory_mib", "window_ms")
        return {name: value for name, value in one.to_dict().items() if name not in took}

    for mine, other in zip(built.scores, done.built.price.found.scores, strict=True):
        assert told(mine) == told(other) or mine.method == ORACLE_ENCODER
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "report", "steps"]
    assert not (tmp_path / "report" / "bundle.json").exists()
    assert "No bundle: windows of the source and target are cut from whole recordings" in said
    assert built.shipped is None and built.trained == [] and built.price is None
    assert built.to_dict()["bundle"] is None and json.dumps(built.to_dict())
    for asked in ("bundle", "proof"):
        with pytest.raises(ExportError, match=r"No bundle: .* which no device can do"):
            getattr(built, asked)
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert written["preprocessing"]["target"].startswith("counterpart of the recipe's stages: ")
    with pytest.raises(ExportError, match=r"there is no bundle of that; .* `\$\.source\.prepro"):
        unshippable.refuse(built.learnt.recipe)
    unshippable.refuse(done.built.learnt.recipe)


@pytest.mark.train
def test_what_cannot_be_compared_is_refused_before_anything_is_done(done: Done, tmp_path) -> None:
    with pytest.raises(StorageError, match="holds a bundle, which this report would not be about"):
        run(done.recipe, done.out, changes=(*CHANGES, *REFERENCE))
    with pytest.raises(RecipeError, match=r"source that is reference itself.*`\$\.source\."):
        run(done.recipe, tmp_path, changes=REFERENCE, beside="reference")
    with pytest.raises(RecipeError, match="'acausal' cannot stand beside a build"):
        run(done.recipe, tmp_path, beside="acausal")
    learnt = done.built.learnt
    store = Store(done.out / "steps", Steps(Console(file=io.StringIO())))
    with pytest.raises(DatasetError, match=r"nothing is known of the tested.*leave --beside out"):
        unshippable.prepare_beside(
            learnt.recipe, replace(learnt.prepared, agreeing=True), None, store
        )
    moved = replace(learnt.prepared.windows, start=learnt.prepared.windows.start + 1e-3)
    with pytest.raises(DatasetError, match="do not stand where the stream's do"):
        unshippable.prepare_beside(
            learnt.recipe, replace(learnt.prepared, windows=moved), None, store
        )


def test_the_command_says_what_does_not_go_together(call, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    both = ("build", tmp_path / "tiny.toml", "--out", tmp_path / "out", "--beside", "reference")
    code, _, err = call(*both, "--dry-run")
    assert code == 2 and "--dry-run reckons one build" in err
    code, _, err = call(*both, "--set", "target.preprocessing=reference")
    assert code == 2 and err.count("\n") == 1 and "`$.target.preprocessing`" in err
    code, _, err = call(*both[:-2], "--set", "target.preprocessing=later")
    assert code == 2 and "`$.target.preprocessing`" in err
    assert not (tmp_path / "out").exists()
