"""With which setting a bridge is trained: measured, said, kept, and the same result by rounding."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from test_building import RECIPE, interrupted, run, weights
from torch._inductor import config as inductor

from bioxedge import models, recipes
from bioxedge.bridging import fastest as measuring
from bioxedge.bridging import loop
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.compute import Compute, can_compile, has_bf16
from bioxedge.bridging.fastest import Fastest, fastest, name_of, settings
from bioxedge.bridging.packed import can_pack
from bioxedge.bridging.train import Training, train_bridge
from bioxedge.errors import RecipeError

pytestmark = pytest.mark.train

CPU = torch.device("cpu")
PACKS = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
TRAINING = Training(over="tokens", epochs=2, batch=8)


@pytest.fixture(scope="module")
def parts():
    """A bridge, a frozen target's tail, and features and tokens of 16 pairs."""
    torch.manual_seed(0)
    size = {"samples": 320, "width": 32, "blocks": 2, "heads": 2}
    target = models.create("ecg_transformer", **size).freeze()
    tokens, features = target.cut(1, 320)
    bridge = PrototypeBridge(24, features, tokens, 2, 4, seed=0)
    return bridge, target[1:], torch.randn(16, 24), torch.randn(16, tokens, features)


def names(found: tuple[list[Compute], list[Compute]]) -> tuple[list[str], list[str]]:
    return [name_of(each) for each in found[0]], [name_of(each) for each in found[1]]


@PACKS
def test_what_a_recipe_leaves_open_is_what_is_tried() -> None:
    slow = ["compiled"] if can_compile(CPU) else []
    assert names(settings("cpu", "fp32", None, None)) == (["plain", "packed"], slow)
    assert names(settings("cpu", "fp32", False, None)) == (["plain", "packed"], [])
    assert names(settings("cpu", "fp32", False, True)) == (["packed"], [])
    assert names(settings("cpu", "fp32", False, False)) == (["plain"], [])
    assert names(settings("cpu", "fp32", True, None)) == (["compiled"], [])
    assert names(settings("cpu", "bf16", False, None)) == (["bf16", "bf16, packed"], [])


@PACKS
def test_what_changes_results_by_more_than_rounding_is_tried_only_where_it_is_allowed() -> None:
    by_default, _ = settings("cpu", "fp32", None, None)
    assert all(each.precision == "fp32" for each in by_default)
    allowed, _ = settings("cpu", "auto", False, None)
    halves = ["bf16", "bf16, packed"] if has_bf16(CPU) else []
    assert [name_of(each) for each in allowed] == ["plain", "packed", *halves]


