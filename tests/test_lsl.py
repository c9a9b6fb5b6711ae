"""LSL through the real liblsl on loopback: what comes in, what goes out, and what is refused."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from test_runtime_stream import Keep, Spy

from bioxedge import SourceError, Stream, cli
from bioxedge.runtime import loop, lsl
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks.lsl import BESIDE, LslSink
from bioxedge.runtime.sources.lsl import LslSource
from bioxedge.runtime.supervise import Supervised
from bioxedge.signals import Chunk

pytest.importorskip("pylsl", reason="pylsl is missing: pip install 'bioxedge[lsl]'")
pylsl = lsl.load()
RATE = 500.0
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Windows of 0.5 s every 0.1 s at 500 Hz."""
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "b",
        rate=RATE, stages=(), length=250, hop=50, max_gap=60,
    )  # fmt: skip


class Sender:
    """Sends rows in real time from a thread, with stamps that it makes itself."""

    def __init__(
        self, name, rows, *, rate=RATE, labels=("ppg_1", "ppg_2"), units=("a.u.", "a.u."),
        source_id="", lost=(), stall=None, step=None, drops="", kind="PPG", ends=True,
        gate=None,
    ):  # fmt: skip
        info = pylsl.StreamInfo(name, kind, len(labels), rate, pylsl.cf_double64, source_id)
        channels = info.desc().append_child("channels")
        for label, unit in zip(labels, units, strict=True):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        if drops:
            info.desc().append_child("synchronization").append_child_value(
                "can_drop_samples", drops
            )
        self.outlet = pylsl.StreamOutlet(info)
        self.rows, self.rate, self.ends = rows, rate or RATE, ends
        self.lost, self.stall, self.step = lost, stall, step
        self.gate, self.sent = gate, 0
        self.stopped = threading.Event()
        self.began = math.nan
        self.thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.outlet = None

    def _send(self):
        while not self.outlet.have_consumers() or (self.gate and not self.gate.is_set()):
            if self.stopped.wait(0.01):
                return
        self.began, sent, count = pylsl.local_clock(), 0, self.rows.shape[1]
        while sent < count and not self.stopped.wait(0.01):
            due = min(int((pylsl.local_clock() - self.began) * self.rate), count)
            if self.stall and self.stall[0] <= due < self.stall[1]:
                continue
            for n in range(sent, due):
                if not any(begin <= n < end for begin, end in self.lost):
                    later = self.step[1] if self.step and n >= self.step[0] else 0.0
                    self.outlet.push_sample(
                        self.rows[:, n].tolist(), self.began + (n + 1) / self.rate + later
                    )
            self.sent = sent = max(due, sent)
        if self.ends:
            self.outlet = None  # the stream goes


def run(tested, name, seconds, **options):
    engine, sink = Spy(tested), Keep()
    source = LslSource({"name": name}, channels=("ppg_2",), rate=RATE, timeout=5.0, **options)
    tally = loop.run(source, Stream(tested, engine=engine), [sink], seconds=seconds)
    return engine.windows, sink, tally


def straight(tested, rows, *parts):
    """The same samples, pushed by their true indices."""
    engine = Spy(tested)
    stream = Stream(tested, engine=engine)
    for begin, end in parts:
        stream.push(Chunk(rows[1:2, begin:end], begin, RATE))
    return engine.windows, stream


@pytest.mark.skipif(sys.platform != "linux", reason="there it is another clock, perhaps")
def test_the_clock_of_lsl_is_the_monotonic_one():
    for _ in range(100):
        before = time.monotonic()
        assert before - 1e-6 <= pylsl.local_clock() <= time.monotonic() + 1e-6


