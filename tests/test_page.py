"""The page over HTTP, through the real run loop: what it says, and as it happens."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_page import following, get, quiet
from fixtures_signal import recorded, with_gaps
from test_sinks import RUN

from bioxedge import Stream, cli, recording, spec
from bioxedge.runtime import ReplaySource, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.page.columns import SHOWN, Columns
from bioxedge.signals import Chunk

MAX = float("inf")


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "b", quality=spec.QualitySpec()
    )  # 4 s windows, every second


def run(tested, page, recording=None, name=""):
    """Run a recording as fast as it goes, with the page as its sink."""
    recording = recorded(pulse(1, 64 * 30, 64.0, 3)) if recording is None else recording
    source, stream = ReplaySource(recording, speed=MAX), Stream(tested)
    info = replace(loop.about(source, stream), name=name)
    return loop.run(source, stream, [page.sink()], info=info)


# -- what it says ------------------------------------------------------------------------------


def test_the_state_tells_what_the_run_said(tested):
    page, said = quiet()
    recording = with_gaps(recorded(pulse(1, 64 * 30, 64.0, 3)), (1000, 1005))
    with page:
        tally = run(tested, page, recording)
        status, headers, body = get(page, "/state")
    state = json.loads(body)
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert said[0].startswith("page: http://127.0.0.1:") and "this machine only" in said[0]
    (one,) = state["runs"]
    assert one["running"] is False and one["stale"] is True
    assert one["windows"] == tally.windows == len(one["history"]) > 20
    assert one["labels"] == dict(tally.labels)
    assert one["samples"] == tally.samples and one["missing"] == one["loss"] == 5
    assert one["run"]["digest"] == tested.manifest.digest
    assert one["label"] == one["history"][-1]["label"]
    assert one["age"] >= one["last"]["age"]
    assert one["quality"] == {"ppg_2": None}
    assert sum(one["latency"]["counts"]) == tally.windows
    assert [event["message"] for event in one["events"] if event["event"] == "missing"]


def test_a_loss_that_nothing_can_show_is_unknown_and_not_zero():
    page, _ = quiet()
    with page:
        sink = page.sink()
        sink.open(replace(RUN, channels=("a",)))
        sink.signal(Chunk(np.zeros((1, 64)), 0, 64.0, loss_known=False))
        state = json.loads(get(page, "/state")[2])["runs"][0]
        text = get(page, "/metrics")[2]
        sink.close()
    assert state["loss"] is None and state["missing"] == 0 and state["samples"] == 64
    assert 'bioxedge_loss_known{run=""} 0' in text


def test_metrics_keep_the_rules_of_the_format(tested):
    page, _ = quiet()
    with page:
        tally = run(tested, page, name='home "1"\\')
        run(tested, page, name="two")
        status, headers, text = get(page, "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    kinds, values = parse_metrics(text)
    for name in kinds:
        assert re.fullmatch(r"bioxedge_[a-z_]+", name)
        assert name.endswith("_total") == (kinds[name] == "counter")
    home = ("run", 'home "1"\\')
    windows = [
        n
        for (name, labels), n in values.items()
        if name == "bioxedge_windows_total" and home in labels
    ]
    assert sum(windows) == tally.windows
    for name in ("bioxedge_latency_seconds", "bioxedge_age_seconds"):
        assert kinds[name] == "histogram"
        buckets = [
            n for (one, labels), n in values.items() if one == f"{name}_bucket" and home in labels
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == values[f"{name}_count", (home,)] == tally.windows
        assert values[f"{name}_sum", (home,)] > 0


def parse_metrics(text):
    """Parse Prometheus' text format strictly: types first, samples grouped, none twice."""
    assert text.endswith("\n")
    kinds, values, current = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in kinds
            kinds[current] = kind
            continue
        found = re.fullmatch(r"([a-z_:]+)(?:\{(.*)\})? (\S+)", line)
        assert found, line
        name, labels, value = found.groups()
        suffixes = ("", "_bucket", "_sum", "_count") if kinds[current] == "histogram" else ("",)
        assert name in [current + one for one in suffixes], (name, current)
        pairs = re.findall(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)', labels or "")
        assert ",".join(f'{k}="{v}"' for k, v in pairs) == (labels or "")
        key = name, tuple((k, re.sub(r"\\(.)", r"\1", v)) for k, v in pairs)
        assert key not in values
        values[key] = float(value)
    return kinds, values


