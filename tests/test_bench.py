"""``bioxedge bench``: figures of the real path, marks where they mislead, a choice for run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fixtures_bundle import _field, _node, _tensor, _value, make_bundle, pulse, with_bf16
from fixtures_signal import recorded
from test_machine import tool

from bioxedge import cli, recording
from bioxedge.bundle import Bundle
from bioxedge.measuring import results
from bioxedge.measuring.cells import cells
from bioxedge.measuring.choosing import fastest
from bioxedge.measuring.numbers import numbers
from bioxedge.measuring.openloop import Paced, split
from bioxedge.measuring.parts import inside, parts_of_nodes
from bioxedge.measuring.results import Report, load
from bioxedge.measuring.tasks import Proven
from bioxedge.runtime.prediction import Prediction, Quality

ROOT = Path(__file__).resolve().parent.parent
QUIET = ("--windows", "40", "--restarts", "1", "--threads", "1", "--hop", "0.02")


def command(*words):
    return [sys.executable, "-m", "bioxedge", *map(str, words)]


def environment(here, **more):
    return {**os.environ, "XDG_CACHE_HOME": str(here / "cache"), **more}


def call(here, *words, **more):
    return subprocess.run(
        command(*words), capture_output=True, text=True, cwd=here, env=environment(here, **more),
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a bundle ``b`` and a recording ``rec``."""
    folder = tmp_path_factory.mktemp("bench")
    make_bundle(folder / "b")
    recording.save(recorded(pulse(1, 64 * 8, 64.0)), folder / "rec")
    return folder