def test_what_is_lost_is_found_and_a_stall_is_no_loss(tested):
    rows = pulse(2, 2400, RATE, seed=1)
    # 0.9 s from 1500 on come late and at once; before that, 100 samples and 20 never come
    with Sender("field", rows, lost=[(1000, 1100), (1300, 1320)], stall=(1500, 1950)):
        windows, sink, tally = run(tested, "field", 2300 / RATE)
    expected, stream = straight(tested, rows, (0, 1000), (1100, 1300), (1320, 2300))
    assert [w.tobytes() for w in windows] == [w.tobytes() for w in expected]
    assert tally.gaps == stream.gaps == {"filled": 20, "lost": 100, "restarts": 1}
    assert tally.loss == 120
    gaps = [event.facts["samples"] for event in sink.events if event.kind == "gap"]
    assert gaps == [100, 20]
    late = [p.age for p in sink.predictions if 1550 < p.t_end * RATE < 1700]
    assert min(late) > 0.4  # they say how old they are
    on_time = sorted(p.age for p in sink.predictions if p.t_end < 1450 / RATE)
    assert on_time[0] > -0.01 and on_time[len(on_time) // 2] < 0.3
    known = [p.loss for p in sink.predictions if p.t_start * RATE > 1150]
    assert None not in known and 20 in known


def test_a_senders_clock_that_is_set_loses_nothing(tested):
    rows = pulse(2, 1900, RATE, seed=2)
    with Sender("stepping", rows, step=(1200, 3600.0)):
        windows, sink, tally = run(tested, "stepping", 1800 / RATE)
    expected, _ = straight(tested, rows, (0, 1800))
    assert [w.tobytes() for w in windows] == [w.tobytes() for w in expected]
    assert tally.gaps == {"filled": 0, "lost": 0, "restarts": 0}
    assert "contradiction" in tally.events
    assert all(p.age < 5 for p in sink.predictions)


def test_a_sender_that_goes_and_comes_back_is_waited_for(tested):
    rows = pulse(2, 1000, RATE, seed=3)
    sink, stop = Keep(), threading.Event()
    with Sender("comes-back", rows[:, :500], source_id="cb"):
        source = LslSource({"name": "comes-back"}, channels=("ppg_2",), rate=RATE, timeout=2.0)
        made = Supervised(source, first_delay=0.1, longest_delay=0.2)
        tallies = []
        running = threading.Thread(
            target=lambda: tallies.append(loop.run(made, Stream(tested), [sink], stop=stop))
        )
        running.start()
        until(lambda: any(e.kind == "stall" for e in sink.events))
    with Sender("comes-back", rows, source_id="cb", ends=False):
        until(lambda: any(e.kind == "reconnect" for e in sink.events))
        before = len(sink.predictions)
        until(lambda: len(sink.predictions) > before + 3)
        stop.set()
        running.join()
    (back,) = [e for e in sink.events if e.kind == "reconnect"]
    assert back.facts["samples"] > 0 and tallies[0].gaps["restarts"] == 1


def test_a_sender_that_comes_back_as_another_is_refused(tested):
    rows = pulse(2, 200, RATE, seed=3)
    with Sender("changes", rows, ends=False):
        source = LslSource({"name": "changes"}, channels=("ppg_2",), rate=RATE, timeout=1.0)
    with (
        Sender("changes", rows, rate=250.0, ends=False),
        pytest.raises(SourceError, match=r"came back as another.*250 Hz.*it was.*500 Hz"),
    ):
        source.start()


def until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def test_units_are_converted_and_channels_found_by_label_or_map(tmp_path):
    rows = pulse(2, 300, RATE, seed=4)
    with Sender("volts", rows, labels=("X", "Y"), units=("volts", "mV"), ends=False):
        source = LslSource(
            {"name": "volts"}, channels=("b", "a"), units=("uV", "uV"),
            names={"a": "X", "b": "2"}, timeout=2.0,
        )  # fmt: skip
        assert source.units == ("uV", "uV")
        with source:
            got = np.empty((2, 0))
            while got.shape[1] < 300:
                got = np.concatenate([got, source.read().samples], axis=1)
    np.testing.assert_allclose(got, rows[::-1] * [[1e3], [1e6]], rtol=1e-12)


def test_what_waits_too_long_in_liblsl_is_counted():
    rows = np.arange(14_000.0)[None]
    numbers, indices, told = [], [], []

    def read(source):
        chunk = source.read()
        numbers.extend(chunk.samples[0].tolist())
        indices.extend(range(chunk.first, chunk.end))
        told.extend(source.take_events())

    with (
        Sender("waits", rows, labels=("ppg_1",), units=("",)) as sender,
        LslSource({"name": "waits"}, buffer=1, timeout=2.0) as source,
    ):
        until(lambda: read(source) or any("known from here on" in one.message for one in told))
        for _ in range(3):
            # Nobody reads for four seconds, of which liblsl holds one. A machine that stands still
            # as long brings all of it at once, and nothing is lost: then it is tried again.
            reached, before = sender.sent + 2000, len(numbers)
            until(lambda reached=reached: sender.sent >= reached)
            until(lambda before=before: read(source) or len(numbers) >= before + 1000)
            lost = np.diff(numbers[max(before - 1, 0) :]).max() - 1
            if lost > 400:
                break
        assert source.loss >= lost > 400, [one.message for one in told]
    gone = np.array(numbers) - np.array(indices)
    assert np.ptp(gone[before:]) == 0  # what is missing has its indices, too


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("lsl:nobody,timeout=1", "there is no LSL stream with name=nobody: there are "),
        ("lsl:nobody,timeout=1", "bad? name? (no type, irregular, channel_1; source_id=b, hostn"),
        ("lsl:twice,timeout=4", "there are 2 LSL streams with name=twice"),
        ("lsl:many,timeout=4", "has 2000 channels at 500 Hz: at most 1024 at 100000 Hz are taken"),
        ("lsl:slow,timeout=4", "has 100 Hz, 500 Hz are wanted"),
        ("lsl:other,timeout=4", "has no channel ppg_2: it has a, b; say map=ppg_2:LABEL"),
        ("lsl:other,timeout=4,map=ppg_2:3", "has no channel 3"),
        ("lsl:other,timeout=4,map=ppg_2", "map takes CHANNEL:LABEL"),
        ("lsl:text,timeout=4", "is of text: no signal"),
        ("lsl:odd,timeout=4", "irregular, of no rate"),
        ("lsl:type=PPG,source_id=x,timeout=1", "no LSL stream with type=PPG, source_id=x"),
        ("lsl:timeout=4", "which LSL stream? Write lsl:NAME"),
        ("lsl:other,timeout=never", "takes a number of 0.1 or more as timeout, got 'never'"),
    ],
)
def test_a_mistake_is_one_line(call, tested, streams, source, says):
    code, out, err = call("run", str(tested.path), "--source", source)
    assert code == 2 and says in err and len(err.splitlines()) == 1 and not out


