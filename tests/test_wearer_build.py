"""From a recipe whose features adapt to a wearer: the device says what training would have said."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_export import QUIET
from rich.console import Console
from test_building import RECIPE

from bioxedge import Bundle, Stream, classic, recording
from bioxedge.bridging import loop
from bioxedge.bridging.baselines import Student, distil
from bioxedge.bridging.train import Training, trained_parameters
from bioxedge.building import Built, build, shipping
from bioxedge.building.adapting import Adapted, baseline_of, settled, spread_of, usual, worn_by
from bioxedge.building.offline import export
from bioxedge.building.progress import Steps
from bioxedge.building.rows import all_rows, classic_bridged, student_worn, worn
from bioxedge.building.seen import see
from bioxedge.building.store import Store
from bioxedge.building.times import times
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.exporting.parity import answers
from bioxedge.runtime import Engine, ReplaySource, verify
from bioxedge.signals import Recording

pytestmark = pytest.mark.train

# Windows come every two seconds: nine of them settle, and the memory is that of half a minute.
SETTLE = 9
BASELINE = "baseline = { settle = 0.3, memory = 0.5 }"
ADAPTS = (
    RECIPE.replace("max_gap = 32\n", f'max_gap = 32\nclassic = "breathing"\n{BASELINE}\n')
    .replace("length = 320", "length = 640")  # a breath takes 10 s
    .replace("base_filters = 4", "base_filters = 16")
    .replace("width = 16", "width = 32")  # else no variant would be smaller
    .replace('source_cut = "auto"', "source_cut = 2")
    .replace("[head]\n", '[variants]\nmake = ["fp16"]\n\n[head]\npenalty = "auto"\n')
)


@dataclass(frozen=True)
class Done:
    """A finished build, and what a test person wore."""

    out: Path
    built: Built
    worn: Recording
    person: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("adapting")
    recipe = folder / "tiny.toml"
    recipe.write_text(ADAPTS)
    built = build(recipe, folder / "out", **QUIET)
    assert built is not None
    person = built.learnt.prepared.people.test[0]
    pairs = wearers(count=8, minutes=2.0, seed=1)
    pair = next(pair for pair in pairs if pair.person == person)
    worn = worn_of(pair.source, built.learnt.recipe.source.sensor)
    recording.save(worn, folder / "worn")
    return Done(folder / "out", built, worn, person)


def trained(done: Done) -> dict[float, np.ndarray]:
    """What the trained model answers at the test person's moments, by when windows begin."""
    learnt = done.built.learnt
    windows = learnt.prepared.windows
    own = np.flatnonzero((windows.person == done.person) & (windows.source_row >= 0))
    given = learnt.seen.adapted["source"].at(learnt.source_cut).beside[own]
    cut = windows.source[torch.from_numpy(windows.source_row[own])].numpy()
    found = answers(shipping.bridged(learnt), cut, given)
    return dict(zip(windows.start[own].tolist(), found, strict=True))


def streamed(stream: Stream, worn: Recording, chunk: int = 13) -> list:
    with ReplaySource(worn, speed=float("inf"), chunk=chunk) as source:
        return [one for piece in iter(source.read, None) for one in stream.push(piece)]