def test_health_is_told_by_a_status():
    page, _ = quiet()
    with page:
        assert get(page, "/healthz")[0] == 503  # nothing runs
        sink = page.sink()
        sink.open(replace(RUN, hop=1000.0))
        status, _, body = get(page, "/healthz")
        assert status == 200 and json.loads(body) == {"runs": {"": "well"}}
        sink.close()
        assert get(page, "/healthz")[0] == 503


# -- what happens, as it happens ---------------------------------------------------------------


def test_events_come_as_they_happen_and_go_on_where_a_client_left():
    page, _ = quiet()
    with page:
        sink = page.sink()
        sink.open(RUN)
        with following(page) as read:
            for number in range(4):
                sink.emit(Event("gap", f"number {number}", 1.0, {"samples": number}))
            got = [read() for _ in range(4)]
        assert [one["event"] for one in got] == ["event"] * 4
        assert [one["data"]["samples"] for one in got] == [0, 1, 2, 3]
        assert got[0]["data"]["event"] == "gap" and got[0]["data"]["at"] > 1e9
        with following(page, Last_Event_ID=got[1]["id"]) as read:
            assert [read(), read()] == got[2:]
            sink.emit(Event("stall", "later"))
            assert read()["data"]["message"] == "later"
        for odd in ("00000000-1", "x", f"{page.feed.epoch}-{'9' * 40}", f"{page.feed.epoch}-999"):
            with following(page, Last_Event_ID=odd) as read:
                assert read()["event"] == "missed"
                assert read()["event"] == "run"  # and all that there is
        with following(page) as read:
            sink.close()
            assert read()["event"] == "ended"


def test_a_client_that_was_away_for_long_is_told_that_something_is_gone():
    page, _ = quiet()
    with page:
        sink = page.sink()
        sink.open(RUN)
        first = f"{page.feed.epoch}-{page.feed.last}"
        for number in range(3000):
            sink.emit(Event("gap", f"number {number} {'x' * 4000}"))
        with following(page, Last_Event_ID=first) as read:
            assert "forgotten" in read()["data"]["message"]
            assert read()["data"]["message"].startswith("number ")
        assert sum(len(text) for _, text in page.feed._records) <= 4 << 20
        sink.close()


def test_the_end_of_a_run_ends_the_stream():
    page, _ = quiet()
    page.hold()
    with following(page) as read:
        ending = threading.Thread(target=page.release)
        ending.start()
        assert read()["event"] == "end"
        ending.join(20)
    assert not ending.is_alive()
    with pytest.raises(OSError):
        get(page, "/state")


def test_the_signal_comes_only_to_those_who_look_and_says_what_is_missing():
    page, _ = quiet()
    samples = np.cumsum(np.ones((2, 64 * 12)), axis=1)
    samples[1, 700] = np.nan
    with page:
        sink = page.sink()
        sink.open(replace(RUN, channels=("a", "b"), rate=64.0))
        sink.signal(Chunk(samples[:, :640], 0, 64.0))
        assert page.feed.looking == 0 and not page.feed._batches
        with following(page, "/events?signal=1") as read:
            state = read()
            assert state["event"] == "state" and state["data"]["runs"][0]["column"] == 1
            whole = read()["data"]
            assert floats(whole, "low").tolist() == samples[:, :640].tolist()
            sink.signal(Chunk(samples[:, 640:704], 640, 64.0))
            more = read()["data"]
            assert more["first"] == 640 and more["n"] == 64
            np.testing.assert_array_equal(floats(more, "low"), samples[:, 640:704].astype("f4"))
            assert np.flatnonzero(np.frombuffer(base64.b64decode(more["missing"]), "u1")) == 124
            sink.emit(Event("gap", "flushes what waits"))
            sink._sent = 0.0
            sink.signal(Chunk(samples[:, 736:], 736, 64.0))  # 32 are lost
            while (more := read())["event"] != "signal":
                pass
            assert more["data"]["first"] == 704 and more["data"]["n"] == 64
            assert np.isnan(floats(more["data"], "low")[:, :32]).all()
        sink.close()


def floats(batch, key):
    """Give a batch's values [channels, n]."""
    return np.frombuffer(base64.b64decode(batch[key]), "<f4").reshape(2, -1)


