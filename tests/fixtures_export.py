"""A bridge and a head as somebody else's code might save them, between two small checkpoints."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fixtures_models import SMALL
from rich.console import Console
from test_checkpoints import stirred

from bioxedge import models
from bioxedge.building.offline import Exported, export
from bioxedge.models import checkpoint

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
licence = "CC-BY-NC-4.0"

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


@dataclass(frozen=True)
class Elsewhere:
    """Small checkpoints, and a bridge and a head as the published code might save them."""

    home: Path
    weights: dict[str, torch.Tensor]

    @property
    def recipe(self) -> Path:
        return self.home / "recipe.toml"

    def export(self, out: Path, **changes: Any) -> Exported:
        given = {"bridge": self.home / "bridge.pt", "head": self.home / "head.pt"}
        given |= {"as_published": True, **QUIET, **changes}
        return export(given.pop("recipe", self.recipe), out, **given)


def made_elsewhere(home: Path) -> Elsewhere:
    """Write small checkpoints, a bridge and a head."""
    digests = {}
    for name in ("hubert", "labram"):
        kind = "hubert_ecg" if name == "hubert" else name
        chain = stirred(models.create(kind, **SMALL[kind][0]))
        digests[name] = checkpoint.save(chain, home / f"{name}.safetensors")
    (home / "recipe.toml").write_text(PUBLISHED.format(**digests))
    target = models.load("labram", home / "labram.safetensors")
    tokens, features = target.cut(1, WINDOW)
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "module.prototype_bank": (PROTOTYPES, features),
        "module.lora.down": (RANK, SMALL["hubert_ecg"][0]["width"]),
        "module.lora.up": (PROTOTYPES * tokens, RANK),
    }
    weights = {key: torch.randn(size, generator=generator) for key, size in shapes.items()}
    torch.save({"epoch": 3, "state_dict": weights}, home / "bridge.pt")
    linear = {  # small, so that no answer is certain
        "fc.weight": 0.02 * torch.randn(2, features, generator=generator),
        "fc.bias": torch.tensor([0.1, -0.1]),
    }
    torch.save(linear, home / "head.pt")
    return Elsewhere(home, weights | linear)


def changed(elsewhere: Elsewhere, folder: Path, *edits: tuple[str, str]) -> Path:
    """The recipe with other words in it, checkpoints beside it."""
    text = elsewhere.recipe.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    for name in ("hubert", "labram"):
        (folder / f"{name}.safetensors").symlink_to(elsewhere.home / f"{name}.safetensors")
    (folder / "recipe.toml").write_text(text)
    return folder / "recipe.toml"
