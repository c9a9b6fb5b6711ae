"""A soak finds nothing where nothing is wrong, and something where something is."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from fixtures_all import some
from fixtures_bundle import make_bundle
from test_faults import judged_bundle

from bioxedge import SourceError
from bioxedge.cli import cli
from bioxedge.runtime.faults import parse
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.soak import soak
from bioxedge.runtime.soak.wearer import Wearer
from bioxedge.runtime.sources.rows import RowReader


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("soak") / "b")  # 4 s windows, every second


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    return judged_bundle(tmp_path_factory.mktemp("soak") / "judged", length=256)


class Believing(RowReader):
    """A reader whose rows all seem to come on time: it misses whole turns of the counter."""

    rows_so_far = 0

    def take(self, table, arrived):
        count = table.shape[1]
        forged = table.copy()
        since = (self.rows_so_far + np.arange(count)) / 64
        forged[-1] = 1.76e9 + since
        self.rows_so_far += count
        super().take(forged, 10**9 + round(self.rows_so_far / 64 * 1e9))


class Quiet(RowReader):
    """A reader that puts rows together where some are missing, and says nothing."""

    gone = 0

    def pop(self):
        chunk = super().pop()
        if chunk is None:
            return None
        end = getattr(self, "end", 0)
        self.gone += chunk.first - self.gone - end
        self.end = end + chunk.samples.shape[1]
        return replace(chunk, first=end)

    def take_events(self):
        super().take_events()
        return []


def test_a_quarter_of_an_hour_with_hundreds_of_faults_has_no_wrong_window(tested):
    report = soak(tested, hours=0.25, faults=200, seed=4)
    assert report.wrong == 0, report.found.examples
    assert sum(report.faults.values()) > 120  # those that the judge would see are left out
    assert report.windows == pytest.approx(900, rel=0.03)
    counts = report.found.windows
    assert counts["equal"] > 50 and counts["flagged"] > 10 and counts["absent"] > 100
    assert report.left_out == ("rail", "flat", "contact", "unit")
    assert report.time_error < 1.0 and report.late_times == 0
    assert len(report.rss) == len(report.files) == 3


@pytest.mark.parametrize(
    "plan",
    some(
        [
            "rate:-1%:290s@100s,silence:19s@410s",
            "rate:2.4%:300s@0s,silence:18.5s@1s",  # before the rate can be known
            "stall:3.68s@100s,loss:223@100.16s",  # lost amid rows that were only late
            "stall:18.6s@100s,loss:209@102.7s",
            "stall:15s@100s,loss:1408@104s",  # whole turns, and longer than the stall
            "stall:10s@100s,loss:256@111s",
            "stall:15s@100s,loss:600@104s,swap@106s,garble@107s",
            "clock:-0.67s@100s,clock:-0.67s@110.3s,clock:0.6s@120s,clock:3456000s@130s",
            "pause:9s@100s,clock:-172s@102s,loss:534@105s",  # set while nobody reads
        ]
    ),
)
@pytest.mark.parametrize("rate", some([250.0, 64.0]))
def test_faults_that_hide_each_other_are_told_apart(tmp_path, plan, rate):
    bundle = make_bundle(tmp_path / "b", channels=("Fp1",), modality="eeg", rate=rate)
    report = soak(bundle, hours=0.14, faults=parse(plan), model="some")
    assert report.wrong == 0, report.found.examples


@pytest.mark.parametrize("plan", ["silence:6.3s@60s,rail:7.7s@60.2s", "nan:4s@60s,rail:2s@63.9s"])
def test_filters_that_settled_on_a_spoiled_stretch_begin_afresh(judged, plan):
    report = soak(judged, hours=0.06, faults=parse(plan))
    assert report.wrong == 0, report.found.examples


def test_without_a_fault_every_window_is_equal(judged):
    report = soak(judged, hours=0.1, faults=0)
    assert dict(report.found.windows) == {"equal": report.windows}
    assert report.windows == pytest.approx(355, abs=2) and not report.found.events


def test_spoiled_channels_are_abstained_from(judged):
    plan = "rail:20s@60s,flat:20s@120s,contact:20s@180s,unit:1000:20s@240s,loss:64@300s"
    report = soak(judged, hours=0.1, faults=parse(plan))
    assert report.wrong == 0, report.found.examples
    assert report.found.windows["abstained"] > 70
    for kind in ("rail", "flat", "contact", "unit"):
        assert report.found.by_kind[kind]["abstained"] > 15
    # What it costs: behind each of the four, windows wait until the filters have settled anew.
    assert set(report.found.needless) <= {"settled", "absent"}
    assert report.found.needless["absent"] <= 4 * 6


def test_several_channels_and_another_counter(tmp_path):
    names = ("Fp1", "Fp2", "C3", "C4")
    bundle = make_bundle(tmp_path / "b", modality="eeg", channels=names, rate=250.0)
    report = soak(bundle, hours=0.05, faults=30, seed=1, model="some")
    assert report.wrong == 0, report.found.examples
    assert report.found.windows["equal"] > 50


def test_a_soak_is_the_same_every_time(tested):
    one, two = (soak(tested, hours=0.05, faults=40, seed=7).to_dict() for _ in range(2))
    moving = {"seconds", "processor_s", "speed", "rss_mib", "open_files"}
    assert {k: v for k, v in one.items() if k not in moving} == {
        k: v for k, v in two.items() if k not in moving
    }
    assert soak(tested, hours=0.05, faults=40, seed=8).to_dict()["categories"] != one["categories"]


@pytest.mark.parametrize("reader", [Believing, Quiet])
def test_a_broken_reader_is_found_out(tested, reader):
    plan = parse("loss:300@60s,silence:6s@120s")
    assert soak(tested, hours=0.06, faults=plan).wrong == 0
    report = soak(tested, hours=0.06, faults=plan, reader=reader)
    assert report.wrong > 50
    assert report.found.examples[0]["start"] > 50


def test_a_wearer_can_be_made_again_piece_by_piece(tested):
    clock = SimulatedClock()
    wearer = Wearer(tested, clock, 60.0, seed=2)
    wearer.start()
    whole = wearer.samples(0, 20_000)
    assert np.isfinite(whole).all()
    for begin, end in ((0, 1), (4095, 4097), (8192, 8192), (12_000, 20_000)):
        np.testing.assert_array_equal(wearer.samples(begin, end), whole[:, begin:end])
    # No joint stands out, and no stretch comes again.
    raw = tested.golden.raw
    assert np.abs(np.diff(whole)).max() < 1.5 * np.abs(np.diff(raw, axis=2)).max()
    assert len(np.unique(whole)) == whole.size


def test_the_verb_prints_one_line_or_json_and_tells_by_its_exit_code(tested, tmp_path):
    runner = CliRunner()
    words = ["soak", str(tested.path), "--hours", "0.02", "--faults", "loss:64@30s"]
    done = runner.invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0 and done.output.startswith("0 of ")
    out = tmp_path / "soak.json"
    more = ["--json", "--out", str(out), "--board", "muse_2/ancillary", "--seed", "3"]
    done = runner.invoke(cli, words + more, catch_exceptions=False)
    assert done.exit_code == 0
    about = json.loads(done.output)
    assert about == json.loads(out.read_text())
    assert about["wrong"] == 0 and about["faults"] == {"loss": 1} and about["seed"] == 3
    assert about["counter"] == "0–65535, 6 rows a number"
    with pytest.raises(SourceError, match="is not known"):
        runner.invoke(cli, [*words, "--board", "abacus"], catch_exceptions=False)


def test_ctrl_c_gives_what_was_done_so_far(tested):
    def hear(done, total):
        assert total == 500 * 3600
        if done > 120:
            os.kill(os.getpid(), signal.SIGINT)

    report = soak(tested, hours=500, faults=5000, progress=hear)
    assert report.interrupted and report.wrong == 0 and "interrupted" in report.line()
    assert 100 < report.simulated < 1000 and report.windows > 50
