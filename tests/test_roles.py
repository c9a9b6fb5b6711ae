"""Who teaches, who wore both, who is tested: from other people's recordings, each with its own."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console
from test_building import RECIPE

from bioxedge import marks, recipes
from bioxedge.building import Built, build, check
from bioxedge.datasets.simulated import wearers
from bioxedge.errors import DatasetError, ModelError, RecipeError, SignalError
from bioxedge.marks import Mark
from bioxedge.recording import save
from bioxedge.runtime import verify
from bioxedge.signals import Channel, Recording

pytestmark = pytest.mark.train

SIMULATED = RECIPE[RECIPE.index("[data]") : RECIPE.index("[task]")]
ROLES = """\
[[teacher]]
folder = "clinic"
licence = "CC-BY-4.0"

[[pairs]]
folder = "lab"
licence = "MIT"
source = { stream = "band", column = "ir" }

[[test]]
folder = "home"
licence = "CC-BY-NC-4.0"

"""


def louder(recording: Recording, unit: str, factor: float) -> Recording:
    """State the same in another unit."""
    channels = tuple(Channel(one.name, unit) for one in recording.channels)
    return replace(recording, samples=recording.samples * factor, channels=channels)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three data sets of ten people: the target alone, both without labels, the source alone."""
    root = tmp_path_factory.mktemp("roles")
    people = wearers(count=10, minutes=2.0, seed=1)
    for pair in people[:3]:  # volts, as some files of clinics have
        save(louder(pair.target, "V", 1e-3), root / "clinic" / pair.name / "chest")
        save(pair.reference, root / "clinic" / pair.name / "labels")
    quick = wearers(count=10, minutes=2.0, seed=1, ppg_rate=128.0)
    for pair in quick[3:7]:  # another rate, and another name
        band = replace(pair.source, channels=(Channel("ir"),))
        save(band, root / "lab" / pair.name / "band")
        save(pair.target, root / "lab" / pair.name / "chest")
    for pair in people[7:]:
        save(pair.source, root / "home" / pair.name / "wrist")
        save(pair.reference, root / "home" / pair.name / "labels")
    return root


def built(recipe: Path, out: Path, **options) -> tuple[Built, str]:
    console = Console(file=io.StringIO(), width=160)
    found = build(recipe, out, console=console, **options)
    assert found is not None
    return found, console.file.getvalue()


@pytest.fixture(scope="module")
def roles(data: Path) -> tuple[Built, str]:
    path = data / "roles.toml"
    path.write_text(RECIPE.replace(SIMULATED, ROLES))
    return built(path, data / "out", data=data)


def test_each_role_is_filled_from_its_own_recordings(roles: tuple[Built, str]) -> None:
    found, said = roles
    people = found.learnt.prepared.people
    assert people.head == ("wearer-01", "wearer-02", "wearer-03")
    assert people.pair == ("wearer-04", "wearer-05", "wearer-06", "wearer-07")
    assert people.test == ("wearer-08", "wearer-09", "wearer-10")
    assert "clinic, lab, home" in said
    assert verify(found.bundle).dsp_bitwise


def test_without_the_targets_sensor_on_the_tested_there_is_no_teachers_row(roles) -> None:
    found, said = roles
    methods = [score.method for score in found.scores]
    assert "teacher" not in methods
    assert "The teacher has no row: 3 of the 3 tested did not wear its sensor" in said
    assert {"bridge", "classic features", "majority"} <= set(methods)
    assert found.scores[0].people == 3 and found.scores[0].interval is not None


def test_the_bundle_states_every_licence_and_the_strictest_holds(roles) -> None:
    made_by = roles[0].bundle.manifest.made_by
    stated = {one.part: (one.licence, one.non_commercial) for one in made_by.licences}
    assert stated["data: clinic"] == ("CC-BY-4.0", False)
    assert stated["data: home"] == ("CC-BY-NC-4.0", True)  # by the licence's own words
    assert made_by.non_commercial


def test_what_is_given_away_of_real_people_is_simulated_unless_they_agreed(roles, data) -> None:
    found, _ = roles
    raw = found.bundle.golden.raw
    pieces = [
        recording.samples[0]
        for folder in (data / "lab").iterdir()
        for recording in [_load(folder / "band")]
    ]
    row = raw[0, 0, :50]
    assert not any(_inside(row, piece[::2]) for piece in pieces)
    path = data / "agreed.toml"
    path.write_text('golden = "recorded"\n' + RECIPE.replace(SIMULATED, ROLES))
    agreed, _ = built(path, data / "out", data=data)
    assert agreed.bundle.golden.raw.tobytes() != raw.tobytes()


