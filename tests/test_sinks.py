"""Sinks: a line is whole, one writer a file, and none delays a window or another sink."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from fixtures_disk import small_disk

from bioxedge.errors import SinkError
from bioxedge.quality import ChannelVerdict, Verdict
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.prediction import Prediction, Quality
from bioxedge.runtime.sinks import JsonLinesSink, RunInfo, SinkRunner, TerminalSink, make_sink
from bioxedge.runtime.sinks import runner as runners

ROOT = Path(__file__).resolve().parent.parent
RUN = RunInfo(
    labels=("rest", "stress"),
    bundle="alarm",
    digest="0" * 64,
    source="a test",
    sensor="muse_2/ancillary",
    rate=64.0,
    started=1.7e9,
    monotonic_ns=5,
    versions={"bioxedge": "0"},
)
GOOD = Prediction(
    label="stress",
    probabilities={"rest": 0.1, "stress": 0.9},
    t_start=1.0,
    t_end=5.0,
    t0=1.7e9,
    due=12345,
    latency=0.002,
    age=0.1,
    rate=63.9,
    quality=Quality(1.0, Verdict((ChannelVerdict("ppg_2", None, {"span": 3.0}),))),
    gap=0,
    loss=0,
)
SILENT = replace(
    GOOD,
    label=None,
    probabilities={},
    loss=None,
    rate=None,
    t0=float("nan"),
    reason="ppg_2 is flat",
)
GAP = Event("gap", "4 samples are missing", 3.5, {"samples": 4})


def schema():
    raw = resources.files("bioxedge").joinpath("data/prediction-lines.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(raw))


def lines_of(path):
    raw = Path(path).read_bytes()
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.splitlines()]


def written(path, *records, run=RUN, **options):
    sink = JsonLinesSink(path, **options)
    sink.open(run)
    for record in records:
        sink.emit(record)
    sink.close()
    return sink


def until(condition, seconds=20.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.005)


# -- the lines ------------------------------------------------------------------------------


def test_every_line_is_of_the_schema(tmp_path):
    odd = Event("rate", "odd figures", None, {"a": float("inf"), "b": np.float64(2), "c": [np.nan]})
    written(tmp_path / "x", GOOD, SILENT, GAP, odd)
    found = lines_of(tmp_path / "x")
    for line in found:
        schema().validate(line)
    assert [one["kind"] for one in found] == ["run", "prediction", "prediction", "event", "event"]
    run, good, silent, gap, other = found
    assert (run["digest"], run["part"], run["checks"]) == ("0" * 64, 1, {})
    assert (good["label"], good["loss"], good["reason"]) == ("stress", 0, None)
    assert good["quality"]["channels"] == {"ppg_2": {"fault": None, "span": 3.0}}
    assert (silent["label"], silent["loss"], silent["rate"], silent["t0"]) == (None,) * 4
    assert (gap["event"], gap["t"], gap["samples"]) == ("gap", 3.5, 4)
    assert (other["a"], other["b"], other["c"]) == (None, 2.0, [None])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "forecast"},
        {"label": None},
        {"reason": "flat"},
        {"label": 3},
        {"loss": -1},
        {"loss": "unknown"},
        {"more": 1},
        {"quality": 1.0},
        {"age": None},
    ],
)
def test_the_schema_refuses_what_is_no_line(tmp_path, change):
    written(tmp_path / "x", GOOD)
    line = lines_of(tmp_path / "x")[1]
    with pytest.raises(jsonschema.ValidationError):
        schema().validate({**line, **change})
    for key in line:
        with pytest.raises(jsonschema.ValidationError):
            schema().validate({k: v for k, v in line.items() if k != key})


def test_the_page_names_every_field_and_every_event():
    page = (ROOT / "docs" / "predictions.md").read_text()
    parts = schema().schema["$defs"]
    for kind in ("run", "event", "prediction"):
        for name in parts[kind]["properties"]:
            assert f"`{name}`" in page, name
    for kind in parts["event"]["properties"]["event"]["enum"]:
        assert f"`{kind}`" in page, kind


def test_the_schema_knows_every_kind_of_event():
    from typing import get_args

    from bioxedge.runtime.events import Kind

    known = schema().schema["$defs"]["event"]["properties"]["event"]["enum"]
    assert set(known) == set(get_args(Kind))


# -- a file ---------------------------------------------------------------------------------


def test_a_file_is_appended_to_and_each_run_begins_with_what_it_is(tmp_path):
    path = tmp_path / "x"
    written(path, GOOD)
    before = path.read_bytes()
    written(path, GAP, run=replace(RUN, bundle="other"))
    assert path.read_bytes().startswith(before)
    assert [one.get("bundle") for one in lines_of(path)] == ["alarm", None, "other", None]


def test_half_a_line_is_cut_away_and_said_and_nothing_whole_is_lost(tmp_path):
    path = tmp_path / "x"
    written(path, GOOD)
    whole = path.read_bytes()
    for tail in (
        b'{"kind": "predic',
        b" " * 900,
        b"\0" * 5000,
        b"\xff",
        b'{"a": "' + b"x" * 200_000,
    ):
        path.write_bytes(whole + tail)
        sink = written(path)
        assert sink.cut == len(tail)
        assert path.read_bytes().startswith(whole) and len(lines_of(path)) == 3
    path.write_bytes(whole[:-1])  # only the end of the last line is missing
    assert written(path).cut == 0
    assert path.read_bytes().startswith(whole)
    path.write_bytes(whole[:20])  # killed in its very first line
    assert written(path).cut == 20 and len(lines_of(path)) == 1


@pytest.mark.parametrize("content", [b"dear diary\n", b'{"label": "rest"}\n', b"\n", b"\0\0"])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path, content):
    path = tmp_path / "diary.txt"
    path.write_bytes(content)
    with pytest.raises(SinkError, match=r"diary\.txt holds other things"):
        JsonLinesSink(path).open(RUN)
    assert path.read_bytes() == content


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    path = tmp_path / "x"
    first = JsonLinesSink(path)
    first.open(RUN)
    with pytest.raises(SinkError, match=rf"{path} is being written by process {os.getpid()}:"):
        JsonLinesSink(path).open(RUN)
    code = (
        "import sys\nfrom bioxedge.runtime.sinks import JsonLinesSink, RunInfo\n"
        "JsonLinesSink(sys.argv[1]).open(RunInfo(('a', 'b')))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert f"is being written by process {os.getpid()}:" in other.stderr
    first.emit(GOOD)
    first.close()
    assert len(lines_of(path)) == 2
    written(path)  # and now there is room


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path):
    path = tmp_path / "x"
    sink = JsonLinesSink(path)
    sink.open(RUN)
    sink.emit(GOOD)
    path.rename(tmp_path / "x.old")
    sink.emit(GAP)
    sink.close()
    assert [one["kind"] for one in lines_of(tmp_path / "x.old")] == ["run", "prediction"]
    assert [one["kind"] for one in lines_of(path)] == ["run", "event"]


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(SinkError, match=r"no/such/x: No such file"):
        JsonLinesSink(tmp_path / "no/such/x").open(RUN)
    with pytest.raises(SinkError, match="directory"):
        JsonLinesSink(tmp_path).open(RUN)


def test_rotation_by_size_loses_nothing_and_keeps_the_size(tmp_path):
    path = tmp_path / "labels.jsonl"
    for begin in (0, 200):  # the second run goes on where the first one was
        some = [Event("gap", "x" * 100, facts={"number": n}) for n in range(begin, begin + 200)]
        written(path, *some, rotate="10kB")
    files = {one.name: one for one in tmp_path.iterdir()}
    assert len(files) > 5
    assert set(files) == {"labels.jsonl"} | {f"labels.{n}.jsonl" for n in range(1, len(files))}
    order = [files[f"labels.{n}.jsonl"] for n in range(1, len(files))] + [path]
    kinds = [[one["kind"] for one in lines_of(one)] for one in order]
    assert all(one[0] == "run" for one in kinds)
    assert all(one.stat().st_size <= 10_000 for one in order)
    found = [one for file in order for one in lines_of(file) if one["kind"] == "event"]
    assert [one["number"] for one in found] == list(range(400))


def test_rotation_by_day_names_the_day_and_never_replaces_a_file(tmp_path):
    clock = SimulatedClock(1_700_000_000.0)  # 2023-11-14 22:13:20 UTC
    path = tmp_path / "labels.jsonl"
    sink = JsonLinesSink(path, rotate="day", clock=clock)
    sink.open(RUN)
    for step in (0, 7200, 7200, -14400, 14400):  # past midnight, set back, and past it again
        clock.step(step)
        sink.emit(Event("gap", "x", facts={"number": step}))
    sink.close()
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == [
        "labels.2023-11-14.2.jsonl",
        "labels.2023-11-14.jsonl",
        "labels.2023-11-15.jsonl",
        "labels.jsonl",
    ]
    parts = [lines_of(tmp_path / name)[0]["part"] for name in names]
    assert parts == [3, 1, 2, 4]
    assert len(lines_of(tmp_path / "labels.2023-11-15.jsonl")) == 3


def test_yesterdays_file_is_put_aside_when_a_run_begins(tmp_path):
    clock = SimulatedClock(1_700_000_000.0)
    path = tmp_path / "labels.jsonl"
    written(path, GAP)
    os.utime(path, (1_699_900_000, 1_699_900_000))
    written(path, GOOD, rotate="day", clock=clock)
    assert [one["kind"] for one in lines_of(path)] == ["run", "prediction"]
    assert (tmp_path / "labels.2023-11-13.jsonl").exists()


@pytest.mark.parametrize("text", ["", "weekly", "5", "9kB", "-1GB", "1TB", "nan"])
def test_a_rotation_that_makes_no_sense_is_refused(text):
    with pytest.raises(SinkError, match="--rotate takes day or a size"):
        make_sink("jsonl:x", rotate=text)
    with pytest.raises(SinkError, match="standard output"):
        JsonLinesSink("-", rotate="day")


# -- full disks and closed pipes ------------------------------------------------------------


def fills_up(sink, most=10_000):
    """Emit until it fails; give how many records went through."""
    for number in range(most):
        try:
            sink.emit(GOOD)
        except SinkError as error:
            return number, str(error)
    raise AssertionError("it never filled up")


def test_a_full_disk_leaves_whole_lines_and_is_one_line_with_the_path(tmp_path):
    with small_disk(tmp_path) as folder:
        path = folder / "x"
        sink = JsonLinesSink(path)
        sink.open(RUN)
        count, said = fills_up(sink)
        assert f"{path}: No space left on device" in said and "\n" not in said
        assert count > 10 and len(lines_of(path)) == count + 1
        sink.close()


def test_a_limit_of_size_leaves_whole_lines(tmp_path):
    path = tmp_path / "x"
    sink = JsonLinesSink(path)
    sink.open(RUN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        count, said = fills_up(sink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert f"{path}: File too large" in said
    assert count > 5 and len(lines_of(path)) == count + 1
    sink.emit(GOOD)  # there is room again
    sink.close()
    assert len(lines_of(path)) == count + 2


def test_a_device_that_is_full_is_one_line():
    with pytest.raises(SinkError, match="/dev/full: No space left"):
        JsonLinesSink("/dev/full").open(RUN)


# -- a thread and a queue for each ------------------------------------------------------------


def test_a_pipe_that_nobody_reads_delays_no_other_sink(tmp_path):
    """One pipe is never opened by a reader, one is opened and never read."""
    for name in ("closed", "unread"):
        os.mkfifo(tmp_path / name)
    reader = os.open(tmp_path / "unread", os.O_RDONLY | os.O_NONBLOCK)
    sinks = [JsonLinesSink(tmp_path / name) for name in ("closed", "unread", "file")]
    made = [SinkRunner(sink, size=2000) for sink in sinks]
    try:
        for one in made:
            one.start(RUN, timeout=0.05)
        for number in range(1500):
            event = Event("gap", "x" * 200, facts={"number": number})
            for one in made:
                one.emit(event)
            if number % 100 == 0:  # while the others are stuck, the file gets on
                until(lambda n=number: len((tmp_path / "file").read_bytes().splitlines()) > n + 1)
        runners.close(made, 0.2)
        for one in made[:2]:
            assert f"{one.name} is blocked" in str(one.take_failure())
            assert one.take_failure() is None
        assert made[2].failed is None and made[2].left_out == 0
        found = [one["number"] for one in lines_of(tmp_path / "file")[1:]]
        assert found == list(range(1500))
    finally:  # let the threads go: they find nothing more to do
        late = os.open(tmp_path / "closed", os.O_RDONLY | os.O_NONBLOCK)
        drain = [threading.Thread(target=_drain, args=(fd,)) for fd in (reader, late)]
        for one in drain:
            one.start()
        for one in drain:
            one.join()


def _drain(fd):
    os.set_blocking(fd, True)
    with open(fd, "rb") as file:  # noqa: PTH123
        while file.read(1 << 16):
            pass


class Slow:
    """A sink that takes a record only when it is allowed to."""

    name = "slow"

    def __init__(self):
        self.gate, self.taken, self.closed = threading.Semaphore(0), [], False
        self.busy = threading.Event()

    def open(self, run):
        pass

    def emit(self, record):
        self.busy.set()
        self.gate.acquire()
        self.taken.append(record)

    def close(self):
        self.closed = True


def events(count):
    return [Event("gap", str(number)) for number in range(count)]


def test_a_full_queue_leaves_out_the_oldest_counts_them_and_says_where():
    slow = Slow()
    runner = SinkRunner(slow, size=10)
    runner.start(RUN)
    runner.emit(Event("gap", "held"))
    assert slow.busy.wait(20)
    for event in events(25):
        runner.emit(event)
    assert runner.left_out == 15
    slow.gate.release(100)
    runner.close()
    said = [event.message for event in slow.taken]
    assert said[0] == "held" and said[2:] == [str(n) for n in range(15, 25)]
    assert said[1] == "15 records were left out here: slow took no more"
    assert slow.taken[1].facts == {"sink": "slow", "left_out": 15}
    assert runner.failed is None and slow.closed


def test_a_source_that_can_wait_waits_for_a_sink_that_gets_on():
    slow = Slow()
    runner = SinkRunner(slow, size=5, patience=20.0)
    runner.start(RUN)
    opener = threading.Thread(target=lambda: [slow.gate.release() for _ in range(200)])
    opener.start()
    for event in events(200):
        runner.emit(event)
    opener.join()
    runner.close()
    assert runner.left_out == 0
    assert [event.message for event in slow.taken] == [str(n) for n in range(200)]


def test_a_source_that_can_wait_does_not_wait_for_ever():
    slow = Slow()
    runner = SinkRunner(slow, size=5, patience=0.05)
    runner.start(RUN)
    for event in events(60):  # waits once, not for each
        runner.emit(event)
    assert runner.left_out >= 54
    slow.gate.release(100)
    runner.close()


class Broken(Slow):
    """A sink that fails as it is told to."""

    name = "broken"

    def __init__(self, **fails):
        super().__init__()
        self.fails = fails

    def open(self, run):
        self._do("open")

    def emit(self, record):
        self._do("emit")

    def close(self):
        self.closed = True
        self._do("close")

    def _do(self, step):
        if step in self.fails:
            raise self.fails[step]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SinkError("as it is"), "as it is"),
        (OSError(28, "No space left on device"), "broken: No space left on device; check the path"),
        (KeyError("x"), "broken: the sink failed with KeyError: 'x'"),
    ],
)
@pytest.mark.parametrize("step", ["open", "emit", "close"])
def test_what_a_sink_raises_is_kept_and_it_is_closed(step, error, says):
    broken = Broken(**{step: error})
    runner = SinkRunner(broken)
    if step == "open":
        with pytest.raises(SinkError, match=says):
            runner.start(RUN)
    else:
        runner.start(RUN)
        for event in events(5):
            runner.emit(event)
    runner.close()
    assert says in str(runner.failed) and runner.left_out == 0
    assert broken.closed
    failure = runner.take_failure()
    assert failure is runner.failed and runner.take_failure() is None
    assert failure is error or failure.__cause__ is error
    runner.emit(GAP)  # goes nowhere, and breaks nothing


def test_closing_what_never_began_does_nothing():
    runner = SinkRunner(Broken(close=OSError("no")))
    runner.close()
    assert runner.failed is None
    JsonLinesSink("x").close()
    TerminalSink().close()


# -- a terminal -------------------------------------------------------------------------------


def shown(*records):
    file = io.StringIO()
    sink = TerminalSink(file)
    sink.open(RUN)
    for record in records:
        sink.emit(record)
    sink.close()
    return file.getvalue().splitlines()


def test_a_window_is_a_line_with_its_label_or_the_reason_why_there_is_none():
    good, silent, old, gap, nowhere = shown(
        GOOD, SILENT, replace(GOOD, age=3.5, gap=2), GAP, replace(GAP, t=None)
    )
    assert "stress   90.0%" in good and "2.00 ms" in good and "old" not in good
    assert silent.endswith("—       ppg_2 is flat") and "%" not in silent
    assert "3.5 s old  2 samples held over" in old
    assert gap == f"{3.5:20.2f} s  4 samples are missing"
    assert nowhere.strip() == "4 samples are missing"


def test_a_real_terminal_gets_colours():
    ours, theirs = pty.openpty()
    with open(theirs, "w") as file:  # noqa: PTH123
        sink = TerminalSink(file)
        sink.open(RUN)
        for record in (GOOD, SILENT, GAP):
            sink.emit(record)
        sink.close()
    raw = ""
    while raw.count("\n") < 3:
        raw += os.read(ours, 10_000).decode()
    os.close(ours)
    good, silent, gap = raw.splitlines()[:3]
    assert "\x1b[33m" in good and "\x1b[2m" in silent and "\x1b[33m" in gap
    assert "ppg_2 is flat" in silent
