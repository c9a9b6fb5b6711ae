"""A value in place of a label: from the manifest to every sink."""

from __future__ import annotations

import io
import json
import math
import re
import sys
from dataclasses import replace

import damage
import fixtures_bundle as wire
import msgspec
import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse
from fixtures_page import get, quiet
from fixtures_signal import recorded
from fixtures_value import HEART, make_value_bundle
from hypothesis import given
from hypothesis import strategies as st
from test_runtime_stream import Keep
from test_sinks import GAP, GOOD, RUN, SILENT, lines_of, schema, written

from bioxedge import Stream, cli, manifest, manifestfile, recording, spec
from bioxedge.decide import ValueDecider
from bioxedge.errors import BundleError, ManifestError
from bioxedge.runtime import ReplaySource, Tally, loop, verify
from bioxedge.runtime.page.metrics import exposition
from bioxedge.runtime.page.state import RunState
from bioxedge.runtime.sinks import TerminalSink
from bioxedge.runtime.sinks.mqtt import homeassistant, payloads, topics
from bioxedge.runtime.soak import soak
from bioxedge.signals import Chunk

VALUE_RUN = replace(RUN, labels=(), value=HEART)
SPOKEN = replace(GOOD, label=None, probabilities={}, value=72.345, answer=73.5, quantity=HEART)
MUTE = replace(SILENT, quantity=HEART)
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


# -- where it goes -----------------------------------------------------------------------------


def test_lines_of_a_value_are_of_the_schema_and_hold_no_label(tmp_path):
    written(tmp_path / "x", SPOKEN, MUTE, replace(MUTE, answer=512.0), run=VALUE_RUN)
    found = lines_of(tmp_path / "x")
    for line in found:
        schema().validate(line)
    head, spoken, mute, far = found
    assert head["labels"] == []
    assert head["value"] == {"name": "HR", "unit": "bpm", "low": 50.0, "high": 110.0}
    assert (spoken["value"], spoken["answer"], spoken["unit"]) == (72.345, 73.5, "bpm")
    assert "label" not in spoken and "probabilities" not in spoken and spoken["reason"] is None
    assert (mute["value"], mute["answer"], mute["reason"]) == (None, None, "ppg_2 is flat")
    assert (far["value"], far["answer"]) == (None, 512.0)


def test_lines_of_labels_are_what_they_were(tmp_path):
    written(tmp_path / "x", GOOD)
    head, good = lines_of(tmp_path / "x")
    assert "value" not in head and list(head)[-1] == "hop"
    assert list(good) == [
        "kind", "label", "probabilities", "t_start", "t_end", "t0", "due", "latency", "age", "rate",
        "quality", "gap", "loss", "reason",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"label": None}, {"value": "72"}, {"unit": ""}, {"reason": "x"}, {"answer": None}]
)
def test_the_schema_knows_a_value_from_a_label(tmp_path, change):
    written(tmp_path / "x", SPOKEN, run=VALUE_RUN)
    line = lines_of(tmp_path / "x")[1]
    assert schema().is_valid(line) and not schema().is_valid({**line, **change})


def test_the_terminal_says_a_value_with_its_unit_and_where_it_lies():
    sink = TerminalSink(io.StringIO())
    sink.open(VALUE_RUN)
    spoken, mute = sink.line(SPOKEN), sink.line(MUTE)
    assert "  72.3 bpm  ·······█············     2.00 ms" in spoken
    assert mute.endswith("—          ppg_2 is flat")
    low, high = (sink.line(replace(SPOKEN, value=v)) for v in (-9.9, 169.9))
    assert " -9.9 bpm  █···" in low and "169.9 bpm  ···················█ " in high


def test_the_summary_gives_mean_and_range(tested, tmp_path):
    kept, tally = run(tested)
    said = [one.value for one in kept.predictions]
    about = tally.to_dict()
    assert about["labels"] == {} and about["value"] == {
        "name": "HR", "unit": "bpm", "windows": len(said), "mean": pytest.approx(np.mean(said)),
        "least": min(said), "most": max(said),
    }  # fmt: skip
    middle = f"HR {np.mean(said):.1f} bpm on average, {min(said):.1f} to {max(said):.1f} bpm; "
    assert middle in tally.line()
    quietly = Tally()
    quietly.add(MUTE)
    assert "1 windows: no value 100% (ppg_2 is flat)" in quietly.line()
    assert quietly.to_dict()["value"]["mean"] is None


