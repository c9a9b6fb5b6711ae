"""WFDB records: formats, segments, frames, annotations, and what is wrong with them."""

from __future__ import annotations

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError

pytest.importorskip("wfdb")
from bioxedge.readers.wfdb import look

UNHURRIED = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def packed(samples: list[int], form: str) -> bytes:
    """Write samples as https://physionet.org/physiotools/wag/signal-5.htm says."""
    if form == "212":
        content = b""
        for one, other in zip(samples[::2], [*samples[1::2], 0], strict=False):
            content += bytes([one & 255, (one >> 8 & 15) | (other >> 4 & 240), other & 255])
        return content
    if form == "80":
        return bytes(one + 128 for one in samples)
    size = {"16": 2, "24": 3, "32": 4}[form]
    return b"".join(one.to_bytes(size, "little", signed=True) for one in samples)


def record(folder: Path, name: str, lines: list[str], head: str = "", **files: bytes) -> Path:
    """Write a header, after its first line's tail, and the files beside it."""
    path = folder / f"{name}.hea"
    path.write_text("\n".join([f"{name} {head}", *lines, ""]))
    for each, content in files.items():
        (folder / f"{each}.dat").write_bytes(content)
    return path


def annotations(events: list[tuple[int, int, str]]) -> bytes:
    """Write annotations given as steps in samples, codes and texts."""
    content = b""
    for step, code, text in events:
        if step > 1023:
            content += struct.pack("<H", 59 << 10) + struct.pack("<HH", step >> 16, step & 65535)
            step = 0
        content += struct.pack("<H", code << 10 | step)
        if text:
            note = text.encode()
            content += struct.pack("<H", 63 << 10 | len(note)) + note + b"\0" * (len(note) % 2)
    return content + b"\0\0"


@pytest.mark.parametrize(
    ("name", "stream", "channel", "unit", "values"),
    [
        ("a103l", "ecg", "II", "mV", {0: -171 / 7247, 1: -268 / 7247, 82499: -339 / 7247}),
        ("a103l", "ecg", "V", "mV", {0: 9127 / 10520, 41250: 6331 / 10520}),
        ("a103l", "ppg", "PLETH", "a.u.", {0: 6042 / 12530, 82499: 6301 / 12530}),
        ("a171l", "ecg", "II", "mV", {0: -288 / 7427, 34841: np.nan, 82499: 44 / 7427}),
        ("a171l", "pressure", "ABP", "mmHg", {1: 2098 / 38.7, 82499: 4426 / 38.7}),
    ],
)
def test_real_records_give_the_values_and_units_that_their_bytes_hold(
    shared, name, stream, channel, unit, values
):
    found = readers.find(shared / f"data/challenge2015/{name}.hea")
    one = {each.name: each for each in found.streams}[stream]
    row = one.read()[[each.name for each in one.channels].index(channel)]
    assert {each.name: each.unit for each in one.channels}[channel] == unit
    assert (one.rate, one.samples, one.dated) == (250.0, 82500, False)
    for at, value in values.items():
        assert row[at] == pytest.approx(value, rel=1e-12, nan_ok=True)
    assert "False alarm" in [mark.text for mark in found.marks]
    assert found.marks[0].seconds == 330.0


def test_all_real_records_add_up_to_the_sums_that_their_headers_state(shared):
    checked = 0
    for path in sorted((shared / "data/challenge2015").glob("*.hea"))[::4]:
        rows = {c.name: row for s in look(path).streams
                for c, row in zip(s.channels, s.read(), strict=True)}  # fmt: skip
        for line in path.read_text().splitlines():
            stated = re.match(r"\S+\.mat 16\+24 ([\d.e+]+)/\S+ 16 0 -?\d+ (-?\d+) 0 (\S+)", line)
            if stated:
                row = rows[stated[3]] * float(stated[1])
                digital = np.where(np.isnan(row), -32768, np.round(row)).astype(np.int64)
                assert (int(digital.sum()) - int(stated[2])) % 65536 == 0
                checked += 1
    assert checked > 50


