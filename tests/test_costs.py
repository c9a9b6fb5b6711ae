"""What a place for a bridge costs, and the survey of all places."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from test_building import RECIPE

from bioxedge import cli, models
from bioxedge.bridging import PrototypeBridge
from bioxedge.bridging.costs import bridge_cost, cost_map, costs
from bioxedge.bridging.head import Head
from bioxedge.building import build, survey
from bioxedge.errors import ModelError
from bioxedge.exporting.splice import BridgedModel

pytestmark = pytest.mark.train


def size(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_multiply_accumulates_are_those_of_the_layers() -> None:
    chain = models.create("ecg_transformer", samples=320, width=16, blocks=2, heads=2)
    tokens, width = 16, 16
    found = costs(chain, 320)
    assert found[0].macs == tokens * width * 40  # one convolution of 40 taps
    block = tokens * width * (3 * width + width + 4 * width) + 2 * tokens * tokens * width
    assert [cost.macs - found[0].macs for cost in found] == [0, block, 2 * block]
    assert [cost.parameters for cost in found] == [size(chain[:k]) for k in range(3)]


def test_counting_leaves_the_chain_as_it_was() -> None:
    chain = models.create("papagei", base_filters=4, blocks=3).freeze()
    before = chain(torch.ones(1, 1, 100))
    costs(chain, 100)
    assert torch.equal(chain(torch.ones(1, 1, 100)), before)
    assert chain.stem.conv.weight.device.type == "cpu"


def test_a_tail_alone_is_not_counted() -> None:
    chain = models.create("ecg_transformer", samples=320, width=16, blocks=2, heads=2)
    with pytest.raises(ModelError, match="cuts 1 to 2: costs are counted from the stem on"):
        costs(chain[1:], 320)
    with pytest.raises(ModelError, match="321 samples do not fit"):
        costs(chain, 321)


def test_a_bridge_costs_what_its_matrices_do() -> None:
    sizes = (64, 512, 93, 8, 150)
    cost = bridge_cost(*sizes)
    assert cost.parameters == PrototypeBridge.parameters_count(*sizes) == 188_912
    assert cost.macs == 8 * 64 + 150 * 93 * 8 + 93 * 150 * 512


def test_every_place_costs_what_its_model_does() -> None:
    source = models.create("papagei", base_filters=4, blocks=3)
    target = models.create("ecg_transformer", samples=320, width=16, blocks=2, heads=2)
    found = cost_map(source, 100, target, 320, rank=2, prototypes=4)
    assert found.parameters.shape == found.macs.shape == found.trained.shape == (4, 3)
    for i in range(4):
        for j in range(3):
            tokens, features = target.cut(j, 320)
            inner = source.cut(i, 100).features
            bridge = PrototypeBridge(inner, features, tokens, 2, 4)
            model = BridgedModel(source[:i], bridge, target[j:], Head(features, 2))
            assert found.parameters[i, j] == size(model) - size(model.head)
            assert found.trained[i, j] == size(bridge)
    assert (np.diff(found.macs, axis=0) > 0).all()  # a later source cut costs more
    assert (np.diff(found.macs, axis=1) < 0).all()  # a later target cut less


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("survey")
    recipe = folder / "tiny.toml"
    # The survey looks at every cut, whatever the recipe names.
    recipe.write_text(RECIPE.replace('source_cut = "auto"', "source_cut = 2"))
    console = Console(file=io.StringIO(), width=120)
    found = survey(recipe, folder / "out", console=console)
    return recipe, folder / "out", found, console.file.getvalue()


def test_a_survey_is_there_to_read_and_to_look_at(surveyed) -> None:
    _, out, found, said = surveyed
    facts = json.loads((out / "report" / "positions.json").read_text())
    assert facts == json.loads(json.dumps(found.to_dict()))
    assert len(facts["source"]["macro_f1"]) == 5 and len(facts["target"]["cka"]) == 3
    assert np.array(facts["parameters"]).shape == np.array(facts["macs"]).shape == (5, 3)
    raw = (out / "report" / "positions.png").read_bytes()
    assert raw.startswith(b"\x89PNG\r\n\x1a\n") and raw.endswith(b"IEND\xaeB`\x82")
    for text in ("source: papagei", "target: ecg_transformer", "macro F1", "CKA", "MACs (M)"):
        assert text in said
    chosen = found.positions
    assert f"with target cut {chosen.target_cut}" in said


def test_a_build_after_a_survey_finds_what_it_computed(surveyed) -> None:
    recipe, out, *_ = surveyed
    console = Console(file=io.StringIO(), width=160)
    build(recipe, out, console=console)
    # The recipe names its source cut, so the source's features stop there and the place is given.
    # Windows, what is known, both encoders, the target's features and the head were there.
    assert console.file.getvalue().count("already done") == 6


def test_the_verb_prints_json_for_programs(surveyed, monkeypatch, capsys) -> None:
    recipe, out, found, _ = surveyed
    monkeypatch.setattr(
        sys, "argv", ["bioxedge", "positions", str(recipe), "--out", str(out), "--json"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_dict()))


def test_a_device_that_is_not_there_is_one_line(monkeypatch, capsys, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    words = ["bioxedge", "build", str(recipe), "--out", str(tmp_path / "o"), "--device", "gpu7"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: 'gpu7' is no device: choose auto, cpu or cuda\n"
    assert not (tmp_path / "o").exists()
