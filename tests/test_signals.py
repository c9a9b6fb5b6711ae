"""Ctrl-C, kill and a terminal that closes end a run alike: clean, and told by the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded

from bioxedge import recording
from bioxedge.runtime.interrupts import ENDING, Interrupts, held_back

ROOT = Path(__file__).resolve().parent.parent
# What is started in the background inherits that Ctrl-C is ignored; these tests press it.
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bioxedge.cli import main; main()"
)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a bundle ``b`` and a recording ``rec``."""
    folder = tmp_path_factory.mktemp("signals")
    make_bundle(folder / "b")
    recording.save(recorded(pulse(1, 64 * 60, 64.0)), folder / "rec")
    make_bundle(
        folder / "eeg", modality="eeg", channels=("Fz",), rate=250.0, stages=(), length=64, hop=32
    )
    return folder


def started(here, tmp_path, *arguments, code=MAIN, **options):
    """Start a run with an empty folder for temporary files; give it and its file of lines."""
    out, temporary = tmp_path / "out.jsonl", tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "TMPDIR": str(temporary),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *arguments, "--sink", f"jsonl:{out}"],
        cwd=here,
        env=environment,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    return process, out


def lines_of(path):
    """What is there already; the last line is not looked at before it is whole."""
    raw = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in raw.splitlines(keepends=True) if line.endswith("\n")]


def predictions(path):
    return [one for one in lines_of(path) if one["kind"] == "prediction"]


def wait_for_labels(process, out):
    limit = time.monotonic() + 60
    while not predictions(out):
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.02)


SOURCES = {
    "replay": ("b", "--source", "replay:rec", "--speed", "5"),
    "playback": ("b", "--source", "playback:rec", "--speed", "5"),
    "brainflow": ("eeg", "--source", "brainflow:synthetic"),
}