def _load(folder: Path) -> Recording:
    from bioxedge.recording import load

    return load(folder)


def _inside(row: np.ndarray, track: np.ndarray) -> bool:
    """Whether a stretch of samples stands in a track."""
    first = np.flatnonzero(track == row[0])
    return any((track[k : k + len(row)] == row).all() for k in first if k + len(row) <= len(track))


# -- a head that somebody trained ---------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(roles, data: Path) -> str:
    """A recipe of recordings without a single label, and the head and model of another build."""
    for name in ("target.safetensors", "head.pt"):
        shutil.copy(data / "out" / "trained" / name, data / name)
    hashes = {
        name: hashlib.sha256((data / name).read_bytes()).hexdigest()
        for name in ("target.safetensors", "head.pt")
    }
    teacher = (
        f'[[teacher]]\nhead = "head.pt"\nsha256 = "{hashes["head.pt"]}"\nlicence = "MIT"\n\n'
        '[[pairs]]\nfolder = "lab"\nlicence = "MIT"\n'
        'source = { stream = "band", column = "ir" }\n\n'
        '[[test]]\nfolder = "lab"\nlicence = "MIT"\n'
        'source = { stream = "band", column = "ir" }\n\n'
    )
    text = RECIPE.replace(SIMULATED, teacher)
    model = text[text.index("[target.model]") : text.index("[head]")]
    published = (
        '[target.model]\nname = "ecg_transformer"\ncheckpoint = "target.safetensors"\n'
        f'sha256 = "{hashes["target.safetensors"]}"\nlicence = "own"\n'
        "config = { samples = 625, patch = 50, width = 16, blocks = 2, heads = 2, dropout = 0.1 }\n"
        "\n"
    )
    return text.replace(model, published)


def test_without_any_label_it_builds_and_says_how_far_it_agrees(ready: str, data: Path) -> None:
    (data / "ready.toml").write_text(ready)
    found, said = built(data / "ready.toml", data / "ready", data=data)
    prepared = found.learnt.prepared
    assert prepared.agreeing and prepared.people.head == ()
    assert len(prepared.people.test) == 1 and len(prepared.people.pair) == 3
    methods = [score.method for score in found.scores]
    assert "bridge" in methods and "teacher" not in methods
    assert not [method for method in methods if method.startswith("oracle")]
    assert "agreement with the teacher" in said
    facts = json.loads((data / "ready" / "report" / "report.json").read_text())
    assert facts["agreement"] is True
    parts = {one.part for one in found.bundle.manifest.made_by.licences}
    assert "head" in parts


def test_a_head_that_is_another_file_or_does_not_fit_is_one_line(ready: str, data: Path) -> None:
    (data / "other.toml").write_text(ready.replace(ready.split('sha256 = "')[1][:64], "0" * 64))
    with pytest.raises(ModelError, match="the recipe says 0000"):
        check(data / "other.toml", data / "none", data=data)
    three = ready.replace('["rest", "stress"]', '["rest", "walk", "stress"]')
    (data / "three.toml").write_text(three)
    with pytest.raises(ModelError, match="a head for 3 labels on this target is one linear layer"):
        check(data / "three.toml", data / "none", data=data)
    assert not (data / "none").exists()


# -- what does not fit is refused before anything is trained ------------------------------------


def test_a_recording_in_volts_is_brought_to_the_sensors_millivolts(roles, data: Path) -> None:
    windows = roles[0].learnt.prepared.windows
    assert torch.isfinite(windows.target).all() and len(windows.target) > 100


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda one: replace(one, channels=(Channel("ppg_2", "furlong"),)), SignalError, "furlong"),
        (lambda one: replace(one, modality="eeg"), DatasetError, "is EEG, the recipe's source"),
        (lambda one: replace(one, channels=(Channel("ppg_2", "mV"),)), None, ""),
    ],
)
def test_a_unit_or_a_kind_that_does_not_fit_is_refused(
    tmp_path: Path, change, error: type[Exception] | None, says: str
) -> None:
    for pair in wearers(count=4, minutes=2.0, seed=1):
        save(change(pair.source), tmp_path / "own" / pair.name / "source")
        save(pair.target, tmp_path / "own" / pair.name / "target")
        save(pair.reference, tmp_path / "own" / pair.name / "labels")
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.replace(SIMULATED, '[data]\nfolder = "own"\n\n'))
    if error is None:  # a sensor of no unit takes any that is known
        assert check(path, tmp_path / "out", data=tmp_path).windows["source"] > 0
        return
    with pytest.raises(error, match=says) as caught:
        built(path, tmp_path / "out", data=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "bundle").exists()


