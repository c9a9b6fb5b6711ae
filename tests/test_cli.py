"""The command line: one line for every mistake, and what a run prints and leaves behind."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_disk import small_disk
from fixtures_signal import recorded, with_gaps

from bioxedge import cli, recording
from bioxedge.bundle import Bundle
from bioxedge.runtime import ReplaySource, Stream, loop
from bioxedge.runtime.events import Event

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
    recording.save(recorded(whole.samples, rate=125.01), folder / "fast")
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


LINES = jsonschema.Draft202012Validator(
    json.loads((ROOT / "bioxedge" / "data" / "prediction-lines.schema.json").read_text())
)


def lines_of(path, kind):
    """The lines of one kind in a file of whole lines."""
    raw = Path(path).read_text()
    assert raw.endswith("\n")
    return [one for one in map(json.loads, raw.splitlines()) if one["kind"] == kind]


def windows_in(printed):
    """Count the lines of windows that were printed for people."""
    return sum(line[:30].count("–") == 1 for line in printed.splitlines())


REPLAY = ("run", "b", "--speed", "max", "--source", "replay:rec")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "nope", "--source", "replay:rec"), "no such directory"),
        (("verify", "rec"), "manifest.json"),
        (("run", "b", "--source", "replay:nope"), "nope holds no recording"),
        (("run", "b", "--source", "replay:fast"), "at 125.01 Hz cannot be brought"),
        (("run", "b", "--source", "tape:rec"), "replay:FOLDER"),
        (("run", "b", "--source", "replay"), "replay:FOLDER"),
        (("run", "b"), "Missing option '--source'; see bioxedge run --help"),
        ((*REPLAY, "--sink", "jsn"), "write one of terminal, jsonl[:PATH]"),
        ((*REPLAY, "--sink", "jsonl:"), "write one of terminal, jsonl[:PATH]"),
        ((*REPLAY, "--sink", "jsonl:no/such/x"), "no/such/x: No such file"),
        ((*REPLAY, "--speed", "fast"), "--speed takes a number above 0 or max"),
        ((*REPLAY, "--speed", "-1"), "--speed takes a number above 0 or max"),
        ((*REPLAY, "--seconds", "0"), "--seconds"),
        ((*REPLAY, "--variant", "int8"), "no variant 'int8': it has fp32"),
        ((*REPLAY, "--preset", "default"), "--preset means nothing to a replay"),
        ((*REPLAY, "--reconnect"), "--reconnect means nothing to a replay"),
        ((*REPLAY, "--accept-sensor", "x"), "--accept-sensor means nothing to replay of"),
        ((*REPLAY, "--scale", "ppg_9=2"), "no channel 'ppg_9' to scale: there are ppg_2"),
        ((*REPLAY, "--scale", "ppg_2"), "--scale takes KEY=VALUE, such as Fp1=1e6"),
        ((*REPLAY, "--scale", "ppg_2=much"), "a number behind ppg_2=, got 'much'"),
        ((*REPLAY, "--scale", "ppg_2=0"), "ppg_2 cannot be scaled by 0"),
        ((*REPLAY, "--scale", "ppg_2=inf"), "ppg_2 cannot be scaled by inf"),
        ((*REPLAY, "--quality", "min_reel=1"), "no threshold 'min_reel': there are min_real"),
        ((*REPLAY, "--quality", "min_real=2"), "--quality min_real=2: "),
        ((*REPLAY, "--quality", "min_real"), "--quality takes KEY=VALUE"),
        ((*REPLAY, "--rotate", "day"), "--rotate means nothing without a file"),
        ((*REPLAY, "--rotate", "day", "--sink", "jsonl"), "--rotate means nothing without a file"),
        ((*REPLAY, "--rotate", "1kB", "--sink", "jsonl:x"), "day or a size of at least 10kB"),
        ((*REPLAY, "--late", "never"), "--late"),
        ((*REPLAY, "--sink", "jsonl:rec/recording.json"), "holds other things than the lines"),
        ((*REPLAY, "--sink", "jsonl:/dev/full"), "/dev/full: No space left on device"),
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
    assert lines[-1].startswith(f"{windows_in(out)} windows: ")
    assert "4 samples held over, 0 lost, 0 restarts; replay of p1" in lines[-1]


def test_json_lines_are_all_of_standard_output(call):
    code, out, err = call(*REPLAY, "--json")
    first, *others, last = map(json.loads, out.splitlines())
    predictions = [one for one in others if one["kind"] == "prediction"]
    assert code == 0 and "ppg ppg_2" in err
    assert (first["kind"], last["kind"]) == ("run", "summary")
    for line in (first, *others, last):
        LINES.validate(line)
    assert last["summary"]["windows"] == len(predictions) == 24
    assert last["summary"]["gaps"]["filled"] == 4
    assert sum(last["summary"]["labels"].values()) == pytest.approx(1)


def test_sinks_can_be_several(call, tmp_path):
    code, out, _ = call(*REPLAY, "--sink", "terminal", "--sink", f"jsonl:{tmp_path / 'x'}")
    assert code == 0
    assert len(lines_of(tmp_path / "x", "prediction")) == windows_in(out) == 24


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
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
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


def test_a_closed_pipe_is_one_line_and_the_file_gets_everything(here, tmp_path):
    arguments = ("run", "b", "--source", "replay:rec", "--speed", "20", "--json")
    sinks = ("--sink", "jsonl", "--sink", f"jsonl:{tmp_path / 'x'}")
    process = python(here, MAIN, *arguments, *sinks)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 2
    assert "Traceback" not in err
    (said,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert said == "error: standard output was closed by whoever read it"
    assert len(lines_of(tmp_path / "x", "prediction")) == 24
    (failed,) = [e for e in lines_of(tmp_path / "x", "event") if e["event"] == "sink_failed"]
    assert failed["sink"] == "standard output"
    process.stderr.close()


@pytest.mark.parametrize("sinks", [(), ("--json",)])
def test_a_full_standard_output_is_one_line(here, tmp_path, sinks):
    file = ("--sink", f"jsonl:{tmp_path / 'x'}", *(("--sink", "jsonl") if sinks else ()))
    with Path("/dev/full").open("w") as full:
        process = python(here, MAIN, *REPLAY, *sinks, *file, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in err
    (said,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert said == "error: standard output: No space left on device"


def test_a_disk_that_fills_up_is_one_line_and_the_other_file_gets_everything(here, tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", kB=8):
        full, other = tmp_path / "disk" / "full", tmp_path / "other"
        process = python(
            here, MAIN, "run", "b", "--source", "replay:rec", "--speed", "20",
            "--sink", f"jsonl:{full}", "--sink", f"jsonl:{other}",
        )  # fmt: skip
        printed, err = process.communicate(timeout=60)
        assert process.returncode == 2 and "Traceback" not in err
        assert err.startswith(f"error: {full}: No space left on device") and err.count("\n") == 1
        assert 0 < len(lines_of(full, "prediction")) < 24
    assert len(lines_of(other, "prediction")) == 24
    (failed,) = [e for e in lines_of(other, "event") if e["event"] == "sink_failed"]
    assert failed["sink"] == str(full) and "24 windows: " in printed


def test_other_verbs_with_a_reader_who_has_seen_enough_end_quietly(here):
    process = python(here, MAIN, "models")
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 0
    process.stderr.close()
    with Path("/dev/full").open("w") as full:
        process = python(here, MAIN, "verify", "b", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("error: standard output: No space left") and err.count("\n") == 1


def test_a_run_on_a_file_of_another_run_is_one_line(here, call, tmp_path):
    path = tmp_path / "x"
    process = python(here, MAIN, "run", "b", "--source", "replay:rec", "--sink", f"jsonl:{path}")
    limit = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.02)
    code, _, err = call(*REPLAY, "--sink", f"jsonl:{path}")
    process.terminate()
    process.communicate(timeout=60)
    assert code == 2 and err.count("\n") == 1
    assert f"is being written by process {process.pid}: stop it" in err
    assert len(lines_of(path, "run")) == 1


def test_a_file_that_a_kill_tore_is_mended_and_that_is_said(call, tmp_path):
    path = tmp_path / "x"
    call(*REPLAY, "--sink", f"jsonl:{path}")
    with path.open("a") as file:
        file.write('{"kind": "predic')
    code, _, err = call(*REPLAY, "--sink", f"jsonl:{path}")
    assert code == 0 and "16 bytes were cut away" in err
    assert len(lines_of(path, "prediction")) == 48


@pytest.mark.parametrize("speed", ["max", "8"])
def test_seconds_is_held_to_the_sample_whatever_comes_after(call, tmp_path, speed):
    """10.3 s are 659 samples: a window ends at 640, the next one would at 704."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    call(*REPLAY, "--sink", f"jsonl:{whole}")
    arguments = ("run", "b", "--source", "replay:rec", "--speed", speed, "--seconds", "10.3")
    code, out, _ = call(*arguments, "--sink", f"jsonl:{part}", "--json", "--sink", "jsonl")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["summary"]["samples"] == 659
    full, cut = lines_of(whole, "prediction"), lines_of(part, "prediction")
    expected = [one["t_end"] for one in full if one["t_end"] <= 10.3]
    assert [one["t_end"] for one in cut] == expected and len(expected) < len(full)
    assert [one["probabilities"] for one in cut] == [
        one["probabilities"] for one in full[: len(cut)]
    ]
    assert all(one["t"] <= 10.3 for one in lines_of(part, "event"))


