"""From a recipe to a proven bundle: what is built, from whom, and that it can be stopped."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console

import bioxedge
from bioxedge import recipes
from bioxedge.bridging import loop
from bioxedge.bridging.calibrate import ALONE, BOTH, SHARES, Calibration
from bioxedge.building import Built, build, shipping
from bioxedge.building.encoders import compute_of
from bioxedge.building.evaluation import DRAWS, RANDOM, evaluate
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.preparation import Prepared, prepare
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store
from bioxedge.bundle import Bundle
from bioxedge.datasets import Pair
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import BundleError, DatasetError, ExportError, RecipeError
from bioxedge.exporting.parity import answers
from bioxedge.manifest import Decision
from bioxedge.quality.modality import quality_of
from bioxedge.recording import save
from bioxedge.runtime import Engine, ReplaySource, verify

pytestmark = pytest.mark.train

RECIPE = """\
name = "tiny"

[data]
dataset = "simulated"
wearers = 8
minutes = 2.0
seed = 1
licence = "Apache-2.0 (simulated)"

[task]
channel = "class"
rule = "classes"
labels = ["rest", "stress"]

[split]
folds = 4

[source]
length = 320
hop = 128
max_gap = 32
stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 8.0] }]
then = [{ stage = "zscore" }]

[source.sensor]
modality = "ppg"
column = "ppg_2"
channel = "ppg_2"
unit = "a.u."
rate = 64.0
board = "muse_2"
preset = "ancillary"
same_as = ["muse_2_bled/ancillary"]

[source.model]
name = "papagei"
config = { base_filters = 4, blocks = 4 }
epochs = 2

[target]
length = 625
stages = [{ stage = "filter", design = "butterworth", cutoff = [0.5, 40.0] }]
then = [{ stage = "zscore" }]

[target.sensor]
modality = "ecg"
column = "II"
channel = "II"
unit = "mV"
rate = 125.0

[target.model]
name = "ecg_transformer"
config = { samples = 625, patch = 50, width = 16, blocks = 2, heads = 2, dropout = 0.1 }
epochs = 2

[head]
epochs = 10