@UNHURRIED
@given(
    form=st.sampled_from(["212", "16", "24", "80", "32"]),
    frames=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3),
    length=st.integers(1, 40),
    seed=st.integers(0, 999),
)
def test_every_format_gives_what_was_written_at_each_signals_rate(
    tmp_path, form, frames, length, seed
):
    rng = np.random.default_rng(seed)
    data = [rng.integers(-120, 120, (length, one)) for one in frames]
    content = packed(np.concatenate(data, axis=1).ravel().tolist(), form)
    lines = [f"a.dat {form}x{one} {50 * (k + 1)}({k})/mV 12 0 0 0 0 ECG{k}" for k, one in
             enumerate(frames)]  # fmt: skip
    path = record(tmp_path, "a", lines, f"{len(frames)} 125 {length}", a=content)
    seen = 0
    for stream in look(path).streams:
        for channel, row in zip(stream.channels, stream.read(), strict=True):
            k = int(channel.name[-1])
            assert stream.rate == 125 * frames[k]
            np.testing.assert_allclose(row, (data[k].ravel() - k) / (50 * (k + 1)), atol=1e-12)
            seen += 1
    assert seen == len(frames)


def test_segments_have_their_own_gains_units_and_signals_and_gaps_between(tmp_path):
    one, two = [100, -50, 200, -100], [3, 6, 9]
    record(tmp_path, "s1", ["s1.dat 16 100/mV 16 0 0 0 0 II", "s1.dat 16 10/mmHg 16 0 0 0 0 ABP"],
           "2 10 2", s1=packed(one, "16"))  # fmt: skip
    record(tmp_path, "s2", ["s2.dat 212 3/uV 12 0 0 0 0 II"], "1 10 3", s2=packed(two, "212"))
    record(tmp_path, "lay", ["~ 0 100/mV 16 0 0 0 0 II", "~ 0 10/mmHg 16 0 0 0 0 ABP"], "2 10 0")
    path = record(tmp_path, "m", ["lay 0", "s1 2", "~ 4", "s2 3"], "/4 2 10 9 10:00:00 02/03/2024")
    path.write_text(path.read_text().replace("m /4", "m/4"))
    found = look(path)
    ecg, pressure = found.streams
    nan = [np.nan] * 4
    np.testing.assert_allclose(ecg.read()[0], [1, 2, *nan, 0.001, 0.002, 0.003])
    np.testing.assert_allclose(pressure.read()[0], [-5, -10, *nan, *[np.nan] * 3])
    assert ecg.t0 == 1709373600.0 and ecg.dated and any("UTC" in one for one in found.remarks)
    assert {file.name for file in found.files} == {
        "m.hea", "lay.hea", "s1.hea", "s2.hea", "s1.dat", "s2.dat"
    }  # fmt: skip


def test_a_segment_that_is_not_there_is_missing_and_said(tmp_path):
    record(tmp_path, "s1", ["s1.dat 16 1/mV 16 0 0 0 0 II"], "1 10 2", s1=packed([5, 6], "16"))
    path = record(tmp_path, "m", ["s1 2", "s2 3"], "1 10 5")
    path.write_text(path.read_text().replace("m 1", "m/2 1"))
    found = look(path)
    np.testing.assert_array_equal(found.streams[0].read()[0], [5, 6, *[np.nan] * 3])
    assert any("s2" in one for one in found.remarks)


def test_a_file_that_was_cut_off_gives_what_is_there_and_says_so(tmp_path):
    path = record(
        tmp_path, "a", ["a.dat 16+4 10/mV 16 0 0 0 0 II", "a.dat 16+4 10/mV 16 0 0 0 0 V"],
        "2 100 50", a=b"head" + packed(list(range(20)), "16") + b"\1",
    )  # fmt: skip
    found = look(path)
    assert found.streams[0].read().tolist() == [
        [k / 10 for k in range(0, 20, 2)], [k / 10 for k in range(1, 20, 2)]
    ]  # fmt: skip
    assert any("cut off" in one for one in found.remarks)


