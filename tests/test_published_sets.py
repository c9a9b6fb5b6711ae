"""WESAD, ISRUC-Sleep and FOG from files as published: their parts, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_published import FOG_EEG, python2, write_fog, write_isruc, write_wesad

from bioxedge.datasets import fog, isruc, wesad
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError

WRITERS: dict[str, tuple[Any, Callable[[Path], None]]] = {
    "wesad": (wesad, lambda folder: write_wesad(folder, (2, 10, 3), phase=20)),
    "isruc": (isruc, lambda folder: write_isruc(folder, (1, 12, 2), epochs=6)),
    "fog": (fog, lambda folder: write_fog(folder, {"001": 1, "008/OFF_1": 2, "008/OFF_2": 1}, 20)),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write all three once; tests that change one copy it."""
    found = {}
    for name, (_, write) in WRITERS.items():
        found[name] = tmp_path_factory.mktemp(name)
        write(found[name])
    return found


def part(session: Session, name: str) -> Part:
    return next(each for each in session.parts if each.name == name)


def refused(module: Any, folder: Path) -> str:
    """Say in one line why a set cannot be read."""
    with pytest.raises(DatasetError) as error:
        for session in module.sessions(folder):
            for each in session.parts:
                each.read()
    said = str(error.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", WRITERS)
def test_parts_are_what_they_say(sets: dict[str, Path], name: str) -> None:
    module, _ = WRITERS[name]
    assert module.holds(sets[name])
    for session in module.sessions(sets[name]):
        for each in session.parts:
            read = each.read()
            assert (read.modality, read.rate) == (each.modality, each.rate)
            assert read.channels == each.channels and read.person == session.person
            assert each.seconds is None or read.seconds == pytest.approx(each.seconds, abs=1e-9)
            assert each.files and all(path.is_file() for path in each.files)


def test_wesad_by_the_numbers_of_its_people(sets: dict[str, Path]) -> None:
    found = wesad.sessions(sets["wesad"])
    assert [one.person for one in found] == ["S2", "S3", "S10"]
    chest, wrist = part(found[0], "chest").read(), part(found[0], "wrist").read()
    assert (chest.rate, wrist.rate) == (700.0, 64.0) and chest.seconds == wrist.seconds == 80
    assert chest.channels[0].unit == "mV"
    known = part(found[0], "reference").read().samples[0]
    assert known[[0, 700 * 25]].tolist() == [0, 1] and known[-1] == 2
    assert np.isnan(known[700 * 45])  # meditation is none of the three


def test_isruc_has_the_epochs_of_the_matrices(sets: dict[str, Path]) -> None:
    found = isruc.sessions(sets["isruc"])
    assert [one.person for one in found] == ["subject1", "subject2", "subject12"]
    eeg, ecg = part(found[0], "eeg").read(), part(found[0], "ecg").read()
    assert [channel.name for channel in eeg.channels] == list(isruc.EEG)
    assert eeg.samples.shape == (6, 36_000) and ecg.samples.shape == (1, 36_000)
    known = part(found[0], "reference").read()
    assert known.samples[:, ::30].tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 2, 3, 4, 1]]
    assert known.facts["labels"]["class"] == ["sleep", "wake"]


def test_isruc_epochs_are_in_the_order_of_time(sets: dict[str, Path]) -> None:
    from scipy.io import loadmat

    held = loadmat(next(sets["isruc"].rglob("subject1.mat")))
    eeg = part(isruc.sessions(sets["isruc"])[0], "eeg").read().samples
    assert np.array_equal(eeg[0, 6000:12000], held["F3_A2"][1])
    assert np.array_equal(eeg[5, :6000], held["O2_A1"][0])