@pytest.fixture(scope="module")
def streams():
    rows = np.zeros((2, 10))
    text = pylsl.StreamOutlet(pylsl.StreamInfo("text", "Markers", 1, RATE, pylsl.cf_string, "t"))
    odd = pylsl.StreamOutlet(pylsl.StreamInfo("odd", "PPG", 2, 0.0, pylsl.cf_float32, "o"))
    # a name that would colour the terminal and break the line
    bad = pylsl.StreamOutlet(pylsl.StreamInfo("bad\x1b name\x1b", "", 1, 0, pylsl.cf_float32, "b"))
    many = pylsl.StreamOutlet(pylsl.StreamInfo("many", "EEG", 2000, RATE, pylsl.cf_int16, "m"))
    with (
        Sender("twice", rows, source_id="one"), Sender("twice", rows, source_id="two"),
        Sender("slow", rows, rate=100.0), Sender("other", rows, labels=("a", "b")),
    ):  # fmt: skip
        yield text, odd, bad, many


def test_a_contradicting_unit_is_refused(tmp_path):
    rows = np.zeros((2, 10))
    with (
        Sender("pulse-rate", rows, units=("bpm", "bpm")),
        pytest.raises(SourceError, match="ppg_2 of the LSL stream pulse-rate is in bpm, uV is wan"),
    ):
        LslSource({"name": "pulse-rate"}, channels=("ppg_2",), units=("uV",), timeout=2.0)


