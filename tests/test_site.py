"""Several runs from a file, as they are started: together, apart, failing, ending."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps
from test_runtime_stream import Keep

from bioxedge import Bundle, SinkError, Stream, cli, recording
from bioxedge.commands.sitefile import read
from bioxedge.runtime import Recorded, ReplaySource, loop
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.site import Job, Site
from bioxedge.runtime.systemd import Beats, Watchdog
from bioxedge.runtime.tee import Tee

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Bundles ``b`` (ppg_2) and ``c`` (other windows), ``fast`` (125 Hz), recordings ``rec``."""
    folder = tmp_path_factory.mktemp("site")
    make_bundle(folder / "b")
    make_bundle(folder / "c", length=128, hop=32, seed=1)
    make_bundle(folder / "fast", rate=125.0)
    recording.save(
        with_gaps(recorded(pulse(1, 64 * 40, 64.0)), (700, 704), (1500, 1600)), folder / "rec"
    )
    recording.save(recorded(pulse(1, 64 * 40, 64.0, 5)), folder / "other")
    return folder


@pytest.fixture
def call(here, monkeypatch, capsys):
    def run(text, *arguments):
        path = here / "site.toml"
        path.write_text(text)
        monkeypatch.setattr(sys, "argv", ["bioxedge", "run", "--config", str(path), *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


def predictions(path):
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    beside = ("due", "latency", "age", "written")
    return [{k: v for k, v in one.items() if k not in beside} for one in lines if
            one["kind"] != "run"]  # fmt: skip


def alone(here, bundle, source):
    """What a run of one bundle says by itself."""
    out = here / "alone.jsonl"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "bioxedge", "run", here / bundle, "--source", source, "--speed",
         "max", "--sink", f"jsonl:{out}"],
        capture_output=True, cwd=here,
    )  # fmt: skip
    assert done.returncode == 0
    return predictions(out)


TWO = """
[sources.wrist]
source = "replay:rec"
speed = "max"
[runs.one]
bundle = "b"
source = "wrist"
sinks = ["jsonl:{run}.jsonl"]
[runs.two]
bundle = "c"
source = "wrist"
sinks = ["terminal", "jsonl:{run}.jsonl"]
"""


def test_two_bundles_on_one_source_say_what_each_says_alone(here, call):
    for name in ("one", "two"):
        (here / f"{name}.jsonl").unlink(missing_ok=True)
    code, out, err = call(TWO)
    assert code == 0, err
    for name, bundle in (("one", "b"), ("two", "c")):
        assert predictions(here / f"{name}.jsonl") == alone(here, bundle, "replay:rec")
    heads = [json.loads((here / f"{n}.jsonl").read_text().splitlines()[0]) for n in ("one", "two")]
    assert [head["name"] for head in heads] == ["one", "two"]
    lines = out.splitlines()
    assert sum(line.startswith("two      ") for line in lines) > 50
    assert [line.split(":")[0] for line in lines if " windows: " in line] == ["one", "two"]


def test_one_bundle_on_two_sources_is_two_runs(here, call):
    code, out, err = call(
        """
        [sources.left]
        source = "replay:rec,speed=max"
        [sources.right]
        source = "replay:other,speed=max"
        [runs.alarm]
        bundle = "b"
        source = ["left", "right"]
        """,
        "--json",
    )
    assert code == 0, err
    found = [json.loads(line)["summary"] for line in out.splitlines()]
    assert [one["run"] for one in found] == ["alarm-left", "alarm-right"]
    assert found[0]["gaps"]["lost"] == 100 and found[1]["gaps"]["lost"] == 0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("speed =", "sped =", "there is no sources.wrist.sped: did you mean speed"),
        ("[runs.one]", "[run.one]", "there is no run: did you mean runs"),
        ('source = "wrist"', 'source = "wirst"', "runs.one is on 'wirst': the sources are wrist"),
        ("[runs.one]", "[runs.'o ne']", "'o ne' is no name for a run"),
        ('bundle = "b"', 'bundle = "nothing"', "run one: "),
        ('bundle = "b"', 'bundle = "fast"', "takes 125 Hz, another 64 Hz"),
        ('bundle = "b"', "bundle = 3", "Expected `str`, got `int` - at `$.runs"),
        ("replay:rec", "replay:gone", "source wrist: "),
        ("replay:rec", "tape:rec", "source wrist: there is no source 'tape:rec'"),
        ('"jsonl:{run}.jsonl"]', '"jsonl:same.jsonl"]', "runs one and two both have jsonl:"),
        ('"terminal", ', '"jsonl", ', "jsonl of run two has no file"),
        ('"terminal", ', '"telex", ', "run two: there is no sink 'telex'"),
        ('bundle = "c"', 'bundle = "c"\nlate = "never"', "Invalid enum value 'never'"),
        ('bundle = "c"', 'bundle = "c"\nquality = {nois = 1}', "there is no threshold 'nois'"),
        ('bundle = "c"', 'bundle = "c"\nvariant = "int3"', "run two: "),
        ("[sources.wrist]", "[sources.idle]\nsource='replay:rec'\n[sources.wrist]",
         "nothing runs on idle"),
        ("[sources.wrist]", "[sources.wrist", "site.toml: "),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_one_line_before_anything_starts(here, call, old, new, says):
    for name in ("one", "two"):
        (here / f"{name}.jsonl").unlink(missing_ok=True)
    code, out, err = call(TWO.replace(old, new))
    assert code == 2 and says in err and len(err.splitlines()) == 1 and not out
    assert not (here / "one.jsonl").exists()


