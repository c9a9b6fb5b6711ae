"""``bioxedge convert``: EDF+ and BrainFlow's rows, read back by those who read such files."""

from __future__ import annotations

import datetime
import re
import stat
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioxedge import recording
from bioxedge.cli import main
from bioxedge.errors import RecordingError
from bioxedge.exportfiles.edf import LOWEST, write_edf
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.sources.replay import ReplaySource
from bioxedge.signals import Channel, Recording

edfio = pytest.importorskip("edfio", reason="EDF comes with pip install 'bioxedge[data]'")

T0 = 1760000000.25
UNITS = {"ppg_2": "a.u.", "II": "mV"}


def made(samples, rate=64.0, names=("ppg_2",), *, t0=T0, person="anna", **facts):
    samples = np.atleast_2d(np.asarray(samples, float))
    channels = tuple(Channel(name, UNITS.get(name, "uV")) for name in names)
    return Recording(samples, rate, channels, "ppg", person, t0, facts)


def waves(seconds=20.5, rate=64.0, channels=2):
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(channels, round(seconds * rate))) * [[1200.0], [0.8]][:channels]
    samples[:, 100:164] = np.nan
    samples[0, 300:310] = np.nan
    return samples


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


def values_of(edf):
    """What a reader makes of a file that was told how we write what is missing."""
    found = []
    for signal in edf.signals:
        values = signal.data.copy()
        values[signal.digital == LOWEST] = np.nan
        found.append(values)
    return np.array(found)


# -- EDF+ -------------------------------------------------------------------------------------


def test_edf_gives_back_values_gaps_marks_and_time(tmp_path):
    samples = waves()
    marks = [{"text": "Licht aus", "index": 640, "unix": 0.0}]
    steps = [{"index": 900, "seconds": -3.5}]
    one = made(
        samples, names=("ppg_2", "II"), marks=marks, clock_steps=steps, real_rate=64.05,
        sensor="muse_2/ancillary",
    )  # fmt: skip
    done = write_edf(one, tmp_path / "a.edf")
    edf = edfio.read_edf(tmp_path / "a.edf")
    assert edf.is_continuous if hasattr(edf, "is_continuous") else edf.reserved == "EDF+C"
    assert [signal.label for signal in edf.signals] == ["ppg_2", "II"]
    assert [signal.physical_dimension for signal in edf.signals] == ["a.u.", "mV"]
    assert all(signal.sampling_frequency == 64 for signal in edf.signals)
    found = values_of(edf)[:, : samples.shape[1]]
    steps = [(s.physical_max - s.physical_min) / 65535 for s in edf.signals]
    assert (np.isnan(found) == np.isnan(samples)).all()
    assert (np.nanmax(np.abs(found - samples), axis=1) <= np.array(steps) * 0.51).all()
    assert np.array(steps).max() < 0.2 and done.missing == 74
    began = datetime.datetime.combine(edf.startdate, edf.starttime)
    assert began == datetime.datetime(2025, 10, 9, 8, 53, 20, 250000)
    notes = {(note.onset, note.duration, note.text) for note in edf.annotations}
    assert notes == {
        (0.0, None, "real rate 64.05 Hz, nominal 64 Hz"),
        (10.0, None, "Licht aus"),
        (900 / 64, None, "the host's clock was set by -3.500 s"),
        (100 / 64, 1.0, "missing: 64 samples"),
        (300 / 64, 10 / 64, "missing in ppg_2: 10 samples"),
        (20.5, 0.5, "end: the last record is filled up"),
    }
    assert stat.S_IMODE((tmp_path / "a.edf").stat().st_mode) == 0o600


def test_edf_says_of_the_person_no_more_than_the_code(tmp_path):
    write_edf(made(waves(channels=1), person="P 07"), tmp_path / "a.edf")
    edf = edfio.read_edf(tmp_path / "a.edf")
    who = edf.patient
    assert (who.code, who.sex, who.name) == ("P_07", "X", "X")
    assert b"01-JAN" not in (tmp_path / "a.edf").read_bytes()[8:88]
    write_edf(made(waves(channels=1), person=""), tmp_path / "b.edf")
    assert edfio.read_edf(tmp_path / "b.edf").patient.code == "X"


