"""The published directions from files as published to a report; and what a dry run says of them."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_all import some
from fixtures_models import SMALL
from fixtures_published import write_fog, write_isruc, write_wesad
from rich.console import Console
from test_checkpoints import stirred
from test_published_pickles import Shell

from bioxedge import models, recipes
from bioxedge.building import data_report, started
from bioxedge.building.feeding import UNKNOWN
from bioxedge.building.forecast import parameters
from bioxedge.building.kits import whole
from bioxedge.building.preparation import prepare
from bioxedge.models import checkpoint

pytestmark = pytest.mark.train

FOLDER = Path(__file__).resolve().parent.parent / "export" / "recipes"
# Trained parameters, rate, epochs, of the bridge; epochs, rate, batch of the head: Li et al. 2026.
PUBLISHED = {
    "wesad_ppg_to_ecg": (398_784, 1e-4, 50, (50, 1e-4, 32, "none")),
    "wesad_ecg_to_ppg": (188_912, 1e-6, 100, (50, 1e-5, 32, "balanced")),
    "isruc_eeg_to_ecg": (1_813_984, 1e-5, 50, (50, 5e-4, 64, "balanced")),
    "isruc_ecg_to_eeg": (140_000, 1e-4, 50, (50, 1e-4, 64, "balanced")),
    "fog_eeg_to_emg": (1_209_408, 1e-5, 100, (500, 1e-2, 64, "none")),
    "fog_emg_to_eeg": (712_000, 1e-4, 100, (100, 1e-4, 16, "none")),
}
RATES = {"BVP": 64.0, "ECG": 700.0, "X2": 200.0}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_published_settings(name: str) -> None:
    recipe = recipes.read(FOLDER / f"{name}.toml")
    count, rate, epochs, head = PUBLISHED[name]
    assert parameters(recipe, whole(recipe, {}))["bridge"] == count
    bridge = recipe.bridge
    assert (bridge.learning_rate, bridge.epochs, bridge.batch) == (rate, epochs, 16)
    assert (bridge.schedule, bridge.over, bridge.at, bridge.start) == (
        "constant", "tokens", "last", "random",
    )  # fmt: skip
    assert bridge.loss == ("infonce" if name == "fog_eeg_to_emg" else "cosine")
    own = recipe.head
    assert (own.epochs, own.learning_rate, own.batch, own.weights) == head
    for side in (recipe.source, recipe.target):
        first = side.sensor.columns[0]
        assert side.sensor.rate == RATES.get(first, 200.0 if "isruc" in name else 500.0)
    assert recipe.preset == "paper" and name.startswith(recipe.data.dataset)


# -- what nobody has brought yet ----------------------------------------------------------------


def test_a_dry_run_names_what_is_missing_and_reckons(call: Any, tmp_path: Path) -> None:
    small = [f"--set={side}.model.config={inline(SMALL[model][0])}"
             for side, model in (("source", "hubert_ecg"), ("target", "papagei"))]  # fmt: skip
    cuts = ["--set=bridge.source_cut=2", "--set=bridge.target_cut=3", *small]
    arguments = ("--data", tmp_path, "--out", tmp_path / "out", "--dry-run", "--json", *cuts)
    code, out, err = call("build", FOLDER / "wesad_ppg_to_ecg.toml", *arguments)
    assert code == 0 and not (tmp_path / "out").exists()
    found = json.loads(out)
    lines = [line.split("missing: ")[1] for line in err.splitlines() if "missing: " in line]
    assert lines == found["missing"] and len(lines) == 3
    assert "hubert_ecg_small.pt is not there" in lines[0] and "huggingface.co" in lines[0]
    assert "papagei_s.pt is not there" in lines[1] and "zenodo.org/records/13983110" in lines[1]
    assert "wesad is not there" in lines[2] and "ubi29.informatik.uni-siegen.de" in lines[2]
    assert found["windows"] == {"source": 18_000, "target": 18_000, "pair": 6_000}
    assert f"{found['parameters']['bridge']:,} trained" in err and found["seconds"] > 10


def inline(options: dict[str, Any]) -> str:
    """Write options as a table of TOML in one line."""
    values = {key: list(one) if isinstance(one, tuple) else one for key, one in options.items()}
    return "{" + ", ".join(f"{key} = {json.dumps(one)}" for key, one in values.items()) + "}"


def test_a_dry_run_of_what_is_there_names_the_rest(call: Any, tmp_path: Path) -> None:
    write_wesad(tmp_path / "set", (2, 3, 4), phase=20)
    small = small_of("wesad_ppg_to_ecg", tmp_path, made=("source",))
    arguments = ("--data", tmp_path / "set", "--out", tmp_path / "out", "--dry-run")
    words = [f"--set={change}" for change in small]
    code, _, err = call("build", FOLDER / "wesad_ppg_to_ecg.toml", *arguments, *words)
    assert code == 2 and "15 people together, wesad has 3" in err
    words.append("--set=split.numbers={head=1,pair=1,test=1}")
    code, _, err = call("build", FOLDER / "wesad_ppg_to_ecg.toml", *arguments, *words)
    assert code == 0 and err.count("missing: ") == 1 and "papagei" in err
    assert "may serve for test: 3 recordings of 3 people" in err
    assert "source.safetensors is taken as it is: write its sha256 into the recipe" in err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("bridge.target_cut=40", "`$.bridge.target_cut`"),
        ('target.stages=[]', "`$.target.stages`"),
    ],
)  # fmt: skip
def test_a_slip_is_found_without_weights(call: Any, tmp_path: Path, change: str, why: str) -> None:
    arguments = ("--data", tmp_path, "--out", tmp_path / "out", "--dry-run", "--set", change)
    code, _, err = call("build", FOLDER / "wesad_ppg_to_ecg.toml", *arguments)
    assert code == 2 and why in err


def test_a_build_does_not_begin_without_them(call: Any, tmp_path: Path) -> None:
    arguments = ("--data", tmp_path, "--out", tmp_path / "out")
    code, _, err = call("build", FOLDER / "wesad_ppg_to_ecg.toml", *arguments)
    assert code == 2 and "hubert_ecg_small.pt" in err and err.count("\n") == 1


def test_a_folder_without_the_set_is_missing_too(call: Any, tmp_path: Path) -> None:
    (tmp_path / "isruc").mkdir()
    small = [f"--set={change}" for change in small_of("isruc_ecg_to_eeg", tmp_path)]
    arguments = ("--data", tmp_path, "--out", tmp_path / "out", "--dry-run", *small)
    code, _, err = call("build", FOLDER / "isruc_ecg_to_eeg.toml", *arguments)
    assert code == 0 and "isruc holds no ISRUC: sleeptight.isr.uc.pt" in err


# -- from files as published to a report --------------------------------------------------------


def small_of(name: str, folder: Path, made: tuple[str, ...] = ("source", "target")) -> list[str]:
    """Write small random weights for a recipe's models, and say what of it changes."""
    recipe, changes = recipes.read(FOLDER / f"{name}.toml"), []
    folder.mkdir(exist_ok=True)
    for side in made:
        about = getattr(recipe, side)
        options = dict(SMALL[about.model.name][0])
        if about.model.name == "labram":
            options |= {"electrodes": about.sensor.channels, **about.model.config}
        if about.model.name == "normwear":
            options["channels"] = len(about.sensor.channels)
        torch.manual_seed(0)
        path = folder / f"{side}.safetensors"
        checkpoint.save(stirred(models.create(about.model.name, **options)), path)
        assert about.model.sha256 == UNKNOWN
        changes += [f'{side}.model.checkpoint="{path}"', f"{side}.model.config={{}}"]
    for side in {"source", "target"} - {*made}:
        options = SMALL[getattr(recipe, side).model.name][0]
        changes.append(f"{side}.model.config={inline(options)}")
    changes += ["bridge.source_cut=1", "bridge.target_cut=1", "bridge.rank=2"]
    changes += ["bridge.prototypes=4", "bridge.epochs=1", "head.epochs=2"]
    return changes


