"""Further tasks in every sink: lines, terminal, summary, LSL, MQTT, the page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fixtures_page import get, quiet
from fixtures_tasks import make_tasks_bundle, told
from fixtures_value import HEART
from test_sinks import GOOD, RUN, SILENT, lines_of, schema, written
from test_values import run

from bioxedge.manifest import Decision
from bioxedge.runtime.sinks import TerminalSink
from bioxedge.runtime.sinks.mqtt import homeassistant, payloads, topics
from bioxedge.runtime.telling import Told

TASKS = {"breath": told(("slow", "fast"), Decision()), "heart": told((), Decision(), HEART)}
TASKS_RUN = replace(RUN, others=TASKS)
SAID = replace(
    GOOD,
    others={
        "breath": Told("slow", {"slow": 0.75, "fast": 0.25}),
        "heart": Told(None, value=72.345, answer=73.5, quantity=HEART),
    },
)
UNSURE = replace(
    GOOD,
    others={
        "breath": Told(None, {"slow": 0.5, "fast": 0.5}, "unsure: slow has 0.50"),
        "heart": Told(None, reason="out of range", answer=512.0, quantity=HEART),
    },
)
MUTE = replace(
    SILENT,
    others={
        "breath": Told(None, reason=SILENT.reason),
        "heart": Told(None, reason=SILENT.reason, quantity=HEART),
    },
)


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    return make_tasks_bundle(tmp_path_factory.mktemp("tasks") / "b")


def test_lines_hold_what_each_task_says(tmp_path):
    written(tmp_path / "x", SAID, UNSURE, MUTE, run=TASKS_RUN)
    head, said, unsure, mute = found = lines_of(tmp_path / "x")
    for line in found:
        schema().validate(line)
    assert head["others"]["breath"] == {"labels": ["slow", "fast"]}
    assert head["others"]["heart"]["value"]["unit"] == "bpm"
    assert said["others"]["breath"]["label"] == "slow"
    assert said["others"]["heart"] == {
        "value": 72.345, "answer": 73.5, "unit": "bpm", "reason": None,
    }  # fmt: skip
    assert unsure["label"] == GOOD.label
    assert unsure["others"]["breath"]["reason"].startswith("unsure")
    assert mute["others"]["breath"]["probabilities"] == {}


def test_lines_of_one_task_say_nothing_of_others(tmp_path):
    written(tmp_path / "x", GOOD)
    assert all("others" not in line for line in lines_of(tmp_path / "x"))


def test_the_schema_refuses_a_task_that_tells_both(tmp_path):
    written(tmp_path / "x", SAID, run=TASKS_RUN)
    line = lines_of(tmp_path / "x")[1]
    line["others"]["breath"]["value"] = 1.0
    assert not schema().is_valid(line)


def test_the_terminal_says_them_behind_the_first():
    sink = TerminalSink()
    sink._labels = RUN.labels
    assert "  · breath slow 75%  · heart 72.3 bpm" in sink.line(SAID)
    assert "  · breath —  · heart —" in sink.line(UNSURE)
    assert sink.line(MUTE) == sink.line(replace(MUTE, others={}))  # one reason, said once
    assert "·  ·" not in sink.line(GOOD)


def test_a_run_counts_them(tested):
    kept, tally = run(tested)
    counted = tally.to_dict()["others"]
    assert sum(counted["breath"]["labels"].values()) == pytest.approx(1)
    assert counted["heart"]["windows"] == len(kept.predictions)
    assert "; breath: " in tally.line() and "; heart: HR " in tally.line()


def test_home_assistant_shows_one_entity_a_task():
    jinja2 = pytest.importorskip("jinja2", reason="Jinja reads the templates: pip install jinja2")
    about = json.loads(homeassistant.config(TASKS_RUN, topics.Topics("bioxedge", "anna")))
    parts = about["components"]
    breath, heart = parts["task_breath"], parts["task_heart"]
    assert (breath["name"], breath["options"]) == ("breath", ["slow", "fast"])
    assert heart["unit_of_measurement"] == "bpm"
    environment = jinja2.Environment()
    for record, shown in ((SAID, ("slow", "72.345")), (MUTE, ("None", "None"))):
        state = json.loads(payloads.state(record, 0.0))
        for part, text in zip((breath, heart), shown, strict=True):
            template = environment.from_string(part["value_template"])
            assert template.render(value_json=state) == text


def test_lsl_has_streams_for_each_task():
    pytest.importorskip("pylsl", reason="pylsl is missing: pip install 'bioxedge[lsl]'")
    from bioxedge.runtime import lsl
    from bioxedge.runtime.sinks.lsl import LslSink

    pylsl, sink = lsl.load(), LslSink("tasks-test")
    sink.open(replace(TASKS_RUN, hop=1.0, window=4.0))
    names = ("tasks-test", "tasks-test.breath", "tasks-test.breath-probabilities",
             "tasks-test.heart")  # fmt: skip
    try:
        inlets = []
        for name in names:
            (info,) = pylsl.resolve_byprop("name", name, timeout=10.0)
            inlets.append(pylsl.StreamInlet(info))
            inlets[-1].open_stream(timeout=5.0)
        sink.emit(SAID)
        label, breath, shares, heart = (one.pull_sample(timeout=5.0)[0] for one in inlets)
    finally:
        sink.close()
    assert (label, breath) == ([GOOD.label], ["slow"])
    assert shares[:2] == [0.75, 0.25] and heart[:2] == [72.345, 73.5]


def test_the_page_is_told_them(tested):
    page, _ = quiet()
    with page:
        kept, _ = run(tested, sinks=[page.sink()])
        state = json.loads(get(page, "/state")[2])["runs"][0]
    assert state["last"]["others"]["breath"]["label"] == kept.predictions[-1].others["breath"].label
    assert set(state["run"]["others"]) == {"breath", "heart"}
