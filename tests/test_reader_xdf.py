"""XDF files: streams on one clock, their gaps and markers, and what is wrong with them."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from fixtures_xdf import BOUNDARY, chunk, footer, header, offset, samples, steady, xdf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError
from bioxedge.readers.xdf import look

UNHURRIED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_real_files_give_what_their_bytes_hold(shared):
    found = readers.find(shared / "data/examples/xdf/minimal.xdf")
    (eeg,) = found.streams
    assert (eeg.modality, eeg.rate, eeg.dated) == ("eeg", 10.0, False)
    # Stamped 5.1 in the file, by a clock that its offsets say is 0.1 s ahead.
    assert eeg.t0 == pytest.approx(5.0, abs=1e-9)
    assert eeg.read().tolist() == [
        [192, 12, 13, 14, 15, 12, 13, 14, 15], [255, 22, 23, 24, 25, 22, 23, 24, 25],
        [238, 32, 33, 34, 35, 32, 33, 34, 35],
    ]  # fmt: skip
    assert [(m.text, round(m.start, 6)) for m in found.marks[1:4]] == [
        ("Hello", 5.2), ("World", 5.3), ("from", 5.4)
    ]  # fmt: skip


def test_a_real_file_with_empty_streams_says_so_and_has_its_date(shared):
    found = readers.find(shared / "data/examples/xdf/empty_streams.xdf")
    (one,) = found.streams
    assert one.read().tolist() == [[*range(10)]] and (one.rate, one.dated) == (1.0, True)
    # Stamped 91725.214, 8.522 s after the first measurement of a clock; begun at 00:21:17.
    assert one.t0 == pytest.approx(1738282877 + 91725.213947 - 91716.691510, abs=1e-3)
    assert [mark.text for mark in found.marks] == ['{"state": 2}']
    assert sum("has no samples" in one for one in found.remarks) == 2


@UNHURRIED
@given(
    gaps=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    rate=st.sampled_from([10.0, 130.0, 256.0]),
    jitter=st.sampled_from([0.0, 0.2]),
    form=st.sampled_from(["float32", "double64", "int16"]),
)
def test_gaps_are_missing_at_their_exact_length(tmp_path, gaps, rate, jitter, form):
    rng = np.random.default_rng(len(gaps))
    content, place, wanted = [], 0, []
    for k, gap in enumerate([0, *gaps]):
        places = np.arange(20) + place + gap
        stamps = 100 + (places + rng.uniform(-jitter, jitter, 20)) / rate
        stamps = stamps.tolist() if jitter or k % 2 else [float(stamps[0]), *[None] * 19]
        content.append(samples(1, stamps, [[int(one)] for one in places], form))
        wanted += places.tolist()
        place = places[-1] + 1
    path = xdf(tmp_path / "a.xdf", header(1, "H10", "ECG", rate, [("ECG", "microvolts")], form),
               *content, offset(1, 100, 0.0), footer(1))  # fmt: skip
    (stream,) = look(path).streams
    row = stream.read()[0]
    assert np.flatnonzero(~np.isnan(row)).tolist() == wanted
    assert row[wanted].tolist() == wanted
    assert stream.channels[0].unit == "uV"
    assert stream.t0 == pytest.approx(100, abs=0.3 / rate)


def test_streams_of_two_machines_come_to_one_clock(tmp_path):
    path = xdf(
        tmp_path / "a.xdf",
        header(1, "A", "ECG", 100, [("ECG", "mV")]), header(2, "B", "PPG", 50, [("PPG", "")]),
        *(offset(1, 1000 + 5 * k, 0.5) for k in range(4)),
        *(offset(2, 70 + 5 * k, 930 + 1e-4 * k) for k in range(4)),
        steady(1, 1000, 500, 100), steady(2, 70.5, 250, 50), footer(1), footer(2),
    )  # fmt: skip
    ecg, ppg = look(path).streams
    assert ecg.t0 == pytest.approx(1000.5, abs=1e-3) and ppg.t0 == pytest.approx(1000.5, abs=1e-3)
    assert (ecg.name, ecg.modality, ppg.modality, ppg.rate) == ("a", "ecg", "ppg", 50.0)


def test_a_clock_that_was_reset_goes_on_where_it_was(tmp_path):
    # The sender's machine starts again after 100 s: its clock is 0 then, its offset grows.
    before = [offset(1, 5000 + 5 * k, 1.0) for k in range(20)]
    after = [offset(1, 12 + 5 * k, 5101.0) for k in range(20)]
    path = xdf(
        tmp_path / "a.xdf", header(1, "A", "EEG", 10, [("Fp1", "uV")]),
        steady(1, 5000, 1000, 10), steady(1, 10, 900, 10, 5000), *before, *after, footer(1),
    )  # fmt: skip
    found = look(path)
    row = found.streams[0].read()[0]
    assert found.streams[0].t0 == pytest.approx(5001, abs=0.01)
    assert row[:1000].tolist() == [*range(1000)] and np.isnan(row[1000:1100]).all()
    assert row[1100:].tolist() == [*range(5000, 5900)]
    assert any("reset 1 times" in one for one in found.remarks)


@UNHURRIED
@given(cut=st.integers(5, 3500))
def test_a_recorder_that_was_killed_leaves_all_samples_of_whole_chunks(tmp_path, cut):
    parts = [header(1, "A", "ECG", 50, [("ECG", "mV")])]
    parts += [chunk(5, BOUNDARY) if k == 3 else steady(1, 10 + k, 50, 50, 50 * k) for k in range(6)]
    path = xdf(tmp_path / "a.xdf", *parts)
    start = len(path.read_bytes()) - sum(map(len, parts))
    ends = start + np.cumsum([len(one) for one in parts])
    path.write_bytes(path.read_bytes()[:cut])
    there = [k for k, end in enumerate(ends[1:]) if end <= cut and k != 3]
    if not there:
        with pytest.raises(RecordingError, match="no samples"):
            look(path)
        return
    found = look(path)
    row = found.streams[0].read()[0]
    assert row[~np.isnan(row)].tolist() == [50 * k + j for k in there for j in range(50)]
    assert any("no footer" in one for one in found.remarks)


def test_damage_costs_what_lies_up_to_the_next_boundary(tmp_path):
    parts = [header(1, "A", "ECG", 50, [("ECG", "mV")]), steady(1, 10, 50, 50), chunk(5, BOUNDARY)]
    parts += [steady(1, 11, 50, 50, 50), chunk(5, BOUNDARY), steady(1, 12, 50, 50, 100)]
    path = xdf(tmp_path / "a.xdf", *parts, footer(1))
    content = bytearray(path.read_bytes())
    content[content.index(parts[3]) + 29] ^= 0xFF  # the second sample's flag
    path.write_bytes(content)
    found = look(path)
    row = found.streams[0].read()[0]
    assert row[:50].tolist() == [*range(50)] and np.isnan(row[50:100]).all()
    assert row[100:].tolist() == [*range(100, 150)]
    assert any("damaged at byte" in one for one in found.remarks)


def test_a_stream_of_several_kinds_of_signals_becomes_several(tmp_path):
    channels = [("Fp1", "microvolts"), ("Cz", "microvolts"), ("ECG", "millivolts"), ("X", "g")]
    path = xdf(
        tmp_path / "a.xdf",
        header(1, "Amp", "EEG", 50, channels, types=("EEG", "EEG", "ECG", "ACC")),
        samples(1, [k / 50 for k in range(5)], [[k, k + 1, k + 2, k + 3] for k in range(5)]),
    )  # fmt: skip
    found = {one.modality: one for one in look(path).streams}
    assert [one.name for one in found["eeg"].channels] == ["Fp1", "Cz"]
    assert found["ecg"].read().tolist() == [[2, 3, 4, 5, 6]]
    assert found["acceleration"].name == "amp-acceleration"


def test_markers_are_marks_be_they_texts_or_numbers(tmp_path):
    path = xdf(
        tmp_path / "a.xdf",
        header(1, "Keys", "Markers", 0, [("a", "")], "string"),
        header(2, "Codes", "Markers", 0, [("a", "")], "int32"),
        samples(1, [1.0, 2.5], [["rest"], ["Prüfung"]], "string"),
        samples(2, [3.0], [[7]], "int32"),
        date="2024-03-02T04:05:06+0100",
    )
    found = look(path)
    assert [(m.text, m.start - 1709348706) for m in found.marks] == [
        ("rest", 0.0), ("Prüfung", 1.5), ("7", 2.0)
    ]  # fmt: skip


def test_a_signal_whose_sender_states_no_rate_is_laid_out_by_its_stamps(tmp_path):
    path = xdf(tmp_path / "a.xdf", header(1, "A", "ECG", 0, [("ECG", "mV")]), steady(1, 5, 99, 130))
    (stream,) = look(path).streams
    assert stream.rate == 130.0 and stream.read().shape == (1, 99)
    path = xdf(tmp_path / "b.xdf", header(1, "A", "ECG", 500, [("", "")]), steady(1, 5, 99, 250))
    assert look(path).streams[0].rate == 250.0
    assert any("250 Hz" in one for one in look(path).remarks)


def test_stamps_in_unix_time_are_dates(tmp_path):
    path = xdf(tmp_path / "a.xdf", header(1, "A", "ECG", 50, [("", "")]), steady(1, 1.7e9, 99, 50),
               date="2024-03-02T04:05:06+0100")  # fmt: skip
    stream = look(path).streams[0]
    assert stream.dated and stream.t0 == pytest.approx(1.7e9, abs=1e-3)


@pytest.mark.parametrize("byte", [6, 7])
def test_a_stamp_that_is_damaged_costs_one_sample(tmp_path, byte):
    chunk_ = bytearray(steady(1, 10, 500, 50))
    chunk_[16 + 13 * 250 + 1 + byte] ^= 0x08
    path = xdf(tmp_path / "a.xdf", header(1, "A", "ECG", 50, [("", "")]), bytes(chunk_))
    row = look(path).streams[0].read()[0]
    assert np.flatnonzero(np.isnan(row)).tolist() == [250] and len(row) == 500
    assert any("1 samples have stamps that cannot be" in one for one in look(path).remarks)


def test_pieces_that_are_weeks_apart_are_refused(tmp_path):
    path = xdf(tmp_path / "a.xdf", header(1, "A", "ECG", 50, [("", "")]), steady(1, 10, 500, 50),
               steady(1, 2e6, 500, 50))  # fmt: skip
    with pytest.raises(RecordingError, match="no samples that can be read"):
        look(path)


@pytest.mark.parametrize("name", ["minimal.xdf", "empty_streams.xdf"])
@UNHURRIED
@given(
    keep=st.integers(4, 8000),
    flips=st.lists(st.tuples(st.integers(4, 7500), st.integers(0, 255)), max_size=4),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(shared, tmp_path, name, keep, flips):
    content = bytearray((shared / "data/examples/xdf" / name).read_bytes()[:keep])
    for at, value in flips:
        if at < len(content):
            content[at] = value
    path = tmp_path / "a.xdf"
    path.write_bytes(content)
    try:
        for stream in look(path).streams:
            if stream.samples < 1e7:
                assert stream.read().shape == (len(stream.channels), stream.samples)
    except RecordingError as error:
        assert "\n" not in str(error)


@UNHURRIED
@given(
    seed=st.integers(0, 10_000),
    form=st.sampled_from(["float32", "int16", "double64"]),
    stamped=st.lists(st.sampled_from(["all", "first", "none", "some"]), min_size=1, max_size=5),
    resets=st.integers(0, 1),
)
def test_stamps_and_values_are_those_that_another_reader_gives(
    tmp_path, seed, form, stamped, resets
):
    pyxdf = pytest.importorskip("pyxdf")
    rng = np.random.default_rng(seed)
    parts, at = [header(1, "A", "ECG", 50, [("I", "mV"), ("II", "mV")], form)], 3000.0
    for _ in range(resets + 1):
        clock = at + 7 * rng.random()
        for how in ["all", *stamped]:
            given = {"all": [1] * 9, "first": [1] + [0] * 8, "none": [0] * 9,
                     "some": rng.integers(0, 2, 9)}[how]  # fmt: skip
            stamps = [at + k / 50 if each else None for k, each in enumerate(given)]
            parts.append(samples(1, stamps, rng.integers(-99, 99, (9, 2)).tolist(), form))
            at += 9 / 50
        parts += [
            offset(1, clock + 5 * k, at * 20 + 1e-5 * k + 1e-4 * rng.standard_normal())
            for k in range(9)
        ]
        at -= 2000
    path = xdf(tmp_path / "a.xdf", *parts, footer(1))
    (theirs,), _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    ours = look(path).streams
    order = np.argsort(theirs["time_stamps"], kind="stable")
    rows = ours[0].read()
    assert rows[:, ~np.isnan(rows[0])].T.tolist() == theirs["time_series"][order].tolist()
    assert ours[0].t0 == pytest.approx(theirs["time_stamps"].min(), abs=0.012)


def test_a_stream_is_given_in_little_more_than_its_own_size(tmp_path):
    parts = [header(1, "A", "EEG", 256, [(f"C{k + 1}", "uV") for k in range(6)])]
    for k in range(10):
        content = struct.pack("<IBIBd", 1, 4, 10_000, 8, 5.0 + 10_000 * k / 256)
        parts.append(chunk(3, content + bytes(25 * 10_000 - 1)))
    (stream,) = look(xdf(tmp_path / "a.xdf", *parts)).streams
    tracemalloc.start()
    given = stream.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert given.shape == (6, 100_000) and peak < 1.3 * given.nbytes
