"""The command line: one line for every mistake, and what a run prints and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps

from bioxedge import cli, recording

ROOT = Path(__file__).resolve().parent.parent

# A finder that refuses torch; sys.modules["torch"] = None would break scipy's own checks.
NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a bundle ``b``, a recording ``rec`` and a short one ``short``."""
    folder = tmp_path_factory.mktemp("cli")
    make_bundle(folder / "b")
    whole = recorded(pulse(1, 64 * 30, 64.0))
    recording.save(with_gaps(whole, (700, 704)), folder / "rec")
    recording.save(recorded(whole.samples[:, :300]), folder / "short")
    recording.save(recorded(whole.samples, rate=125.0), folder / "fast")
    return folder


@pytest.fixture
def call(here, monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", ["bioxedge", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


REPLAY = ("run", "b", "--speed", "max", "--source", "replay:rec")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "nope", "--source", "replay:rec"), "no such directory"),
        (("verify", "rec"), "manifest.json"),
        (("run", "b", "--source", "replay:nope"), "nope holds no recording"),
        (("run", "b", "--source", "replay:fast"), "at 125 Hz, the bundle takes 64 Hz"),
        (("run", "b", "--source", "tape:rec"), "write replay:FOLDER"),
        (("run", "b", "--source", "replay"), "write replay:FOLDER"),
        (("run", "b"), "Missing option '--source'; see bioxedge run --help"),
        ((*REPLAY, "--sink", "jsn"), "write terminal, jsonl or jsonl:PATH"),
        ((*REPLAY, "--sink", "jsonl:"), "write terminal, jsonl or jsonl:PATH"),
        ((*REPLAY, "--sink", "jsonl:no/such/x"), "no/such/x: No such file"),
        ((*REPLAY, "--speed", "fast"), "--speed takes a number above 0 or max"),
        ((*REPLAY, "--speed", "-1"), "--speed takes a number above 0 or max"),
        ((*REPLAY, "--seconds", "0"), "--seconds"),
        ((*REPLAY, "--variant", "int8"), "no variant 'int8': it has fp32"),
        ((*REPLAY, "--preset", "default"), "--preset means nothing to a replay"),
        (("verfy",), "No such command 'verfy'"),
        (("build", "x.toml"), "Missing option '--out'"),
    ],
)
def test_a_mistake_is_one_line(call, arguments, says):
    code, out, err = call(*arguments)
    assert code == 2 and says in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("brainflow:muse2",), "did you mean muse_2"),
        (("brainflow:synthetic",), "runs at 250 Hz, 64 Hz are wanted"),
        (("brainflow:muse_2", "--preset", "default"), "its ancillary preset has ppg"),
        (("brainflow:muse_2", "--param", "mac"), "--param takes KEY=VALUE"),
        (("brainflow:muse_2", "--param", "mac=1"), "no parameter 'mac'"),
        (("brainflow:muse_2", "--speed", "2"), "--speed means nothing to a brainflow"),
        (("playback:nope",), "nope holds no recording"),
        (("playback:rec", "--board", "cyton"), "no channel ppg_2"),
    ],
)
def test_a_mistake_about_a_board_is_one_line(call, arguments, says):
    pytest.importorskip("brainflow")
    code, _, err = call("run", "b", "--source", *arguments)
    assert code == 2 and says in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_a_damaged_bundle_is_one_line(call, tmp_path):
    make_bundle(tmp_path / "b")
    raw = bytearray((tmp_path / "b" / "model.onnx").read_bytes())
    raw[-40] ^= 1
    (tmp_path / "b" / "model.onnx").write_bytes(raw)
    for arguments in (("verify",), ("run", "--source", "replay:rec")):
        code, _, err = call(arguments[0], str(tmp_path / "b"), *arguments[1:])
        assert code == 2 and "does not match its sha256" in err and err.count("\n") == 1


def test_verify_prints_figures_and_pass(call):
    code, out, _ = call("verify", "b")
    assert code == 0 and out.endswith("PASS\n") and "equal to the last bit" in out
    code, out, _ = call("verify", "b", "--json")
    assert code == 0 and json.loads(out)["pass"] is True