@pytest.mark.parametrize("chunk", [1, 3, 8, 64, 659, 660, 5000])
@pytest.mark.parametrize("seconds", [6.5, 10.3, 10.97, 29.9, 1000.0])
def test_seconds_ends_at_the_same_sample_for_every_chunking(here, chunk, seconds):
    bundle = Bundle.open(here / "b")
    taken = recording.load(here / "rec")
    limit = min(round(seconds * 64), taken.samples.shape[1])
    expected = Kept()
    cut = recorded(taken.samples[:, :limit])
    loop.run(ReplaySource(cut, speed=math.inf), Stream(bundle), [expected])
    kept = Kept()
    source = ReplaySource(taken, speed=math.inf, chunk=chunk)
    tally = loop.run(source, Stream(bundle), [kept], seconds=seconds)
    assert tally.samples == limit
    assert kept.said == expected.said and kept.happened == expected.happened
    assert tally.windows == (limit >= 439) + max((limit - 439) // 64, 0)


class Holed(ReplaySource):
    """A replay that lost samples 600 to 800, as a board does: the index jumps."""

    def read(self):
        chunk = super().read()
        while chunk is not None and 600 <= chunk.first < 800:
            chunk = super().read()
        return chunk


def test_seconds_ends_inside_a_hole_as_anywhere(here):
    """The first samples after the hole lie beyond the limit: nothing of them is taken."""
    kept = Kept()
    source = Holed(recording.load(here / "rec"), speed=math.inf, chunk=8)
    tally = loop.run(source, Stream(Bundle.open(here / "b")), [kept], seconds=11.0)
    assert tally.samples == 704
    assert [end for end, *_ in kept.said] == [439 / 64, 503 / 64, 567 / 64]
    assert all(event.t <= 11.0 for event in kept.happened)


class Kept:
    """A sink that keeps what does not depend on when it ran."""

    name = "kept"

    def __init__(self):
        self.said, self.happened = [], []

    def open(self, run):
        pass

    def emit(self, record):
        if isinstance(record, Event):
            self.happened.append(record)
        else:
            self.said.append((record.t_end, record.label, record.probabilities, record.gap))

    def close(self):
        pass


def test_scale_multiplies_what_the_model_sees(call, here, tmp_path):
    taken = recording.load(here / "rec")
    small = recorded(taken.samples / 1024)  # exact in floating point
    recording.save(small, tmp_path / "small")
    found = []
    for number, extra in enumerate(((), ("--scale", "ppg_2=1024"))):
        path = tmp_path / str(number)
        folder = "rec" if not extra else str(tmp_path / "small")
        call("run", "b", "--speed", "max", "--source", f"replay:{folder}", *extra,
             "--sink", f"jsonl:{path}")  # fmt: skip
        found.append([one["probabilities"] for one in lines_of(path, "prediction")])
    assert found[0] == found[1] and len(found[0]) == 24


def test_a_changed_threshold_holds_and_is_noted(call, tmp_path):
    path = tmp_path / "x"
    code, *_ = call(*REPLAY, "--quality", "min_real=1", "--sink", f"jsonl:{path}")
    (run,) = lines_of(path, "run")
    assert code == 0 and run["checks"]["quality"] == "changed: min_real=1"
    silent = [one for one in lines_of(path, "prediction") if one["label"] is None]
    assert silent and all("too little is real" in one["reason"] for one in silent)


def test_a_recording_does_not_say_which_sensor_it_is_from(call, here, tmp_path):
    make_bundle(tmp_path / "b", sensors=("muse_2/ancillary",))
    path = tmp_path / "x"
    source = ("--source", "replay:rec", "--speed", "max")
    code, *_ = call("run", str(tmp_path / "b"), *source, "--sink", f"jsonl:{path}")
    (run,) = lines_of(path, "run")
    assert code == 0 and run["sensor"] is None
    assert "does not say which sensor" in run["checks"]["sensor"]


def test_another_sensor_is_refused_until_it_is_accepted(call, tmp_path):
    pytest.importorskip("brainflow")
    options = {"modality": "eeg", "channels": ("Fz",), "rate": 250.0, "stages": ()}
    make_bundle(tmp_path / "b", sensors=("cyton/default",), length=64, hop=32, **options)
    path = tmp_path / "x"
    arguments = ("run", str(tmp_path / "b"), "--source", "brainflow:synthetic", "--seconds", "1")
    code, _, err = call(*arguments, "--sink", f"jsonl:{path}")
    assert code == 2 and err.count("\n") == 1 and not path.exists()
    assert "was trained on cyton/default, this is synthetic/default" in err
    assert "--accept-sensor synthetic/default" in err
    code, *_ = call(*arguments, "--accept-sensor", "muse_s/ancillary")
    assert code == 2
    accepted = ("--accept-sensor", "synthetic/default")
    for extra in ((), ("--no-reconnect", "--late", "all")):
        code, _, err = call(*arguments, *accepted, *extra, "--sink", f"jsonl:{path}")
        assert code == 0, err
    runs = lines_of(path, "run")
    assert len(runs) == 2 and lines_of(path, "prediction")
    assert runs[0]["sensor"] == "synthetic/default"
    assert runs[0]["checks"]["sensor"] == "synthetic/default was accepted for cyton/default"


def test_samples_are_never_written_to(here):
    taken = recording.load(here / "rec")
    assert np.isnan(taken.samples).sum() == 4