def test_another_reader_reads_it(tmp_path):
    mne = pytest.importorskip("mne", reason="another reader: pip install mne")
    samples = np.random.default_rng(0).normal(size=(1, 2560)) * 40
    samples[0, 700:764] = np.nan
    one = made(samples, 256.0, ("Fz",), marks=[{"text": "eyes closed", "index": 512}])
    write_edf(one, tmp_path / "a.edf")
    raw = mne.io.read_raw_edf(tmp_path / "a.edf", preload=True, verbose="error")
    assert raw.info["sfreq"] == 256 and raw.ch_names == ["Fz"]
    there = np.isfinite(samples[0])
    assert np.abs(raw.get_data()[0] * 1e6 - samples[0])[there].max() < 0.01
    assert "eyes closed" in list(raw.annotations.description)
    assert raw.info["meas_date"].timestamp() == pytest.approx(T0, abs=1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(-1e6, 1e6), st.floats(-1e-7, 1e-7), st.just(np.nan), st.just(np.inf)),
        min_size=1,
        max_size=70,
    ),
    st.sampled_from(["V", "mV", "uV", "a.u.", "µS"]),
)
def test_edf_holds_any_values_to_half_a_step(tmp_path_factory, values, unit):
    folder = tmp_path_factory.mktemp("edf")
    one = Recording(np.array([values]), 32.0, (Channel("x", unit),), "x", "anna", T0)
    write_edf(one, folder / "a.edf")
    (signal,) = edfio.read_edf(folder / "a.edf").signals
    gain = {("V", "uV"): 1e6, ("mV", "uV"): 1e3}.get((unit, signal.physical_dimension), 1.0)
    found, given = values_of(edfio.read_edf(folder / "a.edf"))[0][: len(values)], np.array(values)
    there = np.isfinite(given)
    assert (np.isfinite(found) == there).all()
    step = (signal.physical_max - signal.physical_min) / 65535
    assert np.abs(found - given * gain)[there].max(initial=0.0) <= 0.51 * step + 1e-12


@pytest.mark.parametrize(
    ("rate", "record", "count"),
    [(64.0, 1.0, 64), (12.5, 2.0, 25), (1 / 3, 3.0, 1), (33.3, 10.0, 333)],
)
def test_a_record_holds_whole_samples(tmp_path, rate, record, count):
    write_edf(made(np.arange(50.0), rate), tmp_path / "a.edf")
    edf = edfio.read_edf(tmp_path / "a.edf")
    assert edf.data_record_duration == record and edf.signals[0].samples_per_data_record == count
    assert edf.signals[0].sampling_frequency == pytest.approx(rate)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (lambda: made(np.zeros(10), t0=0.0), "dates from 1985 to 2084"),
        (lambda: made(np.zeros(10), t0=float("nan")), "dates from 1985 to 2084"),
        (lambda: made(np.zeros(10), np.pi), "resample it"),
        (lambda: made([0.0, 1e9]), "header holds up to 9999999"),
    ],
)
def test_what_edf_cannot_hold_is_one_line(tmp_path, one, says):
    with pytest.raises(RecordingError, match=says) as caught:
        write_edf(one(), tmp_path / "a.edf")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


# -- the verb ------------------------------------------------------------------------------------


def session(folder, samples, *, names, rate, sensor=None):
    """Record two streams as bioxedge record does, on a clock that costs no time."""
    for role in ("source", "target"):
        inner = ReplaySource(made(samples, rate, names), speed=np.inf)
        inner.sensor = sensor
        one = Recorded(inner, folder, role=role, person="anna", clock=SimulatedClock())
        with one:
            while one.read() is not None:
                pass
    return folder