def test_a_header_without_a_length_is_as_long_as_its_file(tmp_path):
    path = record(tmp_path, "a", ["a.dat 16 10/mV"], "1 100", a=packed([1, 2, 3], "16"))
    assert look(path).streams[0].samples == 3


def test_annotations_are_marks_and_beats_are_counted(tmp_path):
    path = record(tmp_path, "a", ["a.dat 16 10/mV"], "1 100 5000", a=bytes(10000))
    (tmp_path / "a.atr").write_bytes(
        annotations([(100, 28, "(AFIB"), (50, 1, ""), (3000, 14, ""), (10, 22, "moved")])
    )
    (tmp_path / "a.pdf").write_bytes(b"%PDF a report\0\0")
    (tmp_path / "a.odd").write_bytes(bytes(range(1, 200)))
    found = look(path)
    assert [(mark.text, mark.start) for mark in found.marks] == [
        ("(AFIB", 1.0), ("~", 31.5), ("moved", 31.6)
    ]  # fmt: skip
    assert any("1 beats" in one for one in found.remarks)
    assert any("a.odd" in one for one in found.remarks)
    assert tmp_path / "a.atr" in found.files and tmp_path / "a.odd" not in found.files


def test_comments_are_marks_of_the_whole_but_no_names(tmp_path):
    lines = ["a.dat 16 10/mV", "# Name: Jane Doe", "# sinus rhythm", f"# {'long ' * 20}"]
    found = look(record(tmp_path, "a", lines, "1 100 5", a=bytes(10)))
    assert [(mark.text, mark.seconds) for mark in found.marks] == [("sinus rhythm", 0.05)]
    assert any("patient" in one for one in found.remarks)


def test_signals_of_one_name_stay_two(tmp_path):
    lines = ["a.dat 16 1/mV 16 0 0 0 0 ECG", "a.dat 16 1/mV 16 0 0 0 0 ECG"]
    path = record(tmp_path, "a", lines, "2 100 2", a=packed([1, 2, 3, 4], "16"))
    stream = look(path).streams[0]
    assert [one.name for one in stream.channels] == ["ECG", "ECG_2"]
    assert stream.read().tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("1 100 3", "../b.dat 16 10/mV"),
        ("1 100 3", "b.dat 16 10/mV"),
        ("1 100 3", "a.dat 17 10/mV"),
        ("1 0 3", "a.dat 16 10/mV"),
        ("0 100 3", ""),
        ("1 100 999999999999", "~ 0 10/mV"),
        ("", ""),
    ],
)
def test_records_that_cannot_be_are_refused_in_one_line(tmp_path, head, line):
    (tmp_path / "in").mkdir()
    (tmp_path / "b.dat").write_bytes(bytes(6))
    path = record(tmp_path / "in", "a", [line], head, a=bytes(6))
    with pytest.raises(RecordingError) as error:
        readers.find(path)
    assert "\n" not in str(error.value)


@UNHURRIED
@given(
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 180), st.sampled_from(b"0123456789 /-+x~.\n#aR\xff")),
                   max_size=5),
)  # fmt: skip
def test_a_damaged_header_is_read_or_refused_and_nothing_else(shared, tmp_path, cut, flips):
    source = shared / "data/challenge2015/a103l.hea"
    content = bytearray(source.read_bytes())
    for at, value in flips:
        if at < len(content):
            content[at] = value
    (tmp_path / "a103l.hea").write_bytes(content[: len(content) - cut // 4])
    (tmp_path / "a103l.mat").write_bytes(source.with_suffix(".mat").read_bytes()[: 24 + 60 * cut])
    try:
        for stream in look(tmp_path / "a103l.hea").streams:
            assert stream.read().shape == (len(stream.channels), stream.samples)
    except RecordingError as error:
        assert "\n" not in str(error)


def test_a_long_record_is_read_in_little_more_than_its_own_size(tmp_path):
    length = 3_000_000
    path = record(tmp_path, "a", ["a.dat 16 10/mV"] * 3, f"3 250 {length}", a=bytes(6 * length))
    (stream,) = look(path).streams
    tracemalloc.start()
    samples = stream.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples.shape == (3, length) and peak < 2 * samples.nbytes