@pytest.fixture
def quick(here, monkeypatch, capsys):
    """Run a command that measures nothing, in this process; give code, output and errors."""

    def run(*words):
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.fixture(scope="module")
def measured(here):
    """One bench, whatever else the machine does."""
    done = call(
        here, "bench", "b", *QUIET, "--busy", "99", "--out", "out", "--providers", "cpu,tensorrt"
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def changed(here, measured, tmp_path):
    """The report, with something changed, in a file."""

    def change(**fields):
        report = load(here / "out")
        for name, value in fields.items():
            setattr(report, name, value)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(results.dump(report))
        return path

    return change


def test_the_report_is_complete_and_is_what_the_document_says(here, measured):
    raw = json.loads((here / "out/bench.json").read_text())
    report = msgspec.convert(raw, Report, strict=True)
    assert report.complete and report.valid and report.ended >= report.began
    assert report.command.startswith("bioxedge bench b --windows 40")
    about = Bundle.open(here / "b").manifest
    assert report.bundle.digest == about.digest
    assert report.bundle.models["fp32"].sha256 == about.model["fp32"].sha256
    (cell,) = report.cells
    assert (cell.variant, cell.threads, cell.provider) == ("fp32", 1, "cpu")
    assert cell.proven.passed and cell.proven.agreement == 1.0
    (run,) = cell.runs
    assert len(run.result.ms) == 40 and min(run.result.ms) > 0 and run.result.provider == "cpu"
    cold = run.result.cold
    steps = (cold.interpreter, cold.imports, cold.bundle, cold.session, cold.window)
    assert min(steps) > 0 and sum(steps) == pytest.approx(cold.total)
    assert 0 < run.result.memory.first <= run.result.memory.peak
    assert len(run.watched.readings) >= 2
    document = (ROOT / "docs/bench.md").read_text()
    for name in raw:
        assert f"`{name}`" in document


def test_the_open_loop_says_which_hop_and_where_the_time_went(here, measured):
    loop = load(here / "out").open
    assert loop is not None and loop.hop == 0.02 and not loop.hop_is_real
    (run,) = loop.runs
    found = run.result
    assert len(found.latency) == 40 and found.unasked == 0
    together = np.sum([found.stages[name] for name in found.stages], axis=0)
    np.testing.assert_allclose(together, found.latency, atol=1e-3)
    assert min(map(min, found.stages.values())) >= 0
    assert loop.latency.count == 40 and loop.misses == sum(ms > 20 for ms in found.latency)
    assert "not every 1 s as the bundle has it" in measured.stdout


def test_percentiles_of_too_few_windows_are_not_given(here, measured):
    report = load(here / "out")
    assert report.cells[0].ms.p50 and report.cells[0].ms.p90 is None
    assert report.cells[0].ms.p99 is None and report.open.tail is None
    enough = numbers([float(i) for i in range(1000)])
    assert enough.p99 == pytest.approx(989.01) and enough.p999 == pytest.approx(998.001)
    assert numbers([1.0] * 999).p99 is None and numbers([]) is None


def test_what_does_not_run_here_is_said_with_the_reason(here, measured):
    (absent,) = load(here / "out").absent
    assert absent.provider == "tensorrt" and "tensorrt is not on this machine" in absent.why
    assert absent.why in measured.stdout


def test_the_table_is_threads_by_precision_under_the_command(here, measured):
    text = (here / "out/bench.md").read_text()
    assert text.rstrip() == measured.stdout.rstrip()
    assert text.index("bioxedge bench b") < text.index("| Threads ")
    assert re.search(r"^\| Threads +\| +fp32 \|$", text, re.MULTILINE)
    assert re.search(r"^\| 1 +\| +\d+\.\d{3} \(one process\) \|$", text, re.MULTILINE)


def test_a_finished_cell_is_not_measured_again_unless_asked(here, measured):
    before = load(here / "out")
    shutil.copytree(here / "out", here / "again")  # others read what stands in the first
    done = call(here, "bench", "b", *QUIET, "--busy", "99", "--out", "again")
    assert done.returncode == 0, done.stderr
    after = load(here / "again")
    assert after.cells[0].runs == before.cells[0].runs and after.open.runs == before.open.runs
    assert "known" in done.stderr and after.complete


def test_run_takes_what_bench_found(here, measured):
    choice = load(here / "out").choice
    assert choice is not None and choice.saved and (choice.variant, choice.threads) == ("fp32", 1)
    kept = list((here / "cache/bioxedge").glob("*/choice.json"))
    assert len(kept) == 1 and json.loads(kept[0].read_text())["variant"] == "fp32"
    done = call(here, "run", "b", "--source", "replay:rec", "--speed", "max")
    assert done.returncode == 0 and "bioxedge bench" in done.stdout.splitlines()[0]


def test_a_throttled_run_is_measured_and_marked_and_nothing_is_chosen(here, tmp_path):
    board = tool(tmp_path / "bin", "0x50005")
    done = call(
        here, "bench", "b", "--quick", *QUIET[4:], "--busy", "99", "--out", "hot",
        PATH=f"{board}:{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    report = load(here / "hot")
    assert report.complete and not report.valid and report.cells[0].ms.count == 120
    assert "throttled now" in report.invalid[0] and "under-voltage now" in report.invalid[0]
    assert report.cells[0].runs[0].watched.readings[0].temperature_c == 81.2
    assert "**Not valid**" in (here / "hot/bench.md").read_text()
    assert not report.choice.saved and "not valid" in report.choice.why
    assert "PMIC" in report.energy.meter and report.energy.idle_watts == pytest.approx(1.87)


def test_ctrl_c_leaves_a_whole_report_of_what_was_measured(here):
    child = subprocess.Popen(
        command("bench", "b", "--windows", "40", "--restarts", "1", "--threads", "1", "--hop", "60",
                "--busy", "99", "--out", "cut"),
        cwd=here, env=environment(here), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    for line in child.stderr:  # an open loop that would take 40 minutes
        if line.startswith("open loop"):
            child.send_signal(signal.SIGINT)
            break
    child.communicate(timeout=60)
    assert child.returncode == 130
    report = load(here / "cut")
    assert not report.complete and report.cells[0].ms.count == 40 and report.choice is None
    assert "**Incomplete**" in (here / "cut/bench.md").read_text()
    assert not _measuring(here)


def _measuring(here):
    """Processes that still measure this folder's bundle."""
    found = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(here / "b").encode() in _read(path)
    ]
    limit = time.monotonic() + 10
    while time.monotonic() < limit and any(str(here / "b").encode() in _read(p) for p in found):
        pass
    return [path for path in found if str(here / "b").encode() in _read(path)]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("medians", "wanted"),
    [
        ({("fp32", 1): 20.0, ("fp32", 2): 12.0, ("int8", 1): 11.0, ("int8", 2): 9.0}, ("int8", 2)),
        ({("fp32", 1): 10.2, ("fp32", 2): 10.0}, ("fp32", 1)),  # 2 %: fewer threads
        ({("int8", 1): 10.0, ("fp32", 1): 10.2}, ("fp32", 1)),  # 2 %: the plain one
        ({("int8", 1): 10.0, ("fp32", 1): 10.5}, ("int8", 1)),
    ],
)
def test_the_fastest_wins_and_a_tie_goes_to_the_plainer(medians, wanted):
    cells = [
        results.Cell(
            variant=variant, precision=variant, threads=threads, provider="cpu",
            proven=Proven(passed=True), median=median,
        )
        for (variant, threads), median in medians.items()
    ]  # fmt: skip
    wrong = results.Cell(
        variant="int8", precision="int8", threads=1, provider="xnnpack",
        proven=Proven(passed=False, why="another answer"), median=1.0,
    )  # fmt: skip
    best = fastest([*cells, wrong])
    assert best is not None and (best.variant, best.threads) == wanted
    assert fastest([wrong]) is None


def test_compare_gives_ratios_in_words(here, changed, quick):
    report = load(here / "out")
    cell = msgspec.convert(msgspec.to_builtins(report.cells[0]), results.Cell)
    cell.median = 2 * cell.median
    code, out, err = quick("bench", "compare", "out", changed(cells=[cell]))
    assert code == 0, out + err
    assert "B is 2.00 × slower" in out
    code, out, _ = quick("bench", "compare", "out", "out", "--json")
    rows = json.loads(out)["rows"]
    assert code == 0 and rows[0]["ratio"] == 1.0
    assert rows[0]["verdict"].startswith("no difference")


def test_compare_marks_what_is_not_comparable(here, changed, quick):
    report = load(here / "out")
    model = msgspec.structs.replace(report.bundle.models["fp32"], sha256="f" * 64)
    other = msgspec.structs.replace(report.bundle, models={"fp32": model})
    loop = msgspec.convert(msgspec.to_builtins(report.open), results.Open)
    loop.hop = 1.0
    for fields, said in (
        ({"bundle": other}, "another model"),
        ({"open": loop}, "a window every 0.02 s in A, every 1 s in B"),
        ({"complete": False}, "B: incomplete"),
        ({"invalid": ["busy: very"], "valid": False}, "B: not valid, busy: very"),
    ):
        code, out, _ = quick("bench", "compare", "out", changed(**fields))
        assert code == 1 and said in out, out
    lonely = [msgspec.structs.replace(report.cells[0], variant="int8")]
    code, _, err = quick("bench", "compare", "out", changed(cells=lonely))
    assert code == 2 and "no cell in common" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bench", "nothing"), "no such directory"),
        (("bench", "b", "--threads", "0"), "--threads takes numbers"),
        (("bench", "b", "--variants", "int4"), "no variant 'int4'"),
        (("bench", "b", "--providers", "npu", "--out", "npu"), "nothing can be measured here"),
        (("bench", "b", "--threads", "4096", "--out", "npu"), "4096 threads"),
        (("bench", "compare", "b/manifest.json", "b"), "no report of bioxedge bench"),
        (("bench", "compare", "gone", "b"), "cannot be read"),
    ],
)
def test_mistakes_are_one_line(quick, words, said):
    code, _, err = quick(*words)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert code == 2 and len(errors) == 1 and said in errors[0]
    assert "Traceback" not in err


