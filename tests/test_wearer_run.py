"""A bundle with a baseline on a wearer: what is said and learnt, and what the next run knows."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_format import make_features_bundle
from fixtures_signal import recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import LINES, MAIN, NO_TORCH, lines_of, python
from test_site import predictions

from bioxedge import Bundle, Stream, cli, recording, spec
from bioxedge.runtime import Engine
from bioxedge.runtime.soak import soak
from bioxedge.signals import Chunk
from bioxedge.wearer import Baseline, Known

SETTLE, HOP, LENGTH, RATE = 4, 48, 192, 64.0
law = settings(max_examples=15, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Bundles ``b`` with a baseline and ``plain`` without, recordings ``first``, ``second``, both.

    ``both`` has a gap between them, behind which windows stand as in ``second``.
    """
    folder = tmp_path_factory.mktemp("wearer")
    made = {"quality": spec.QualitySpec(), "stages": (), "then": (), "hop": HOP, "length": LENGTH}
    make_features_bundle(folder / "b", **made)
    make_bundle(folder / "plain", **made)
    first, second = worn(0, 20), worn(1, 25)
    gap = np.full((1, 500), np.nan)
    whole = np.concatenate([first, gap, second], axis=1)
    for name, samples in (("first", first), ("second", second), ("both", whole)):
        recording.save(recorded(samples), folder / name)
    return folder


def worn(seed, seconds):
    return pulse(1, round(seconds * RATE), RATE, seed) * (1 + 0.5 * seed) + 3 * seed


@pytest.fixture(scope="module")
def bundle(here):
    return Bundle.open(here / "b")


