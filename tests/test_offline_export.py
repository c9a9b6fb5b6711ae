"""Offline export: checkpoints, a bridge and a head in, the bundle out that training would give."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from test_building import RECIPE

import bioxedge
from bioxedge.building import Built, build

pytestmark = pytest.mark.train

RANK, PROTOTYPES, WINDOW = 3, 6, 400
PUBLISHED = """\
name = "elsewhere"

[data]
dataset = "folder"
folder = "nowhere"

[task]
channel = "class"
rule = "classes"
labels = ["sleep", "wake"]

[source]
length = 500
hop = 100
stages = "model"
then = "model"

[source.sensor]
modality = "ecg"
column = "II"
channel = "ecg_1"
unit = "mV"
rate = 250.0

[source.model]
name = "hubert_ecg"
checkpoint = "hubert.safetensors"
sha256 = "{hubert}"
licence = "MIT"

[target]
length = 400
stages = "model"

[target.sensor]
modality = "eeg"
column = ["C3", "O2"]
channel = ["C3", "O2"]
unit = "uV"
rate = 200.0

[target.model]
name = "labram"
checkpoint = "labram.safetensors"
sha256 = "{labram}"
licence = "MIT"

[bridge]
source_cut = 2
target_cut = 1
rank = 3
prototypes = 6
"""

QUIET = {"console": Console(file=io.StringIO())}


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