def test_a_session_becomes_a_file_a_stream(call, tmp_path):
    session(tmp_path / "s", waves(), names=("ppg_2", "II"), rate=64.0)
    code, said, error = call("convert", tmp_path / "s", "--to", "edf", "--out", tmp_path / "x.edf")
    assert (code, error, said.count("\n")) == (0, "", 2)
    for role in ("source", "target"):
        edf = edfio.read_edf(tmp_path / f"x-{role}.edf")
        assert edf.patient.code == "anna" and len(edf.signals) == 2
    code, _, error = call("convert", tmp_path / "s", "--to", "edf", "--out", tmp_path / "x.edf")
    assert code == 2 and "is there already" in error
    code, said, _ = call(
        "convert", tmp_path / "s", "--to", "edf", "--out", tmp_path / "one.edf",
        "--stream", "target", "--channels", "II",
    )  # fmt: skip
    assert code == 0 and "II in steps of" in said
    assert [one.label for one in edfio.read_edf(tmp_path / "one.edf").signals] == ["II"]


def test_brainflow_rows_play_the_same_samples(call, tmp_path):
    pytest.importorskip("brainflow", reason="boards come with pip install 'bioxedge[brainflow]'")
    from bioxedge.runtime.sources import boards

    samples = waves(5.0, channels=1)
    session(tmp_path / "s", samples, names=("ppg_2",), rate=64.0, sensor="muse_2/ancillary")
    rows = tmp_path / "rows.tsv"
    code, said, error = call(
        "convert", tmp_path / "s" / "source", "--to", "brainflow", "--out", rows
    )
    assert (code, error) == (0, "") and "246 rows of muse_2/ancillary" in said
    assert stat.S_IMODE(rows.stat().st_mode) == 0o600
    # What BrainFlow itself makes of the file.
    shim, layout = boards.library(), boards.layout("muse_2", "ancillary")
    params = shim.BrainFlowInputParams()
    params.master_board, params.file_anc = layout.board_id, str(rows)
    board = shim.BoardShim(-3, params)
    board.prepare_session()
    try:
        board.config_board("old_timestamps")
        board.start_stream(1000)
        parts, got = [], 0
        import time

        began = time.monotonic()
        while got < 246 and time.monotonic() - began < 30:
            parts.append(board.get_board_data(preset=layout.preset_id))
            got += parts[-1].shape[1]
            time.sleep(0.01)
    finally:
        board.stop_stream()
        board.release_session()
    table = np.concatenate(parts, axis=1)
    there = np.isfinite(samples[0])
    assert table[layout.channels["ppg_2"]].tobytes() == samples[0][there].tobytes()
    assert (table[layout.counter] == np.flatnonzero(there) % 256).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--to", "edf"], "nowhere holds no recording"),
        (["s", "--to", "edf", "--stream", "chest"], r"no stream 'chest': it has source, target"),
        (["s/source", "--to", "edf", "--channels", "x"], "no channel x: it has ppg_2, II"),
        (["s/source", "--to", "brainflow"], "--board muse_2/ancillary"),
        (["s/source", "--to", "brainflow", "--board", "cyton"], "no channel ppg_2"),
        (["s", "--to", "edf", "--board", "cyton"], "--board means nothing to edf"),
        (["s", "--to", "csv"], "edf.*brainflow"),
    ],
)
def test_a_mistake_is_one_line(call, tmp_path, monkeypatch, arguments, says):
    session(tmp_path / "s", waves(), names=("ppg_2", "II"), rate=64.0)
    monkeypatch.chdir(tmp_path)
    code, said, error = call("convert", *arguments, "--out", "x")
    assert (code, said) == (2, "") and error.count("\n") == 1 and re.search(says, error), error
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    code, _, error = call("convert", "s", "--to", "edf", "--out", "no/folder/x.edf")
    assert code == 2 and "its folder is not there" in error


def test_what_save_wrote_is_converted_too(call, tmp_path):
    recording.save(made(waves(), names=("ppg_2", "II")), tmp_path / "old" / "source")
    assert call("convert", tmp_path / "old", "--to", "edf", "--out", tmp_path / "x.edf")[0] == 0
    assert len(edfio.read_edf(tmp_path / "x.edf").signals) == 2