def test_samples_are_due_on_a_schedule_that_waits_for_nobody(here):
    bundle = Bundle.open(here / "b")
    source = Paced(bundle, 3000, pace=1e5)
    source.start()
    chunks = []
    while (chunk := source.read()) is not None:
        chunks.append(chunk)
    given = [chunk for chunk in chunks if chunk.samples.shape[1]]
    assert sum(chunk.samples.shape[1] for chunk in given) == 3000
    assert [c.first for c in given[1:]] == [c.end for c in given[:-1]]
    for chunk in given:  # however late it was read, it was due when it was due
        assert chunk.acquired == source.due(chunk.end - 1) <= chunk.arrived
    piece = bundle.golden.raw[0]
    whole = np.concatenate([chunk.samples for chunk in given], axis=1)
    np.testing.assert_array_equal(whole[:, : piece.shape[1]], piece)
    assert np.abs(np.diff(whole)).max() <= np.abs(np.diff(piece)).max()  # no jump at the turn


def test_a_stall_is_counted_against_the_windows_behind_it():
    ms = 1_000_000

    def said(read, answered, asked=True):
        return Prediction(
            "a" if asked else None, {"a": 1.0} if asked else {}, 0, 1, 0.0, read * ms,
            (answered - read) / 1e3, (answered - read) / 1e3, None, Quality(1.0), 0, 0,
        )  # fmt: skip

    # due at 0, 10, 20, 30: the first takes 25 ms, the third is not worth a question
    written = [(said(0, 25), 25 * ms), (said(25, 26), 26 * ms), (said(26, 26, False), 26 * ms),
               (said(30, 31), 31 * ms)]  # fmt: skip
    asked = [(0, 25 * ms), (25 * ms, 26 * ms), (30 * ms, 31 * ms)]
    dues = [0, 10 * ms, 20 * ms, 30 * ms]
    latency, _, stages, unasked = split(written, asked, dues, slice(0, 4))
    assert latency == [25.0, 16.0, 1.0] and unasked == 1
    assert stages["drain"] == [0.0, 15.0, 0.0] and stages["engine"] == [25.0, 1.0, 1.0]


