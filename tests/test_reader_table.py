"""CSV and TSV with a header: times, units, decimal commas, texts as marks, and what is wrong."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioxedge import readers
from bioxedge.errors import RecordingError
from bioxedge.readers import text_rows
from bioxedge.readers.text_rows import Column

UNHURRIED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def table(folder, text, name="a.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def rows(count, form, rate=100.0):
    return "".join(form.format(t=k / rate, k=k) + "\n" for k in range(count))


def test_the_real_tables_of_bidmc_give_their_signals(shared):
    found = readers.find(shared / "data/bidmc/bidmc_02_Signals.csv.gz")
    streams = {one.name: one for one in found.streams}
    assert {name: one.rate for name, one in streams.items()} == {
        "ecg": 125.0, "ppg": 125.0, "respiration": 125.0,
    }  # fmt: skip
    assert [one.name for one in streams["ecg"].channels] == ["II", "V", "AVR"]
    with gzip.open(shared / "data/bidmc/bidmc_02_Signals.csv.gz", "rt") as file:
        lines = file.read().splitlines()
    header = [field.strip() for field in lines[0].split(",")]
    at = header.index("PLETH")
    wanted = [float(line.split(",")[at]) for line in lines[1:]]
    assert streams["ppg"].read()[0].tolist() == wanted and streams["ppg"].samples == len(wanted)


def test_units_stand_in_headers_and_the_caller_may_state_them(tmp_path):
    path = table(tmp_path, "time,ecg [mV],EDA (uS),ppg\n" + rows(50, "{t},{k},1,2"))
    found = readers.find(path, units={"ppg": "nA"})
    units = {one.channels[0].name: one.channels[0].unit for one in found.streams}
    assert sorted(units.values()) == ["mV", "nA", "uS"]
    assert {one.modality for one in found.streams} == {"ecg", "eda", "ppg"}


@pytest.mark.parametrize(
    ("header", "form", "t0", "dated"),
    [
        ("time", "{t}", 0.0, False),
        ("time_ms", "{ms}", 0.0, False),
        ("Time [ms]", "{ms}", 0.0, False),
        ("timestamp", "17000000{t:05.2f}", 1.7e9, True),
        ("timestamp", "17000000{ms:05d}", 1.7e9, True),
        ("timestamp (ms)", "17000000{ms:05d}", 1.7e9, True),
        ("timestamp [ns]", "17000000{ms:05d}000000", 1.7e9, True),
        ("uptime", None, None, None),
        ("time_ms", "{up}", 172800.0, False),
        ("datetime", "2023-11-14T22:13:{t:05.2f}Z", 1699999980.0, True),
        ("datetime", "2023/11/14 22:13:{t:05.2f}", 1699999980.0, True),
        ("datetime", "2023-11-14T23:13:{t:05.2f}+01:00", 1699999980.0, True),
    ],
)
def test_times_come_in_every_usual_form(tmp_path, header, form, t0, dated):
    if form is None:
        path = table(tmp_path, f"{header},ecg\n" + rows(40, "{t},1"))
        with pytest.raises(RecordingError, match=r"no column of times .*--rate"):
            readers.find(path)
        return
    stamps = [form.format(t=k / 100, ms=10 * k, up=172800000 + 10 * k) for k in range(40)]
    path = table(
        tmp_path, f"{header},ecg\n" + "".join(f"{one},{k}\n" for k, one in enumerate(stamps))
    )
    (stream,) = readers.find(path).streams
    assert (stream.rate, stream.dated) == (100.0, dated)
    assert stream.t0 == pytest.approx(t0, abs=1e-6)
    assert stream.read()[0].tolist() == list(range(40))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_are_read_where_nothing_else_can_be_meant(tmp_path, delimiter):
    text = f"time{delimiter}ecg [mV]\n" + "".join(
        f"{k / 100:.2f}{delimiter}{k / 8:.3f}\n".replace(".", ",") for k in range(40)
    )
    found = readers.find(table(tmp_path, text))
    assert found.streams[0].rate == 100 and any("comma" in one for one in found.remarks)
    assert found.streams[0].read()[0].tolist() == [k / 8 for k in range(40)]


def test_rows_that_are_missing_and_fields_that_are_empty_are_nan(tmp_path):
    lines = [f"{k / 100},{k if k != 7 else ''},{k}" for k in range(100) if not 20 <= k < 53]
    found = readers.find(table(tmp_path, "time,ecg,ppg\n" + "\n".join(lines) + "\n"))
    ecg, ppg = (one.read()[0] for one in found.streams)
    assert np.flatnonzero(np.isnan(ecg)).tolist() == [7, *range(20, 53)]
    assert np.flatnonzero(np.isnan(ppg)).tolist() == [*range(20, 53)]
    assert "33 rows are missing, by the times of the others" in found.remarks


def test_a_column_of_texts_is_marks_where_it_changes(tmp_path):
    phases = ["rest"] * 30 + ["", ""] + ["stress, mental"] * 28
    lines = [f'{k / 100},{k},"{one}"' for k, one in enumerate(phases)]
    found = readers.find(table(tmp_path, 'time,ecg,"phase"\n' + "\n".join(lines)))
    assert [(m.text, round(m.start, 6), round(m.seconds, 6)) for m in found.marks] == [
        ("rest", 0.0, 0.3), ("stress, mental", 0.32, 0.28),
    ]  # fmt: skip


def test_a_text_between_numbers_is_missing_and_named(tmp_path):
    lines = [f"{k / 100},{'#ERR' if k == 5 else 'inf' if k == 6 else k}" for k in range(50)]
    found = readers.find(table(tmp_path, "time,ecg\n" + "\n".join(lines)))
    assert np.flatnonzero(np.isnan(found.streams[0].read()[0])).tolist() == [5, 6]
    assert not found.marks and any("'#ERR'" in one for one in found.remarks)


def test_what_a_file_does_not_say_may_be_told_and_what_it_says_stands(tmp_path):
    path = table(tmp_path, "time,X1,X2,PPG\n" + "".join(f"{k / 100},1,{k},3\n" for k in range(99)))
    silent = readers.find(path)
    assert {stream.modality for stream in silent.streams} == {"", "ppg"}
    (said,) = silent.remarks
    assert "of what kind X1, X2 is: give --modality" in said
    found = readers.find(path, modality="emg")
    assert {stream.name: stream.modality for stream in found.streams} == {
        "emg": "emg",
        "ppg": "ppg",
    }
    assert not found.remarks
    (stands,) = readers.find(
        table(tmp_path, "time,PPG\n0,1\n1,2\n2,3\n", "b.csv"), modality="emg"
    ).remarks
    assert "ppg" in stands and "none is taken for emg" in stands


def test_columns_of_one_name_stay_apart(tmp_path):
    found = readers.find(table(tmp_path, "time,ecg,ecg\n" + rows(40, "{t},1,2")))
    assert [one.name for one in found.streams[0].channels] == ["ecg", "ecg_2"]
    assert found.streams[0].read()[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("times", ["08.05.2026", "10:00:00", "2026-05-08"])
def test_times_that_lay_nothing_out_give_way_to_a_rate_that_was_told(tmp_path, times):
    text = "date,ppg\n" + "".join(f"{times},{k}\n" for k in range(50))
    with pytest.raises(RecordingError, match="--rate"):
        readers.find(table(tmp_path, text))
    found = readers.find(table(tmp_path, text), rate=64.0)
    (ppg,) = found.streams
    assert (ppg.rate, ppg.samples, ppg.dated) == (64.0, 50, False)
    assert "at the rate that was told" in " ".join(found.remarks)


def test_milliseconds_that_nobody_named_are_asked_about(tmp_path):
    text = "timestamp,ppg\n" + "".join(f"{k * 16},{k}\n" for k in range(100))
    (said,) = readers.find(table(tmp_path, text)).remarks
    assert "taken as seconds" in said and "time_ms" in said


def test_without_times_the_rate_that_was_told_counts(tmp_path):
    (stream,) = readers.find(table(tmp_path, "ecg\n" + rows(40, "{k}")), rate=125.0).streams
    assert (stream.rate, stream.samples, stream.dated) == (125.0, 40, False)


LONG = "1.5," * 600_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,ecg\n" + rows(40, "0,004,1,5"), "commas stand for decimals and between fields"),
        ("time;ecg\n" + rows(40, "{t};1,5"), "decimal commas and decimal points"),
        ("ecg," + LONG, "no rows below a header"),
        (rows(40, "{t},{k}"), "begins with '0.0': write the columns' names above"),
        ("", "no rows below a header"),
        ("time,ecg\n" + LONG + "\n", "characters"),
        ("time,ecg\n" + rows(200, "{t},1") + '"' + LONG, "cannot be read as rows|fields"),
        ("time,ecg\n" + rows(40, "{t},1") + "0.3,1\n0.4,1\n", "go back by .* at row 42"),
        ("time,ecg\n" + rows(40, "{t},1") + "5,1,3\n6,1\n", "row 42 has 3 fields"),
        ("time,ecg\nmorning,1\nevening,2\nnight,3\n", "holds what is no time"),
        ("time,ecg\n0,\n1,\n2,\n", "no column of numbers"),
        ("time,ecg\n0,1\n", "do not go on: give its rate"),
        ("time,ecg\n0,1\n0,2\n0,3\n0,4\n", "do not go on"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(tmp_path, text, said):
    with pytest.raises(RecordingError, match=said) as caught:
        readers.find(table(tmp_path, text))
    line = str(caught.value)
    assert "\n" not in line and len(line) - len(str(tmp_path)) < 300


@settings(max_examples=60, deadline=None)
@given(blocks=st.lists(st.lists(st.text(max_size=8) | st.just("x" * 80), max_size=4), max_size=4))
def test_a_column_is_the_fields_that_were_put_into_it(blocks):
    blocks = [[field.rstrip("\0") for field in block] for block in blocks]  # no file has them
    plain = [field for block in blocks for field in block]
    column = Column(blocks)
    assert list(column) == plain and len(column) == len(plain) and column[1:3] == plain[1:3]
    assert [column[k] for k in range(-len(plain), len(plain))] == plain * 2
    with pytest.raises(IndexError):
        column[len(plain)]


@pytest.mark.parametrize("rows", [9, 10, 11, 20])
def test_a_file_of_many_blocks_is_read_as_one(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(text_rows, "_BLOCK", 10)
    path = tmp_path / "a.csv"
    path.write_text("time,a,b\n" + "".join(f"{k / 10},{k},\n" for k in range(rows)) + "9")
    stream = readers.find(path).streams[0]
    assert stream.read()[0].tolist() == list(range(rows))
    path.write_text("time,a\n" + "".join(f"{k / 10},{k}\n" for k in range(rows)) + "9\n9,9\n")
    with pytest.raises(RecordingError, match=f"row {rows + 2} has 1 fields, the header has 2"):
        readers.find(path)


def test_a_last_row_that_was_cut_off_is_left_out(tmp_path):
    (stream,) = readers.find(table(tmp_path, "time,ecg\n" + rows(40, "{t},{k}") + "0.4")).streams
    assert stream.samples == 40


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(rows(40, "{t},{k}").encode())[:-9])
    with pytest.raises(RecordingError, match="cannot be read"):
        readers.find(path)
    path.write_bytes(gzip.compress(b"time,ecg\n" + bytes(100)))
    with pytest.raises(RecordingError, match="is no text"):
        readers.find(path)
    with pytest.raises(RecordingError, match="no format that is known"):
        readers.find(table(tmp_path, "\x00\x01\x02", "b.csv"))
    with pytest.raises(RecordingError, match="rate of nan Hz"):
        readers.find(table(tmp_path, "ecg\n1\n2\n"), rate=float("nan"))


@UNHURRIED
@given(st.data())
def test_a_damaged_table_is_read_or_refused_and_nothing_else(tmp_path, data):
    whole = ('time;ecg [mV];"phase"\n' + rows(60, '{t};{k};"rest"')).encode()
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 6))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.csv"
    path.write_bytes(bytes(content))
    try:
        found = readers.find(path)
    except RecordingError as error:
        assert "\n" not in str(error) and len(str(error)) - len(str(tmp_path)) < 300
    else:
        for stream in found.streams:
            assert stream.read().shape == (len(stream.channels), stream.samples)
