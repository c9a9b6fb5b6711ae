"""What is done again after an edit: that much, and no more."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from test_building import RECIPE

from bioxedge import recipes
from bioxedge.building.encoders import compute_of
from bioxedge.building.feeding import opened
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.preparation import prepare
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import RecordingError
from bioxedge.models import checkpoint
from bioxedge.recording import load, save

pytestmark = pytest.mark.train

BANDS = """\
[task]
channel = "HR"
rule = "bands"
labels = ["slow", "middle", "fast"]
rate = true
"""
CLASSES = RECIPE[RECIPE.index("[task]") : RECIPE.index("[split]")]
SIMULATED = RECIPE[RECIPE.index("[data]") : RECIPE.index("[task]")]
FEWER = RECIPE.replace("hop = 128", "hop = 256").replace("blocks = 4", "blocks = 2")
# Every step there is: copies of windows at other rates, cuts to be chosen, all tokens.
WHOLE = "# a study\n" + FEWER.replace(CLASSES, BANDS + "\n").replace(
    "folds = 4", "folds = 4\nhead_share = 0.5"
).replace("rank = 2", 'rank = 2\nover = "tokens"')
MODELS = {"source", "target"}
FEATURES = {"source-features", "target-features"}
BRIDGE = {"positions", "target-tokens", "bridge"}
TAUGHT = {"copies", "head", *BRIDGE}
OWN = {"windows", "values", *MODELS, *FEATURES, "head", "positions", "bridge"}
ALL = {"windows", "values", *MODELS, *FEATURES, *TAUGHT}


@dataclass(frozen=True)
class Done:
    """A recipe whose every step is done."""

    recipe: str
    folder: Path
    steps: Path
    data: Path | None = None

    def again(self, *edits: tuple[str, str]) -> set[str]:
        """Learn once more after some edits, beside what was done; name the steps that ran."""
        text = self.recipe
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        steps = self.folder / "again"
        shutil.rmtree(steps, ignore_errors=True)
        shutil.copytree(self.steps, steps)
        return learnt(text, self.folder, steps, self.data)[1]


def kept(steps: Path) -> set[str]:
    """Name everything that is kept of finished steps."""
    return {path.name for path in steps.glob("*") if path.suffix != ".sha256"}


def learnt(text: str, folder: Path, steps: Path, data: Path | None) -> tuple[Learnt, set[str]]:
    """Learn what a recipe says; give which steps were done for it."""
    path = folder / "recipe.toml"
    path.write_text(text)
    before, said = kept(steps), io.StringIO()
    store = Store(steps, Steps(Console(file=said, width=160)))
    recipe = recipes.read(path)
    found = learn(recipe, prepare(recipe, data, store), store, folder, opened(recipe, folder))
    new = {name.rpartition("-")[0] for name in kept(steps) - before}
    lines = [line for line in said.getvalue().splitlines() if "✓" in line]
    assert sum("(already done)" not in line for line in lines) == len(new)
    return found, new


def done(text: str, folder: Path, data: Path | None = None) -> tuple[Done, Learnt, set[str]]:
    found, ran = learnt(text, folder, folder / "steps", data)
    return Done(text, folder, folder / "steps", data), found, ran


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Done:
    found, _, ran = done(WHOLE, tmp_path_factory.mktemp("whole"))
    assert ran == ALL
    return found


EDITS = {
    "nothing": ([], set()),
    "a comment in the recipe": ([("# a study", "# another comment")], set()),
    "the recipe's name": ([('name = "tiny"', 'name = "other"')], set()),
    "a label's name": ([('["slow"', '["calm"')], set()),
    "the board": ([('board = "muse_2"', 'board = "muse_s"')], set()),
    "a licence": ([('licence = "Apache', 'licence = "MIT, Apache')], set()),
    "coverage": ([("rate = true", "rate = true\ncoverage = 0.81")], {"values"}),
    "the bridge's rank": ([("rank = 2", "rank = 3")], {"bridge"}),
    "the bridge's seed": ([("rank = 2", "rank = 2\nseed = 7")], {"bridge"}),
    "the head's epochs": ([("epochs = 10", "epochs = 9")], {"head", "positions", "bridge"}),
    # Everybody has labels: whoever is not tested trains both models without them.
    "head_share": ([("head_share = 0.5", "head_share = 0.34")], TAUGHT),
    "the fold": ([("folds = 4", "folds = 4\nfold = 1")], MODELS | FEATURES | TAUGHT),
    # The windows came out as before: models are known by what they were trained on.
    "the longest gap": ([("max_gap = 32", "max_gap = 33")], ALL - MODELS),
    "the source's window": ([("[source]\nlength = 320", "[source]\nlength = 400")], ALL),
}
"""What is edited, how, and the steps that are done again."""


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_repeats_what_depends_on_it(whole: Done, edit: str) -> None:
    edits, ran = EDITS[edit]
    assert whole.again(*edits) == ran


def test_another_precision_repeats_all_that_reads_features(whole: Done) -> None:
    compute = '[compute]\nprecision = "{}"\n\n[bridge]'
    fp32 = ("[bridge]", compute.format("fp32"))
    # What was asked for must hold: auto may have trained the bridge in bf16.
    assert whole.again(fp32) == {"bridge"}
    bf16 = ("[bridge]", compute.format("bf16"))
    assert whole.again(bf16) == FEATURES | TAUGHT
    path = whole.folder / "recipe.toml"
    assert compute_of(recipes.read(path)).precision == "bf16"
    heads = [torch.load(file) for file in (whole.folder / "again").glob("head-*.pt")]
    one, other = (head["head"]["linear.weight"] for head in heads)
    assert not torch.equal(one, other)


# -- models that were trained before ----------------------------------------------------------


def published(found: Learnt, text: str, folder: Path) -> Done:
    """Let the models of one recipe be the published ones of another, and learn."""
    for side, config in (("source", "config = { base"), ("target", "config = { samples")):
        path = folder / f"{side}.safetensors"
        checkpoint.save(getattr(found, side), path)
        about = (
            f'checkpoint = "{path.name}"\nsha256 = "{checkpoint.sha256(path)}"\n'
            f'licence = "MIT"\n{config}'
        )
        text = text.replace(config, about)
    made, _, ran = done(text, folder)
    assert ran == ALL - MODELS
    return made


def test_of_published_models_another_fold_repeats_no_features(whole: Done, tmp_path: Path) -> None:
    found, _ = learnt(whole.recipe, whole.folder, whole.steps, None)
    ready = published(found, whole.recipe, tmp_path)
    assert ready.again(("folds = 4", "folds = 4\nfold = 1")) == TAUGHT
    assert ready.again(("head_share = 0.5", "head_share = 0.34")) == TAUGHT


# -- recordings and labels of one's own -------------------------------------------------------


def linked(folder: Path) -> Done:
    """Learn from recordings that are links into another folder, and labels that are not."""
    data = folder / "data" / "own"
    for pair in wearers(count=8, minutes=2.0, seed=1):
        for part in ("source", "target"):
            real, link = folder / "elsewhere" / pair.name / part, data / pair.name / part
            save(getattr(pair, part), real)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(real)
        save(pair.reference, data / pair.name / "labels")
    text = FEWER.replace(SIMULATED, '[data]\nfolder = "own"\n\n')
    found, _, ran = done(text, folder, data.parent)
    assert ran == OWN
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return linked(tmp_path_factory.mktemp("own"))


def test_what_a_link_leads_to_is_what_counts(own: Done) -> None:
    assert own.again() == set()
    place = (own.data / "own" / "wearer-01" / "source").resolve()
    before = load(place)
    noise = np.random.default_rng(0).normal(size=before.samples.shape)
    save(replace(before, samples=noise), place)
    assert own.again() >= {"windows", "source", "source-features", "bridge"}
    # Changed behind the recording's back: never what was made of the old samples.
    (samples,) = place.glob("samples-*.npy")
    np.save(samples, before.samples)
    with pytest.raises(RecordingError, match="does not match its sha256"):
        own.again()
    save(before, place)
    assert own.again() == set()


def test_a_link_that_leads_elsewhere_to_the_same_changes_nothing(own: Done) -> None:
    link = own.data / "own" / "wearer-02" / "source"
    moved = own.folder / "moved"
    link.resolve().rename(moved)
    link.unlink()
    link.symlink_to(moved)
    assert own.again() == set()


def test_edited_labels_repeat_what_is_taught_and_nothing_before(own: Done) -> None:
    path = own.folder / "recipe.toml"
    store = Store(own.steps, Steps(Console(file=io.StringIO())))
    people = prepare(recipes.read(path), own.data, store).people
    for role, ran in (("head", {"values", "head", "positions", "bridge"}), ("test", {"values"})):
        place = own.data / "own" / getattr(people, role)[0] / "labels"
        before = load(place)
        # Some seconds more are unknown; everyone's mean stays, and who is in which part.
        track = before.samples.copy()
        track[before.rows(("class",))[0], : track.shape[1] // 4] = np.nan
        save(replace(before, samples=track), place)
        assert own.again() == ran, role
        save(before, place)


def test_renamed_classes_are_read_again_and_teach_the_same(own: Done) -> None:
    assert own.again(('["rest", "stress"]', '["calm", "stress"]')) == {"values"}