NUMBERS = "split.numbers={head=2,validation=1,pair=1,test=1}"
LEAK = (
    "split.as_published=true", "split.block=0", "source.hop=130",
    "split.shares={head=1,pair=1,test=1}",
)  # fmt: skip
SETS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "wesad": (lambda at: write_wesad(at, (2, 3, 4, 5, 6)), (NUMBERS,)),
    "isruc": (lambda at: write_isruc(at, (1, 2, 3, 4, 5)), (NUMBERS,)),
    "fog": (lambda at: write_fog(at, {"008/OFF_1": 2, "008/OFF_2": 1}, 60), ("split.block=30",)),
}


def words_of(name: str, folder: Path, *changes: str) -> tuple[str, ...]:
    """Write a set and weights; say what of the recipe changes, the set's own among it."""
    write, own = SETS[name.split("_")[0]]
    write(folder / "data")
    return (*small_of(name, folder / "weights"), *(changes or own))


DIRECTIONS = ["wesad_ecg_to_ppg", *(name for name in PUBLISHED if name != "wesad_ecg_to_ppg")]


@pytest.mark.parametrize("name", some(DIRECTIONS, len(DIRECTIONS)))
def test_one_command_makes_the_table(call: Any, tmp_path: Path, name: str) -> None:
    changes, out = words_of(name, tmp_path), tmp_path / "out"
    words = [f"--set={change}" for change in changes]
    arguments = ("--data", tmp_path / "data", "--out", out, "--json", *words)
    code, printed, err = call("build", FOLDER / f"{name}.toml", *arguments)
    assert code == 0, err
    assert {"teacher", "bridge", "majority"} <= {
        one["method"] for one in json.loads(printed)["scores"]
    }
    facts = json.loads((out / "report" / "data.json").read_text())
    people = {role: len(part["people"]) for role, part in facts["parts"].items()}
    assert people == {"head": 2, "pair": 1, "test": 1} or "fog" in name
    made_by = json.loads((out / "bundle" / "manifest.json").read_text())["made_by"]
    assert made_by["data"]["name"] == recipes.read(FOLDER / f"{name}.toml", changes).where
    shas = {made_by[side]["checkpoint_sha256"] for side in ("source", "target")}
    assert len(shas) == 2 and UNKNOWN not in shas


