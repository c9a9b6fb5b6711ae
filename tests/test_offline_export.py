"""Offline export: checkpoints, a bridge and a head in, the bundle out that training would give."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

import onnx
import onnxruntime
from fixtures_all import some
from fixtures_export import PROTOTYPES, QUIET, Elsewhere, changed, made_elsewhere
from fixtures_models import SMALL
from test_building import RECIPE
from test_checkpoints import stirred

import bioxedge
from bioxedge import models, recipes, recording
from bioxedge.building import Built, build, shipping
from bioxedge.building.offline import Exported, export
from bioxedge.building.rehearsal import rehearse
from bioxedge.errors import ModelError
from bioxedge.exporting.sizes import PARTS
from bioxedge.models import checkpoint
from bioxedge.runtime import verify
from bioxedge.signals import Channel, Recording

pytestmark = pytest.mark.train


# -- what was built here ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE)
    made = build(recipe, folder / "out", **QUIET)
    assert made is not None
    return made


def home_of(built: Built) -> Path:
    return built.bundle.path.parent.parent


def arguments(built: Built) -> dict[str, Any]:
    trained = home_of(built) / "out" / "trained"
    return {"bridge": trained / "bridge.pt", "head": trained / "head.pt"}


OFFLINE = """\
import sys
def refuse(event, arguments):
    network = event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname")
    if network or event.startswith(("urllib.", "http.client.", "ftplib.")):
        raise SystemExit(f"network: {event} {arguments}")