def test_recordings_too_short_for_a_baseline_to_settle_are_said(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(ADAPTS.replace("settle = 0.3", "settle = 60.0"))
    with pytest.raises(DatasetError, match=r"baseline has settled in none of their \d+ windows"):
        build(recipe, tmp_path / "out", **QUIET)


def test_a_test_person_is_told_what_the_trained_model_says(done: Done) -> None:
    wanted = trained(done)
    told = streamed(Stream(done.built.bundle), done.worn)
    assert len(told) == len(wanted) > 40
    for number, one in enumerate(told):
        if number < SETTLE:
            assert one.label is None
            assert one.reason == (
                f"not settled: {number} of the {SETTLE} windows that this wearer's baseline takes"
            )
            continue
        found = [*one.probabilities.values()]
        np.testing.assert_allclose(found, wanted[done.worn.t0 + one.t_start], atol=1e-4)
        assert one.label is not None
    spread = np.ptp([[*one.probabilities.values()] for one in told[SETTLE:]], axis=0)
    assert spread.min() > 1e-3  # it hangs on the window


def test_the_command_says_the_same(done: Done, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from bioxedge.cli import main; main()"
    words = ["run", str(done.out / "bundle"), "--source", f"replay:{done.out.parent / 'worn'}"]
    words += ["--speed", "max", "--sink", f"jsonl:{tmp_path / 'said'}", "--wearer", "w"]
    command = [sys.executable, "-c", code, *words]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    assert "w is learnt first, for 0.3 min, without labels" in found.stdout
    lines = [json.loads(line) for line in (tmp_path / "said").read_text().splitlines()]
    said = [line for line in lines if line["kind"] == "prediction"]
    alone = streamed(Stream(done.built.bundle), done.worn, 400)
    assert [(line["label"], line["reason"], line["probabilities"]) for line in said] == [
        (one.label, one.reason, one.probabilities) for one in alone
    ]


def test_the_bundle_says_what_training_took(done: Done) -> None:
    learnt, about = done.built.learnt, done.built.bundle.manifest
    spec = baseline_of(learnt.recipe, "source")
    assert about.features is not None and about.features.baseline == spec
    assert (spec.settle, spec.memory) == (SETTLE, 15)
    assert about.features.classic == classic.names("ppg", ("ppg_2",), breathing=True)
    known = np.array(about.features.fill)
    assert (known[-6:] < 0).all()  # shares of breathing's power: 10 s are enough for them
    assert about.features.count == learnt.bridge.in_features == 16 + len(about.features.classic)
    proof = verify(Bundle.open(done.out / "bundle"))  # or it raises
    assert proof.difference < 1e-4 and proof.agreement == 1


def test_a_targets_classic_features_are_told_in_deviations(done: Done) -> None:
    """The bridge imitates them: left as they are, a rate near 80 is all that a loss hears."""
    learnt = done.built.learnt
    target = msgspec.structs.replace(learnt.recipe.target, classic=True)
    recipe = msgspec.structs.replace(learnt.recipe, target=target)
    size = (len(learnt.prepared.windows), 12)
    rows = np.random.default_rng(0).normal([80, 0.05, 3] * 4, [9, 0.01, 0] * 4, size)
    rows[0, 1] = np.nan
    windows = replace(learnt.prepared.windows, target_classic=rows)
    wanted = [rows[:, 0].std(), np.nanstd(rows[:, 1]), 1]
    assert spread_of(rows)[:3] == pytest.approx(wanted)
    pooled = [torch.zeros(int(windows.target_row.max()) + 1, 2)]
    adapted = Adapted(recipe, windows, "target", pooled, usual(rows), spread_of(rows))
    told = adapted.of(-1, np.flatnonzero(windows.target_row >= 0))[:, 2:].numpy()
    assert np.abs(told.mean(0)).max() < 0.2 and told[:, :2].std(0) == pytest.approx([1, 1], abs=0.2)
    assert np.isfinite(told).all() and not told[:, 2::3].any()


def test_nothing_is_trained_or_tested_on_before_the_baseline_has_settled(done: Done) -> None:
    learnt = done.built.learnt
    windows, prepared = learnt.prepared.windows, learnt.prepared
    ready = settled(learnt.recipe, windows, "source")
    for own in worn_by(windows, "source"):
        assert not ready[own[:SETTLE]].any() and ready[own[SETTLE:]].all()
        assert (np.diff(windows.start[own]) > 0).all()
    for part in ("pair", "test"):
        assert ready[prepared.of(part)].all()


def test_a_smaller_variant_adapts_too(done: Done) -> None:
    bundle = done.built.bundle
    assert set(bundle.manifest.model) == {"fp32", "fp16"}
    plain = streamed(Stream(bundle), done.worn)
    half = streamed(Stream(bundle, engine=Engine(bundle, "fp16")), done.worn)
    for one, other in zip(plain, half, strict=True):
        assert one.reason == other.reason
        np.testing.assert_allclose(
            [*one.probabilities.values()], [*other.probabilities.values()], atol=2e-3
        )


def test_exporting_what_was_trained_gives_the_same_bundle(done: Done, tmp_path: Path) -> None:
    given = {name: done.out / "trained" / f"{name}.pt" for name in ("bridge", "head")}
    export(done.out.parent / "tiny.toml", tmp_path / "again", **given, **QUIET)
    for path in (done.out / "bundle").iterdir():
        if path.name != "manifest.json":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
    one, other = Bundle.open(tmp_path / "again").manifest, done.built.bundle.manifest
    # Only a build has people to measure a variant on.
    assert (one.features, one.stream) == (other.features, other.stream)
    assert (one.model, one.golden) == (other.model, other.golden)


@pytest.mark.parametrize(
    ("word", "says"),
    [("true", "was trained with features of breathing"), ("false", "at `$.source`")],
)
def test_a_bridge_is_refused_by_a_recipe_of_other_features(
    done: Done, tmp_path: Path, word: str, says: str
) -> None:
    recipe = tmp_path / "other.toml"
    recipe.write_text(ADAPTS.replace('classic = "breathing"', f"classic = {word}"))
    given = {name: done.out / "trained" / f"{name}.pt" for name in ("bridge", "head")}
    with pytest.raises(RecipeError, match=re.escape(says)):
        export(recipe, tmp_path / "out", **given, **QUIET)
    assert not (tmp_path / "out").exists()


def test_report_has_the_rows_with_the_baseline_and_without(done: Done) -> None:
    methods = {score.method for score in done.built.scores}
    assert {"classic features", "classic features, no baseline", "bridge"} <= methods


# -- what it is compared with ---------------------------------------------------------------


def test_a_student_starts_from_what_the_bridge_is_given(done: Done) -> None:
    learnt = done.built.learnt
    encoder, prepared = learnt.source[: learnt.source_cut], learnt.prepared
    found = worn(learnt, encoder, "pair", "test")
    there = learnt.seen.adapted["source"].at(learnt.source_cut)
    for part in ("pair", "test"):
        own = prepared.of(part)
        np.testing.assert_allclose(found.features[own], there.features[own], atol=1e-4)
        np.testing.assert_allclose(found.beside[own], there.beside[own], rtol=1e-4, atol=1e-4)
    tested = prepared.of("test")
    assert np.isnan(worn(learnt, encoder, "pair").beside[tested]).all()  # nobody looked at them


def test_a_student_with_features_that_was_stopped_goes_on_to_the_same_bits(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    learnt = done.built.learnt
    pair = torch.from_numpy(learnt.prepared.of("pair"))
    rows = torch.from_numpy(learnt.prepared.rows("source", "pair"))
    training = Training(epochs=3, batch=-(-len(rows) // 3))

    def look(encoder) -> torch.Tensor:
        return torch.from_numpy(worn(learnt, encoder, "pair").beside)[pair]

    def run(one: Student, **options) -> list[float]:
        windows, wanted = learnt.prepared.windows.source, learnt.teacher_pair
        return distil(one, windows, wanted, training, seed=0, rows=rows, look=look, **options)

    def interrupt(done: int, _: int) -> None:
        if done == 4:  # in the middle of an epoch, whose baselines are those of its beginning
            raise KeyboardInterrupt

    whole, resumed, lost = (student_worn(learnt) for _ in range(3))
    with pytest.raises(KeyboardInterrupt):
        run(lost, state=tmp_path / "s.state", report=interrupt)
    assert run(resumed, state=tmp_path / "s.state") == run(whole)
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(whole.beside, look(learnt.source))  # they moved with the encoder


def test_distillation_with_the_same_features_is_a_row(done: Done) -> None:
    learnt = done.built.learnt
    store = Store(done.out / "steps", Steps(Console(file=io.StringIO())))
    rows = {row.method: row for row in all_rows(learnt, store)}
    names = ("distillation", "distillation, with what goes into the bridge")
    plain, same = (rows[name] for name in names)
    classic = len(learnt.features.classic)
    assert same.parameters == plain.parameters + learnt.recipe.bridge.rank * classic
    assert same.answers[0].shape == plain.answers[0].shape
    assert np.abs(same.answers[0] - plain.answers[0]).max() > 1e-3
    assert times(learnt, store, names).keys() == set(names)


def test_classic_features_with_the_bridges_own_lesson_are_a_row(done: Done) -> None:
    learnt = done.built.learnt
    row = classic_bridged(learnt, Store(done.out / "steps", Steps(Console(file=io.StringIO()))))
    encoder = learnt.features.encoder
    smaller = trained_parameters(learnt.bridge) - learnt.recipe.bridge.rank * encoder
    assert row.parameters == smaller
    assert np.isfinite(row.answers[0]).all() and row.answers[0].std(axis=0).max() > 1e-3


def test_how_far_the_teachers_head_is_held_back_is_said(done: Done) -> None:
    learnt, file = done.built.learnt, io.StringIO()
    store = Store(done.out / "steps", Steps(Console(file=file, width=400)))
    again = see(learnt.recipe, learnt.prepared, store, done.out)
    assert again.key == learnt.seen.key
    assert re.search(
        r"The ECG teacher's head: penalty [\d.]+ and temperature [\d.]+, with which head people "
        r"who were left out have a loss of \d\.\d{3} \(without a penalty \d\.\d{3}\)",
        file.getvalue(),
    )