@pytest.mark.parametrize(
    ("source", "number"),
    [
        *(("replay", number) for number in ENDING),
        *(("playback", number) for number in ENDING),
        ("brainflow", signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_run_with_its_summary_and_leaves_nothing(here, tmp_path, source, number):
    if source != "replay":
        pytest.importorskip("brainflow")
    process, out = started(here, tmp_path, *SOURCES[source])
    wait_for_labels(process, out)
    process.send_signal(number)
    printed, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert not err.strip()
    assert out.read_text().endswith("\n")
    assert f"{len(predictions(out))} windows: " in printed.splitlines()[-1]
    assert not list((tmp_path / "tmp").iterdir())


def test_a_hail_of_signals_tears_nothing(here, tmp_path):
    """The first one counts; what it set going is not torn by those that follow."""
    pytest.importorskip("brainflow")
    process, out = started(here, tmp_path, *SOURCES["playback"])
    wait_for_labels(process, out)
    process.send_signal(signal.SIGTERM)
    for number in [signal.SIGINT, signal.SIGHUP, signal.SIGTERM] * 30:
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        time.sleep(0.003)
    printed, err = process.communicate(timeout=60)
    # Of two that are there at once, Python hears the one with the lower number first.
    assert process.returncode in (143, 130, 129), err
    assert not err.strip() and "windows: " in printed.splitlines()[-1]
    assert not list((tmp_path / "tmp").iterdir())


def test_a_board_is_released(here, tmp_path):
    """BrainFlow itself is asked, in the process that ran, before it ends."""
    pytest.importorskip("brainflow")
    code = (
        "import sys\nfrom bioxedge.runtime.sources import boards\nshim = boards.library()\n"
        "board = shim.BoardShim(-1, shim.BrainFlowInputParams())\n"
        "import threading, time\n"
        "def watch():\n"
        "    while not board.is_prepared():\n        time.sleep(0.01)\n"
        "    print('prepared', file=sys.stderr)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        f"try:\n    exec({MAIN!r})\nfinally:\n"
        "    print('released' if not board.is_prepared() else 'kept', file=sys.stderr)\n"
        "    del board\n"
    )
    process, out = started(here, tmp_path, *SOURCES["brainflow"], code=code)
    wait_for_labels(process, out)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err == "prepared\nreleased\n"


@pytest.mark.parametrize("source", ["playback", "brainflow"])
def test_a_signal_while_a_run_begins_ends_it_as_well(here, tmp_path, source):
    """It says what it will do, and then starts the board and opens the file."""
    pytest.importorskip("brainflow")
    process, out = started(here, tmp_path, *SOURCES[source], "--sink", "terminal")
    process.stdout.readline()
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert not err.strip()
    assert not list((tmp_path / "tmp").iterdir())
    assert not out.exists() or out.read_text().endswith("\n") or not out.stat().st_size


def test_what_is_ignored_stays_ignored(here, tmp_path):
    """As under nohup: the terminal may close."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); " + MAIN
    process, out = started(here, tmp_path, *SOURCES["replay"], code=code)
    wait_for_labels(process, out)
    process.send_signal(signal.SIGHUP)
    before = len(predictions(out))
    limit = time.monotonic() + 60
    while len(predictions(out)) < before + 3:  # it goes on
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_terminal_that_closes_ends_a_run(here, tmp_path):
    ours, theirs = pty.openpty()
    process, out = started(
        here, tmp_path, *SOURCES["replay"], "--sink", "terminal",
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    reader = threading.Thread(target=_read, args=(ours, closing := threading.Event()))
    reader.start()
    wait_for_labels(process, out)
    closing.set()
    process.send_signal(signal.SIGHUP)  # what the kernel does where it is the controlling one
    _, err = process.communicate(timeout=60)
    reader.join()
    assert process.returncode == 129, err
    assert "Traceback" not in err
    assert not list((tmp_path / "tmp").iterdir())


def _read(fd, closing):
    """Be the other side of a terminal until it is closed."""
    os.set_blocking(fd, False)
    while not closing.is_set():
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 1000)
        time.sleep(0.01)
    os.close(fd)


def test_a_sink_that_is_stuck_does_not_keep_a_run_from_ending(here, tmp_path):
    """Standard output is a pipe that nobody reads, and full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    code = "import bioxedge.runtime.sinks.runner as r; r.PATIENCE = 0.5; " + MAIN
    process, out = started(
        here, tmp_path, *SOURCES["replay"], "--sink", "jsonl", code=code, stdout=writing
    )
    os.close(writing)
    wait_for_labels(process, out)
    process.terminate()
    _, err = process.communicate(timeout=60)
    os.close(reading)
    assert process.returncode == 143, err
    assert f"{len(predictions(out))} windows: " in err  # where it can be read
    assert "error: standard output is blocked" in err


# -- in this process --------------------------------------------------------------------------


@contextlib.contextmanager
def caught(*numbers):
    """Note these signals instead of dying of them."""
    heard = []
    before = {n: signal.signal(n, lambda number, _: heard.append(number)) for n in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("standing", [True, False])
def test_a_signal_is_held_back_in_a_step_and_delivered_after(number, standing):
    with caught(*ENDING) as heard:
        before = [signal.getsignal(one) for one in ENDING]
        with Interrupts() if standing else contextlib.nullcontext():
            with held_back():
                with held_back():
                    signal.raise_signal(number)
                assert heard == []
            assert heard == [number]
            signal.raise_signal(number)
        assert heard == [number] * 2
        assert [signal.getsignal(one) for one in ENDING] == before


def test_ctrl_c_is_raised_after_the_step_and_an_error_of_the_step_before_it():
    done = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        done.append("whole")
    assert done == ["whole"]
    with pytest.raises(ValueError, match="of the step"), held_back():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of the step")


def test_the_default_of_a_signal_is_kept():
    """A program of somebody's own that calls the loop dies of SIGTERM, after the step."""
    code = (
        "import signal\nfrom bioxedge.runtime.interrupts import held_back\n"
        "with held_back():\n    signal.raise_signal(signal.SIGTERM)\n"
        "    print('whole', flush=True)\nprint('never')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM and done.stdout == "whole\n"


def test_elsewhere_than_in_the_main_thread_nothing_is_touched():
    before = [signal.getsignal(one) for one in ENDING]
    found = []

    def work():
        with held_back():
            found.extend(signal.getsignal(one) for one in ENDING)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == before
