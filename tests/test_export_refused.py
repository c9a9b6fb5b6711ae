"""What an export without training refuses: one line, the cure in it, and nothing written."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_export import Elsewhere, changed, made_elsewhere

from bioxedge.bridging import foreign
from bioxedge.errors import BioxedgeError, ExportError, ModelError, RecipeError

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return made_elsewhere(tmp_path_factory.mktemp("elsewhere"))


REFUSED = {
    "a cut left open": (("source_cut = 2", 'source_cut = "auto"'), "write them as numbers"),
    "another cut": (("target_cut = 1", 'target_cut = "head"'), "between these cuts a bridge is"),
    "another rank": (("rank = 3", "rank = 4"), r"A \[4, 24\]"),
    "no such cut": (("target_cut = 1", "target_cut = 9"), "there is no cut 9"),
    "more labels": (('"wake"]', '"wake", "REM"]'), r"\[3, 100\] and \[3\]"),
    "a checkpoint of another size": (
        ('name = "labram"', 'config = { blocks = 3 }\nname = "labram"'),
        "blocks",
    ),
    "another file": (('sha256 = "', 'sha256 = "0000'), "sha256"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_recipe_that_does_not_fit_is_refused(
    elsewhere: Elsewhere, tmp_path: Path, case: str
) -> None:
    edit, said = REFUSED[case]
    with pytest.raises(BioxedgeError, match=said) as error:
        elsewhere.export(tmp_path / "bundle", recipe=changed(elsewhere, tmp_path, edit))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "bundle").exists()


def test_a_choice_that_cannot_be_is_refused(elsewhere: Elsewhere, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(ExportError, match="say --as-published where"):
        elsewhere.export(out, as_published=None)
    for opset in (12, 19):
        with pytest.raises(ExportError, match="ask for 13 to 18"):
            elsewhere.export(out, opset=opset)
    with pytest.raises(ExportError, match=r"opset 16 .*LayerNormalization.*ask for 17 or 18"):
        elsewhere.export(out, opset=16)
    with pytest.raises(RecipeError, match="--variants int9"):
        elsewhere.export(out, variants=["int9"])
    with pytest.raises(ExportError, match="name one of them"):
        elsewhere.export(out, data=tmp_path, signal=tmp_path)
    assert not out.exists()


def test_a_file_that_is_no_bridge_or_no_head_is_refused(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    weights = torch.load(elsewhere.home / "bridge.pt", weights_only=True)["state_dict"]
    down = "module.lora.down"
    wrong = {
        "holds 4 tensors": {**weights, "bias": torch.zeros(3)},
        "between these cuts a bridge is": {**weights, down: weights[down].T.contiguous()},
        "is not finite": {**weights, down: weights[down] * torch.nan},
    }
    for said, content in wrong.items():
        torch.save(content, tmp_path / "bridge.pt")
        with pytest.raises(ModelError, match=said):
            elsewhere.export(tmp_path / "bundle", bridge=tmp_path / "bridge.pt")
    with pytest.raises(ModelError, match="a head for 2 labels"):
        elsewhere.export(tmp_path / "bundle", head=elsewhere.home / "bridge.pt")
    (tmp_path / "bridge.pt").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be read as weights alone"):
        elsewhere.export(tmp_path / "bundle", bridge=tmp_path / "bridge.pt")


def test_two_matrices_of_one_shape_are_told_by_name_or_refused() -> None:
    wanted = foreign.Shape(in_features=8, tokens=2, out_features=8, rank=3, prototypes=3)
    A, P, B = torch.zeros(3, 8), torch.ones(3, 8), torch.zeros(6, 3)
    found = foreign.bridge_of(
        {"a": A, "my_prototypes": P, "b": B}, wanted, source="x", as_published=False
    )
    assert torch.equal(found.prototypes, P) and torch.equal(found.A, A)
    with pytest.raises(ModelError, match="rename its keys"):
        foreign.bridge_of({"a": A, "p": P, "b": B}, wanted, source="x", as_published=False)


def test_the_command_says_one_line(elsewhere: Elsewhere, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bioxedge", "export", str(elsewhere.recipe)]
    command += ["--bridge", str(tmp_path / "none.pt"), "--head", str(elsewhere.home / "head.pt")]
    found = subprocess.run(
        [*command, "--out", str(tmp_path / "bundle")], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].startswith("error: ") and "none.pt" in found.stderr
    assert "Traceback" not in found.stderr