@pytest.mark.parametrize("rate", [32.0, 250.0, 1000.0])
def test_columns_hold_every_extreme_whatever_the_chunks(rate):
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((3, int(rate * 4)))
    samples[rng.random(samples.shape) < 0.05] = np.nan
    samples[0, :200] = np.nan
    columns, taken, at = Columns(3, rate), [], 0
    while at < samples.shape[1]:
        n = int(rng.integers(1, 90))
        columns.push(Chunk(samples[:, at : at + n], at, rate))
        taken.append(columns.take())
        at += n
    taken = [one for one in taken if one is not None]
    assert [one[0] for one in taken] == np.cumsum([0, *(one[1].shape[1] for one in taken)])[
        :-1
    ].tolist()
    whole = samples.shape[1] // columns.width
    blocks = samples[:, : whole * columns.width].reshape(3, whole, -1)
    for part, expected in (
        (1, np.fmin.reduce(blocks, axis=2)),
        (2, np.fmax.reduce(blocks, axis=2)),
        (3, np.isnan(blocks).any(axis=2)),
    ):
        got = np.concatenate([one[part] for one in taken], axis=1)
        np.testing.assert_array_equal(got, expected.astype(got.dtype))


def test_a_long_pause_does_not_make_a_long_message():
    columns = Columns(1, 64.0)
    columns.push(Chunk(np.zeros((1, 64)), 0, 64.0))
    columns.push(Chunk(np.ones((1, 64)), 10**12, 64.0))
    first, low, _, _ = columns.take()
    assert first == 10**12 and low.tolist() == [[1.0] * 64]
    columns.push(Chunk(np.ones((1, 64 * 600)), 10**12 + 64, 64.0))
    assert columns.take()[1].shape[1] <= 64 * SHOWN + 1


# -- several runs ------------------------------------------------------------------------------


def test_several_runs_share_a_page_and_one_that_ends_leaves_the_others(tested):
    page, _ = quiet()
    with page:
        for name in ("bed", "chair"):
            run(tested, page, name=name)
        still = page.sink()
        still.open(replace(RUN, name="door", hop=1000.0))
        runs = json.loads(get(page, "/state")[2])["runs"]
        assert [one["name"] for one in runs] == ["bed", "chair", "door"]
        assert [one["running"] for one in runs] == [False, False, True]
        run(tested, page, name="bed")  # it is started again
        assert len(json.loads(get(page, "/state")[2])["runs"]) == 3
        still.close()


def test_a_page_goes_with_its_last_run(tested):
    page, _ = quiet()
    run(tested, page)
    with pytest.raises(OSError):
        get(page, "/state")
    tally = run(tested, page)  # and comes again with another
    assert tally.windows and not tally.failures


# -- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a bundle ``b`` and a recording ``rec``."""
    folder = tmp_path_factory.mktemp("page")
    make_bundle(folder / "b")
    recording.save(recorded(pulse(1, 64 * 600, 64.0)), folder / "rec")
    return folder


def test_a_run_tells_its_address_and_shows_itself_until_it_ends(here):
    command = [sys.executable, "-m", "bioxedge", "run", "b", "--source", "replay:rec"]
    with subprocess.Popen(
        [*command, "--speed", "20", "--page", "0"],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            address = process.stderr.readline().split()[1]
            port = int(address.rstrip("/").rpartition(":")[2])
            limit = time.monotonic() + 30
            while time.monotonic() < limit:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", "/state")
                state = json.loads(connection.getresponse().read())
                connection.close()
                if state["runs"] and state["runs"][0]["windows"] > 3:
                    break
            (one,) = state["runs"]
            assert one["label"] in ("rest", "stress") and one["running"] and not one["stale"]
            assert one["samples"] > 64 * 4 and one["run"]["source"] == "replay of p1"
        finally:
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=30)[1]
    assert "Traceback" not in errors and "Warning" not in errors
    assert process.returncode == 130


def call(here, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(here)
    run = ("run", "b", "--source", "replay:rec", "--speed", "max", "--seconds", "10")
    monkeypatch.setattr(sys, "argv", ["bioxedge", *run, *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


def test_what_is_wrong_is_one_line(here, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = call(here, monkeypatch, capsys, "--page", str(port))
        assert code == 2 and said.startswith(f"error: port {port} is taken: ")
        assert said.count("\n") == 1
    for arguments in (
        ["--page", "x"],
        ["--page-token", "rec"],
        ["--page", "0", "--page-token", "-"],
    ):
        code, said = call(here, monkeypatch, capsys, *arguments)
        assert code == 2 and ("error: --page" in said or "first line" in said)
        assert said.count("\n") == 1
