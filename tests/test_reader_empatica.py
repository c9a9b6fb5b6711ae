"""Folders of an Empatica E4: real ones, and ones that are incomplete or damaged."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from bioxedge import readers
from bioxedge.errors import RecordingError


def folder(place, **files):
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        (place / f"{name}.csv").write_text(text)
    return place


BVP = "1560279825.0\n64.0\n" + "".join(f"{k / 4}\n" for k in range(128))
ACC = "1560279825.0, 1560279825.0, 1560279825.0\n32.0, 32.0, 32.0\n" + "-61,25,6\n" * 64


def test_the_real_folder_gives_what_its_files_hold(shared):
    found = readers.find(shared / "data/examples/empatica_e4")
    streams = {one.name: one for one in found.streams}
    said = {name: (one.modality, one.rate, one.channels[0].unit) for name, one in streams.items()}
    assert said == {
        "bvp": ("ppg", 64, "a.u."), "eda": ("eda", 4, "uS"),
        "temp": ("temperature", 4, "degC"), "acc": ("acceleration", 32, "g"),
    }  # fmt: skip
    assert all(one.t0 == 1560279825 and one.dated for one in found.streams)
    # The third rows of the files: -61,25,6 of 64 counts a g; 32.13.
    assert streams["acc"].read()[:, 0].tolist() == [-61 / 64, 25 / 64, 6 / 64]
    assert streams["temp"].read()[0, 0] == 32.13
    lines = (shared / "data/examples/empatica_e4/BVP.csv").read_text().split()
    assert streams["bvp"].read()[0].tolist() == [float(one) for one in lines[2:]]
    assert found.marks == () and sum("computed by the maker" in one for one in found.remarks) == 2


def test_tags_are_marks_under_the_names_that_studies_give_their_file(shared):
    found = readers.find(shared / "data/stress_predict/S02")
    assert [mark.start for mark in found.marks][:3] == [1644228196, 1644228572, 1644228844]
    assert found.streams[0].t0 == 1644227574 and len(found.marks) == 9


def test_a_last_row_that_was_cut_off_is_left_out(tmp_path):
    found = readers.find(folder(tmp_path / "e4", ACC=ACC + "-61,2", BVP=BVP))
    acc = next(one for one in found.streams if one.name == "acc")
    assert acc.read().shape == (3, 64) == (3, acc.samples)
    assert any("ACC.csv: its last row was cut off" in one for one in found.remarks)
    assert sum("there is no" in one for one in found.remarks) == 2


def test_a_start_that_was_moved_to_zero_is_no_date(tmp_path):
    path = folder(tmp_path / "e4", BVP=BVP.replace("1560279825.0", "0.0"), ACC=ACC)
    bvp = next(one for one in readers.find(path).streams if one.name == "bvp")
    assert (bvp.t0, bvp.dated) == (0.0, False)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"BVP": "time,bvp\n1,2\n", "ACC": ACC}, "does not begin with its start and its rate"),
        ({"BVP": "1560279825\n0\n1\n", "ACC": ACC}, "says its rate is 0 Hz"),
        ({"BVP": "", "HR": ""}, "no sensor's file with samples"),
        ({"BVP": "1560279825\n64\nabc\n", "ACC": ACC}, "cannot be read"),
        ({"BVP": BVP, "ACC": ACC[:-9] + "1,2,x\n"}, "cannot be read"),
        ({"BVP": "\x00\xff" * 900, "ACC": ACC}, "does not begin"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, files, said):
    with pytest.raises(RecordingError, match=said) as caught:
        for stream in readers.find(folder(tmp_path / "e4", **files)).streams:
            stream.read()
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300


def test_tables_that_are_called_like_an_e4s_files_are_tables(tmp_path):
    text = "time,value\n" + "".join(f"{k / 4},{k}\n" for k in range(20))
    path = folder(tmp_path / "p1", EDA=text, TEMP=text)
    assert not readers.recognised(path)
    assert readers.find(path / "EDA.csv").kind == "table"


def test_tags_that_are_no_times_are_named(tmp_path):
    path = folder(tmp_path / "e4", BVP=BVP, ACC=ACC, tags="1560279830.5\nbutton\nnan\n")
    found = readers.find(path)
    assert [mark.start for mark in found.marks] == [1560279830.5]
    assert sum("is no time" in one for one in found.remarks) == 2


def test_samples_that_went_since_are_an_error(tmp_path, shared):
    path = tmp_path / "e4"
    shutil.copytree(shared / "data/examples/empatica_e4", path)
    (stream,) = (one for one in readers.find(path).streams if one.name == "eda")
    assert np.isfinite(stream.read()).all()
    (path / "EDA.csv").unlink()
    with pytest.raises(RecordingError, match=r"EDA\.csv cannot be read"):
        stream.read()