[bridge]
source_cut = "auto"
target_cut = 1
rank = 2
prototypes = 4
epochs = 3
"""

SIDES = ("source", "target")
METHODS = [
    "teacher", "bridge", "untrained bridge", "random bridge", "classic features",
    "oracle: classic features, true labels", "oracle: source encoder, true labels", "majority",
]  # fmt: skip
SMOOTHED = ["bridge, smoothed", "classic features, smoothed"]
WITH_BIAS = ["teacher", "bridge", "bridge, temperature alone", *METHODS[2:]]
FORCED = Calibration(2.5, (0.75, -0.75), BOTH, {})


@dataclass(frozen=True)
class Done:
    """A finished build."""

    recipe: Path
    out: Path
    built: Built
    said: str
    pairs: list[Pair]

    @property
    def learnt(self) -> Learnt:
        return self.built.learnt

    @property
    def methods(self) -> list[str]:
        return METHODS if self.learnt.calibration.taken == ALONE else WITH_BIAS


def run(recipe: Path, out: Path, **options) -> tuple[Built, str]:
    """Build, and give what was shown as well."""
    console = Console(file=io.StringIO(), width=160)
    built = build(recipe, out, console=console, **options)
    return built, console.file.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("building")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE)
    built, said = run(recipe, folder / "out")
    return Done(recipe, folder / "out", built, said, wearers(count=8, minutes=2.0, seed=1))


def weights(learnt: Learnt) -> dict[str, bytes]:
    """Everything that was learnt and is shipped, as bytes."""
    calibration = learnt.calibration
    found = np.array([calibration.temperature, *calibration.bias])
    return {"calibration": found.tobytes()} | {
        f"{part}.{name}": value.numpy().tobytes()
        for part in ("source", "target", "head", "bridge")
        for name, value in getattr(learnt, part).state_dict().items()
    }


def relearn(done: Done, prepared: Prepared, folder: Path) -> Learnt:
    """Learn from other windows or labels, without any finished step."""
    store = Store(folder, Steps(Console(file=io.StringIO())))
    return learn(done.learnt.recipe, prepared, store, done.recipe.parent)


# -- what is there ----------------------------------------------------------------------------


def test_the_bundle_opens_and_is_proven(done: Done) -> None:
    bundle = bioxedge.Bundle.open(done.out / "bundle")
    assert sorted(path.name for path in (done.out / "bundle").iterdir()) == [
        "golden.npz", "manifest.json", "model.onnx",
    ]  # fmt: skip
    proof = verify(bundle)
    assert proof.dsp_bitwise and proof.difference <= 1e-5
    assert "PASS" in done.said
    assert bundle.manifest.output.labels == ("rest", "stress")


def test_every_method_has_a_score(done: Done) -> None:
    scores = {score.method: score for score in done.built.scores}
    assert list(scores) == done.methods
    labelled = len(done.learnt.prepared.of("test"))
    for score in scores.values():
        assert 0 <= score.balanced_accuracy <= 1 and 0 <= score.macro_f1 <= 1
        several = DRAWS if score.method == RANDOM else 1
        assert score.confusion.sum() == several * labelled > 0
        assert score.method in done.said
    size = sum(parameter.numel() for parameter in done.learnt.bridge.parameters())
    assert scores["bridge"].parameters == size


def test_an_untrained_bridge_answers_one_class_for_everything(done: Done) -> None:
    score = next(score for score in done.built.scores if score.method == "untrained bridge")
    assert (score.confusion.sum(axis=0) > 0).sum() == 1
    assert score.balanced_accuracy == 0.5
    assert score.parameters == 0


def test_the_report_is_there_to_read_and_to_look_at(done: Done) -> None:
    facts = json.loads((done.out / "report" / "report.json").read_text())
    assert [score["method"] for score in facts["scores"]] == done.methods
    assert facts["calibration"] == json.loads(json.dumps(vars(done.learnt.calibration)))
    assert facts["target_cut"] == 1 and facts["source_cut"] == done.learnt.source_cut
    assert len(facts["source_scores"]) == 5
    assert [path.name for path in done.built.pictures] == [
        "confusion.png", "training.png", "worn.png", "positions.png",
    ]  # fmt: skip
    assert len(facts["course"]["losses"]) == 3 and facts["course"]["held_out"] == []
    for path in done.built.pictures:
        raw = path.read_bytes()
        assert raw.startswith(b"\x89PNG\r\n\x1a\n") and raw.endswith(b"IEND\xaeB`\x82")


def test_the_manifest_says_who_was_in_which_part(done: Done) -> None:
    split = done.built.bundle.manifest.made_by.data.split
    people = done.learnt.prepared.people
    number = json.loads((done.out / "report" / "people.json").read_text())
    assert sorted(number) == sorted(pair.person for pair in done.pairs)
    assert sorted(number.values()) == [f"p{k:02d}" for k in range(1, 9)]
    for role, numbers in split.items():
        assert numbers == tuple(number[name] for name in getattr(people, role))
    assert all(split.values())


def test_no_name_leaves_the_building(done: Done) -> None:
    left = [*(done.out / "bundle").iterdir(), *(done.out / "trained").iterdir()]
    assert len(left) == 7
    for path in left:
        raw = path.read_bytes()
        assert not [pair.person for pair in done.pairs if pair.person.encode() in raw]


def test_what_there_is_is_said_before_anything_is_trained(done: Done) -> None:
    facts = json.loads((done.out / "report" / "data.json").read_text())
    prepared = done.learnt.prepared
    for role, part in facts["parts"].items():
        assert part["people"] == list(getattr(prepared.people, role))
        assert part["windows"] == len(prepared.of(role))
    known = facts["parts"]["test"]["known"]
    assert known["rest"] + known["stress"] == len(prepared.of("test"))
    assert done.said.index("data: simulated") < done.said.index("encoder")
    assert done.said.index("Expected: about") < done.said.index("encoder")


def test_the_manifest_says_what_was_built(done: Done) -> None:
    made_by, learnt = done.built.bundle.manifest.made_by, done.learnt
    assert (made_by.source.model, made_by.target.model) == ("papagei", "ecg_transformer")
    assert (made_by.source.cut, made_by.target.cut) == (learnt.source_cut, 1)
    held_out = {f"held-out pairs, {name}" for name in (ALONE, BOTH, SHARES)}
    assert set(made_by.metrics) == {*done.methods, *held_out}
    for name, figures in learnt.calibration.held_out.items():
        assert made_by.metrics[f"held-out pairs, {name}"] == figures
    bridge = next(score for score in done.built.scores if score.method == "bridge")
    assert made_by.metrics["bridge"]["balanced_accuracy"] == bridge.balanced_accuracy
    assert made_by.bridge.trained_parameters == bridge.parameters
    assert not made_by.non_commercial
    assert {licence.part for licence in made_by.licences} == {"source", "target", "data"}


# -- who was learnt from ----------------------------------------------------------------------


def test_nothing_is_trained_on_test_people(done: Done, tmp_path: Path) -> None:
    prepared = done.learnt.prepared
    rng = np.random.default_rng(0)
    noise = {}
    for side in SIDES:
        noise[side] = getattr(prepared.windows, side).clone()
        rows = torch.from_numpy(prepared.rows(side, "test"))
        noise[side][rows] = torch.from_numpy(rng.normal(size=noise[side][rows].shape)).float()
    noisy = replace(prepared, windows=replace(prepared.windows, **noise))
    found = relearn(done, noisy, tmp_path)
    assert weights(found) == weights(done.learnt)
    assert (found.source_cut, found.target_cut) == (done.learnt.source_cut, 1)
    taught = found.seen.teacher("test"), done.learnt.seen.teacher("test")
    assert not torch.equal(*taught)  # the noise was there


def test_labels_of_pair_and_test_people_are_not_read(done: Done, tmp_path: Path) -> None:
    prepared = done.learnt.prepared
    rng = np.random.default_rng(0)
    labels, values = prepared.labels.copy(), prepared.values.copy()
    pair, test = prepared.of("pair"), prepared.of("test")
    labels[pair] = rng.integers(-1, 2, len(pair))
    values[pair] = rng.integers(0, 2, len(pair))
    labels[test] = 1 - labels[test]
    scrambled = replace(prepared, labels=labels, values=values)
    assert weights(relearn(done, scrambled, tmp_path)) == weights(done.learnt)


def test_labels_of_head_people_are(done: Done, tmp_path: Path) -> None:
    prepared = done.learnt.prepared
    labels = prepared.labels.copy()
    head = prepared.of("head")
    labels[head] = 1 - labels[head]
    found = relearn(done, replace(prepared, labels=labels), tmp_path)
    changed = {
        name.partition(".")[0]
        for name, value in weights(found).items()
        if value != weights(done.learnt)[name]
    }
    # The encoders never saw a label. The bridge imitates an encoder's tokens.
    assert "head" in changed and not changed & {"source", "target"}


# -- calibration ------------------------------------------------------------------------------


def calibrated_otherwise(learnt: Learnt) -> Learnt:
    """The same, with a calibration whose bias turns answers round, and a decision."""
    decision = Decision(smoothing=3.0, patience=2)
    recipe = msgspec.structs.replace(learnt.recipe, decision=decision, quality={"min_real": 0.8})
    return replace(learnt, calibration=FORCED, seen=replace(learnt.seen, recipe=recipe))


@pytest.fixture(scope="module")
def forced(done: Done, tmp_path_factory: pytest.TempPathFactory) -> tuple[Learnt, Bundle]:
    learnt = calibrated_otherwise(done.learnt)
    bundle = shipping.ship(learnt, [], tmp_path_factory.mktemp("forced") / "b").bundle
    return learnt, bundle


def test_what_was_fitted_is_what_the_manifest_states(done: Done, forced) -> None:
    for learnt, bundle in ((done.learnt, done.built.bundle), forced):
        stated = bundle.manifest.output.calibration
        assert stated.temperature == learnt.calibration.temperature != 1.0
        assert stated.bias == learnt.calibration.bias
    assert done.learnt.calibration.line(("rest", "stress")) in done.said.replace("\n", "")


def test_the_graph_does_what_the_manifest_states(done: Done, forced) -> None:
    for learnt, bundle in ((done.learnt, done.built.bundle), forced):
        stated = bundle.manifest.output.calibration
        engine = Engine(bundle)
        chosen = torch.from_numpy(learnt.prepared.rows("source", "pair")[::10])
        windows = learnt.prepared.windows.source[chosen].numpy()
        found = np.stack([engine.run(window) for window in windows])
        logits = learnt.answers(learnt.bridge, "pair")[::10]
        wanted = (logits / stated.temperature + torch.tensor(stated.bias)).softmax(1).numpy()
        assert np.abs(found - wanted).max() <= 1e-5
        assert np.abs(found - logits.softmax(1).numpy()).max() > 1e-3


def test_a_bias_is_scored_as_it_is_shipped_and_beside_it_what_it_changed(done: Done) -> None:
    learnt = calibrated_otherwise(done.learnt)
    scores = {score.method: score for score in evaluate(learnt).scores}
    assert list(scores) == [*WITH_BIAS, *SMOOTHED]
    logits = learnt.answers(learnt.bridge, "test")
    calibrated = logits / 2.5 + torch.tensor([0.75, -0.75])
    for name, answer in (("bridge", calibrated), ("bridge, temperature alone", logits)):
        counts = np.bincount(answer.argmax(1).numpy(), minlength=2)
        assert scores[name].confusion.sum(axis=0).tolist() == counts.tolist()
    assert scores["bridge"].parameters == scores["bridge, temperature alone"].parameters


# -- what a device checks and decides by ------------------------------------------------------


def test_the_bundle_says_what_a_device_checks_by(done: Done) -> None:
    about = done.built.bundle.manifest
    assert about.input.sensors == ("muse_2/ancillary", "muse_2_bled/ancillary")
    assert about.absent == {} and about.output.decision == Decision()
    (expect,) = about.input.expect
    people = done.learnt.prepared.people
    assert expect.people == len(people.head) + len(people.pair) == 6
    assert about.quality == quality_of(about.input)
    assert done.built.bundle.judge() is not None


def test_a_recipes_decision_and_bounds_reach_the_bundle(forced) -> None:
    about = forced[1].manifest
    assert about.output.decision == Decision(smoothing=3.0, patience=2)
    assert about.quality == msgspec.structs.replace(quality_of(about.input), min_real=0.8)


def test_nothing_is_expected_of_test_people(done: Done, tmp_path: Path) -> None:
    windows, people = done.learnt.prepared.windows, done.learnt.prepared.people
    expect = done.built.bundle.manifest.input.expect
    for group, same in (("test", True), ("pair", False), ("head", False)):
        measures = windows.measures.copy()
        measures[np.isin(windows.person, getattr(people, group))] *= 1000
        louder = replace(done.learnt.prepared, windows=replace(windows, measures=measures))
        learnt = replace(done.learnt, seen=replace(done.learnt.seen, prepared=louder))
        found = shipping.ship(learnt, done.built.scores, tmp_path / group).bundle
        assert (found.manifest.input.expect == expect) is same


# -- steps ------------------------------------------------------------------------------------


def test_a_second_build_finds_every_step(done: Done) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (done.out / "steps").iterdir()}
    folders = {path.name.rpartition("-")[0] for path in (done.out / "steps").iterdir()
               if path.is_dir()}  # fmt: skip
    assert folders == {"windows", "source-features", "target-features"}
    model = (done.out / "bundle" / "model.onnx").read_bytes()
    built, said = run(done.recipe, done.out)
    after = {path.name: path.stat().st_mtime_ns for path in (done.out / "steps").iterdir()}
    assert after == before
    steps = [name for name in before if not name.endswith((".sha256", ".took"))]
    assert said.count("already done") == len(steps)
    assert "already done" not in done.said
    assert weights(built.learnt) == weights(done.learnt)
    assert (done.out / "bundle" / "model.onnx").read_bytes() == model


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, title: str, epoch: int) -> Iterator[None]:
    """Press Ctrl-C in a step, once it reports that many epochs."""
    running = Steps.running

    @contextmanager
    def watched(self: Steps, name: str) -> Iterator[loop.Report]:
        with running(self, name) as report:

            def tell(done: int, total: int) -> None:
                if title in name and done >= epoch:
                    raise KeyboardInterrupt
                report(done, total)

            yield tell

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "running", watched)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_a_build_that_was_stopped_ends_as_one_that_was_not(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    out = tmp_path / "out"
    for title, epoch in (("ECG encoder", 2), ("The bridge", 3)):
        with interrupted(monkeypatch, title, epoch):
            run(done.recipe, out)
        assert not (out / "bundle").exists()
        assert len(list((out / "steps").glob("*.state"))) == 1
    built, said = run(done.recipe, out)
    assert "already done" in said
    assert weights(built.learnt) == weights(done.learnt)
    for name in ("model.onnx", "golden.npz"):
        assert (out / "bundle" / name).read_bytes() == (done.out / "bundle" / name).read_bytes()
    assert {path.name for path in (out / "steps").iterdir()} == {
        path.name for path in (done.out / "steps").iterdir()
    }


def test_another_seed_gives_another_bridge_for_the_same_people(done: Done, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(done.learnt.recipe, seed=1)
    store = Store(done.out / "steps", Steps(Console(file=io.StringIO())))
    prepared = prepare(recipe, None, store)
    assert prepared.windows.key == done.learnt.prepared.windows.key
    other = Store(tmp_path, Steps(Console(file=io.StringIO())))
    found = learn(recipe, prepared, other, done.recipe.parent)
    assert not torch.equal(found.bridge.A, done.learnt.bridge.A)
    assert weights(found).keys() == weights(done.learnt).keys()


# -- the device sees what torch saw -----------------------------------------------------------


def test_streamed_answers_on_a_held_out_wearer_are_torchs(done: Done) -> None:
    learnt, bundle = done.learnt, done.built.bundle
    prepared = learnt.prepared
    person = prepared.people.test[0]
    pair = next(pair for pair in done.pairs if pair.person == person)
    worn = worn_of(pair.source, learnt.recipe.source.sensor)
    stream, cutter = bioxedge.Stream(bundle), bundle.windows()
    live, predictions = [], []
    with ReplaySource(worn, speed=float("inf"), chunk=13) as source:
        for chunk in iter(source.read, None):
            live += cutter.push(chunk)
            predictions += stream.push(chunk)
    assert len(live) == len(predictions)

    own = np.flatnonzero(prepared.windows.person == person)
    rows = torch.from_numpy(prepared.windows.source_row[own])
    cut = prepared.windows.source[rows].numpy()
    wanted = answers(shipping.bridged(learnt), cut)
    at = {worn.t0 + float(window.start) / worn.rate: n for n, window in enumerate(live)}
    assert len(own) > 20
    for row, window, index in zip(wanted, cut, own, strict=True):
        number = at[prepared.windows.start[index]]
        assert live[number].samples.tobytes() == window.tobytes()
        found = [*predictions[number].probabilities.values()]
        np.testing.assert_allclose(found, row, atol=1e-5)
        assert predictions[number].label == ("rest", "stress")[int(row.argmax())]


# -- nothing unproven is written --------------------------------------------------------------


def shipped_wrong(done: Done, monkeypatch: pytest.MonkeyPatch, out: Path, off: float) -> None:
    """Ship the graph of the finished bundle as if torch answered otherwise."""

    def elsewhere(model, windows, beside):
        wanted = answers(model, windows, beside)
        wanted[0, 0] += off
        return wanted

    raw = (done.out / "bundle" / "model.onnx").read_bytes()
    monkeypatch.setattr(shipping, "to_onnx", lambda *_: raw)
    monkeypatch.setattr(shipping, "answers", elsewhere)
    shipping.ship(done.learnt, done.built.scores, out)


@pytest.mark.parametrize("off", [2e-4, float("nan")])
def test_an_export_that_is_off_is_not_written(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    with pytest.raises(ExportError, match="nothing was written"):
        shipped_wrong(done, monkeypatch, tmp_path / "bundle", off)
    assert not list(tmp_path.iterdir())


def test_an_export_that_is_off_leaves_the_old_bundle(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = done.out / "bundle"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ExportError):
        shipped_wrong(done, monkeypatch, folder, 2e-4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    names = ["bundle", "lock", "report", "steps", "trained"]
    assert sorted(path.name for path in done.out.iterdir()) == names


def test_a_folder_with_other_things_is_not_overwritten(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").write_text("two years")
    with pytest.raises(BundleError, match="holds other things than a bundle"):
        shipped_wrong(done, monkeypatch, tmp_path / "bundle", 0.0)
    assert (tmp_path / "bundle" / "thesis.tex").read_text() == "two years"


# -- recipes that cannot be followed ----------------------------------------------------------


def prepared_from(done: Done, folder: Path, *changes: tuple[str, str]) -> Prepared:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "other.toml"
    path.write_text(text)
    store = Store(folder / "steps", Steps(Console(file=io.StringIO())))
    return prepare(recipes.read(path), None, store)


def test_bands_are_set_by_the_head_people_alone(done: Done, tmp_path: Path) -> None:
    prepared = prepared_from(
        done,
        tmp_path,
        ('channel = "class"', 'channel = "HR"'),
        ('rule = "classes"', 'rule = "bands"'),
        ('["rest", "stress"]', '["slow", "middle", "fast"]'),
    )
    head = prepared.of("head")
    values = prepared.values[head]
    np.testing.assert_allclose(prepared.bounds, np.quantile(values, [1 / 3, 2 / 3]))
    counts = np.bincount(prepared.labels[head], minlength=3)
    assert counts.max() - counts.min() <= 1
    known = np.isfinite(prepared.values)
    assert ((prepared.labels >= 0) == known).all()
    wanted = np.digitize(prepared.values[known], prepared.bounds)
    assert (prepared.labels[known] == wanted).all()


def from_folder(done: Done, pairs: list[Pair], folder: Path) -> Prepared:
    """Prepare pairs that lie in a folder of one's own."""
    for pair in pairs:
        for part in ("source", "target", "reference"):
            if getattr(pair, part) is not None:
                save(getattr(pair, part), folder / "own" / pair.name / part)
    recipe = done.learnt.recipe
    data = msgspec.structs.replace(recipe.data, dataset="folder", folder="own")
    store = Store(folder / "steps", Steps(Console(file=io.StringIO())))
    return prepare(msgspec.structs.replace(recipe, data=data), folder, store)