def test_fractions_are_no_classes(tmp_path: Path) -> None:
    for pair in wearers(count=4, minutes=2.0, seed=1):
        save(pair.source, tmp_path / "own" / pair.name / "source")
        save(pair.target, tmp_path / "own" / pair.name / "target")
        halves = replace(pair.reference, samples=pair.reference.samples + 0.5)
        save(halves, tmp_path / "own" / pair.name / "labels")
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.replace(SIMULATED, '[data]\nfolder = "own"\n\n'))
    with pytest.raises(DatasetError, match=r"holds 0\.5: classes are whole numbers from 0 on"):
        built(path, tmp_path / "out", data=tmp_path)


def test_what_gives_nothing_is_in_the_report_and_why(tmp_path: Path) -> None:
    people = wearers(count=6, minutes=2.0, seed=1)
    flat = replace(people[0].source, samples=np.full_like(people[0].source.samples, 7.0))
    lost = replace(people[1].source, samples=np.full_like(people[1].source.samples, np.nan))
    short = replace(people[2].source, samples=people[2].source.samples[:, :200])
    sources = [flat, lost, short, *(pair.source for pair in people[3:])]
    for pair, source in zip(people, sources, strict=True):
        save(source, tmp_path / "own" / pair.name / "source")
        save(pair.target, tmp_path / "own" / pair.name / "target")
        save(pair.reference, tmp_path / "own" / pair.name / "labels")
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.replace(SIMULATED, '[data]\nfolder = "own"\n\n'))
    found, _ = built(path, tmp_path / "out", data=tmp_path)
    facts = json.loads((tmp_path / "out" / "report" / "data.json").read_text())
    why = {one["recording"]: one["why"] for one in facts["left_out"] if "source" in one["why"]}
    assert why["wearer-01"] == "source: ppg_2 is flat"
    assert "wearer-02" in why and "holds no whole settled window" in why["wearer-03"]
    assert set(facts["unused"]) <= {"wearer-01", "wearer-02", "wearer-03"}
    dealt = found.learnt.prepared.people
    assert not {"wearer-01", "wearer-02", "wearer-03"} & {*dealt.pair, *dealt.test}


# -- marks are labels, too ----------------------------------------------------------------------


def test_marks_stand_for_labels(tmp_path: Path) -> None:
    for pair in wearers(count=4, minutes=2.0, seed=1):
        session = tmp_path / "own" / pair.name
        save(pair.source, session / "source")
        save(pair.target, session / "target")
        marks.save(
            [
                Mark(one["start"], {"rest": "sit", "stress": "stroop"}[one["label"]])
                for one in pair.reference.facts["phases"]
            ],
            session,
        )
    text = RECIPE.replace(SIMULATED, '[data]\nfolder = "own"\n\n')
    path = tmp_path / "own.toml"
    path.write_text(
        text.replace('channel = "class"', 'marks = { rest = ["sit"], stress = "stroop" }')
    )
    found, _ = built(path, tmp_path / "out", data=tmp_path)
    prepared = found.learnt.prepared
    labels = prepared.labels[prepared.of("head")]
    assert set(labels.tolist()) == {0, 1}
    assert recipes.read(path).task.texts == {"sit": "rest", "stroop": "stress"}


def test_a_dry_run_writes_nothing_and_reckons(roles, data: Path, tmp_path: Path) -> None:
    path = data / "roles.toml"
    found = check(path, tmp_path / "out", data=data, console=Console(quiet=True))
    assert found.seconds > 0 and found.memory > 1e8
    # Three people of two minutes and a window every 2 s, four and three with the source.
    assert found.windows["pair"] == pytest.approx(4 * 60, abs=8)
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match=r"at `\$\.bridge`"):
        check(path, tmp_path / "out", data=data, changes=["bridge.rnak=3"])
