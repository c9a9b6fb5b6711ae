"""From two published checkpoints and somebody's own recordings to a bundle that runs."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from fixtures_all import some
from fixtures_models import SMALL
from rich.console import Console
from test_checkpoints import LAYOUTS, stirred, written

import bioxedge
from bioxedge import models, recipes
from bioxedge.building import Built, build, shipping
from bioxedge.datasets.picking import worn_of
from bioxedge.exporting.parity import answers
from bioxedge.models import checkpoint
from bioxedge.recording import load, save
from bioxedge.runtime import ReplaySource, verify
from bioxedge.signals import Channel, Recording

pytestmark = pytest.mark.train

SECONDS, RATE = 80, 250.0
RECIPE = """\
name = "published"

[data]
dataset = "folder"
folder = "recordings"
licence = "mine"

[task]
channel = "class"
rule = "classes"
labels = ["rest", "work"]

[split]
folds = 3

[{ecg}]
length = 400         # 4 s at the model's 100 Hz
hop = 100
stages = "model"
then = "model"

[{ecg}.sensor]
modality = "ecg"
column = "II"
channel = "lead"
unit = "mV"
rate = 250.0

[{ecg}.model]
name = "hubert_ecg"
checkpoint = "hubert.pt"
sha256 = "{hubert}"
licence = "CC-BY-NC-4.0"
non_commercial = true

[{eeg}]
length = 800         # 4 s at 200 Hz
hop = 200
stages = "model"

[{eeg}.sensor]
modality = "eeg"
column = ["EEG C3", "EEG O2"]
channel = ["C3", "O2"]
unit = "uV"
rate = 250.0

[{eeg}.model]
name = "labram"
checkpoint = "labram.pth"
sha256 = "{labram}"
licence = "MIT"

[head]
epochs = 20

[bridge]
target_cut = 1
rank = 2
prototypes = 4
over = "tokens"
loss = "cosine"
epochs = 6
patience = 3
held_out = 0.4
"""


def recorded(folder: Path, person: int) -> None:
    """Record a beat and a rhythm that both know of rest and work."""
    rng = np.random.default_rng(person)
    t = np.arange(round(SECONDS * RATE)) / RATE
    work = (t // 20) % 2
    beat = np.sin(2 * np.pi * np.cumsum(1.0 + 0.6 * work) / RATE) ** 31
    ecg = beat + 0.05 * rng.normal(size=t.size)
    alpha = (30 - 20 * work) * np.sin(2 * np.pi * 10 * t)
    eeg = np.stack([alpha, 0.5 * alpha]) + 10 * rng.normal(size=(2, t.size))
    name = f"p{person}"
    session = folder / name
    for side, samples, channels, modality in (
        ("ecg", ecg[None], (Channel("II", "mV"),), "ecg"),
        ("eeg", eeg, (Channel("EEG O2", "uV"), Channel("EEG C3", "uV")), "eeg"),
    ):
        # Rows stand in an order of their own: names decide.
        rows = samples[::-1] if modality == "eeg" else samples
        save(Recording(rows, RATE, channels, modality, name), session / side)
    labels = work[:: round(RATE)][None]
    save(Recording(labels, 1.0, (Channel("class"),), "reference", name), session / "reference")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    for person in range(6):
        recorded(folder / "recordings", person)
    for layout, file in (("labram, pretraining", "labram.pth"), ("hubert, training", "hubert.pt")):
        chosen = LAYOUTS[layout]
        chain = stirred(models.create(chosen.name, **SMALL[chosen.name][0]))
        written(chosen, chain, folder / file)
    return folder


@pytest.fixture(scope="module", params=some(["EEG to ECG", "ECG to EEG"]))
def built(request: pytest.FixtureRequest, home: Path) -> Built:
    """Build in both directions: the worn sensor has one channel, then two."""
    sides = {"ecg": "source", "eeg": "target"}
    if request.param == "ECG to EEG":
        sides = {"ecg": "target", "eeg": "source"}
    for session in (home / "recordings").iterdir():
        for kind, side in sides.items():
            (session / side).unlink(missing_ok=True)
            (session / side).symlink_to(session / kind)
    recipe = home / f"{sides['ecg']}.toml"
    recipe.write_text(
        RECIPE.format(
            **sides,
            hubert=checkpoint.sha256(home / "hubert.pt"),
            labram=checkpoint.sha256(home / "labram.pth"),
        )
    )
    out = home / f"out-{sides['ecg']}"
    made = build(recipe, out, data=home, console=Console(file=io.StringIO()))
    assert made is not None
    return made


def test_both_checkpoints_are_in_the_bundle_with_their_licences(built: Built, home: Path) -> None:
    made_by = built.bundle.manifest.made_by
    parts = {part.model: part for part in (made_by.source, made_by.target)}
    for name, file in (("labram", "labram.pth"), ("hubert_ecg", "hubert.pt")):
        assert parts[name].checkpoint_sha256 == checkpoint.sha256(home / file)
    assert made_by.non_commercial  # one part's licence is the whole's
    assert {part.licence for part in made_by.licences} == {"CC-BY-NC-4.0", "MIT", "mine"}


def test_the_manifest_streams_what_the_source_must_be_fed(built: Built) -> None:
    manifest = built.bundle.manifest
    contract = models.card(manifest.made_by.source.model).contract
    assert built.bundle.windows().rate == contract.rate
    assert manifest.window.then == contract.then
    wanted = ("lead",) if contract.modality == "ecg" else ("C3", "O2")
    assert manifest.input.names == wanted


def test_training_stopped_by_people_who_were_held_out(built: Built) -> None:
    course = built.learnt.course
    assert 1 <= len(course.losses) == len(course.held_out) <= 6
    assert course.held_out[course.best] == min(course.held_out)


def test_the_bundle_proves_itself_and_streams_as_torch_answers(built: Built, home: Path) -> None:
    assert verify(built.bundle).dsp_bitwise
    learnt = built.learnt
    side = learnt.recipe.source
    person = learnt.prepared.people.test[0]
    worn = worn_of(load(home / "recordings" / person / "source"), side.sensor)
    stream = bioxedge.Stream(built.bundle)
    predictions = []
    with ReplaySource(worn, channels=side.sensor.channels, speed=float("inf")) as source:
        while (chunk := source.read()) is not None:
            predictions.extend(stream.push(chunk))
    cut = learnt.prepared.windows
    rows = cut.source_row[cut.person == person]
    windows = cut.source[torch.from_numpy(rows)].numpy()
    assert len(predictions) >= len(windows) > 5
    wanted = answers(shipping.bridged(learnt), windows)
    found = np.array([list(p.probabilities.values()) for p in predictions])
    for row in wanted:  # the target may settle later: its windows are fewer
        assert np.abs(found - row).max(axis=1).min() <= 1e-4


def test_the_recipe_written_out_is_what_was_built(built: Built) -> None:
    recipe: recipes.Recipe = built.learnt.recipe
    assert isinstance(recipe.source.stages, tuple) and isinstance(recipe.target.then, tuple)