def test_a_pickle_that_would_run_something_is_one_line_of_a_build(
    call: Any, tmp_path: Path
) -> None:
    changes, mark = words_of("wesad_ecg_to_ppg", tmp_path), tmp_path / "mark"
    torn = pickle.dumps({"signal": Shell(mark), "label": 1}, protocol=2)
    (tmp_path / "data" / "S2" / "S2.pkl").write_bytes(torn)
    words = [f"--set={change}" for change in changes]
    arguments = ("--data", tmp_path / "data", "--out", tmp_path / "out", *words)
    code, _, err = call("build", FOLDER / "wesad_ecg_to_ppg.toml", *arguments)
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("error: S2: ") and "posix.system" in last
    assert "Traceback" not in err and not mark.exists()


def prepared(tmp_path: Path, name: str, changes: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    """Take a build's first steps: windows, labels and people."""
    quiet = Console(file=io.StringIO())
    recipe, out = FOLDER / f"{name}.toml", tmp_path / "out"
    with started(recipe, out, tmp_path / "data", None, quiet, None, changes) as work:
        found = prepare(work.recipe, work.root, work.store)
    return found, data_report.facts(work.recipe, found)


def test_isruc_is_dealt_out_by_number_and_every_window_is_an_epoch(tmp_path: Path) -> None:
    changes = words_of("isruc_eeg_to_ecg", tmp_path)
    found, facts = prepared(tmp_path, "isruc_eeg_to_ecg", changes)
    people = {role: len(part["people"]) for role, part in facts["parts"].items()}
    assert people == {"head": 2, "pair": 1, "test": 1} and len(facts["unused"]) == 1
    assert facts["split"]["seed"] == 0 and facts["data"] == "isruc"
    scored = np.array([0, 0, 2, 3, 5, 1] * 2)
    epochs = (found.windows.start / 30).round().astype(int)
    assert found.labels.tolist() == [int(scored[epoch] == 0) for epoch in epochs]  # sleep, wake


def test_fog_in_blocks_of_time(tmp_path: Path) -> None:
    changes = words_of("fog_eeg_to_emg", tmp_path)
    found, facts = prepared(tmp_path, "fog_eeg_to_emg", changes)
    assert facts["data"] == "fog (blocks of 30 s of the same people in training and test)"
    spans = {role: [] for role in ("head", "pair", "test")}
    for role, own in spans.items():
        for row in found.of(role):
            own.append((found.windows.name[row].split(" ")[0], found.windows.start[row]))
    for role, other in (("head", "test"), ("pair", "test"), ("head", "pair")):
        for name, start in spans[role]:
            assert all(name != also or abs(start - begin) >= 3 for also, begin in spans[other])


def test_fog_as_published_says_that_it_leaks(tmp_path: Path) -> None:
    changes = words_of("fog_eeg_to_emg", tmp_path, *LEAK)
    found, facts = prepared(tmp_path, "fog_eeg_to_emg", changes)
    assert "training and test share samples" in facts["data"] and facts["split"]["as_published"]
    trained = [found.windows.start[row] for row in (*found.of("head"), *found.of("pair"))]
    tested = [found.windows.start[row] for row in found.of("test")]
    assert min(abs(a - b) for a in trained for b in tested) < 3  # what the mark is about