def test_what_belongs_into_the_file_is_not_taken_beside_it(call):
    code, _, err = call(TWO, "--sink", "terminal", "--speed", "2")
    assert code == 2 and "--speed" in err and "beside --config: write it into" in err


def test_the_example_is_one_that_is_read():
    site = read(ROOT / "device" / "site.example.toml")
    assert [name for name, _, _ in site.expanded()] == ["stress", "sleep", "rhythm-chest"]


# -- failing -----------------------------------------------------------------------------------


class Frail(Keep):
    """A sink of somebody's own that fails at its third record, every time."""

    name = "frail"

    def emit(self, record):
        super().emit(record)
        if len(self.predictions) == 3:
            raise ValueError("no more")


def site(here, *sinks, seconds=60, **options):
    """Runs on one source, live by a paced replay that does not wait."""

    source = ReplaySource(recorded(pulse(1, 64 * seconds, 64.0)), speed=20.0)
    source.waits = False  # as a sensor
    tee, said = Tee(source), []
    jobs = []
    for number, make in enumerate(sinks):
        name = f"run{number}"
        view = tee.view(name=name)
        stream = Stream(Bundle.open(here / "b"))
        jobs.append(Job(name, view, stream, make, loop.about(view, stream)))
    return Site(jobs, said.append, **options), jobs, said


def test_one_that_fails_again_and_again_stops_no_other(here):
    kept, frail = Keep(), []

    def fails():
        frail.append(Frail())
        return [frail[-1]]

    made, jobs, said = site(here, fails, lambda: [kept], first=0.05, longest=0.1)
    before = threading.active_count()
    made.run()
    assert len(frail) > 2 and jobs[0].failures >= len(frail) - 1
    assert (
        said and "run0 failed: frail: the sink failed with ValueError: no more; it is st" in said[0]
    )
    assert not jobs[1].error and not jobs[1].failures
    single = Keep()
    loop.run(
        ReplaySource(recorded(pulse(1, 64 * 60, 64.0)), speed=float("inf")),
        Stream(Bundle.open(here / "b")), [single],
    )  # fmt: skip
    facts = [
        [(p.t_start, p.gap, p.probabilities) for p in one.predictions] for one in (kept, single)
    ]
    assert facts[0] == facts[1] and len(facts[0]) > 50
    assert threading.active_count() <= before + 1


def test_a_run_whose_sink_cannot_be_opened_is_down_at_the_end_and_said(here):
    class Shut(Keep):
        name = "shut"

        def open(self, run):
            raise SinkError("shut: nobody home")

    kept = Keep()
    made, jobs, said = site(here, lambda: [Shut()], lambda: [kept], seconds=20, first=0.2)
    made.run()
    assert jobs[0].error == "shut: nobody home" and not jobs[1].error
    assert kept.predictions and len(said) >= 1