sys.addaudithook(refuse)
from bioxedge.cli import main
main()
"""


def test_exporting_what_was_built_gives_the_same_bundle_without_a_network(
    built: Built, tmp_path: Path
) -> None:
    home = home_of(built)
    command = [sys.executable, "-c", OFFLINE, "export", str(home / "tiny.toml"), "--json"]
    command += ["--out", str(tmp_path / "again")]
    for name, path in arguments(built).items():
        command += [f"--{name}", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    facts = json.loads(found.stdout)
    for path in built.bundle.path.iterdir():
        if path.name != "manifest.json":
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
    again = bioxedge.Bundle.open(tmp_path / "again")
    assert again.manifest == built.bundle.manifest  # where it comes from, too, and what it scored
    assert facts["proofs"]["fp32"]["pass"] and facts["opset"] == 18
    assert sum(part["bytes"] for part in facts["parts"].values()) == facts["bytes"]["fp32"]


def test_a_bridge_of_ours_is_held_to_the_weights_it_was_trained_between(
    built: Built, tmp_path: Path
) -> None:
    moved = tmp_path / "trained"
    moved.mkdir()
    for path in arguments(built)["bridge"].parent.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    given = {"bridge": moved / "bridge.pt", "head": moved / "head.pt"}
    recipe = home_of(built) / "tiny.toml"
    chain = models.load("papagei", moved / "source.safetensors")
    content = torch.load(moved / "bridge.pt", weights_only=True)
    content["about"]["rank"] = 10**9
    torch.save(content, moved / "boast.pt")
    with pytest.raises(ModelError, match=r"is damaged: A is \[2, .*it says \[1000000000, "):
        export(recipe, tmp_path / "bundle", **{**given, "bridge": moved / "boast.pt"}, **QUIET)
    checkpoint.save(stirred(chain), moved / "source.safetensors")
    with pytest.raises(ModelError, match="was trained with a source papagei of sha256"):
        export(recipe, tmp_path / "bundle", **given, **QUIET)
    (moved / "source.safetensors").unlink()
    with pytest.raises(ModelError, match="is not there: the recipe pretrains its source encoder"):
        export(recipe, tmp_path / "bundle", **given, **QUIET)
    assert not (tmp_path / "bundle").exists()


def test_another_head_is_neither_calibrated_nor_measured(built: Built, tmp_path: Path) -> None:
    given = arguments(built)
    other = torch.nn.Linear(16, 2)
    torch.save(other.state_dict(), tmp_path / "head.pt")
    made = export(
        home_of(built) / "tiny.toml",
        tmp_path / "bundle",
        bridge=given["bridge"],
        head=tmp_path / "head.pt",
        **QUIET,
    )
    about = made.shipped.bundle.manifest
    assert about.made_by.metrics == {} and about.made_by.data.split  # the bridge's people are known
    assert about.output.calibration.temperature == 1.0
    assert any("another head" in remark for remark in made.remarks)


# -- what was trained elsewhere -----------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return made_elsewhere(tmp_path_factory.mktemp("elsewhere"))


@torch.no_grad()
def by_hand(elsewhere: Elsewhere, windows: np.ndarray, published: bool) -> np.ndarray:
    """The formula as it is published, step by step, in float64 between the two models."""
    source = models.load("hubert_ecg", elsewhere.home / "hubert.safetensors")
    target = models.load("labram", elsewhere.home / "labram.safetensors")
    prototypes, down, up, weight, bias = (w.double() for w in elsewhere.weights.values())
    features = prototypes.shape[1]
    tokens = len(up) // PROTOTYPES
    answers = []
    for window in torch.from_numpy(windows):
        z = source[:2](window[None])[0].double().mean(0)
        W = (up @ (down @ z)).reshape(PROTOTYPES, tokens)
        O = prototypes.T @ W  # noqa: E741 - [features, tokens], as the paper writes it
        h = O.reshape(tokens, features) if published else O.T
        pooled = target[1:](h[None].float())[0].mean(0).double()
        answers.append(torch.softmax(weight @ pooled + bias, 0).numpy())
    return np.stack(answers)


@pytest.mark.parametrize("published", some([True, False]))
def test_a_published_bridge_to_labram_answers_by_the_published_formula(
    elsewhere: Elsewhere, tmp_path: Path, published: bool
) -> None:
    made = elsewhere.export(tmp_path / "bundle", as_published=published)
    golden = made.shipped.bundle.golden
    wanted = by_hand(elsewhere, golden.windows, published)
    np.testing.assert_allclose(golden.probabilities, wanted, atol=2e-5)
    other = by_hand(elsewhere, golden.windows, not published)
    assert np.abs(wanted - other).max() > 1e-3  # the two are told apart here
    assert verify(made.shipped.bundle).difference <= 1e-5


@pytest.fixture(scope="module")
def exported(elsewhere: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return elsewhere.export(tmp_path_factory.mktemp("exported") / "bundle")


def test_the_manifest_claims_nothing_that_is_not_known(exported: Exported) -> None:
    about = exported.shipped.bundle.manifest
    assert about.made_by.data.name == "training data not stated; golden windows: simulated ECG"
    assert about.made_by.data.split == {} and about.made_by.metrics == {}
    assert about.input.expect == () and "amplitude" in about.absent
    assert about.output.calibration.temperature == 1.0
    assert set(about.output.calibration.bias) == {0.0}


def test_of_card_and_recipe_the_stricter_licence_holds(exported: Exported) -> None:
    made_by = exported.shipped.bundle.manifest.made_by
    source = next(each for each in made_by.licences if each.part == "source")
    # The recipe does not say that it is non-commercial; its licence, and the card, do.
    assert source.non_commercial and made_by.non_commercial
    assert source.licence == "CC-BY-NC-4.0"


def test_parts_add_up_to_the_file(elsewhere: Elsewhere, exported: Exported) -> None:
    bundle, sizes = exported.shipped.bundle, exported.shipped.sizes
    raw = (bundle.path / "model.onnx").read_bytes()
    assert sum(size.bytes for size in sizes.values()) == len(raw)
    counted = sum(sizes[part].parameters for part in PARTS)
    assert counted == bundle.manifest.model["fp32"].parameters
    bridge = [value.numel() for key, value in elsewhere.weights.items() if "module" in key]
    assert sizes["bridge"].parameters == sum(bridge)
    tail = models.load("labram", elsewhere.home / "labram.safetensors")[1:]
    assert sizes["tail"].parameters == pytest.approx(
        sum(value.numel() for value in tail.parameters()), rel=0.01
    )


def test_golden_windows_come_from_a_recording(elsewhere: Elsewhere, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(240 * 360) / 360.0
    beat = np.sin(2 * np.pi * np.cumsum(1.1 + 0.2 * np.sin(t)) / 360) ** 31
    samples = np.stack([rng.normal(size=t.size), beat + 0.03 * rng.normal(size=t.size)])
    channels = (Channel("other", "mV"), Channel("II", "mV"))
    recording.save(Recording(samples, 360.0, channels, "ecg", "somebody"), tmp_path / "worn")
    made = elsewhere.export(tmp_path / "bundle", signal=tmp_path / "worn")
    about = made.shipped.bundle.manifest
    assert about.made_by.data.name.endswith("golden windows: one recording")
    assert [expect.channel for expect in about.input.expect] == ["ecg_1"]
    assert about.golden.windows > 3 and about.golden.windows % 3 == 0  # of several stretches
    assert made.shipped.proof.dsp_bitwise


# -- versions and variants ----------------------------------------------------------------------


def test_an_older_opset_answers_the_same(elsewhere: Elsewhere, tmp_path: Path) -> None:
    made = elsewhere.export(tmp_path / "bundle", opset=17)
    bundle = made.shipped.bundle
    model = onnx.load(bundle.path / "model.onnx")
    assert {each.version for each in model.opset_import if each.domain == ""} == {17}
    assert bundle.manifest.model["fp32"].opset == 17
    session = onnxruntime.InferenceSession(
        bundle.path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    found = [session.run(None, {"window": window[None]})[0][0] for window in bundle.golden.windows]
    np.testing.assert_allclose(np.stack(found), bundle.golden.probabilities, atol=1e-5)


def test_variants_of_a_build_are_held_to_people_never_seen(built: Built, tmp_path: Path) -> None:
    seen = built.learnt.seen
    wanted = recipes.Variants(make=("int8", "fp16"))
    recipe = msgspec.structs.replace(seen.recipe, variants=wanted)
    learnt = replace(built.learnt, seen=replace(seen, recipe=recipe))
    evidence = shipping.evidence_of(learnt, built.scores)
    windows, prepared = learnt.prepared.windows.source, learnt.prepared
    tested, paired = (torch.from_numpy(prepared.rows("source", g)) for g in ("test", "pair"))
    assert evidence.held_out is not None
    held_out, classes = evidence.held_out
    np.testing.assert_array_equal(held_out, windows[tested])
    assert len(classes) == len(held_out) and (classes >= 0).all()
    pair = {row.tobytes() for row in windows[paired].numpy()}
    assert len(evidence.calibration) > 10
    assert all(row.tobytes() in pair for row in evidence.calibration)
    # So small a model gains nothing by either, which is said.
    shipped = shipping.finish(learnt, evidence, tmp_path / "bundle")
    assert set(shipped.refused) == {"int8", "fp16"} and set(shipped.proofs) == {"fp32"}
    assert all(f"refused {name}: " in "\n".join(shipped.lines()) for name in shipped.refused)


def test_variants_are_made_proven_or_refused_with_a_reason(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    made = elsewhere.export(tmp_path / "bundle", variants=["int8", "int8-static"])
    kept, refused = set(made.shipped.proofs) - {"fp32"}, made.shipped.refused
    assert kept | set(refused) == {"int8", "int8-static"}
    assert set(made.shipped.bundle.manifest.model) == {"fp32", *kept}
    assert all(refused.values())


# -- rehearsals ---------------------------------------------------------------------------------


def test_a_rehearsal_needs_no_weights_and_tells_windows_apart(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    small = SMALL["hubert_ecg"][0]
    config = ", ".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}"
        for key, value in small.items()
    )
    edits = (('name = "hubert_ecg"', f'name = "hubert_ecg"\nconfig = {{ {config} }}'),)
    recipe = recipes.read(changed(elsewhere, tmp_path, *edits))
    made = rehearse(recipe, tmp_path / "random")
    found = export(
        made.recipe,
        tmp_path / "bundle",
        bridge=made.bridge,
        head=made.head,
        base=made.folder,
        as_published=True,
        **QUIET,
    )
    golden = found.shipped.bundle.golden
    assert golden.probabilities.std(0).max() > 0.01
    assert found.shipped.bundle.manifest.made_by.source.checkpoint == "random-source.safetensors"
