"""A value in every sink: lines, terminal, summary, LSL, MQTT, the page."""

from __future__ import annotations

import io
import json
import math
import re
import sys
import time
from dataclasses import replace

import chromium
import numpy as np
import pytest
from broker import Broker, Listener, needs_mosquitto, until
from fixtures_bundle import pulse
from fixtures_page import get, port_of, quiet
from fixtures_signal import recorded
from fixtures_value import HEART, make_value_bundle
from test_sinks import GAP, GOOD, RUN, SILENT, lines_of, schema, written
from test_values import run

from bioxedge import cli, recording
from bioxedge.runtime import Tally
from bioxedge.runtime.page.metrics import exposition
from bioxedge.runtime.page.state import RunState
from bioxedge.runtime.sinks import TerminalSink, make_sink
from bioxedge.runtime.sinks.mqtt import homeassistant, payloads, topics

VALUE_RUN = replace(RUN, labels=(), value=HEART)
SPOKEN = replace(GOOD, label=None, probabilities={}, value=72.345, answer=73.5, quantity=HEART)
MUTE = replace(SILENT, quantity=HEART)


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """Windows of 4 s every second; answers about 75 bpm, 50 to 110 in training."""
    return make_value_bundle(tmp_path_factory.mktemp("value") / "b")


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


@needs_mosquitto
def test_a_broker_is_sent_what_the_lines_say(tested, tmp_path):
    pytest.importorskip("paho.mqtt", reason="paho is not installed: pip install 'bioxedge[mqtt]'")
    with Broker(tmp_path / "broker") as broker, Listener(broker, "#") as listener:
        sink = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,homeassistant=yes"
        kept, _ = run(tested, sinks=[make_sink(sink, client_id="anna")])
        until(lambda: len(listener.of("prediction")) == len(kept.predictions), what="all of it")
        sent, about = listener.of("prediction"), listener.of("run")[-1]
        assert [one["value"] for one in sent] == [one.value for one in kept.predictions]
        assert {one["unit"] for one in sent} == {"bpm"} and "label" not in sent[0]
        assert about["labels"] == [] and about["value"]["unit"] == "bpm"
        assert listener.of("state")[-1]["value"] == kept.predictions[-1].value


@pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)
def test_a_browser_shows_the_number_in_large_letters(tmp_path):
    page, _ = quiet()
    with page, chromium.browser(tmp_path / "profile") as tab:
        sink = page.sink()
        sink.open(replace(VALUE_RUN, bundle="demo", hop=1000.0, window=4.0))
        tab.go(f"http://127.0.0.1:{port_of(page)}/")
        tab.until("document.getElementById('link').textContent", lambda text: "live" in text)
        sink.emit(replace(SPOKEN, due=time.monotonic_ns()))
        tab.until("document.title", lambda text: text == "72.3\u00a0bpm · demo")
        text = "document.getElementById('{}').textContent"
        assert tab.ask(text.format("label")) == "72.3\u00a0bpm"
        assert tab.ask(text.format("past-title")) == "HR, bpm"
        assert tab.ask(text.format("ages-title")) == "Age of values"
        why = "out of range: the model answers 300.0 bpm, training saw 50.0 bpm to 110.0 bpm"
        late = replace(MUTE, t_start=5.0, t_end=9.0, due=time.monotonic_ns(), reason=why)
        sink.emit(late)
        tab.until(text.format("label"), lambda text: text == "no value")
        assert tab.ask(text.format("why")) == why
        sink.close()
        assert not tab.problems
