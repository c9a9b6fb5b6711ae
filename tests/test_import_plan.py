"""What an import makes of files: sessions, whose they are, and that nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge import importing
from bioxedge.datasets import folder as sessions_of
from bioxedge.errors import RecordingError
from bioxedge.importing import plan, write
from bioxedge.importing.naming import allowed
from bioxedge.marks import Mark
from bioxedge.readers import Found, Stream
from bioxedge.signals import Channel


def stream(name="ecg", modality="ecg", channels=("II",), *, seconds=4, t0=100.0, unit="mV"):
    samples = np.arange(len(channels) * seconds * 10, dtype=float).reshape(len(channels), -1)
    if samples.size:
        samples[0, 0] = np.nan
    return Stream(
        name, modality, 10.0, tuple(Channel(one, unit) for one in channels), samples.shape[1],
        lambda: samples.copy(), t0,
    )  # fmt: skip


def file(path: Path, *streams: Stream, text="x", person="", said=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Found(path, "made", streams or (stream(),), tuple(said), person, (), (path,))


def names(made):
    return [one.name for one in made.sessions]


def test_sessions_are_read_back_as_data_sets_read_them(tmp_path):
    eda = stream("eda", "eda", ("eda",), t0=101.0, unit="uS")
    one = file(
        tmp_path / "in" / "monday.edf", stream(), eda, person="P7", said=[Mark(102, "stood up")]
    )
    table = tmp_path / "labels.csv"
    table.write_text("person,time,label\nP7,0,rest\nP7,2,task\n")
    read = importing.read_table(table, importing.Columns.of(""))
    write(plan([one], labels=[("*.edf", "lab")], tables=[read]), tmp_path / "out")
    (session,) = sessions_of.sessions(tmp_path / "out")
    assert (session.name, session.person) == ("monday", "P7")
    parts = {part.name: part for part in session.parts}
    assert set(parts) == {"ecg", "eda", "labels"}
    ecg = parts["ecg"].read()
    np.testing.assert_array_equal(ecg.samples, one.streams[0].read())
    assert (ecg.t0, ecg.rate, ecg.channels) == (100.0, 10.0, (Channel("II", "mV"),))
    known = parts["labels"].read()
    assert (known.modality, known.rate, known.t0) == ("reference", 1.0, 100.0)
    assert known.samples.tolist() == [[0, 0, 1, 1, 1]]
    assert known.facts["labels"] == {"label": ["rest", "task"]}
    assert session.marks() == [Mark(100.0, "lab", 5.0), Mark(102.0, "stood up")]


@given(st.lists(st.text(max_size=130), min_size=1, max_size=6))
def test_any_name_is_a_folder_inside(texts):
    for text in texts:
        name = allowed(text)
        assert name not in ("", ".", "..") and Path(name).name == name
        assert not name.startswith(".") and len(name) <= 100


def test_files_that_are_called_alike_are_sessions_of_their_own(tmp_path):
    found = [file(tmp_path / where / "rec.edf", text=where) for where in ("a", "b", "c/a")]
    found.append(file(tmp_path / "c" / "REC.edf"))
    made = plan(found)
    assert names(made) == ["a-rec", "b-rec", "a-rec_2", "c-REC"]


def test_what_stands_behind_a_dot_in_a_name_stays(tmp_path):
    found = [file(tmp_path / "data_2017-01-27-16.21.42.csv"), file(tmp_path / "x.csv.gz")]
    assert names(plan(found)) == ["data_2017-01-27-16.21.42", "x"]


def test_files_of_one_folder_or_of_one_name_are_one_session_when_told(tmp_path):
    found = [
        file(tmp_path / who / f"{who}_{what}.csv", stream(what, what))
        for who in ("anna", "ben")
        for what in ("ecg", "ppg")
    ]
    for made in (plan(found, together=True), plan(found, session=r"([a-z]+)_\w+\.csv")):
        assert names(made) == ["anna", "ben"]
        assert [list(one.streams) for one in made.sessions] == [["ecg", "ppg"]] * 2
        assert [one.person for one in made.sessions] == ["anna", "ben"]


def test_marks_of_a_file_without_samples_join_its_recording(tmp_path):
    hypnogram = Found(
        tmp_path / "SC4001EC.edf", "EDF+C", (), (Mark(101.0, "Sleep stage W", 2.0),), "", (), ()
    )
    hypnogram.path.write_text("h")
    found = [file(tmp_path / "SC4001E0.edf"), hypnogram]
    apart = plan(found)
    assert apart.remarks == (
        "SC4001EC: holds marks alone (--session or --together joins it to its recording): left out",
    )
    (joined,) = plan(found, session=r"SC\d+").sessions
    assert (joined.name, [mark.text for mark in joined.marks]) == ("SC4001", ["Sleep stage W"])


def test_a_person_is_told_by_the_path_or_the_file_or_else_the_name_and_that_is_said(tmp_path):
    found = [file(tmp_path / "S01_a.edf", person="77"), file(tmp_path / "S02_a.edf")]
    made = plan(found)
    assert [one.person for one in made.sessions] == ["77", "S02_a"]
    assert "does not say whose it is" in made.sessions[1].remarks[0]
    assert [one.person for one in plan(found, person=r"(S\d+)").sessions] == ["S01", "S02"]
    assert [one.person for one in plan(found, person="anna").sessions] == ["anna", "anna"]


@pytest.mark.parametrize(
    "told, said",
    [
        ({"person": "(x"}, "no regular expression"),
        ({"person": r"(Z\d+)"}, "finds nothing"),
        ({"session": "all"}, "P1 and P2"),
        ({"streams": ["ppg"]}, "--stream: nothing has ppg: there are ecg"),
        ({"channels": ["V1"]}, "--channels: nothing has V1: there are II"),
        ({"units": {"V1": "mV"}}, "--unit: nothing has V1"),
        ({"units": {"II": "furlong"}}, "--unit II=furlong"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, told, said):
    found = [file(tmp_path / "one.edf", person="P1"), file(tmp_path / "two.edf", person="P2")]
    with pytest.raises(RecordingError, match=said.replace("(", r"\(")) as error:
        plan(found, **told)
    assert "\n" not in str(error.value)


def test_streams_channels_and_units_are_chosen(tmp_path):
    both = file(tmp_path / "one.edf", stream("ecg", "ecg", ("I", "II", "V1")), stream("bvp", "ppg"))
    (one,) = plan([both], streams=["ecg"], channels=["V1", "I"], units={"I": "uV"}).sessions
    assert list(one.streams) == ["ecg"]
    assert one.streams["ecg"].channels == (Channel("I", "uV"), Channel("V1", "mV"))
    np.testing.assert_array_equal(one.streams["ecg"].read(), both.streams[0].read()[[0, 2]])
    (other,) = plan([both], streams=["ppg"]).sessions
    assert list(other.streams) == ["bvp"]


def test_two_labels_for_all_of_one_recording_and_labels_for_none_are_said(tmp_path):
    made = plan(
        [file(tmp_path / "a_1.edf")], labels=[("*_1.edf", "rest"), ("a_*", "task"), ("b_*", "x")]
    )
    assert "--label says rest and task of all of it" in made.sessions[0].remarks
    assert made.remarks == ("--label b_*=x fits no file",)


def test_streams_that_share_no_time_are_said(tmp_path):
    late = stream("ppg", "ppg", t0=100.0 + 12 * 3600 + 4)
    (one,) = plan([file(tmp_path / "a.edf", stream(), late)]).sessions
    assert "ppg begins 12.00 h after ecg ended" in one.remarks


def test_two_tables_stand_beside_each_other_and_rows_that_fit_nothing_are_counted(tmp_path):
    read = []
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("person,label\nanna,x\nanna,y\nben,x\n")
        read.append(importing.read_table(tmp_path / f"{name}.csv", importing.Columns.of("")))
    made = plan([file(tmp_path / "ben.edf", person="ben")], tables=read)
    known = made.sessions[0].labels
    assert [channel.name for channel in known.channels] == ["label", "label_2"]
    assert known.facts["labels"] == {"label": ["x", "y"], "label_2": ["x", "y"]}
    assert made.remarks == tuple(f"{n}.csv: 2 of 3 rows fit no session" for n in ("one", "two"))


def test_seconds_that_could_count_from_two_sessions_starts_are_said(tmp_path):
    (tmp_path / "l.csv").write_text("person,time,label\nanna,0,x\nanna,2,y\n")
    read = importing.read_table(tmp_path / "l.csv", importing.Columns.of(""))
    found = [file(tmp_path / f"{k}.edf", person="anna") for k in (1, 2)]
    first, second = plan(found, tables=[read]).sessions
    assert not any("another session" in remark for remark in first.remarks)
    assert any("another session" in remark for remark in second.remarks)
