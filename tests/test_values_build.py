"""From a recipe that asks for a value to a bundle that tells it."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from click.testing import CliRunner
from test_building import RECIPE
from test_sinks import lines_of, schema

from bioxedge import cli, manifest, recipes
from bioxedge.building import build, describing, shipping
from bioxedge.building.variants import make_variants
from bioxedge.bundle import Bundle
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import ExportError, RecipeError
from bioxedge.exporting.parity import answers
from bioxedge.recording import save

pytestmark = pytest.mark.train

CHANGES = {
    'channel = "class"\nrule = "classes"\nlabels = ["rest", "stress"]':
        'channel = "HR"\nrule = "value"\nunit = "bpm"',
    "wearers = 8": "wearers = 6",
    "folds = 4": "folds = 3",
    "epochs = 2": "epochs = 1",
    'source_cut = "auto"': "source_cut = 2",
}  # fmt: skip


def recipe_text():
    text = RECIPE
    for before, after in CHANGES.items():
        assert before in text
        text = text.replace(before, after)
    return text + "\n[decision]\nsmoothing = 2.0\n"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("value")
    (folder / "r.toml").write_text(recipe_text())
    return build(folder / "r.toml", out=folder / "out")


@pytest.fixture(scope="module")
def bundle(done):
    return Bundle.open(done.shipped.bundle.path)


def call(*arguments):
    found = CliRunner().invoke(cli.cli, [str(one) for one in arguments])
    assert found.exit_code == 0, found.output
    return found.output


def test_a_bundle_names_the_value_and_the_range_in_which_it_was_learnt(done, bundle):
    output, prepared = bundle.manifest.output, done.learnt.prepared
    taught = prepared.values[prepared.of("head")]
    assert output.value == manifest.Value(
        name="HR", unit="bpm", low=float(taught.min()), high=float(taught.max())
    )
    assert output.labels == () and len(output.calibration.bias) == 1
    assert output.decision == manifest.Decision(smoothing=2.0)
    part = bundle.manifest.variant()
    assert (part.output.name, part.output.shape) == ("value", (1, 1))


def test_where_a_ready_head_was_brought_the_range_is_that_of_its_answers_on_pairs(done):
    learnt = done.learnt
    unknown = replace(learnt.prepared, labels=np.full_like(learnt.prepared.labels, -1))
    seen = replace(learnt.seen, prepared=unknown)
    taught = learnt.seen.teacher("pair")[:, 0]
    found = describing.value_of(replace(learnt, seen=seen))
    assert (found.low, found.high) == (float(taught.min()), float(taught.max()))


def test_golden_values_are_the_trained_models_in_its_unit(done, bundle):
    golden = bundle.golden
    wanted = answers(shipping.bridged(done.learnt), golden.windows)
    np.testing.assert_allclose(golden.answers, wanted, rtol=1e-6)
    value = bundle.manifest.output.value
    assert all(value.holds(one) for one in golden.answers[:, 0].astype(float))


def test_a_value_is_verified_and_run_on_a_replay_at_the_command_line(bundle, tmp_path):
    assert "of its range" in call("verify", bundle.path)
    assert json.loads(call("verify", bundle.path, "--json"))["unit"] == "bpm"
    worn = wearers(count=1, seed=9, minutes=2.0, ecg_rate=125.0, ppg_rate=64.0)[0]
    save(worn.source, tmp_path / "rec")
    said = call(
        "run", bundle.path, "--source", f"replay:{tmp_path / 'rec'}", "--speed", "max",
        "--seconds", "40", "--sink", "terminal", "--sink", f"jsonl:{tmp_path / 'x.jsonl'}",
    )  # fmt: skip
    assert " bpm on average, " in said
    found = lines_of(tmp_path / "x.jsonl")
    for line in found:
        schema().validate(line)
    told = [one for one in found if one["kind"] == "prediction" and one["value"] is not None]
    assert told and found[0]["value"]["name"] == "HR"
    weight, mean = 1 - math.exp(-1 / 2.0), told[0]["answer"]
    for one in told[:3]:
        mean += weight * (one["answer"] - mean) if one is not told[0] else 0.0
        assert one["value"] == pytest.approx(mean, rel=1e-9)


def test_without_the_data_nobody_knows_the_range(done):
    evidence = shipping.evidence_of(done.learnt, done.scores)
    with pytest.raises(ExportError, match="in which range it was learnt"):
        describing.output_of(done.learnt, replace(evidence, value=None))


def test_smaller_variants_of_a_value_are_refused(tmp_path, bundle):
    (tmp_path / "r.toml").write_text(recipe_text() + '\n[variants]\nmake = ["int8"]\n')
    with pytest.raises(RecipeError, match=r"\$\.variants\.make"):
        recipes.read(tmp_path / "r.toml")
    part, golden = bundle.manifest.variant(), bundle.golden
    kept, refused = make_variants(
        bundle.model(), recipes.Variants(make=("int8",)), golden=golden.windows,
        answers=golden.answers, calibration=golden.windows, held_out=None,
        input=part.input, output=part.output,
    )  # fmt: skip
    assert kept == {} and "a value has none" in refused["int8"]
