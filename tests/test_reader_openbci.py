"""Text of the OpenBCI GUI, old and new: the board's index, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError

UNHURRIED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OLD = "%OpenBCI Raw EEG Data\n%\n%Sample Rate = 250.0 Hz\n%First Column = SampleIndex\n"
NEW = (
    "%OpenBCI Raw EXG Data\n%Number of channels = 4\n%Sample Rate = 200 Hz\n"
    "%Board = OpenBCI_GUI$BoardGanglionNative\n"
    "Sample Index, EXG Channel 0, EXG Channel 1, EXG Channel 2, EXG Channel 3, Accel Channel 0, "
    "Accel Channel 1, Accel Channel 2, Other, Timestamp, Timestamp (Formatted)\n"
)


def written(folder, text):
    path = folder / "a.txt"
    path.write_text(text)
    return path


def old(places):
    return "".join(
        f"{k % 256}, {k}.50, {'0.00, ' * 7}"
        + ("0.14, -0.16, 0.45\n" if k % 10 == 0 else "0.00, 0.00, 0.00\n")
        for k in places
    )


def new(places):
    return "".join(
        f"{k % 201}, {k}, 0, 0, 0, 0.1, 0.2, 0.9, 0.0, {1620000000 + k / 200:.6f}, "
        "2021-05-03 00:00:00.000\n"
        for k in places
    )


def test_the_real_file_loses_what_its_index_skips(shared):
    (path,) = (shared / "data/examples/openbci_txt").iterdir()
    found = readers.find(path)
    exg, accel = found.streams
    assert (exg.rate, exg.modality, exg.channels[0].unit, len(exg.channels)) == (
        250,
        "eeg",
        "uV",
        8,
    )
    assert exg.read()[:2, 0].tolist() == [-18379.19, 28187.40] and not exg.dated
    # Line 473 has index 211, line 474 index 0: 44 rows, after 468 rows below 5 lines of header.
    gone = np.flatnonzero(np.isnan(exg.read()[0]))
    assert gone.tolist() == list(range(468, 468 + 44))
    assert "44 rows are missing, by the board's index (modulo 256)" in found.remarks
    # Acceleration comes with row 0 and row 6; the zeros between are no measurement.
    assert accel.read()[:, [0, 6]].T.tolist() == [[0.14, -0.16, 0.45], [0.28, -0.33, 0.91]]
    assert np.isnan(accel.read()[:, 1:6]).all()


@UNHURRIED
@given(
    st.integers(0, 255), st.lists(st.tuples(st.integers(1, 90), st.integers(1, 250)), max_size=6)
)
def test_gaps_by_the_index_have_their_exact_length(tmp_path, first, gaps):
    places, at = [], first
    for many, gap in [*gaps, (300, 0)]:
        places += range(at, at + many)
        at += many + gap
    exg = readers.find(written(tmp_path, OLD + old(places))).streams[0]
    row = exg.read()[0]
    there = np.flatnonzero(~np.isnan(row))
    assert there.tolist() == [place - first for place in places]
    assert row[there].tolist() == [place + 0.5 for place in places]


def test_the_greatest_index_may_itself_be_lost(tmp_path):
    exg = readers.find(written(tmp_path, OLD + old([*range(250, 253), *range(256, 300)]))).streams[
        0
    ]
    assert np.flatnonzero(np.isnan(exg.read()[0])).tolist() == [3, 4, 5]


def test_the_new_form_has_names_stamps_and_a_board(tmp_path):
    places = [k for k in range(600) if not 100 <= k < 250]
    found = readers.find(written(tmp_path, NEW + new(places)), modality="emg")
    exg, accel = found.streams
    assert (exg.modality, exg.rate, exg.t0, exg.dated) == ("emg", 200, 1620000000, True)
    assert exg.facts["board"] == "OpenBCI_GUI$BoardGanglionNative"
    assert np.flatnonzero(np.isnan(exg.read()[0])).tolist() == list(range(100, 250))
    assert accel.read()[:, 0].tolist() == [0.1, 0.2, 0.9]
    assert not any("taken as EEG" in one for one in found.remarks)


def test_a_last_row_that_was_cut_off_is_left_out(tmp_path):
    found = readers.find(written(tmp_path, OLD + old(range(40)) + "40, 1.5, 2"))
    assert found.streams[0].samples == 40
    assert "its last row was cut off: left out" in found.remarks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OLD, "no rows below its header"),
        (OLD.replace("250.0", "..") + old(range(9)), "does not say its sample rate"),
        (OLD + old(range(9)).replace("0.00", "zero"), "what is no number"),
        (OLD + "0, 1, 2\n" * 9, "3 columns without names"),
        (OLD + old(range(9)) + "9, 1\n" + old(range(10, 20)), "row 10 has 2 fields, not 12"),
        (OLD + old(range(9)).replace("3, 3.50", "3.5, 3.50"), "no whole number"),
        (NEW, "no rows below its header"),
        (NEW.replace("EXG", "Aux").replace("Accel", "Aux") + new(range(9)), "no column of EXG"),
        (OLD + "1.5," * 600_000 + "1", "600001 columns without names"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, text, said):
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(written(tmp_path, text))
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300


@UNHURRIED
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, data):
    whole = (NEW + new(range(30))).encode()
    content = bytearray(whole[: data.draw(st.integers(40, len(whole)))])
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(20, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(content))
    try:
        found = readers.find(path)
    except RecordingError as error:
        assert "\n" not in str(error) and len(str(error)) - len(str(tmp_path)) < 300
    else:
        for stream in found.streams:
            assert stream.read().shape == (len(stream.channels), stream.samples)


@pytest.mark.parametrize("lost", [30, 201, 500, 5000])
def test_a_gap_longer_than_the_index_is_told_by_the_stamps(tmp_path, lost):
    places = [k for k in range(7000) if not 700 <= k < 700 + lost]
    exg = readers.find(written(tmp_path, NEW + new(places))).streams[0]
    assert np.flatnonzero(np.isnan(exg.read()[0])).tolist() == list(range(700, 700 + lost))


def test_a_radio_that_held_rows_back_lost_none(tmp_path):
    lines = new(range(4000)).splitlines()
    held = [line.split(", ") for line in lines]
    for k in range(1000, 1600):
        held[k][9] = f"{1620000000 + 8.0:.6f}"
    text = "\n".join(", ".join(line) for line in held) + "\n"
    assert readers.find(written(tmp_path, NEW + text)).streams[0].samples == 4000