def test_what_goes_out_is_read_by_another_client_at_the_time_of_the_data(tested):
    pytest.importorskip("mne_lsl", reason="mne-lsl is missing: pip install mne-lsl")
    rows = pulse(2, 1600, RATE, seed=5)
    client = subprocess.Popen(
        [sys.executable, str(HERE / "lsl_client.py"), "out", "30"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    kept, sink = Keep(), LslSink("out")
    listens = threading.Event()
    reading = threading.Thread(target=lambda: client.stdout.readline() and listens.set())
    reading.start()

    with Sender("in", rows, lost=[(900, 1000)], ends=False, gate=listens) as sender:
        source = LslSource({"name": "in"}, channels=("ppg_2",), rate=RATE, stall=30.0)
        loop.run(source, Stream(tested), [kept, sink], seconds=1500 / RATE)
        began = sender.began
    reading.join()
    out, err = client.communicate(timeout=40)
    assert client.returncode == 0, err
    answer = out.splitlines()[-1]
    found = json.loads(answer)
    labels, numbers = found["got"]["out"], found["got"]["out-probabilities"]
    assert len(labels) == len(numbers) == len(kept.predictions) > 10
    for (stamp, (said,)), (same, row), p in zip(labels, numbers, kept.predictions, strict=True):
        # the stamp is when the window's last sample was taken, by the sender
        assert stamp == same == pytest.approx(began + p.t_end, abs=0.02)
        assert said == p.label
        values = dict(zip([*p.probabilities, *BESIDE], row, strict=True))
        assert values["gap"] == p.gap and values["real"] == p.quality.real
        assert values["age"] == p.age and values["rest"] == p.probabilities["rest"]
    events = [row[0] for _, row in found["got"]["out-events"]]
    assert any("100 samples missing" in text for text in events)
    head = found["heads"]["out-probabilities"]
    assert head["channels"] == ["rest", "stress", *BESIDE] and head["rate"] == 0
    assert tested.manifest.digest in head["xml"] and "test bundle" in head["xml"]
    # the same after a restart, and another on another device
    digest = tested.manifest.digest[:16]
    assert head["id"] == f"out-probabilities-{digest}-{platform.node()}"
    assert found["heads"]["out"]["type"] == "Markers"


def test_a_client_that_does_not_read_holds_nobody_up(tested):
    sink = LslSink("unread")
    sink.open(loop.RunInfo(labels=("rest", "stress"), bundle="b"))
    (info,), _ = lsl.resolve(pylsl, lambda one: one.name() == "unread-events", 5.0)
    inlet = pylsl.StreamInlet(info, max_buflen=10)  # in hundreds; 36,000 of them otherwise
    inlet.open_stream(timeout=5.0)
    for number in range(20_000):  # liblsl holds a bounded number of them, on both ends
        sink.emit(Event("gap", f"{number} " + "x" * 200))
    texts, stamps = inlet.pull_chunk(timeout=0.5, max_samples=20_000)
    assert len(stamps) < 20_000 and texts
    sink.close()


def test_a_run_from_lsl_to_lsl_by_the_command(tested, tmp_path):
    rows = pulse(2, 60 * int(RATE), RATE, seed=6)
    lines = tmp_path / "out.jsonl"
    with Sender("wrist", rows, drops="true"):
        done = subprocess.run(
            [sys.executable, "-m", "bioxedge", "run", str(tested.path), "--source",
             "lsl:wrist,type=PPG", "--sink", "lsl:labels", "--sink", f"jsonl:{lines}",
             "--seconds", "2"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "from the LSL stream wrist" in done.stdout
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    said = [line["message"] for line in found if line["kind"] == "event"]
    assert any("says that it may drop samples" in text for text in said)
    assert sum(line["kind"] == "prediction" for line in found) > 5


def test_a_unit_that_the_header_does_not_state_is_said_to_be_unchecked(tmp_path):
    made = make_bundle(
        tmp_path / "b", rate=RATE, stages=(), length=250, hop=50, max_gap=60, unit="uV"
    )
    for units, says in (
        (("", ""), "the unit of ppg_2 is arbitrary on one side"), (("uV", "V"), None)
    ):  # fmt: skip
        with Sender("states", pulse(2, 600, RATE, seed=7), units=units):
            done = subprocess.run(
                [sys.executable, "-m", "bioxedge", "run", str(made.path), "--source",
                 "lsl:states", "--sink", "jsonl", "--seconds", "0.6"],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[0])["checks"].get("unit") == says


def test_the_doctor_says_whether_it_can_be_used_and_the_cure(call, monkeypatch, tmp_path):
    code, out, _ = call("doctor", "--json")
    (found,) = [one for one in json.loads(out)["findings"] if one["check"] == "lsl"]
    assert found["state"] == "ok" and found["seen"].startswith("liblsl 1.")
    # A wheel without a library, as for 64-bit Arm: what lies in mne-lsl's is looked for next.
    (tmp_path / "no.so").write_bytes(b"no library")
    monkeypatch.setenv("PYLSL_LIB", str(tmp_path / "no.so"))
    code, out, _ = call("doctor", "--json")
    (found,) = [one for one in json.loads(out)["findings"] if one["check"] == "lsl"]
    assert found["state"] in ("problem", "ok")
    if found["state"] == "problem":
        assert code == 1 and "mne-lsl" in found["cure"]