def test_a_run_prints_a_line_a_window_and_a_summary(call):
    code, out, err = call(*REPLAY)
    lines = out.splitlines()
    assert code == 0 and not err
    assert "ppg ppg_2 at 64 Hz" in lines[0] and "the first after 6.9 s" in lines[0]
    assert lines[-1].startswith(f"{len(lines) - 2} windows: ")
    assert "4 samples held over, 0 lost, 0 restarts; replay of p1" in lines[-1]


def test_json_lines_are_all_of_standard_output(call):
    code, out, err = call(*REPLAY, "--json")
    *predictions, last = map(json.loads, out.splitlines())
    assert code == 0 and "ppg ppg_2" in err
    assert last["summary"]["windows"] == len(predictions) == 24
    assert last["summary"]["gaps"]["filled"] == 4
    assert sum(last["summary"]["labels"].values()) == pytest.approx(1)


def test_sinks_can_be_several(call, tmp_path):
    code, out, _ = call(*REPLAY, "--sink", "terminal", "--sink", f"jsonl:{tmp_path / 'x'}")
    assert code == 0
    kept = [json.loads(line) for line in (tmp_path / "x").read_text().splitlines()]
    assert len(kept) == len(out.splitlines()) - 2


def test_a_recording_that_is_too_short_says_so(call):
    code, out, _ = call("run", "b", "--source", "replay:short", "--speed", "max")
    assert code == 0
    assert "no window: the first one needs 439 samples without a long gap, had 300" in out


def test_the_bare_command_is_its_help(call):
    code, out, _ = call()
    assert code == 0 and "verify" in out and "run" in out


# -- in a process of its own ----------------------------------------------------------------


def python(here, code, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# What is started in the background inherits that Ctrl-C is ignored; these tests press it.
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bioxedge.cli import main; main()"
)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("verify", "b"), (*REPLAY, "--json"), ("run", "b", "--source", "playback:rec")],
)
def test_the_device_verbs_work_where_torch_cannot_be_imported(here, arguments):
    if "playback:rec" in arguments:
        pytest.importorskip("brainflow")
        arguments = (*arguments, "--speed", "200")
    process = python(here, NO_TORCH + MAIN, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out


def test_help_is_fast_because_it_imports_little(here):
    code = NO_TORCH + (
        "import bioxedge, bioxedge.cli\n"
        "print([m for m in ('scipy', 'onnxruntime', 'rich', 'brainflow') if m in sys.modules])\n"
        "bioxedge.Bundle, bioxedge.Stream, bioxedge.Prediction\n"
        "print(sorted(set(sys.modules) & {'torch', 'onnx', 'brainflow'}))"
    )
    out, err = python(here, code).communicate(timeout=60)
    assert out.split("\n")[:2] == ["[]", "[]"], err


def test_build_without_the_extra_names_it(here):
    process = python(here, NO_TORCH + MAIN, "build", "x.toml", "--out", "y")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("source", ["replay:rec", "playback:rec"])
def test_an_interrupt_keeps_what_was_done(here, tmp_path, source):
    if source.startswith("playback"):
        pytest.importorskip("brainflow")
    out = tmp_path / "out.jsonl"
    arguments = ("run", "b", "--source", source, "--speed", "5", "--sink", f"jsonl:{out}")
    process = python(here, MAIN, *arguments)
    deadline = time.monotonic() + 30
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=30)
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert process.returncode == 130, err
    assert kept and not err.strip()
    assert f"{len(kept)} windows: " in printed


def test_a_closed_pipe_ends_quietly(here):
    process = python(here, MAIN, *REPLAY, "--json")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=30) == 0
    assert err.count("\n") == 1 and "Traceback" not in err  # the opening line only
    process.stderr.close()


def test_samples_are_never_written_to(here):
    taken = recording.load(here / "rec")
    assert np.isnan(taken.samples).sum() == 4