def test_a_run_ends_with_a_summary_of_the_schema(tested, tmp_path, monkeypatch, capsys):
    recording.save(recorded(pulse(1, 64 * 12, 64.0)), tmp_path / "rec")
    arguments = [str(tested.path), "--source", f"replay:{tmp_path / 'rec'}", "--speed", "max"]
    monkeypatch.setattr(sys, "argv", ["bioxedge", "run", *arguments, "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert not end.value.code
    for line in found:
        schema().validate(line)
    assert found[-1]["summary"]["value"]["windows"] == len(found) - 2


def test_home_assistant_shows_a_number_with_its_unit():
    jinja2 = pytest.importorskip("jinja2", reason="Jinja reads the templates: pip install jinja2")
    about = json.loads(homeassistant.config(VALUE_RUN, topics.Topics("bioxedge", "anna")))
    parts = about["components"]
    assert set(parts) == {"value", "quality", "age", "problem"}
    one = parts["value"]
    assert (one["name"], one["unit_of_measurement"]) == ("HR", "bpm")
    assert (one["state_class"], one["suggested_display_precision"]) == ("measurement", 1)
    template = jinja2.Environment().from_string(one["value_template"])
    for record, shown in ((SPOKEN, "72.345"), (MUTE, "None")):
        state = json.loads(payloads.state(record, 0.0))
        assert "label" not in state and state["unit"] == "bpm"
        assert template.render(value_json=state) == shown


def test_lsl_sends_numbers_in_the_unit_and_nan_for_nothing():
    pytest.importorskip("pylsl", reason="pylsl is missing: pip install 'bioxedge[lsl]'")
    from bioxedge.runtime import lsl
    from bioxedge.runtime.sinks.lsl import BESIDE, LslSink

    pylsl, sink = lsl.load(), LslSink("values-test")
    sink.open(replace(VALUE_RUN, hop=1.0, window=4.0))
    try:
        assert not pylsl.resolve_byprop("name", "values-test-probabilities", timeout=0.2)
        (info,) = pylsl.resolve_byprop("name", "values-test", timeout=10.0)
        inlet = pylsl.StreamInlet(info)
        head = inlet.info(timeout=5.0).as_xml()
        inlet.open_stream(timeout=5.0)
        got = []
        for record in (SPOKEN, GAP, MUTE):
            sink.emit(record)
        for _ in range(2):
            got.append(inlet.pull_sample(timeout=5.0)[0])
    finally:
        sink.close()
    channels = re.findall(r"<label>(.*?)</label>\s*<unit>(.*?)</unit>\s*<type>(.*?)</type>", head)
    assert [one for one, _, _ in channels] == ["HR", "answer", *BESIDE]
    assert channels[:3] == [
        ("HR", "bpm", "Value"), ("answer", "bpm", "Value"), ("real", "1", "Prediction"),
    ]  # fmt: skip
    spoken, mute = got
    assert spoken == [72.345, 73.5, 1.0, 0.0, 0.0, 0.002, 0.1]
    assert math.isnan(mute[0]) and math.isnan(mute[1]) and mute[2] == 1.0


def test_the_page_tells_the_value_and_its_minutes(tested):
    page, _ = quiet()
    with page:
        kept, tally = run(tested, sinks=[page.sink()])
        state = json.loads(get(page, "/state")[2])["runs"][0]
        metrics = get(page, "/metrics")[2]
    last = kept.predictions[-1]
    assert (state["value"], state["unit"], state["reason"]) == (last.value, "bpm", None)
    assert state["run"]["value"]["high"] == 110.0 and state["values"] == tally.values.count
    assert "label" not in state and "labels" not in state
    assert [one["p"] for one in state["history"]] == [[p.value] for p in kept.predictions]
    assert f'bioxedge_value{{run="",name="HR",unit="bpm"}} {last.value!r}\n' in metrics
    assert "bioxedge_windows_with_value_total" in metrics and "probability" not in metrics


def test_metrics_of_labels_say_nothing_of_values():
    state = RunState(RUN)
    state.emit(GOOD)
    text = exposition([state], 0)
    assert "bioxedge_value" not in text and "windows_with_value" not in text
    assert 'bioxedge_probability{run="",label="stress"} 0.9' in text


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


def test_a_soak_finds_nothing_wrong_where_nothing_is(tested):
    found = soak(tested, hours=0.05, faults=8).found
    assert found.windows["equal"] > 50 and not found.windows["wrong"]
