"""BrainFlow's rows: the board that is told, what its counter shows, and what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from bioxedge import readers
from bioxedge.errors import BioxedgeError, RecordingError
from bioxedge.exportfiles.rows import write_rows
from bioxedge.signals import Channel, Recording

pytest.importorskip("brainflow")
from bioxedge.runtime.sources import boards

T0 = 1_700_000_000.25


def recording(names, rate, gaps=(), count=1000):
    samples = np.arange(float(len(names) * count)).reshape(len(names), count) + 0.5
    for begin, end in gaps:
        samples[:, begin:end] = np.nan
    return Recording(samples, rate, tuple(Channel(one) for one in names), "any", "p", T0)


def stream(found, name):
    return next(one for one in found.streams if one.name == name)


@pytest.mark.parametrize(
    ("board", "names", "rate", "kind", "unit"),
    [
        ("cyton", ("eeg_1", "eeg_2"), 250.0, "eeg", "uV"),
        ("muse_2/ancillary", ("ppg_1", "ppg_2"), 64.0, "ppg", "a.u."),
        ("muse_2/auxiliary", ("accel_1",), 52.0, "accel", "g"),
        ("emotibit/auxiliary", ("ppg_1",), 25.0, "ppg", "a.u."),
    ],
)
def test_what_export_writes_is_read_again(tmp_path, board, names, rate, kind, unit):
    given = recording(names, rate, gaps=[(100, 140), (500, 501)])
    name, _, preset = board.partition("/")
    write_rows(given, tmp_path / "a.csv", board=name, preset=preset or None)
    found = readers.find(tmp_path / "a.csv", board=board)
    own = stream(found, kind)
    assert (own.rate, own.dated, own.channels[0].unit) == (rate, True, unit)
    assert own.t0 == pytest.approx(T0, abs=1e-6)
    at = {one.name: k for k, one in enumerate(own.channels)}
    rows = own.read()[: len(names)] if names[0] not in at else own.read()[[at[n] for n in names]]
    np.testing.assert_array_equal(rows, given.samples)
    assert "41 rows are missing" in found.remarks


def test_a_kind_that_was_told_is_that_of_rows_that_may_be_any(tmp_path):
    write_rows(recording(("eeg_1",), 250.0), tmp_path / "a.csv", board="cyton")
    kinds = {one.modality for one in readers.find(tmp_path / "a.csv", board="cyton").streams}
    assert "eeg" in kinds
    told = readers.find(tmp_path / "a.csv", board="cyton", modality="emg")
    assert {one.modality for one in told.streams} == kinds - {"eeg"} | {"emg"}
    assert not any("taken as EEG" in one for one in told.remarks)


def test_markers_are_marks_and_decimal_commas_are_read(tmp_path):
    path = tmp_path / "a.csv"
    write_rows(recording(("eeg_1",), 250.0), path, board="cyton")
    table = np.loadtxt(path, delimiter="\t")
    layout = boards.layout("cyton", None)
    assert layout.width == table.shape[1]
    table[300, -1] = 7
    lines = ["\t".join(f"{value:.6f}" for value in row) for row in table]
    path.write_text("\n".join(lines).replace(".", ",") + "\n")
    found = readers.find(path, board="cyton")
    assert [(mark.text, mark.start) for mark in found.marks] == [("7", pytest.approx(T0 + 1.2))]
    assert stream(found, "eeg").read()[0, 0] == 0.5


def test_a_last_row_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    write_rows(recording(("eeg_1",), 250.0), path, board="cyton")
    path.write_text(path.read_text()[:-30])
    found = readers.find(path, board="cyton")
    assert found.streams[0].samples == 999 and "its last row was cut off: left out" in found.remarks


ROW = "0\t1.0\t2.0\t3.0\t1700000000.0\t0\n"


@pytest.mark.parametrize(
    ("text", "board", "said"),
    [
        (ROW * 3, None, "do not name their board: give --board"),
        (ROW * 3, "cyton", "has 6 columns, .* name another board or preset"),
        (ROW * 3, "citon", "cyton"),
        (ROW * 3, "muse_2/ancilary", "ancillary"),
        (ROW + "1\t2\n" + ROW, "muse_2/ancillary", "rows of different lengths, or no numbers"),
        (ROW + ROW.replace("3.0", "x"), "muse_2/ancillary", "rows of different lengths"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, text, board, said):
    (tmp_path / "a.csv").write_text(text)
    told = {} if board is None else {"board": board}
    with pytest.raises(BioxedgeError, match=said) as caught:
        readers.find(tmp_path / "a.csv", **told)
    assert "\n" not in str(caught.value) and len(str(caught.value)) - len(str(tmp_path)) < 300


def test_stamps_that_go_back_are_an_error_where_no_counter_helps(tmp_path):
    path = tmp_path / "a.csv"
    write_rows(recording(("ppg_1",), 25.0), path, board="emotibit", preset="auxiliary")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:50], *lines[30:]]) + "\n")
    with pytest.raises(RecordingError, match="go back"):
        readers.find(path, board="emotibit/auxiliary")


@pytest.mark.parametrize("lost", [37, 256, 700])
def test_gaps_longer_than_the_counter_have_their_length(tmp_path, lost):
    path = tmp_path / "a.csv"
    given = recording(("eeg_1",), 250.0, [(400, 400 + lost)], 3000)
    write_rows(given, path, board="cyton")
    eeg = stream(readers.find(path, board="cyton"), "eeg")
    np.testing.assert_array_equal(eeg.read()[0], given.samples[0])


def test_a_boards_own_counter_that_rows_share_is_understood(tmp_path):
    path = tmp_path / "a.csv"
    given = recording(("ppg_2",), 64.0, [(120, 240)], 1200)
    write_rows(given, path, board="muse_2", preset="ancillary")
    layout = boards.layout("muse_2", "ancillary")
    table = np.loadtxt(path, delimiter="\t")
    kept = np.flatnonzero(np.isfinite(given.samples[0]))
    table[:, layout.counter] = (65530 + kept // 6) % 65536  # six rows a packet
    table[:, layout.stamp] = T0 + (kept // 6 + 1) * 6 / 64
    np.savetxt(path, table, delimiter="\t", fmt="%.6f")
    found = readers.find(path, board="muse_2/ancillary")
    ppg = stream(found, "ppg")
    at = [one.name for one in ppg.channels].index("ppg_2")
    np.testing.assert_allclose(ppg.read()[at], given.samples[0])
    assert "120 rows are missing" in found.remarks
