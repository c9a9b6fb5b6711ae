"""``bioxedge new``: a recipe from the sessions at hand, which ``build`` takes as it is."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import marks, recording
from bioxedge.datasets.choosing import choose
from bioxedge.marks import Mark
from bioxedge.recipes import read
from bioxedge.signals import Channel, Recording


def put(folder: Path, modality: str, rate: float, person: str, *channels: Channel, **also) -> None:
    seconds = also.pop("seconds", 60)
    samples = np.random.default_rng(0).normal(size=(len(channels), int(seconds * rate)))
    recording.save(
        Recording(samples, rate, channels, modality=modality, person=person, t0=1e9, **also), folder
    )


def labels(folder: Path, person: str, values, *, unit: str = "1", texts: dict | None = None):
    track = np.resize(np.array(values, np.float64), (1, 60))
    facts = {"labels": texts} if texts else {}
    recording.save(
        Recording(track, 1.0, (Channel("known", unit),), modality="reference", person=person,
                  t0=1e9, facts=facts), folder / "labels",
    )  # fmt: skip


@pytest.fixture
def night(tmp_path) -> Path:
    """Six people, an ECG of two leads, a PPG and skin conductance; labels of each second."""
    for number in range(6):
        place = tmp_path / "night" / f"s{number}"
        person = f"p{number}"
        put(place / "chest", "ecg", 250.0, person, Channel("II", "mV"), Channel("V", "mV"))
        put(place / "wrist", "ppg", 64.0, person, Channel("bvp", "a.u."))
        put(place / "skin", "eda", 4.0, person, Channel("eda", "uS"))
        labels(place, person, [0] * 30 + [1] * 30, texts={"known": ["calm", "tense"]})
    return tmp_path / "night"


def test_what_can_be_meant_in_several_ways_is_asked_with_the_choices(call, night, tmp_path):
    out = tmp_path / "r.toml"
    code, _, err = call("new", out, "--data", night)
    assert code == 2 and err == (
        "error: which sensor is worn? choose --source chest or skin or wrist\n"
    )
    code, _, err = call("new", out, "--data", night, "--source", "wrist")
    assert code == 2 and "--target chest or skin" in err
    assert not out.exists()


def test_sensors_are_named_by_stream_modality_or_channel(call, night, tmp_path):
    for number, (source, column) in enumerate((("wrist", "bvp"), ("ppg", "bvp"), ("ecg:V", "V"))):
        out = tmp_path / f"r{number}.toml"
        assert call("new", out, "--data", night, "--source", source, "--target", "eda")[0] == 0
        recipe = read(out)
        assert recipe.source.sensor.columns == (column,)
        assert recipe.target.sensor.columns == ("eda",)
        assert recipe.task.labels == ("calm", "tense")
        assert recipe.name == f"r{number}" and recipe.data.folder == "night"
        kept, left = choose(recipe, tmp_path)
        assert len(kept) == 6 and not left and kept[0].roles == ("head", "pair", "test")


def test_windows_of_both_sensors_last_as_long_as_the_slower_one_needs(call, night, tmp_path):
    call("new", tmp_path / "r.toml", "--data", night, "--source", "ecg", "--target", "eda")
    recipe = read(tmp_path / "r.toml")
    assert (recipe.source.length, recipe.source.hop) == (30 * 125, 15 * 125)
    assert recipe.target.length == 30 * 4
    assert recipe.source.model.config == {"samples": 30 * 125}
    call("new", tmp_path / "q.toml", "--data", night, "--source", "ppg", "--target", "ecg")
    assert read(tmp_path / "q.toml").source.length == 10 * 64


def test_a_published_model_is_fed_as_its_card_says(call, night, tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    out = tmp_path / "r.toml"
    told = ("--source", "ppg", "--target", "ecg", "--target-model", f"hubert_ecg={weights}")
    assert call("new", out, "--data", night, *told)[0] == 0
    target = read(out).target
    assert target.length == 10 * 100 and target.stages and target.finished
    assert target.model.checkpoint == "weights.pt" and target.model.non_commercial
    assert target.model.sha256 == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("name", ["ecg_transformer", "heartnet:heartnet", "openecg"])
def test_weights_that_are_named_are_taken_whatever_the_model(call, night, tmp_path, name):
    out, weights = tmp_path / "r.toml", tmp_path / "mine.pt"
    weights.write_bytes(b"weights")
    model = ("--target-model", f"{name}={weights}")
    assert call("new", out, "--data", night, "--source", "ppg", "--target", "ecg", *model)[0] == 0
    section = out.read_text("utf-8").split("[target.model]")[1].split("[head]")[0]
    assert 'checkpoint = "mine.pt"' in section and hashlib.sha256(b"weights").hexdigest() in section


def test_weights_that_are_not_at_hand_are_left_to_the_author(call, night, tmp_path):
    out = tmp_path / "r.toml"
    told = ("--source", "ppg", "--target", "ecg", "--target-model", "hubert_ecg")
    assert call("new", out, "--data", night, *told)[0] == 0
    text = out.read_text("utf-8")
    assert '# licence = "CC-BY-NC-4.0"' in text and "# non_commercial = true" in text
    assert read(out).target.model.checkpoint == "pretrain"


def test_a_model_of_another_kind_of_signal_is_said(call, night, tmp_path):
    told = ("--source", "ppg", "--target", "eda", "--target-model", "hubert_ecg")
    code, out, _ = call("new", tmp_path / "r.toml", "--data", night, *told)
    assert code == 0 and "hubert_ecg was made for ECG" in out


@pytest.mark.parametrize(
    ("values", "unit", "rule", "said"),
    [
        ([0, 1, 2], "1", "classes", ("0", "1", "2")),
        ([55.5, 61.2, 70.1], "bpm", "value", ()),
        ([0.1, 3.7, 12.9], "1", "bands", ("low", "middle", "high")),
        ([60, 61, 80], "1", "bands", ("low", "middle", "high")),
    ],
)
def test_a_column_of_numbers_says_what_it_is(call, night, tmp_path, values, unit, rule, said):
    for place in night.iterdir():
        labels(place, f"p{place.name[1:]}", values, unit=unit)
    out = tmp_path / "r.toml"
    assert call("new", out, "--data", night, "--source", "ppg", "--target", "ecg")[0] == 0
    task = read(out).task
    assert (task.rule, task.labels) == (rule, said)
    assert task.unit == ("bpm" if rule == "value" else "")


def test_classes_that_do_not_count_from_zero_are_refused(call, night, tmp_path):
    for place in night.iterdir():
        labels(place, f"p{place.name[1:]}", [1, 2])
    told = ("--source", "ppg", "--target", "ecg")
    code, _, err = call("new", tmp_path / "r.toml", "--data", night, *told)
    assert code == 2 and "known holds 1, 2" in err and err.count("\n") == 1


def test_marks_are_classes_and_those_that_are_meant_are_named(call, night, tmp_path):
    for place in night.iterdir():
        shutil.rmtree(place / "labels")
        marks.save([Mark(1e9, "sit"), Mark(1e9 + 20, "walk"), Mark(1e9 + 40, "noise")], place)
    told = ("--data", night, "--source", "ppg", "--target", "ecg")
    assert call("new", tmp_path / "all.toml", *told)[0] == 0
    assert read(tmp_path / "all.toml").task.labels == ("sit", "walk", "noise")
    assert call("new", tmp_path / "two.toml", *told, "--labels", "walk,sit")[0] == 0
    task = read(tmp_path / "two.toml").task
    assert task.labels == ("walk", "sit") and task.texts == {"walk": "walk", "sit": "sit"}
    code, _, err = call("new", tmp_path / "no.toml", *told, "--labels", "walk,run")
    assert code == 2 and "no mark says run" in err


def test_labels_and_marks_are_asked_about(call, night, tmp_path):
    for place in night.iterdir():
        marks.save([Mark(1e9, "sit"), Mark(1e9 + 20, "walk")], place)
    told = ("--data", night, "--source", "ppg", "--target", "ecg")
    code, _, err = call("new", tmp_path / "r.toml", *told)
    assert code == 2 and "--task known (calm, tense) or marks (sit, walk)" in err
    assert call("new", tmp_path / "r.toml", *told, "--task", "marks")[0] == 0


def test_people_without_labels_are_the_pairs(call, night, tmp_path):
    for number in (3, 4, 5):
        shutil.rmtree(night / f"s{number}" / "labels")
    out = tmp_path / "r.toml"
    assert call("new", out, "--data", night, "--source", "ppg", "--target", "ecg")[0] == 0
    assert "3 with labels teach and are tested, 3 without are the pairs" in out.read_text("utf-8")
    assert read(out).split.head_share is None


def test_nothing_is_overwritten_and_nothing_is_left_behind(call, night, tmp_path):
    out = tmp_path / "r.toml"
    out.write_text("mine")
    told = ("--data", night, "--source", "ppg", "--target", "ecg")
    for arguments in (told, ("--from", "demo_stress_ecg_to_ppg")):
        code, _, err = call("new", out, *arguments)
        assert code == 2 and "is there" in err
        assert out.read_text() == "mine"
    code, _, err = call("new", tmp_path / "nowhere" / "r.toml", *told)
    assert code == 2 and "cannot be written" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "nose"), "no sensor is called 'nose'"),
        (("--source", "chest:IX"), "chest (ecg) has no channel IX"),
        (("--source", "wrist", "--target", "ppg"), "both mean wrist"),
        (("--source", "ppg", "--target", "ecg", "--task", "sleep"), "no column of labels"),
        (("--source", "ppg", "--target", "ecg", "--labels", "calm,happy"), "no label happy"),
        (("--source", "ppg", "--target", "ecg", "--source-model", "gpt"), "no model is called"),
        (("--source", "ppg", "--target", "ecg", "--seconds", "2"), "--seconds 4 or more"),
        (("--source", "ppg", "--target", "ecg", "--source-model", "papagei=no.pt"), "is not there"),
    ],
)
def test_a_slip_is_one_line(call, night, tmp_path, arguments, said):
    code, _, err = call("new", tmp_path / "r.toml", "--data", night, *arguments)
    assert code == 2 and said in err and err.count("\n") == 1
    assert not (tmp_path / "r.toml").exists()


def test_a_folder_is_named_as_it_is_said(call, night, tmp_path, monkeypatch):
    told = ("--source", "ppg", "--target", "ecg")
    (tmp_path / "my nights").symlink_to(night)
    _, out, _ = call("new", tmp_path / "link.toml", "--data", tmp_path / "my nights", *told)
    assert read(tmp_path / "link.toml").data.folder == "my nights"
    assert f"--data {tmp_path} --out" in out
    monkeypatch.chdir(night)
    _, out, _ = call("new", "../here.toml", "--data", ".", *told)
    assert read(tmp_path / "here.toml").data.folder == "night"
    assert f"--data {tmp_path} --out" in out


def test_labels_that_nobody_has_are_no_classes(call, night, tmp_path):
    for place in night.iterdir():
        texts = {"known": ["calm", "tense", "asleep"]}
        labels(place, f"p{place.name[1:]}", [0, 1], texts=texts)
    out = tmp_path / "r.toml"
    assert call("new", out, "--data", night, "--source", "ppg", "--target", "ecg")[0] == 0
    assert read(out).task.labels == ("calm", "tense")


def test_a_name_that_is_no_text_is_one_line(call, night, tmp_path):
    odd = night.rename(tmp_path / "n\udcff")
    told = ("--data", odd, "--source", "ppg", "--target", "ecg")
    code, _, err = call("new", tmp_path / "r.toml", *told)
    assert code == 2 and "is no text" in err and not (tmp_path / "r.toml").exists()


def test_sensors_that_nobody_wore_together_are_refused(call, tmp_path):
    for number in range(2):
        put(tmp_path / "d" / f"a{number}" / "ecg", "ecg", 250.0, f"p{number}", Channel("II", "mV"))
        put(
            tmp_path / "d" / f"b{number}" / "ppg", "ppg", 64.0, f"p{number}", Channel("bvp", "a.u.")
        )
        labels(tmp_path / "d" / f"a{number}", f"p{number}", [0, 1])
    told = ("--source", "ppg", "--target", "ecg")
    code, _, err = call("new", tmp_path / "r.toml", "--data", tmp_path / "d", *told)
    assert code == 2 and "no session holds both" in err


names = st.text(st.characters(codec="utf-8", exclude_characters=",:\0"), min_size=1, max_size=12)


@settings(
    max_examples=15, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(one=names, other=names, text=names.filter(str.strip))
def test_whatever_things_are_called_the_recipe_says_so(call, tmp_path_factory, one, other, text):
    home = tmp_path_factory.mktemp("named")
    for number in range(2):
        place, person = home / "d" / f"s{number}", f"p{number}"
        put(place / "chest", "ecg", 250.0, person, Channel(one, "mV"), seconds=2)
        put(place / "wrist", "ppg", 64.0, person, Channel(other, "furlong"), seconds=2)
        marks.save([Mark(1e9, text), Mark(1e9 + 1, text + "!")], place)
    told = ("--data", home / "d", "--source", "ppg", "--target", "ecg")
    code, _, err = call("new", home / "r.toml", *told)
    assert code == 0, err
    recipe = read(home / "r.toml")
    assert (recipe.target.sensor.columns, recipe.source.sensor.columns) == ((one,), (other,))
    assert recipe.task.labels == (text, text + "!")
    assert recipe.source.sensor.units == ("a.u.",)