@pytest.fixture
def call(here, monkeypatch, capsys, tmp_path):
    """Run the command in this process, with a home of its own for what it learns."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)

    def run(*arguments):
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", ["bioxedge", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return run


class Kept:
    """A keeper that keeps in memory."""

    def __init__(self, known: Known | None = None) -> None:
        self.known, self.times = known, 0

    def saw(self, baseline: Baseline) -> None:
        self.known, self.times = baseline.known(), self.times + 1


def said(stream, samples, sizes=(100_000,), first=0):
    """Push samples in pieces of these sizes, in turn; give what is told of each window."""
    found, at = [], 0
    while at < samples.shape[1]:
        piece = samples[:, at : at + sizes[len(found) % len(sizes)]]
        found += [stream.push(Chunk(piece, first + at, RATE))]
        at += piece.shape[1]
    return [
        (one.t_start, one.label, one.reason, tuple(one.probabilities.values()))
        for several in found
        for one in several
    ]


def unsettled(reason):
    return (reason or "").startswith("not settled")


# -- a stream -------------------------------------------------------------------------------


def test_nothing_is_said_until_the_baseline_has_settled(bundle):
    stream = Stream(bundle)
    told = said(stream, worn(0, 20))
    for number, (_, label, reason, probabilities) in enumerate(told):
        if number < SETTLE:
            assert label is None and not probabilities
            assert reason.startswith(f"not settled: {number} of the {SETTLE} windows")
        else:
            assert len(probabilities) == 2 and not unsettled(reason)
    assert any(label for _, label, *_ in told[SETTLE:])
    events = [event.kind for event in stream.take_events()]
    assert "abstention_begins" in events and "abstention_ends" in events


@law
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_any_chunking_says_and_learns_the_same(bundle, sizes):
    x = worn(0, 12)
    x[0, 300:303] = np.nan
    x[0, 500:560] = x[0, 500]
    one, other = Kept(), Kept()
    whole = said(Stream(bundle, wearer=one), x)
    assert said(Stream(bundle, wearer=other), x, sizes) == whole
    assert one.known == other.known and one.known is not None


@pytest.mark.parametrize("what", ["flat", "missing", "hardly there"])
def test_a_bad_stretch_teaches_nothing(bundle, what):
    x = worn(0, 20)
    bad = slice(640, 832)
    x[0, bad] = {"flat": x[0, 640], "missing": np.nan, "hardly there": np.nan}[what]
    if what == "hardly there":
        x[0, 640:832:6] = worn(0, 20)[0, 640:832:6]
    keeper = Kept()
    stream = Stream(bundle, wearer=keeper)
    told = said(stream, x)
    asked = [one for one in told if one[3] or unsettled(one[2])]
    assert 0 < len(asked) < len(said(Stream(bundle), worn(0, 20)))
    assert keeper.known.windows == keeper.times == len(asked)


def test_a_restart_of_the_signal_keeps_what_was_learnt(bundle):
    keeper = Kept()
    stream = Stream(bundle, wearer=keeper)
    said(stream, worn(0, 10))
    windows = keeper.known.windows
    assert windows > SETTLE
    after = said(stream, worn(1, 10), first=5000)
    assert stream.gaps["restarts"] == 1
    assert not any(unsettled(reason) for *_, reason, _ in after)
    assert keeper.known.windows == windows + len(after)


def test_no_later_window_changes_what_was_answered_before(bundle):
    one, other = worn(0, 20), worn(0, 20)
    other[:, 700:] = worn(1, 20)[:, 700:]
    before = [each for each in said(Stream(bundle), one) if each[0] * RATE + LENGTH <= 700]
    assert len(before) > SETTLE
    assert said(Stream(bundle), other)[: len(before)] == before


def test_a_stream_that_was_reset_meets_a_stranger_or_whom_its_keeper_knows(bundle):
    x = worn(0, 12)
    stream = Stream(bundle)
    fresh = said(stream, x)
    stream.reset()
    assert said(stream, x) == fresh
    keeper = Kept()
    known = Stream(bundle, wearer=keeper)
    said(known, x)
    wanted = said(Stream(bundle, wearer=Kept(keeper.known)), x)
    known.reset()
    assert said(known, x) == wanted != fresh
    assert not unsettled(wanted[0][2])


def test_a_soak_holds_the_whole_day_to_the_truth(bundle):
    report = soak(bundle, hours=0.03, faults=0)
    assert report.wrong == 0 and dict(report.found.windows) == {"equal": report.windows}


# -- the command ----------------------------------------------------------------------------


def run(call, source, path, *more):
    code, out, err = call(
        "run", "b", "--source", f"replay:{source}", "--speed", "max", "--sink", f"jsonl:{path}",
        *more,
    )  # fmt: skip
    assert code == 0, err
    for line in path.read_text().splitlines():
        LINES.validate(json.loads(line))
    return out, lines_of(path, "prediction")


def test_a_second_run_goes_on_where_the_first_one_was(call, tmp_path):
    out, first = run(call, "first", tmp_path / "1", "--wearer", "anna")
    assert "anna is learnt first, for 0.1 min, without labels" in out
    assert [(one["label"], one["reason"]) for one in first[:SETTLE]] == [
        (None, f"not settled: {n} of the 4 windows that this wearer's baseline takes")
        for n in range(SETTLE)
    ]
    out, second = run(call, "second", tmp_path / "2", "--wearer", "anna")
    assert f"{len(first)} windows of anna are known: labels from the first window on" in out
    _, whole = run(call, "both", tmp_path / "3")
    long = [(one["label"], one["reason"], one["probabilities"]) for one in whole]
    parts = [(one["label"], one["reason"], one["probabilities"]) for one in first + second]
    assert long == parts

    out, again = run(call, "second", tmp_path / "4", "--wearer", "anna", "--anew")
    _, stranger = run(call, "second", tmp_path / "5")
    assert "is learnt first" in out
    assert predictions(tmp_path / "4") == predictions(tmp_path / "5")
    assert [one["reason"] for one in again[:SETTLE]] == [one["reason"] for one in first[:SETTLE]]
    assert stranger != second

    code, out, _ = call("wearers")
    assert code == 0 and out.startswith(f"anna: {len(again)} windows of test bundle, last ")
    code, out, _ = call("wearers", "--json")
    assert [one["windows"] for one in json.loads(out)["wearers"]] == [len(again)]


def test_who_is_forgotten_is_a_stranger(call, tmp_path):
    run(call, "first", tmp_path / "1", "--wearer", "anna")
    code, out, _ = call("wearers", "--forget", "anna")
    assert code == 0 and out == "forgot anna: 1 bundle\n"
    assert not [*tmp_path.rglob("anna*")]
    code, out, err = call("wearers", "--forget", "anna")
    assert code == 2 and err.count("\n") == 1 and "nothing is known of anna" in err
    code, out, _ = call("wearers")
    assert code == 0 and "nobody is known" in out
    out, _ = run(call, "second", tmp_path / "2", "--wearer", "anna")
    assert "is learnt first" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("b", "--wearer", "../x"), "is no wearer's name"),
        (("b", "--wearer", ".hidden"), "is no wearer's name"),
        (("b", "--wearer", "a/b"), "is no wearer's name"),
        (("b", "--wearer", "a" * 65), "is no wearer's name"),
        (("b", "--wearer", "anna\n"), "is no wearer's name"),
        (("b", "--anew"), "name one with --wearer"),
        (("plain", "--wearer", "anna"), "has no baseline"),
    ],
)
def test_what_cannot_be_a_wearer_is_one_line(call, tmp_path, words, message):
    code, _, err = call("run", *words, "--source", "replay:first", "--speed", "max")
    assert code == 2 and err.count("\n") == 1 and err.startswith("error: ") and message in err
    assert not (tmp_path / "state").exists()


def test_nothing_of_it_imports_torch_or_signal_processing(here, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = (
        NO_TORCH + "import atexit, sys\n"
        "atexit.register(lambda: print([m for m in sys.modules if m.startswith('scipy.signal')]))\n"
        + MAIN
    )
    words = ("run", "b", "--source", "replay:first", "--speed", "max", "--wearer", "anna")
    out, err = python(here, code, *words).communicate(timeout=60)
    assert out.splitlines()[-1] == "[]", err
    assert [*tmp_path.rglob("anna/*.json")]


# -- a site ---------------------------------------------------------------------------------

SITE = """
[sources.wrist]
source = "replay:{source},speed=max"
[runs.one]
bundle = "b"
source = "wrist"
sinks = ["jsonl:{folder}/{{run}}"]
wearer = "anna"
"""
SECOND = """
[runs.two]
bundle = "b"
source = "wrist"
sinks = ["jsonl:{folder}/{{run}}"]
wearer = "{wearer}"
"""


def test_runs_of_a_site_know_their_wearers(here, call, tmp_path):
    def go(source, wearer):
        text = (SITE + SECOND).format(source=source, folder=tmp_path, wearer=wearer)
        (here / "site.toml").write_text(text)
        return call("run", "--config", "site.toml")

    code, _, err = go("first", "anna")
    assert code == 2 and err.count("\n") == 1 and "learns of anna now" in err
    code, _, err = go("first", "{run}/..")
    assert code == 2 and err.count("\n") == 1 and "run two: 'two/..' is no wearer's name" in err
    code, out, err = go("first", "of-{run}")
    assert code == 0, err
    assert "one: anna is learnt first" in out and "two: of-two is learnt first" in out
    code, out, err = go("second", "of-{run}")
    assert code == 0 and "windows of anna are known" in out, err
    run(call, "first", tmp_path / "1", "--wearer", "berta")
    run(call, "second", tmp_path / "2", "--wearer", "berta")
    together = [one["probabilities"] for one in lines_of(tmp_path / "one", "prediction")]
    alone = [
        one["probabilities"] for part in "12" for one in lines_of(tmp_path / part, "prediction")
    ]
    assert together == alone


def test_openvino_takes_what_goes_beside_a_window_too(here, bundle):
    pytest.importorskip("openvino", exc_type=ImportError)
    x = worn(0, 12)
    plain = said(Stream(bundle), x)
    other = said(Stream(bundle, engine=Engine(bundle, providers=["openvino"])), x)
    for one, two in zip(plain, other, strict=True):
        assert one[2] == two[2] and one[3] == pytest.approx(two[3], abs=1e-4)
