"""EDF, EDF+ and BDF: what files hold, where their gaps are, and what is wrong with them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError
from bioxedge.readers.edf import look

UNHURRIED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def field(text: object, width: int) -> bytes:
    return str(text).encode("latin-1").ljust(width)[:width]


def edf(
    path: Path,
    signals: list[tuple[str, str, np.ndarray]],
    *,
    duration: float = 1.0,
    kind: str = "",
    tals: list[bytes] | None = None,
    scale: tuple[object, object, object, object] = (-3276.8, 3276.7, -32768, 32767),
    patient: str = "",
    start: tuple[str, str] = ("02.03.24", "04.05.06"),
    recording: str = "",
    records: object = None,
    wide: bool = False,
) -> Path:
    """Write signals given as label, unit and digital [records, samples]."""
    size = 3 if wide else 2
    rows = [(label, unit, data.shape[1]) for label, unit, data in signals]
    if tals is not None:
        rows.append(("BDF Annotations" if wide else "EDF Annotations", "", 60))
    number = len(signals[0][2]) if signals else len(tals or [])
    n = len(rows)
    head = (b"\xffBIOSEMI" if wide else field(0, 8)) + field(patient, 80) + field(recording, 80)
    head += field(start[0], 8) + field(start[1], 8) + field(256 * (n + 1), 8) + field(kind, 44)
    head += field(number if records is None else records, 8) + field(duration, 8) + field(n, 4)
    head += b"".join(field(label, 16) for label, _, _ in rows) + bytes(80 * n).replace(b"\0", b" ")
    head += b"".join(field(unit, 8) for _, unit, _ in rows)
    for value in scale:
        head += field(value, 8) * n
    head += b" " * 80 * n + b"".join(field(count, 8) for *_, count in rows) + b" " * 32 * n
    body = b""
    for k in range(number):
        for _, _, data in signals:
            for value in data[k]:
                body += int(value).to_bytes(size, "little", signed=True)
        if tals is not None:
            body += tals[k].ljust(60 * size, b"\0")
    path.write_bytes(head + body)
    return path


def ramp(records: int, samples: int) -> np.ndarray:
    return np.arange(records * samples).reshape(records, samples)


@pytest.mark.parametrize(
    ("file", "stream", "channel", "rate", "unit", "t0", "values"),
    [
        ("eegmat/Subject01_1.edf", "eeg", "Fp1", 500.0, "uV", 1293840000.0,
         {0: -6.347912214236665, 500: -10.76281576653696, 90999: 0.00139021194782174}),
        ("eegmat/Subject01_1.edf", "eeg", "A2-A1", 500.0, "uV", 1293840000.0,
         {12345: 0.611501172503246}),
        ("eegmat/Subject01_1.edf", "ecg", "ECG", 500.0, "mV", 1293840000.0,
         {0: -0.02022768532845043, 1: -0.022627566674296218, 90999: 2.893385213975641e-06}),
        ("examples/edf/short_psg.edf", "eeg", "Fpz-Cz", 100.0, "uV", 609437580.0,
         {0: 5.016849816849799, 3000: 11.299633699633716, 29999: -7.454945054945057}),
        ("examples/edf/short_psg.edf", "temperature", "Temp rectal", 1.0, "DegC", 609437580.0,
         {0: 37.20645161290322, 299: 37.19247311827957}),
        ("examples/edf/short_psg.edf", "respiration", "Resp oro-nasal", 1.0, "a.u.", 609437580.0,
         {0: -482.0, 31: 281.0}),
        ("examples/edf/discontinuous_made.edf", "eeg", "Fp1", 128.0, "uV",
         1579838756.3945312,
         {0: 6.247302967880387, 25599: -5.715617608911998, 25600 + 7680: 20.868650339512897,
          81663 + 7680: -0.1329213397420972}),
        ("examples/edf/test_generator_annotations.bdf", "sine-2-5hz", "sine 2.5Hz", 500.0, "uV",
         946684800.0, {0: 31.410636389889532, 1000: 31.410636389889532, 14999: 0.000178813944785}),
        ("examples/edf/test_generator_annotations.bdf", "white-noise", "white noise", 499.5, "uV",
         946684800.0, {0: 495.6799444961516, 14984: -895.0097498303503}),
    ],
)  # fmt: skip
def test_real_files_give_the_values_units_and_times_that_their_bytes_hold(
    shared, file, stream, channel, rate, unit, t0, values
):
    found = {one.name: one for one in readers.find(shared / "data" / file).streams}[stream]
    samples = found.read()
    row = samples[[one.name for one in found.channels].index(channel)]
    assert (found.rate, found.t0, found.dated) == (rate, t0, True)
    assert {one.name: one.unit for one in found.channels}[channel] == unit
    assert samples.shape == (len(found.channels), found.samples) and samples.dtype == np.float64
    for at, value in values.items():
        assert row[at] == pytest.approx(value, rel=1e-12, abs=1e-11)


def test_the_kind_of_a_signal_with_a_silent_name_may_be_told(tmp_path: Path) -> None:
    data = np.arange(1000).reshape(10, 100)
    slow = np.arange(100).reshape(10, 10)
    path = edf(
        tmp_path / "a.edf", [("X1", "uV", data), ("X2", "uV", slow), ("EEG Fp1", "uV", data)]
    )
    found = readers.find(path, modality="emg")
    kinds = {one.name: (one.modality, one.rate) for one in found.streams}
    assert kinds == {"emg": ("emg", 100.0), "emg_2": ("emg", 10.0), "eeg": ("eeg", 100.0)}
    assert not any("--modality" in said for said in found.remarks)
    assert sum("--modality" in said for said in readers.find(path).remarks) == 2


def test_a_real_interrupted_file_has_its_gap_and_its_notes_where_they_were(shared):
    found = look(shared / "data/examples/edf/discontinuous_made.edf")
    missing = np.flatnonzero(np.isnan(found.streams[0].read()[0]))
    assert found.kind == "EDF+D" and found.streams[0].seconds == 698.0
    assert np.array_equal(missing, np.arange(200 * 128, 260 * 128))
    noted = [(mark.text, round(mark.start - 1579838756, 4)) for mark in found.marks]
    assert noted[:2] == [("XLSpike", 2.3457), ("Clip Note", 3.8867)]


def test_every_real_file_is_read_as_another_reader_reads_it(shared):
    edfio = pytest.importorskip("edfio")
    path = shared / "data/eegmat/Subject20_2.edf"
    theirs = {one.label: one.data for one in edfio.read_edf(path).signals}
    eeg, ecg = look(path).streams
    assert [one.name for one in eeg.channels][:2] == ["Fp1", "Fp2"] and len(eeg.channels) == 20
    for channel, row in zip(eeg.channels, eeg.read(), strict=True):
        np.testing.assert_allclose(row, theirs[f"EEG {channel.name}"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ecg.read()[0], theirs["ECG ECG"], rtol=1e-9, atol=1e-9)


def test_the_person_is_the_patients_code_and_no_name_or_birth_date(shared, tmp_path):
    found = look(shared / "data/eegmat/Subject05_1.edf")
    assert found.person == "31" and any("patient's code" in one for one in found.remarks)
    plain = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(2, 4))], patient="Jane Doe 1960")
    assert look(plain).person == ""
    assert not any("Jane" in one or "1960" in one for one in look(plain).remarks)


@UNHURRIED
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.004, 0.5, 1.0, 3.25]), min_size=1, max_size=8),
    per=st.sampled_from([(250, 250, 1.0), (513, 64, 1.001953125), (8, 4, 30.0), (40, 10, 0.1)]),
    places=st.sampled_from([3, 7]),
    wide=st.booleans(),
)
def test_gaps_are_missing_at_their_exact_length(tmp_path, gaps, per, places, wide):
    fast, slow, duration = per
    onsets = np.cumsum([0.25, *(duration + gap for gap in gaps)])
    number = len(onsets)
    path = edf(
        tmp_path / "a.edf",
        [("ECG I", "uV", ramp(number, fast)), ("EDA", "uS", ramp(number, slow))],
        duration=duration,
        kind="EDF+D",
        tals=[f"+{onset:.{places}f}\x14\x14\0".encode() for onset in onsets],
        wide=wide,
        recording="Startdate 02-MAR-2024 X X X",
    )
    for stream, count in zip(look(path).streams, (fast, slow), strict=True):
        rate = count / duration
        row = stream.read()[0]
        assert np.array_equal(
            row[~np.isnan(row)], (ramp(number, count).ravel() + 32768) * 0.1 - 3276.8
        )
        assert stream.t0 == pytest.approx(1709352306.25)
        for k, onset in enumerate(onsets):
            at = int(np.argmax(row == (k * count + 32768) * 0.1 - 3276.8))
            assert abs(at / rate - (onset - 0.25)) <= 0.51 / rate + 0.0012


@pytest.mark.parametrize("gap", [0.5, 20.0])
def test_a_file_that_says_it_has_no_gaps_is_placed_by_its_times_where_it_has(tmp_path, gap):
    tals = [b"+0\x14\x14\0", f"+{1 + gap}\x14\x14\0+{1 + gap}\x152.5\x14stage 2\x14\0".encode()]
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(2, 100))], kind="EDF+C", tals=tals)
    found = look(path)
    # Half a record may be a writer's rounding; what is more is none.
    assert found.streams[0].samples == (200 if gap == 0.5 else 2200)
    assert found.marks[0].text == "stage 2" and found.marks[0].seconds == 2.5
    assert found.marks[0].start == 1709352306.0 + 1 + gap


def test_a_note_in_the_first_record_is_no_start_of_the_file(tmp_path):
    tals = [b"+120\x14Lights off\x14Door\x14\0", b""]
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(2, 4))], kind="EDF+C", tals=tals)
    found = look(path)
    assert found.streams[0].t0 == 1709352306.0
    assert [(m.text, m.start) for m in found.marks] == [
        ("Lights off", 1709352426.0), ("Door", 1709352426.0)
    ]  # fmt: skip


@pytest.mark.parametrize("stated", [-1, 0, 2, 7])
def test_a_wrong_number_of_records_is_said(tmp_path, stated):
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(3, 10))], records=stated)
    path.write_bytes(path.read_bytes() + b"\1")
    assert look(path).streams[0].samples == (20 if stated == 2 else 30)
    assert any("3" in one and "records" in one for one in look(path).remarks)


def test_a_number_of_records_that_is_none_is_refused(tmp_path):
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(3, 10))], records="many")
    with pytest.raises(RecordingError, match="'many' for its number of records"):
        look(path)


@pytest.mark.parametrize(
    "scale", [(1, 1, -5, 5), ("", "", -5, 5), (-1, 1, 5, 5), ("nan", 1, -5, 5), (0, "x", -5, 5)]
)
def test_numbers_without_a_scale_are_kept_as_they_are(tmp_path, scale):
    found = look(edf(tmp_path / "a.edf", [("ECG", "mV", ramp(1, 4))], scale=scale))
    assert found.streams[0].read().tolist() == [[0, 1, 2, 3]]
    assert found.streams[0].channels[0].unit == "a.u."
    assert any("states no scale" in one for one in found.remarks)


def test_a_polarity_that_is_turned_is_turned_back(tmp_path):
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(1, 3))], scale=(8, -8, -8, 8))
    assert look(path).streams[0].read().tolist() == [[0, -1, -2]]


@pytest.mark.parametrize(
    ("start", "recording", "t0", "dated"),
    [
        (("02.03.24", "04.05.06"), "", 1709352306.0, True),
        (("02.03.85", "00.00.00"), "", 478569600.0, True),
        (("02.03.yy", "00.00.00"), "Startdate 02-MAR-2091 X X X", 3823632000.0, True),
        (("01.01.85", "10.00.00"), "Startdate X X X X", 0.0, False),
        (("00.00.00", "10.00.00"), "", 0.0, False),
        (("31.02.20", "10.00.00"), "", 0.0, False),
        (("", ""), "", 0.0, False),
    ],
)
def test_the_start_is_what_the_header_says_or_none(tmp_path, start, recording, t0, dated):
    tals = [b"+0\x14\x14"]
    path = edf(
        tmp_path / "a.edf", [("ECG", "mV", ramp(1, 4))],
        kind="EDF+C", tals=tals, start=start, recording=recording,
    )  # fmt: skip
    assert (look(path).streams[0].t0, look(path).streams[0].dated) == (t0, dated)


def test_triggers_of_a_status_channel_are_marks_and_no_signal(tmp_path):
    status = np.full((3, 8), 0x10_0000)
    status[0, 5:7], status[2, 0], status[2, 4:] = 0x10_0007, 0x10_0107, -0x70_0000 + 9
    path = edf(tmp_path / "a.bdf", [("A1", "uV", ramp(3, 8)), ("Status", "", status)], wide=True)
    found = look(path)
    assert [(m.text, m.start - 1709352306) for m in found.marks] == [
        ("7", 0.625), ("263", 2.0), ("9", 2.5)
    ]  # fmt: skip
    assert [one.name for stream in found.streams for one in stream.channels] == ["A1"]


def test_labels_and_units_that_are_no_ascii_are_read(tmp_path):
    path = edf(tmp_path / "a.edf", [("EEG Fp1", "µV", ramp(1, 4)), ("Größe", "", ramp(1, 4))])
    eeg, other = look(path).streams
    assert eeg.channels[0].unit == "µV" and other.channels[0].name == "Größe"


@pytest.mark.parametrize(("onsets", "says"), [((0, 0.5), "overlap"), ((0, 9e5), "a clock slipped")])
def test_records_that_cannot_be_placed_are_refused_in_one_line(tmp_path, onsets, says):
    tals = [f"+{onset}\x14\x14\0".encode() for onset in onsets]
    path = edf(tmp_path / "a.edf", [("ECG", "mV", ramp(2, 4))], kind="EDF+D", tals=tals)
    with pytest.raises(RecordingError, match=says) as error:
        look(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["short_psg.edf", "discontinuous_made.edf"])
@UNHURRIED
@example(keep=300, flips=[])
@given(
    keep=st.integers(0, 30_000),
    flips=st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(shared, tmp_path, name, keep, flips):
    content = bytearray((shared / "data/examples/edf" / name).read_bytes()[:keep])
    for at, value in flips:
        if at < len(content):
            content[at] = value
    path = tmp_path / "a.edf"
    path.write_bytes(content)
    try:
        found = look(path)
        for stream in found.streams:
            if stream.samples < 1e7:
                assert stream.read().shape == (len(stream.channels), stream.samples)
    except RecordingError as error:
        assert "\n" not in str(error)


def test_a_night_is_read_in_little_more_than_its_own_size(tmp_path):
    minutes = 20
    data = np.zeros((minutes * 60, 256), np.int16)
    path = edf(tmp_path / "a.edf", [(f"EEG C{k + 1}", "uV", data[:1]) for k in range(6)])
    header = path.read_bytes()[: 256 * 7]
    path.write_bytes(header[:236] + field(len(data), 8) + header[244:] + bytes(2 * 6 * data.size))
    stream = look(path).streams[0]
    tracemalloc.start()
    samples = stream.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples.shape == (6, data.size) and peak < 1.5 * samples.nbytes
