"""Recipes that ship, those that the page of recipes shows, and one written from real files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from bioxedge.recipes import Recipe, read
from bioxedge.recipes.checks import check
from bioxedge.recipes.parts import Bridge, Compute, Head

ROOT = Path(__file__).resolve().parent.parent


def test_recipes_ship_and_are_those_of_export(call, tmp_path):
    code, out, _ = call("new", "--list")
    ours = sorted((ROOT / "export" / "recipes").glob("*.toml"))
    assert code == 0 and [line for line in out.splitlines() if line[0] != " "] == [
        path.stem for path in ours
    ]
    for path in ours:
        assert call("new", tmp_path / path.name, "--from", path.stem)[0] == 0
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        read(tmp_path / path.name)
    code, _, err = call("new", tmp_path / "x.toml", "--from", "sleep")
    assert code == 2 and "there are bidmc_ecg_to_ppg" in err


def test_what_the_page_of_recipes_shows_can_be_read():
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) > 15
    ours = msgspec.toml.decode((ROOT / "export/recipes/demo_stress_ecg_to_ppg.toml").read_bytes())
    del ours["others"]  # what is shown may be what one task alone can have
    for block in blocks:
        shown = msgspec.toml.decode(block)
        wanted = ours | shown
        for side in {"source", "target"} & set(shown):
            wanted[side] = ours[side] | shown[side]
        if "head" in shown.get("teacher", [{}])[0]:  # it was trained on somebody's weights
            weights = {"checkpoint": "weights.pt", "sha256": "0" * 64, "licence": "MIT"}
            wanted["target"] = ours["target"] | {"model": ours["target"]["model"] | weights}
        check(msgspec.convert(wanted, Recipe))


def test_what_the_page_calls_defaults_are_the_defaults():
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    shown = {}
    for text in re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S):
        block = msgspec.toml.decode(text)
        if {"head", "bridge"} <= set(block) or "compute" in block:
            shown |= block
    for name, kind in (("head", Head), ("bridge", Bridge), ("compute", Compute)):
        own = {key: value for key, value in shown[name].items() if key != "seed"}
        assert msgspec.convert(own, kind) == kind()
        left = {field.encode_name for field in msgspec.structs.fields(kind)} - set(shown[name])
        assert not left, f"{left} of [{name}] are not shown"


@pytest.mark.train
@pytest.mark.shared
def test_edf_of_a_few_people_to_a_recipe_that_build_takes(call, shared, tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    files = [
        shared / "data" / "eegmat" / f"Subject{k}_{n}.edf"
        for k in ("01", "05", "13")
        for n in (1, 2)
    ]
    told = ("--person", r"(Subject\d+)", "--label", "*_1.edf=rest", "--label", "*_2.edf=arithmetic")
    assert call("import", *files, *told,
                "--out", tmp_path / "eegmat")[0] == 0  # fmt: skip
    out = tmp_path / "r.toml"
    assert call("new", out, "--data", tmp_path / "eegmat", "--source", "ecg")[0] == 0
    recipe = read(out)
    assert recipe.task.labels == ("rest", "arithmetic") and recipe.target.sensor.modality == "eeg"
    assert recipe.source.sensor.rate == 500.0 and recipe.source.length == 1250
    told = ("--data", tmp_path, "--out", tmp_path / "out", "--dry-run", "--json")
    code, said, err = call("build", out, *told)
    assert code == 0, err
    assert json.loads(said.splitlines()[-1])


@pytest.mark.train
@pytest.mark.shared
def test_a_dry_run_reckons_with_how_long_the_embedded_set_is(call, shared, tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    recipe = Path(__file__).resolve().parent.parent / "export" / "recipes" / "bidmc_ecg_to_ppg.toml"
    told = ("--data", shared / "data", "--out", tmp_path / "out", "--dry-run", "--json")
    code, said, err = call("build", recipe, *told)
    assert code == 0 and "do not say how long" not in err
    about = read(recipe)
    hop = about.source.hop / about.source.sensor.rate
    # 34 recordings of eight minutes.
    assert json.loads(said)["windows"]["source"] == 34 * int(480 / hop)
