"""``bioxedge import`` at the command line, with real files: from EDF, WFDB and E4 to sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bioxedge import cli, recording
from bioxedge.datasets import folder as sessions_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", "import", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


def known(folder: Path, name: str) -> np.ndarray:
    labels = recording.load(folder / name / "labels")
    return labels.samples[labels.rows(("label",))[0]]


@pytest.mark.shared
def test_edf_by_person_and_file_name(call, shared, tmp_path):
    files = [
        shared / "data" / "eegmat" / f"Subject{k}_{n}.edf" for k in ("01", "13") for n in (1, 2)
    ]
    told = ("--person", r"(Subject\d+)", "--label", "*_1.edf=rest", "--label", "*_2.edf=arithmetic")
    code, out, _ = call(*files, *told, "--stream", "ecg,eeg", "--out", tmp_path)
    assert code == 0
    assert "ecg (ecg, 500 Hz): ECG [mV]" in out
    assert "arithmetic × 1" in out
    found = {one.name: one for one in sessions_of.sessions(tmp_path)}
    assert {name: one.person for name, one in found.items()} == {
        f"Subject{k}_{n}": f"Subject{k}" for k in ("01", "13") for n in (1, 2)
    }
    (mark,) = found["Subject01_2"].marks()
    assert (mark.text, mark.seconds) == ("arithmetic", 62.0)
    parts = {part.name: part for part in found["Subject01_1"].parts}
    assert parts["ecg"].rate == parts["eeg"].rate == 500.0
    assert parts["ecg"].seconds == 182.0
    assert {"Fp1", "Fp2", "Cz"} <= set(parts["eeg"].names)


@pytest.mark.shared
def test_wfdb_with_a_table_without_a_header(call, shared, tmp_path):
    pytest.importorskip("wfdb")
    place = shared / "data" / "challenge2015"
    told = ("--labels", place / "ALARMS", "--labels-columns", "file=1,label=3")
    code, out, _ = call(place / "a103l.hea", place / "v541l.hea", *told, "--out", tmp_path)
    assert code == 0
    assert "ALARMS: 68 of 70 rows fit no session" in out
    # The table: a103l,Asystole,0 and v541l,Ventricular_Tachycardia,1.
    assert set(known(tmp_path, "a103l")) == {0.0}
    assert set(known(tmp_path, "v541l")) == {1.0}
    ecg = recording.load(tmp_path / "a103l" / "ecg")
    assert (ecg.rate, ecg.samples.shape[1]) == (250.0, 82500)
    assert [(one.name, one.unit) for one in ecg.channels] == [("II", "mV"), ("V", "mV")]
    # The header: the first sample of II is -171 with 7247 steps a millivolt, baseline 0.
    assert ecg.samples[0, 0] == pytest.approx(-171 / 7247)
    ppg = recording.load(tmp_path / "a103l" / "ppg")
    assert [(one.name, one.unit) for one in ppg.channels] == [("PLETH", "a.u.")]


@pytest.mark.shared
def test_an_e4_with_a_row_a_second(call, shared, tmp_path):
    place = shared / "data" / "stress_predict"
    code, _, _ = call(place / "S02", "--labels", place / "labels.csv", "--out", tmp_path)
    assert code == 0
    (found,) = sessions_of.sessions(tmp_path)
    assert (found.name, found.person) == ("S02", "S02")
    assert {part.name for part in found.parts} == {"bvp", "eda", "temp", "acc", "labels"}
    rows = [line.split(",") for line in (place / "labels.csv").read_text().splitlines()[1:]]
    told = {int(row[3]): float(row[4]) for row in rows if row[0] == "2"}
    labels = recording.load(tmp_path / "S02" / "labels")
    for second, label in told.items():
        assert labels.samples[0, second - int(labels.t0)] == label
    assert np.isfinite(labels.samples[0]).sum() == len(told)
    assert [mark.text for mark in found.marks()].count("tag") >= 7


@pytest.mark.shared
def test_a_dry_run_says_all_and_writes_nothing(call, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(shared / "data" / "examples", "--json")
    assert code == 0
    assert "nothing was written" in err
    found = {one["name"]: one for one in json.loads(out)["sessions"]}
    gap = found["discontinuous_made"]
    (stream, *_) = gap["streams"].values()
    assert 0.05 < stream["missing"] < 0.2
    assert found["empatica_e4"]["streams"]["eda"]["channels"] == {"eda": "uS"}
    assert found["data_2017-01-27-16.21.42"]["marks"] == {"1": 51, "2": 45}
    assert call(shared / "data" / "examples", "--out", tmp_path / "out", "--dry-run")[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.shared
def test_again_does_nothing(call, shared, tmp_path):
    file = shared / "data" / "eegmat" / "Subject01_2.edf"
    assert "1 session written" in call(file, "--out", tmp_path)[1]
    out = call(file, "--out", tmp_path)[1]
    assert "0 sessions written" in out
    assert "1 session stood there already" in out


def test_text_of_a_file_is_shown_as_it_is(call, tmp_path):
    rows = "".join(f"{1_700_000_000 + k / 50:.2f},{k % 7},{'[bold]up[/]' if k == 9 else ''}\n"
                   for k in range(100))  # fmt: skip
    (tmp_path / "a [red].csv").write_text("timestamp,ppg [uV],Marker\n" + rows)
    code, out, _ = call(tmp_path / "a [red].csv")
    assert code == 0
    assert "ppg [uV]" in out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("nowhere.edf",), "nowhere.edf is not there"),
        (("here", "--label", "rest"), "KEY=VALUE"),
        (("here", "--labels", "none.csv"), "none.csv"),
        (("here", "--labels-columns", "x=1"), "--labels-columns"),
        (("here", "--rate", "0"), "--rate"),
        (("here",), "nothing that can be read"),
    ],
)
def test_every_mistake_is_one_line(call, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    code, _, err = call(*arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


def test_nothing_of_it_needs_torch(tmp_path):
    (tmp_path / "a.csv").write_text(
        "timestamp,ppg [uV]\n"
        + "".join(f"{1_700_000_000 + k / 50:.2f},{k % 7}\n" for k in range(99))
    )
    code = (
        "import sys; from bioxedge import importing as i; from pathlib import Path;"
        "f, _ = i.found_in([Path(sys.argv[1])], i.Told()); i.write(i.plan(f), Path(sys.argv[2]));"
        "assert not {'torch', 'sklearn', 'onnx'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.csv"), str(tmp_path / "out")]
    subprocess.run(command, check=True, cwd=ROOT)
    assert (tmp_path / "out" / "a" / "import.json").is_file()