def test_ones_own_recordings_are_prepared_alike(done: Done, tmp_path: Path) -> None:
    own, simulated = from_folder(done, done.pairs, tmp_path), done.learnt.prepared
    assert own.people == simulated.people
    assert torch.equal(own.windows.source, simulated.windows.source)
    assert torch.equal(own.windows.target, simulated.windows.target)
    assert np.array_equal(own.labels, simulated.labels)


def test_those_with_labels_teach_and_are_tested_and_the_others_pair(done, tmp_path) -> None:
    pairs = [
        pair if number % 2 else replace(pair, reference=None)
        for number, pair in enumerate(done.pairs)
    ]
    prepared = from_folder(done, pairs, tmp_path)
    people = prepared.people
    known = {pair.person for pair in pairs if pair.reference is not None}
    assert set(people.head) | set(people.test) == known
    assert set(people.pair) == {pair.person for pair in pairs} - known
    assert len(people.test) == 1  # one fold of four labelled people


def test_a_class_without_a_name_names_the_labels(done: Done, tmp_path: Path) -> None:
    pairs = [
        replace(pair, reference=replace(pair.reference, samples=pair.reference.samples + 1))
        for pair in done.pairs
        if pair.reference is not None
    ]
    with pytest.raises(RecipeError, match="holds class 2, the recipe names 2 labels"):
        from_folder(done, pairs, tmp_path)