def test_a_sensor_streams_on_and_is_recorded_while_its_only_run_is_down(here, tmp_path):
    class Shut(Keep):
        def open(self, run):
            raise SinkError("shut: nobody home")

    samples = pulse(1, 64 * 60, 64.0)
    source = ReplaySource(recorded(samples), speed=20.0)
    source.waits = False  # as a sensor
    view = Tee(Recorded(source, tmp_path / "rec")).view()
    stream = Stream(Bundle.open(here / "b"))
    job = Job("one", view, stream, lambda: [Shut()], loop.about(view, stream))
    Site([job], lambda text: None, first=0.3, longest=0.3).run()
    assert job.failures > 3
    kept = recording.load(tmp_path / "rec" / "source")
    assert kept.samples.shape[1] == samples.shape[1] and kept.facts["takes"] == 1


def test_a_run_that_fails_at_once_ends_no_recording(here, tmp_path, monkeypatch):
    """Whoever keeps the sensor comes late: the run waits for that, or its failure ends the take."""
    hold = Site._hold

    def late(site, *given):
        time.sleep(0.5)
        hold(site, *given)

    monkeypatch.setattr(Site, "_hold", late)
    test_a_sensor_streams_on_and_is_recorded_while_its_only_run_is_down(here, tmp_path)


def test_a_run_that_starts_as_its_sensor_ends_begins_nothing_anew(here, tmp_path):
    """The sensor ends after the look whether it has, and before the run's start."""
    samples = pulse(1, 64 * 30, 64.0)
    source = ReplaySource(recorded(samples), speed=20.0)
    source.waits = False  # as a sensor
    view = Tee(Recorded(source, tmp_path / "rec")).view()
    stream = Stream(Bundle.open(here / "b"))

    def at_its_end():
        limit = time.monotonic() + 30
        while not view.over:
            assert time.monotonic() < limit
            time.sleep(0.01)
        return [Keep()]

    job = Job("one", view, stream, at_its_end, loop.about(view, stream))
    said = []
    Site([job], said.append, first=0.3, longest=0.3).run()
    assert job.failures == 1 and job.error.endswith("has come to its end") and len(said) == 1
    kept = recording.load(tmp_path / "rec" / "source")
    assert kept.samples.shape[1] == samples.shape[1] and kept.facts["takes"] == 1


def test_told_to_stop_all_end_in_order(here):
    kept = [Keep(), Keep()]
    made, jobs, _ = site(here, lambda: [kept[0]], lambda: [kept[1]], seconds=10_000)
    running = threading.Thread(target=made.run)
    running.start()
    limit = time.monotonic() + 30
    while not all(one.predictions for one in kept):
        assert time.monotonic() < limit
        time.sleep(0.01)
    made.stop()
    running.join(30)
    assert not running.is_alive() and not any(job.error for job in jobs)
    assert all(one.calls == ["open", "close"] for one in kept)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_in_order(here, tmp_path, number, code):
    path = tmp_path / "site.toml"
    path.write_text(
        f"""
        [sources.board]
        source = "brainflow:synthetic"
        [runs.one]
        bundle = "{here / "s"}"
        source = "board"
        [runs.two]
        bundle = "{here / "s"}"
        source = "board"
        sinks = ["jsonl:two.jsonl"]
        """
    )
    make_bundle(here / "s", rate=250.0, length=250, hop=50, stages=())
    done = subprocess.Popen(
        [sys.executable, "-m", "bioxedge", "run", "--config", path], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
    )  # fmt: skip
    limit = time.monotonic() + 60
    while not (tmp_path / "two.jsonl").exists() or len(predictions(tmp_path / "two.jsonl")) < 5:
        assert time.monotonic() < limit and done.poll() is None
        time.sleep(0.05)
    done.send_signal(number)
    out, err = done.communicate(timeout=60)
    assert done.returncode == code and "Traceback" not in err, err
    assert "one: " in out and "two: " in out and " windows: " in out
    assert predictions(tmp_path / "two.jsonl")


def test_systemd_hears_that_all_are_ready_and_no_sign_of_life_of_one_that_hangs():
    said, clock = [], SimulatedClock()

    class Told(Watchdog):
        def __init__(self):
            super().__init__(environ={}, clock=clock)
            self.interval = 10.0

        def _tell(self, state):
            said.append(state)

    beats = Beats(Told(), clock)
    one, two = beats.of("one"), beats.of("two")
    beats.look()
    one.ready()
    beats.look()
    assert "READY=1" not in said
    two.ready()
    beats.look()
    assert said.count("READY=1") == 1
    said.clear()
    clock.sleep(6)
    one.alive()  # the other one hangs
    beats.look()
    assert "WATCHDOG=1" not in said
    beats.leave("two")
    beats.look()
    assert said == ["WATCHDOG=1"]
