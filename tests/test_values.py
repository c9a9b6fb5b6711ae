"""A value in place of a label: the manifest, what is said, what it is held to."""

from __future__ import annotations

import json
import math

import damage
import fixtures_bundle as wire
import msgspec
import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded
from fixtures_value import HEART, make_value_bundle
from hypothesis import given
from hypothesis import strategies as st
from test_runtime_stream import Keep

from bioxedge import Stream, manifest, manifestfile, spec
from bioxedge.decide import ValueDecider
from bioxedge.errors import BundleError, ManifestError
from bioxedge.runtime import Engine, ReplaySource, loop, verify
from bioxedge.runtime.soak import soak
from bioxedge.signals import Chunk

# As the release before values wrote the manifest of `fixed()`.
BEFORE = "b276e4b03f041d7259d45d4c1f81a2f5f95c9f448839d6caeab613d91ebd1d86"


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Windows of 4 s every second; answers about 75 bpm, 50 to 110 in training."""
    return make_value_bundle(tmp_path_factory.mktemp("value") / "b")


@pytest.fixture
def tree(tested):
    return damage.tree_of(tested.path)


def fixed():
    """A manifest of labels in which nothing depends on this machine."""
    about = wire.parts(
        modality="ppg", channels=("green",), rate=64.0, stages=(spec.Scale(gain=0.5),), max_gap=8,
        length=16, hop=8, then=(), labels=("rest", "stress"), seed=0,
    )[1]  # fmt: skip
    made_by = msgspec.structs.replace(about.made_by, bioxedge="0", versions={})
    return msgspec.structs.replace(about, made_by=made_by)


def run(bundle, samples=None, sinks=()):
    """Run a recording as fast as it goes; give what was said, and the tally."""
    kept = Keep()
    source = ReplaySource(
        recorded(pulse(1, 64 * 30, 64.0, 3) if samples is None else samples), speed=math.inf
    )
    tally = loop.run(source, Stream(bundle), [kept, *sinks])
    return kept, tally


# -- the manifest ------------------------------------------------------------------------------


def test_a_bundle_of_labels_reads_as_it_did_before_there_were_values():
    raw = manifestfile.encode(fixed())
    about = manifestfile.decode(raw)
    assert b'"value"' not in raw and about.output.value is None
    assert about.digest == BEFORE
    assert damage.sealed(json.loads(raw)) == raw


def test_what_came_later_is_absent_or_says_something(tree):
    raw = manifestfile.encode(fixed())
    nothing = damage.changed(json.loads(raw), ("output", "value"), None)
    with pytest.raises(ManifestError, match="laid out"):
        manifestfile.decode(damage.sealed(nothing))
    del tree["output"]["decision"]["smoothing"]
    with pytest.raises(ManifestError, match="laid out"):
        manifestfile.decode(damage.sealed(tree))


@pytest.mark.parametrize(
    ("place", "found", "path"),
    [
        (("labels",), ["a", "b"], r"\$\.output\.labels"),
        (("calibration", "bias"), [0.0, 0.0], r"one value.*\$\.output\.calibration\.bias"),
        (("calibration", "bias"), [], r"\$\.output\.calibration\.bias"),
        (("decision", "threshold"), 0.5, r"0.5 chooses labels.*\$\.output\.decision\.threshold"),
        (("decision", "patience"), 2, r"\$\.output\.decision\.patience"),
        (("decision", "refractory"), 1, r"\$\.output\.decision\.refractory"),
        (("value", "high"), 50.0, r"no range.*\$\.output\.value\.high"),
        (("value", "high"), 50.00001, r"\$\.output\.value\.high"),
        (("value", "low"), 1e6, r"\$\.output\.value\.high"),
        (("value", "unit"), "", r"\$\.output\.value\.unit"),
        (("value", "name"), "", r"\$\.output\.value\.name"),
        (("value", "most"), 3.0, r"unknown field.*\$\.output\.value"),
    ],
)
def test_a_value_is_held_to_its_clauses(tree, place, found, path):
    with pytest.raises(ManifestError, match=path):
        manifestfile.decode(damage.sealed(damage.changed(tree, ("output", *place), found)))


def test_a_graph_of_a_value_gives_one_number(tree):
    changed = damage.changed(tree, ("model", "fp32", "output", "shape"), [1, 2])
    with pytest.raises(ManifestError, match=r"one value.*\$\.model\.fp32\.output\.shape"):
        manifestfile.decode(damage.sealed(changed))


def test_golden_answers_of_a_value_are_called_values(tested):
    with np.load(tested.path / "golden.npz") as arrays:
        assert sorted(arrays) == ["raw", "values", "windows"]
        assert arrays["values"].tobytes() == tested.golden.answers.tobytes()


@pytest.mark.parametrize(
    ("low", "high", "number", "text"),
    [
        (50, 110, 72.345, "72.3 u"),
        (0, 300, 72.345, "72 u"),
        (36, 40, 37.128, "37.13 u"),
        (0, 0.02, 0.01234567, "0.0123 u"),
        (-1e5, 1e5, -1234.5, "-1234 u"),
        (0, 1e-300, 0.0, "0.000000000000 u"),
    ],
)
def test_a_value_is_told_in_steps_that_its_range_tells_apart(low, high, number, text):
    assert manifest.Value(name="x", unit="u", low=low, high=high).text(number) == text


# -- what is said ------------------------------------------------------------------------------


def fed(decider, answers):
    """Give what is decided; None in place of a window that is skipped."""
    return [
        decider.skip() if one is None else decider.push(np.array([one], np.float32))
        for one in answers
    ]


numbers = st.lists(st.none() | st.floats(-400, 400, width=32), max_size=30)


@given(numbers, numbers, st.sampled_from([0.0, 0.5, 3.0, 40.0]))
def test_a_decider_that_was_reset_is_a_new_one(before, after, smoothing):
    decision = manifest.Decision(smoothing=smoothing)
    used = ValueDecider(HEART, decision)
    fed(used, before)
    used.reset()
    assert repr(fed(used, after)) == repr(fed(ValueDecider(HEART, decision), after))


@given(numbers, st.sampled_from([0.0, 0.5, 3.0, 40.0]))
def test_what_is_said_lies_among_the_answers_within_reach_of_training(answers, smoothing):
    decided = fed(ValueDecider(HEART, manifest.Decision(smoothing=smoothing)), answers)
    reached = []
    for answer, one in zip(answers, decided, strict=True):
        if answer is None:
            continue
        if -10 <= answer <= 170:
            reached.append(answer)
            assert one.reason is None and one.label is None
            assert min(reached) - 1e-9 <= one.value <= max(reached) + 1e-9
        else:
            assert one.value is None and one.reason.startswith("out of range: the model answers ")


def test_smoothing_is_an_exponential_mean_in_which_what_was_left_out_counts_as_time():
    said = fed(
        ValueDecider(HEART, manifest.Decision(smoothing=2.0)), [60.0, 80.0, None, 5000.0, 70.0]
    )
    first = 60 + (1 - math.exp(-1 / 2)) * 20
    assert said[1].value == pytest.approx(first, rel=1e-12)
    assert said[3].value is None
    assert said[4].value == pytest.approx(first + (1 - math.exp(-3 / 2)) * (70 - first), rel=1e-12)


@pytest.mark.parametrize("answer", [[math.nan], [math.inf], [70.0, 71.0], []])
def test_what_is_no_number_is_no_value(answer):
    with pytest.raises(BundleError, match=r"no value of HR.*bioxedge verify"):
        ValueDecider(HEART, manifest.Decision()).push(np.array(answer))


def test_any_chunks_give_the_same_values_and_these_are_the_models(tested):
    samples = pulse(1, 64 * 12, 64.0, 4)
    whole = Stream(tested).push(Chunk(samples, 0, 64.0))
    stream, parts = Stream(tested), []
    for begin in range(0, samples.shape[1], 37):
        parts += stream.push(Chunk(samples[:, begin : begin + 37], begin, 64.0))
    assert len(whole) >= 6
    assert [(p.t_start, p.value, p.answer) for p in whole] == [
        (p.t_start, p.value, p.answer) for p in parts
    ]
    window = next(iter(tested.windows().push(Chunk(samples, 0, 64.0)))).samples
    assert whole[0].value == whole[0].answer == float(stream.engine.run(window)[0])
    assert whole[0].asked and whole[0].said == f"{whole[0].value:.1f} bpm"


def test_far_beyond_training_nothing_is_said_and_that_is_told_once(tmp_path):
    kept, tally = run(make_value_bundle(tmp_path / "b", bias=75.0, spread=2000.0))
    far = [one for one in kept.predictions if one.value is None]
    assert far and len(far) + tally.values.count == tally.windows
    assert all(one.reason.startswith("out of range: ") and one.asked for one in far)
    assert tally.reasons == {"out of range": len(far)}
    begins = [one for one in kept.events if one.kind == "abstention_begins"]
    assert begins and begins[0].message.startswith("no value: out of range: the model answers")
    assert all(one.message == "values again" for one in kept.events if one.kind.endswith("ends"))


# -- what it is held to ------------------------------------------------------------------------


def test_verify_tells_differences_as_shares_of_the_range(tested):
    report = verify(tested)
    assert report.difference < 1e-6 and report.unit == "bpm"
    assert "of a value" in report.model_line() and "of its range" in report.model_line()
    assert "label" not in report.model_line()
    about = report.to_dict()
    assert about["unit"] == "bpm" and "agreement" not in about
    assert "unit" not in verify(make_bundle(tested.path.parent / "labels")).to_dict()


def test_a_difference_counts_by_the_range_that_it_is_a_share_of(tmp_path):
    wide = manifest.Value(name="HR", unit="bpm", low=0.0, high=3000.0)
    assert verify(make_value_bundle(tmp_path / "wide", value=wide, told=1.001))  # off by 0.1 bpm
    narrow = make_value_bundle(tmp_path / "narrow", told=1.001)
    with pytest.raises(BundleError, match=r"shares of their range, differ by 1\.\d\de-03"):
        verify(narrow)


def test_golden_values_that_hardly_differ_are_said_to_prove_little(tmp_path):
    dull = make_value_bundle(tmp_path / "b", spread=1e-4)
    assert any("unsure" in line for line in verify(dull).lines())


def test_an_engine_is_held_to_the_same_share(tested):
    engine, golden = Engine(tested), tested.golden
    engine.hold_to(golden.windows[0], golden.answers[0] + 0.005)  # of 60 bpm
    with pytest.raises(BundleError, match=r"1\.\d\de-04 off, allowed is 1e-04"):
        engine.hold_to(golden.windows[0], golden.answers[0] + 0.01)


def test_a_soak_finds_nothing_wrong_where_nothing_is(tested):
    found = soak(tested, hours=0.05, faults=8).found
    assert found.windows["equal"] > 50 and not found.windows["wrong"]