@PACKS
def test_the_fastest_is_taken_and_nothing_that_was_given_changes(parts) -> None:
    bridge, tail, source, teacher = parts
    before, drawn = copy.deepcopy(bridge.state_dict()), torch.get_rng_state()
    quick, _ = settings("cpu", "fp32", False, None)
    found = fastest(quick, [], bridge, tail, source, teacher, TRAINING, macs=2**40, steps=4)
    assert set(found.seconds) == {"plain", "packed"}
    assert all(value > 0 for value in found.seconds.values())
    assert name_of(found.compute) in found.line() and "s a step" in found.line()
    if name_of(found.compute) == "packed":
        assert found.seconds["packed"] < found.seconds["plain"]
    assert all(torch.equal(value, before[key]) for key, value in bridge.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any("forward" in vars(part) for part in tail.modules())
    assert all(parameter.grad is None for parameter in bridge.parameters())


@pytest.mark.parametrize(
    ("training", "cut", "macs", "why"),
    [
        (TRAINING, 0, 1000, "too short"),
        (Training(over="tokens", at="cut"), 0, 2**40, "no frozen tail"),
        (TRAINING, 2, 2**40, "no frozen tail"),
    ],
)
def test_where_nothing_can_be_gained_nothing_is_timed(parts, training, cut, macs, why) -> None:
    bridge, tail, source, teacher = parts
    tail = tail[cut:] if cut else tail
    quick, slow = settings("cpu", "fp32", None, None)
    found = fastest(quick, slow, bridge, tail, source, teacher, training, macs=macs, steps=4)
    assert found.seconds == {} and why in found.line()
    assert found.compute == Compute("cpu")


@PACKS
@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
def test_compiling_is_tried_only_where_the_training_is_long(parts, monkeypatch) -> None:
    bridge, tail, source, teacher = parts
    quick, slow = settings("cpu", "fp32", None, None)
    given = bridge, tail, source, teacher, TRAINING
    short = fastest(quick, slow, *given, macs=2**40, steps=4)
    assert "compiled" not in short.seconds
    assert "compiling is not tried: 4 steps take 0 s without" in short.line()
    monkeypatch.setattr(measuring, "LONG", 0.0)
    # A compiler that is there and fails costs the trial, not the build.
    # Torch's own patch: undoing monkeypatch's would delete the entry for every later test.
    with inductor.patch({"cpp.cxx": ("/nonexistent",)}):
        torch._dynamo.reset()
        broken = fastest(quick, slow, *given, macs=2**40, steps=4)
    torch._dynamo.reset()
    if "compiled" not in broken.seconds:  # else torch had it from an earlier run
        assert "compiled did not run" in broken.line()
    assert {"plain", "packed"} <= set(broken.seconds)


def test_a_gain_within_the_noise_takes_the_plainer() -> None:
    plain, other = Compute("cpu"), Compute("cpu", packed=True)
    assert measuring._best([plain, other], {"plain": 1.0, "packed": 0.98}) == plain
    assert measuring._best([plain, other], {"plain": 1.0, "packed": 0.5}) == other
    assert measuring._best([plain, other], {"plain": 1.0}) == plain
    line = Fastest(other, {"plain": 0.6, "packed": 0.3}).line()
    assert line == "packed: 0.3 s a step, plain 0.6"


@PACKS
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_packed_training_is_the_plain_one_to_the_precisions_rounding(parts, precision) -> None:
    bridge, tail, source, teacher = parts
    found = []
    for packed in (False, True):
        mine = copy.deepcopy(bridge)
        compute = Compute("cpu", precision, packed=packed)
        train_bridge(mine, tail, source, teacher, TRAINING, seed=0, compute=compute)
        found.append(mine)
    bound = 1e-4 if precision == "fp32" else 0.05
    for mine, its in zip(*(each.parameters() for each in found), strict=True):
        assert mine.dtype == torch.float32
        assert (mine - its).abs().max() <= bound * its.abs().max()


# -- the whole build ----------------------------------------------------------------------------


def setting_of(out: Path) -> dict:
    return json.loads((out / "report" / "report.json").read_text())["compute"]


@PACKS
def test_a_stopped_build_goes_on_with_the_setting_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    recipe, out = tmp_path / "tiny.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "WORTH", 0)
        with interrupted(monkeypatch, "The bridge", 2):
            run(recipe, out)
    (kept,) = (out / "steps").glob("*.compute")
    before = json.loads(kept.read_text())
    assert {"plain", "packed"} <= set(before["seconds"])  # and bf16 where the processor has it
    # Now nothing would be measured, and it would be plain: what was kept counts.
    before["compute"] |= {"packed": True, "precision": "fp32"}
    kept.write_text(json.dumps(before))
    built, said = run(recipe, out)
    assert "goes on as it began: packed: " in said
    assert setting_of(out)["setting"] == "packed"
    assert setting_of(out)["seconds"] == before["seconds"]
    assert not list((out / "steps").glob("*.compute"))
    again, said = run(recipe, out)
    assert "goes on" not in said and weights(again.learnt) == weights(built.learnt)
    assert setting_of(out)["setting"] == "packed"


def test_a_small_build_is_plain_whatever_lies_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    recipe, out = tmp_path / "tiny.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    with interrupted(monkeypatch, "The bridge", 1):
        run(recipe, out)
    (kept,) = (out / "steps").glob("*.compute")
    kept.write_text('{"compute": {"device": 3}}')  # damaged: chosen anew
    _, said = run(recipe, out)
    assert "s a step" not in said
    assert setting_of(out) == {
        "setting": "plain",
        "seconds": {},
        "why": "too short a training to gain by measuring",
    }


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('packed = "always"', "$.compute.packed"),
        ("compiled = 1", "$.compute.compiled"),
        ('precision = "half"', "$.compute.precision"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path, line: str, place: str) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(f"{RECIPE}\n[compute]\n{line}\n")
    with pytest.raises(RecipeError, match=place.replace("$", r"\$").replace(".", r"\.")):
        recipes.read(recipe)