def test_windows_longer_than_the_recordings_say_so(done: Done, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="record longer, or shorten the windows"):
        prepared_from(done, tmp_path, ("length = 320", "length = 32000"))


def test_a_cut_that_is_not_there_names_the_path(done: Done, tmp_path: Path) -> None:
    bridge = msgspec.structs.replace(done.learnt.recipe.bridge, target_cut=7)
    recipe = msgspec.structs.replace(done.learnt.recipe, bridge=bridge)
    store = Store(done.out / "steps", Steps(Console(file=io.StringIO())))
    with pytest.raises(RecipeError, match=r"no cut 7: .* at `\$\.bridge\.target_cut`"):
        learn(recipe, done.learnt.prepared, store, tmp_path)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_cut_that_does_not_exist_is_refused_before_anything_is_trained(tmp_path, side) -> None:
    lines = [
        f"{side}_cut = 42" if line.startswith(f"{side}_cut") else line
        for line in RECIPE.splitlines()
    ]
    (tmp_path / "r.toml").write_text("\n".join(lines))
    with pytest.raises(RecipeError, match=rf"no cut 42.*\$\.bridge\.{side}_cut"):
        build(tmp_path / "r.toml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_choice_of_compute_reaches_the_training(done: Done) -> None:
    wanted = recipes.Compute(device="cpu", precision="bf16", compiled=True, packed=True)
    found = compute_of(msgspec.structs.replace(done.learnt.recipe, compute=wanted))
    assert vars(found) == msgspec.structs.asdict(wanted)