def test_isruc_from_the_whole_recording(sets: dict[str, Path], tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    raw = tmp_path / "1"
    shutil.copytree(sets["isruc"] / "RawData" / "1", raw)
    rng = np.random.default_rng(0)
    names = ["F3-M2", "C3-M2", "O1-M2", "F4-M1", "C4-M1", "O2-M1", "24", "25"]
    held = {name: rng.normal(0, 50, 36_000) for name in names}
    unit = dict.fromkeys(names, "uV") | {"25": "mV"}
    edfio.Edf(
        [
            edfio.EdfSignal(held[name], 200, label=name, physical_dimension=unit[name])
            for name in names
        ]
    ).write(raw / "1.rec")
    (session,) = isruc.sessions(tmp_path)
    ecg, eeg = part(session, "ecg").read(), part(session, "eeg").read()
    assert np.abs(ecg.samples[0] / 1e3 - held["25"]).max() < 0.01  # numbered, and in millivolts
    assert np.abs(eeg.samples[4] - held["C4-M1"]).max() < 0.01


def test_fog_takes_electrodes_and_muscles_by_visit(sets: dict[str, Path]) -> None:
    found = {one.name: one for one in fog.sessions(sets["fog"])}
    assert list(found) == ["001/task_1", "008/OFF_1/task_1", "008/OFF_1/task_2", "008/OFF_2/task_1"]
    assert {one.person for one in found.values()} == {"001", "008"}
    path = sets["fog"] / "Filtered Data" / "008" / "OFF_2" / "task_1.txt"
    rows = np.loadtxt(path, delimiter=",", usecols=[*FOG_EEG, 27, 31, 28, 60])
    session = found["008/OFF_2/task_1"]
    eeg = part(session, "eeg").read()
    places = [[channel.name for channel in eeg.channels].index(name) for name in isruc.EEG]
    assert np.array_equal(eeg.samples[places].T, rows[:, :6])
    assert np.array_equal(part(session, "emg").read().samples.T, rows[:, 6:9])
    assert np.array_equal(part(session, "reference").read().samples[0], rows[:, 9])


def test_a_set_lies_wherever_it_was_unpacked_but_not_anywhere(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    for module, name in ((isruc, "isruc"), (fog, "fog")):
        shutil.copytree(sets[name], tmp_path / name / "archives" / "of 2026")
        assert module.holds(tmp_path / name)
        shutil.copytree(sets[name], tmp_path / f"{name} hidden" / ".cache")
        assert not module.holds(tmp_path / f"{name} hidden")
        shutil.copytree(sets[name], tmp_path / f"{name} deep" / "a" / "b" / "c" / "d")
        assert not module.holds(tmp_path / f"{name} deep")  # a home directory is not searched


def test_fog_counts_lines_of_those_who_are_meant(sets: dict[str, Path]) -> None:
    found = fog.sessions(sets["fog"], ("008",))
    assert [one.parts[0].seconds for one in found] == [None, 20.0, 20.0, 20.0]


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_folder_says_what_is_wanted(tmp_path: Path, name: str) -> None:
    module, _ = WRITERS[name]
    assert not module.holds(tmp_path) and not module.holds(tmp_path / "none")
    assert "--data" in refused(module, tmp_path)


def wesad_of(whole: Any) -> Callable[[Path], None]:
    """Put something else into S2's file."""
    return lambda folder: (folder / "S2" / "S2.pkl").write_bytes(python2(whole))  # type: ignore


SHORT = {"chest": {"ECG": np.zeros((7000, 1))}, "wrist": {"BVP": np.zeros((64, 1))}}
FULL = {"chest": {"ECG": np.zeros((7000, 1))}, "wrist": {"BVP": np.zeros((640, 1))}}
WESAD_TORN = {
    "no chest": ({"signal": {"wrist": {}}, "label": 1}, "no signal/chest/ECG: it has wrist"),
    "a list": ([1, 2], "no names"),
    "text for an array": (
        {"signal": {"chest": {"ECG": "x"}, "wrist": {"BVP": "x"}}}, "no array of numbers"),
    "three axes": (
        {"signal": {"chest": {"ECG": np.zeros((9, 3))}}}, "[9, 3]: one signal is wanted"),
    "too few labels": ({"signal": FULL, "label": np.zeros(9, "<i4")}, "9 labels for 7,000"),
    "another wrist": ({"signal": SHORT, "label": np.zeros(7000, "<i4")}, "10 s of the chest and 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", WESAD_TORN)
def test_a_wesad_file_that_is_not_what_it_should_be(tmp_path: Path, name: str) -> None:
    whole, why = WESAD_TORN[name]
    (tmp_path / "S2").mkdir()
    wesad_of(whole)(tmp_path)
    assert why in refused(wesad, tmp_path)


def test_a_torn_wesad_file(sets: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "S2").mkdir()
    raw = (sets["wesad"] / "S2" / "S2.pkl").read_bytes()
    (tmp_path / "S2" / "S2.pkl").write_bytes(raw[: len(raw) // 2])
    assert "cut short" in refused(wesad, tmp_path)


def mat(folder: Path) -> Path:
    return folder / "ExtractedChannels" / "subject1.mat"


def text(folder: Path) -> Path:
    return folder / "RawData" / "1" / "1_1.txt"


def reshaped(folder: Path) -> None:
    from scipy.io import loadmat, savemat

    held = {key: value for key, value in loadmat(mat(folder)).items() if key[0] != "_"}
    savemat(mat(folder), held | {"X2": np.zeros((6, 5999))})


ISRUC_TORN: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a file": (lambda f: mat(f).write_bytes(mat(f).read_bytes()[:400_000]), "cut short"),
    "no file of the kind": (lambda f: mat(f).write_bytes(b"x" * 200), "MATLAB file"),
    "an empty file": (lambda f: mat(f).write_bytes(b""), "MATLAB file"),
    "version 7.3": (
        lambda f: mat(f).write_bytes(
            b"MATLAB 7.3 MAT-file".ljust(116) + b" " * 8 + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"),
        "-v7"),
    "a stage that is none": (lambda f: text(f).write_text("0\n7\n"), "'7'"),
    "text that is none": (lambda f: text(f).write_bytes(b"\xff\xfe\x00"), "a line of 0, 1, 2, 3"),
    "nothing scored": (lambda f: text(f).write_text("\n\n"), "is empty"),
    "another night": (lambda f: text(f).write_text("0\n" * 900), "6 epochs and 1_1.txt 900"),
    "epochs of another length": (reshaped, "X2 is [6, 5999]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ISRUC_TORN)
def test_a_night_that_is_not_what_it_should_be(
    sets: dict[str, Path], tmp_path: Path, name: str
) -> None:
    spoil, why = ISRUC_TORN[name]
    shutil.copytree(sets["isruc"], tmp_path / "set")
    spoil(tmp_path / "set")
    assert why in refused(isruc, tmp_path / "set")


def test_a_night_that_lacks_something_is_told_without_it(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    from scipy.io import loadmat, savemat

    shutil.copytree(sets["isruc"], tmp_path / "set")
    held = {key: value for key, value in loadmat(mat(tmp_path / "set")).items() if key[0] != "_"}
    del held["F4_A1"]
    savemat(mat(tmp_path / "set"), held)
    (tmp_path / "set" / "RawData" / "2" / "2_1.txt").unlink()
    one, two, _ = isruc.sessions(tmp_path / "set")
    assert [each.name for each in one.parts] == ["ecg", "reference"]
    assert [each.name for each in two.parts] == ["eeg", "ecg"]


FOG_TORN = {
    "fewer columns": ("1,2,3\n", "3 columns: 61"),
    "a word among numbers": (",".join(["0", "t", "x", *["1"] * 58]) + "\n", "as numbers"),
    "another label": (",".join(["0", "t", *["1"] * 58, "2"]) + "\n", "the label 2"),
    "a row that is cut": (
        ",".join(["0", "t", *["1"] * 59]) + "\n" + ",".join(["0"] * 30), "as numbers"),
    "nothing": ("", "1 columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOG_TORN)
def test_a_task_that_is_not_what_it_should_be(tmp_path: Path, name: str) -> None:
    content, why = FOG_TORN[name]
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "task_1.txt").write_text(content)
    assert why in refused(fog, tmp_path)