def test_parts_are_told_by_the_names_of_weights():
    rng = np.random.default_rng(0)
    names = ("source.w", "bridge.A", "val_7", "tail.b", "head.w")
    weights = {name: rng.standard_normal((64, 64)).astype(np.float32) for name in names}
    steps = [("MatMul", ["x", "source.w"], "s"), ("Relu", ["s"], "p"),
             ("MatMul", ["p", "bridge.A"], "b"), ("Add", ["b", "tail.b"], "t"),
             ("MatMul", ["t", "val_7"], "t2"), ("MatMul", ["t2", "head.w"], "y")]  # fmt: skip
    graph = b"".join(_field(1, _node(*step)) for step in steps) + _field(2, "chain")
    graph += b"".join(_field(5, _tensor(name, array)) for name, array in weights.items())
    graph += _field(11, _value("x", (1, 64, 64))) + _field(12, _value("y", (1, 64, 64)))
    opset = _field(1, "") + _field(2, 18)
    raw = _field(1, 10) + _field(7, graph) + _field(8, opset)
    owners = parts_of_nodes(raw)
    assert [owners[f"{name}_node"] for name in ("s", "p", "b", "t", "t2", "y")] == [
        "source", "source", "bridge", "tail", "tail", "head",
    ]  # fmt: skip
    windows = rng.standard_normal((2, 64, 64)).astype(np.float32)
    found = inside(raw, windows, 20)
    assert found.why is None and found.windows == 20
    assert set(found.ms) == {"source", "bridge", "tail", "head"}
    assert found.by_position < 0.5
    assert parts_of_nodes(raw.replace(b"source.w", b"sourcexw")) != owners


def test_only_what_fits_each_other_is_a_cell(here, quick, tmp_path):
    plain = Bundle.open(here / "b")
    about = with_bf16(plain, tmp_path / "both").manifest
    providers = ["cpu", "openvino", "openvino-bf16"]
    wanted, absent = cells(about, ["fp32", "bf16"], providers, [1, 2])
    assert [one[:2] for one in wanted if one[2] == 2] == [
        ("fp32", "cpu"), ("fp32", "openvino"), ("bf16", "openvino-bf16"),
    ]  # fmt: skip
    assert not absent
    wanted, (line,) = cells(about, ["fp32", "bf16"], ["cpu"], [1, 2])
    assert wanted == [("fp32", "cpu", 1), ("fp32", "cpu", 2)]
    assert (line.variant, line.provider) == ("bf16", "openvino-bf16") and "[openvino]" in line.why
    wanted, (line,) = cells(plain.manifest, ["fp32"], providers, [1])
    assert len(wanted) == 2 and line.provider == "openvino-bf16" and "[variants]" in line.why
    words = ("--variants", "bf16", "--providers", "cpu", "--out", str(tmp_path / "out"))
    code, _, err = quick("bench", str(tmp_path / "both"), *words)
    assert code == 2 and "nothing can be measured here: variant bf16 computes in bf16" in err
