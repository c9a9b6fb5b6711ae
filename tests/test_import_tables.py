"""Tables of labels: what each second of a session is told, in whichever way a table tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioxedge.errors import RecordingError
from bioxedge.importing import Columns, read_table
from bioxedge.importing.labels import same_person

T0 = 1_700_000_000.0


def table(folder: Path, text: str, columns: str = ""):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, Columns.of(columns))


def laid(read, person="S02", t0=T0, seconds=10.0, files=(), dated=True, name="monday"):
    rows = read.rows_for(name, files, person)
    return read.of_session(rows, t0, t0 + seconds, person, dated=dated)


def values(recording, channel="label"):
    (row,) = recording.rows((channel,))
    return recording.samples[row].tolist()


def known(recording, channel="label"):
    return [(k, v) for k, v in enumerate(values(recording, channel)) if not np.isnan(v)]


def test_a_row_a_second_holds_for_a_second(tmp_path):
    rows = "\n".join(f"2,{T0 + k:.0f},{k % 2}" for k in (1, 2, 3, 4, 5, 6, 8))
    found, said = laid(table(tmp_path, f"Participant,Time(sec),Label\n{rows}\n"))
    assert known(found) == [(k, k % 2) for k in (1, 2, 3, 4, 5, 6, 8)]
    assert (found.rate, found.t0, found.modality, found.person) == (1.0, T0, "reference", "S02")
    assert said == []


def test_a_row_a_stretch_holds_from_its_start_to_its_end(tmp_path):
    read = table(
        tmp_path, f"subject;onset;duration;stage\nS02;{T0 + 1:.0f};2,5;W\nS02;{T0 + 6:.0f};3;N1\n"
    )
    found, _ = laid(read)
    assert found.facts["labels"] == {"stage": ["N1", "W"]}
    assert known(found, "stage") == [(1, 1.0), (2, 1.0), (3, 1.0), (6, 0.0), (7, 0.0), (8, 0.0)]


def test_an_end_may_be_said_and_times_may_be_dates(tmp_path):
    read = table(
        tmp_path,
        "person,start,end,label\n"
        "S02,2023-11-14T22:13:21Z,2023-11-14T22:13:23Z,task\n"
        "S02,2023-11-14T23:13:26+01:00,2023-11-14T23:13:27+01:00,rest\n",
    )
    found, _ = laid(read)
    assert known(found) == [(1, 1.0), (2, 1.0), (6, 0.0)]


def test_rows_that_come_unevenly_hold_until_the_next_one(tmp_path):
    read = table(tmp_path, "person,time,label\nS02,0,rest\nS02,4,task\nS02,5,rest\n")
    found, _ = laid(read, seconds=8)
    assert values(found) == [0, 0, 0, 0, 1, 0, 0, 0]


def test_a_row_a_recording_holds_for_all_of_it_and_needs_no_header(tmp_path):
    read = table(tmp_path, "a103l,Asystole,0\nb183l,Bradycardia,1\n", "file=1,label=2+3")
    found, _ = laid(read, seconds=3, files=[Path("x/b183l.hea"), Path("x/b183l.mat")])
    assert values(found, "label_2") == [1.0] * 3
    assert values(found, "label_3") == [1.0] * 3
    assert found.facts["labels"] == {"label_2": ["Asystole", "Bradycardia"]}


def test_numbers_stay_numbers_beside_classes_with_their_units(tmp_path):
    read = table(
        tmp_path,
        "person,time,Valence,heart rate [bpm]\nS02,0,0.25,61.5\nS02,1,,62\nS02,2,0.75,\n",
        "label=Valence+heart rate [bpm]",
    )
    found, _ = laid(read, seconds=3)
    assert known(found, "valence") == [(0, 0.25), (2, 0.75)]
    assert known(found, "heart_rate") == [(0, 61.5), (1, 62.0)]
    assert [channel.unit for channel in found.channels] == ["1", "bpm"]
    assert found.facts["labels"] == {}


def test_seconds_from_the_start_on_and_seconds_of_an_undated_clock_are_told_apart(tmp_path):
    own, _ = laid(
        table(tmp_path, "person,time,label\nS02,5003,1\n"), t0=5000.0, seconds=8, dated=False
    )
    from_start, _ = laid(
        table(tmp_path, "person,time,label\nS02,3,1\n"), t0=5000.0, seconds=8, dated=False
    )
    assert known(own) == known(from_start) == [(k, 1.0) for k in range(3, 8)]


def test_dates_for_a_session_without_one_are_said_and_not_guessed(tmp_path):
    found, said = laid(table(tmp_path, f"person,time,label\nS02,{T0},1\n"), t0=0.0, dated=False)
    assert found is None
    assert "dates" in said[0]


def night(hour: float, hours: float) -> dict:
    """When a recording begins that starts at an hour of a day, and how long it is."""
    midnight = T0 - T0 % 86400
    return {"t0": midnight + hour * 3600, "seconds": hours * 3600}


def test_times_of_day_run_on_over_midnight(tmp_path):
    rows = "person,start,end,label\nS02,23:59:58,00:00:02,rem\nS02,00:00:02.0,0:01,deep\n"
    for begin, hours in ((23.5, 8), (22, 4), (13, 22)):
        found, said = laid(table(tmp_path, rows), **night(begin, hours))
        at = round((24 - begin) * 3600)
        expected = [(at + k, 1.0) for k in range(-2, 2)] + [(at + k, 0.0) for k in range(2, 60)]
        assert known(found) == expected  # classes are named in the order of their letters
        assert said == ["labels.csv gives times of day without a zone: taken as UTC"]


def test_times_of_day_may_begin_before_the_recording(tmp_path):
    found, _ = laid(
        table(tmp_path, "person,start,duration,label\nS02,21:59:50,20,1\n"), **night(22, 8)
    )
    assert known(found) == [(k, 1.0) for k in range(10)]


def test_times_of_day_are_told_of_no_session_that_is_longer_or_has_no_date(tmp_path):
    rows = table(tmp_path, "person,time,label\nS02,22:15,1\n")
    found, said = laid(rows, **night(1, 30))
    assert found is None and "it is 30 h long: say dates" in said[0]
    found, said = laid(rows, t0=0.0, dated=False)
    assert found is None and "gives times of day, it has none" in said[0]


def test_rows_of_another_time_are_counted_with_how_far_off_they_are(tmp_path):
    text = "".join(f"S02,{T0 + 3600 + k},1\n" for k in range(5))
    found, said = laid(table(tmp_path, "person,time,label\n" + text))
    assert found is None
    assert said == [
        "5 of 5 rows of labels.csv lie outside its time: its first row is 1.00 h after its first "
        "sample"
    ]


def test_rows_that_contradict_each_other_leave_their_seconds_without_a_label(tmp_path):
    read = table(tmp_path, "person,start,end,label\nS02,0,5,rest\nS02,3,8,task\nS02,6,7,task\n")
    found, said = laid(read, seconds=8)
    assert known(found) == [(0, 0.0), (1, 0.0), (2, 0.0), (5, 1.0), (6, 1.0), (7, 1.0)]
    assert said == ["rows of labels.csv contradict each other in 2 seconds: those have no label"]


def test_what_stands_for_nothing_is_no_label(tmp_path):
    read = table(tmp_path, "person,time,label\nS02,0,rest\nS02,1,NA\nS02,2,\nS02,3,task\n")
    found, _ = laid(read, seconds=4)
    assert found.facts["labels"]["label"] == ["rest", "task"]
    assert known(found) == [(0, 0.0), (3, 1.0)]


@pytest.mark.parametrize(
    "field, person, same",
    [
        ("2", "S02", True), ("02", "S02", True), ("S02", "s02", True), ("2", "S12", False),
        ("12", "S2", False), ("2", "anna2x", False), ("²", "S02", False), ("", "S02", False),
        ("p-2", "2", False),
    ],
)  # fmt: skip
def test_a_table_may_leave_out_what_stands_before_a_number(field, person, same):
    assert same_person(field, person) is same


@pytest.mark.parametrize(
    "text, columns, said",
    [
        ("time,label\n0,1\n", "", "person=COLUMN"),
        ("person,time\nS02,1\n", "", "label=COLUMN"),
        ("person,time,label\nS02,25:15,1\n", "", "no time"),
        ("person,time,label\nS02,22:60,1\n", "", "no time"),
        ("person,time,label\nS02,1,1\n", "label=Stress", "no column Stress"),
        ("person,start,end,label\nS02,5,3,1\n", "", "row 2 ends 2 s before it begins"),
        ("person,label\n" + "".join(f"S02,text {k}\n" for k in range(70)), "", "70 different"),
        ("person,label\n", "", "no rows"),
        ("a,1\n", "file=1,label=7", "no column 7"),
    ],
)
def test_a_table_that_says_too_little_is_one_line(tmp_path, text, columns, said):
    with pytest.raises(RecordingError, match=said) as error:
        table(tmp_path, text, columns)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("columns", ["colour=1", "person", "person=", "person=a+b", "=x"])
def test_roles_that_do_not_exist_are_refused(columns):
    with pytest.raises(RecordingError, match="--labels-columns"):
        Columns.of(columns)


@given(
    st.lists(st.tuples(st.integers(-3, 14), st.integers(0, 6), st.integers(0, 1)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_the_order_of_rows_means_nothing(tmp_path_factory, rows, chance):
    folder = tmp_path_factory.mktemp("order")
    lines = [f"S02,{start},{start + length},{label}\n" for start, length, label in rows]
    one, said = laid(table(folder, "person,start,end,label\n" + "".join(lines)))
    chance.shuffle(lines)
    other, again = laid(table(folder, "person,start,end,label\n" + "".join(lines)))
    assert said == again
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        np.testing.assert_array_equal(one.samples, other.samples)
