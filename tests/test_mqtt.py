"""A run over MQTT: a real broker, plain and with TLS, there and away."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from broker import (
    PASSWORD,
    USER,
    Broker,
    Listener,
    certificates,
    closed_port,
    needs_mosquitto,
    until,
)
from fixtures_bundle import make_bundle, pulse
from fixtures_signal import recorded, with_gaps
from test_runtime_stream import Keep
from test_sinks import RUN

from bioxedge import Bundle, Stream, cli, recording
from bioxedge.runtime import ReplaySource, loop
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks import SinkRunner, make_sink
from bioxedge.runtime.sinks.mqtt import homeassistant, payloads, topics
from bioxedge.runtime.sinks.mqtt import sink as mqtt_sink
from bioxedge.runtime.sinks.mqtt.secret import PASSWORD as IN_PASSWORD
from bioxedge.runtime.sinks.mqtt.secret import USERNAME as IN_USERNAME

pytest.importorskip("paho.mqtt", reason="paho is not installed: pip install 'bioxedge[mqtt]'")
ROOT = Path(__file__).resolve().parent.parent
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a bundle ``b``, a recording ``rec`` with a gap, and certificates ``tls``."""
    folder = tmp_path_factory.mktemp("mqtt")
    make_bundle(folder / "b")  # 4 s windows, every second
    whole = recorded(pulse(1, 64 * 40, 64.0))
    recording.save(with_gaps(whole, (700, 704)), folder / "rec")
    return folder


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def call(here, monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", ["bioxedge", "run", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


REPLAY = ("b", "--source", "replay:rec", "--speed", "max")


def started(*arguments, cwd):
    """Run the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bioxedge", "run", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(call, text, *more):
    """Give the one line with which a run is refused before it begins."""
    code, out, err = call(*REPLAY, "--sink", text, *more)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, (out, err)
    return err


# -- what is sent -------------------------------------------------------------------------


@needs_mosquitto
@VERSIONS
def test_a_run_is_sent_whole_as_its_lines_say_and_stays_there_for_who_comes_late(
    call, tmp_path, version
):
    with Broker(tmp_path / "broker") as broker, Listener(broker, "home/#") as listener:
        sink = f"mqtt:127.0.0.1:{broker.port},prefix=home/wearables,spool={tmp_path}/s"
        code, _, err = call(
            *REPLAY, "--sink", f"{sink},version={version}", "--client-id", "anna",
            "--sink", f"jsonl:{tmp_path}/x.jsonl",
        )  # fmt: skip
        assert code == 0, err
        until(lambda: listener.status()[-1:] == ["offline"], what="its last word")
        assert listener.status()[-2:] == ["online", "offline"]
        lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
        sent = listener.numbered()
        assert [one["seq"] for one in sent] == list(range(len(sent)))
        assert len({one["writer"] for one in sent}) == 1
        for one, line in zip(sent, lines[1:], strict=True):
            if one["kind"] == "prediction":
                assert one["time"] == one["t0"] + one["t_end"]
            for added in ("seq", "writer", "time", "written"):
                one.pop(added, None)
                line.pop(added, None)
            assert one == line
        assert {topic for topic, _, _ in listener.heard} == {
            f"home/wearables/anna/{last}"
            for last in ("status", "run", "state", "prediction", "event")
        }
        (run,) = listener.of("run")
        assert run["bundle"] == "test bundle" and run["labels"] == ["rest", "stress"]
        assert run["digest"] == lines[0]["digest"] and run["client_id"] == "anna"
    with broker, Listener(broker, "home/+/anna/state") as listener:
        until(lambda: listener.heard, what="the state")
        state = listener.of("state")[-1]
    last = [one for one in lines if one["kind"] == "prediction"][-1]
    assert state["label"] == last["label"] and state["time"] == last["t0"] + last["t_end"]
    assert state["probabilities"] == last["probabilities"] and state["faults"] == {}


@needs_mosquitto
def test_a_run_that_is_killed_is_offline_by_its_last_will_and_what_it_spooled_follows(
    here, call, tmp_path
):
    with Broker(tmp_path / "broker") as broker, Listener(broker) as listener:
        text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,client_id=worn"
        run = started("b", "--source", "replay:rec", "--speed", "4", "--sink", text, cwd=here)
        try:
            until(lambda: len(listener.of("prediction")) >= 3, what="the third prediction")
            assert listener.status() == ["online"]
        finally:
            run.kill()
            run.communicate()
        until(lambda: listener.status() == ["online", "offline"], what="the last will")
        with Listener(broker, "bioxedge/worn/status") as late:
            until(lambda: late.heard, what="the retained status")
            assert late.heard[0][1:] == (b"offline", True)


@needs_mosquitto
def test_a_broker_that_goes_and_comes_under_a_run_is_told_and_misses_nothing(here, tmp_path):
    with Broker(tmp_path / "broker") as broker, Listener(broker) as listener:
        text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s"
        run = started(
            "b", "--source", "replay:rec", "--speed", "10", "--sink", text,
            "--sink", f"jsonl:{tmp_path}/x.jsonl", cwd=here,
        )  # fmt: skip
        until(lambda: len(listener.of("prediction")) >= 3, what="the third prediction")
        broker.stop()

        def events():
            raw = (tmp_path / "x.jsonl").read_text().splitlines()
            return [about for line in raw if (about := json.loads(line)).get("event") == "output"]

        until(lambda: any(one["away"] for one in events()), what="the word that it is away")
        broker.start()
        _, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        assert [one["away"] for one in events()] == [True, False]
        assert "was lost; messages wait in" in events()[0]["message"]
        assert "is back after" in events()[1]["message"]
        lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()[1:]]
        until(lambda: len(listener.numbered()) >= len(lines), what="the last message")
        assert [one["kind"] for one in listener.numbered()] == [one["kind"] for one in lines]


@needs_mosquitto
def test_without_a_broker_a_run_goes_on_says_so_and_its_messages_go_out_with_the_next(
    call, tmp_path
):
    broker = Broker(tmp_path / "broker")
    text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s"
    code, out, err = call(*REPLAY, "--sink", text, "--sink", "terminal")
    assert code == 0, err
    assert f"127.0.0.1:{broker.port} is not there (Connection refused); messages wait" in out
    assert f"messages wait in {tmp_path}/s and go out with the next run" in err
    with broker, Listener(broker) as listener:
        code, _, err = call(*REPLAY, "--sink", text)
        assert code == 0 and "messages wait" not in err
        until(lambda: listener.status()[-1:] == ["offline"], what="its last word")
        sent = listener.numbered()
    assert [one["seq"] for one in sent] == list(range(len(sent)))
    first, second = dict.fromkeys(one["writer"] for one in sent)
    assert len([one for one in sent if one["writer"] == first]) > 30
    assert [one["t_end"] for one in sent if one["kind"] == "prediction"][:30] == [
        one["t_end"] for one in sent if one["kind"] == "prediction" and one["writer"] == second
    ][:30]


@needs_mosquitto
@VERSIONS
def test_a_broker_that_is_stopped_and_killed_under_load_gets_all_and_in_order(tmp_path, version):
    chance, count = random.Random(3), 3000
    with Broker(tmp_path / "broker") as broker, Listener(broker) as listener:
        sink = make_sink(f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,version={version}")
        runner = SinkRunner(sink)
        runner.start(RUN)
        for number in range(count):
            runner.emit(Event("gap", "x" * chance.randrange(500), facts={"number": number}))
            if number in (750, 1500, 2250):
                until(lambda n=number: len(listener.heard) > n / 4, what="a part of them")
                broker.stop()
                broker.start()
        until(lambda: not runner._queue and not len(sink._spool), 60, "the end of the spool")
        runner.close()
        assert runner.failed is None and not runner.left_out

        def numbers():
            return [one["number"] for one in listener.numbered()]

        until(lambda: len(listener.heard) > count and len(numbers()) == count, what="the last one")
        assert numbers() == list(range(count))


@needs_mosquitto
def test_what_a_full_spool_left_out_is_said_in_its_place(tmp_path):
    broker = Broker(tmp_path / "broker")
    sink = make_sink(f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,spool_size=64kB")
    sink.open(RUN)
    for number in range(2000):
        sink.emit(Event("gap", "x" * 100, facts={"number": number}))
    said = [event.message for event in sink.take_events()]
    assert any("is full: its oldest messages are left out" in one for one in said)
    with broker, Listener(broker) as listener:
        until(lambda: listener.of("event") and not len(sink._spool), what="the end of the spool")
        sink.close()
        until(lambda: listener.of("event")[-1].get("number") == 1999, what="the last message")
        first, *rest = listener.numbered()
        assert first["event"] == "sink_failed" and first["seq"] == rest[0]["seq"] - 1
        assert first["left_out"] == rest[0]["number"] == 2000 - len(rest)


# -- who may --------------------------------------------------------------------------------


def credentials(path, text=f"username={USER}\npassword={PASSWORD}\n", mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


@needs_mosquitto
@VERSIONS
def test_the_right_password_opens_the_wrong_one_is_one_line(call, tmp_path, version, monkeypatch):
    with Broker(tmp_path / "broker", password=True) as broker, Listener(broker) as listener:
        text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,version={version}"
        good = credentials(tmp_path / "good")
        lines = credentials(tmp_path / "lines", f"{USER}\n{PASSWORD}\n")
        wrong = credentials(tmp_path / "wrong", f"{USER}\nwrong\n")
        for file in (good, lines):
            code, _, err = call(*REPLAY, "--sink", f"{text},credentials={file}")
            assert code == 0, err
        monkeypatch.setenv(IN_USERNAME, USER)
        monkeypatch.setenv(IN_PASSWORD, PASSWORD)
        assert call(*REPLAY, "--sink", text)[0] == 0
        monkeypatch.setenv(IN_PASSWORD, "wrong")
        for one in (text, f"{text},credentials={wrong}"):
            line = refused(call, one)
            assert "write credentials=FILE" in line and "wrong\n" not in line
        monkeypatch.delenv(IN_USERNAME)
        monkeypatch.delenv(IN_PASSWORD)
        assert "write credentials=FILE" in refused(call, text)
        assert len({one["writer"] for one in listener.of("run")}) == 3


@needs_mosquitto
@VERSIONS
def test_a_password_that_is_refused_later_is_told_and_nothing_is_lost(tmp_path, version):
    broker = Broker(tmp_path / "broker", password=True)
    file = credentials(tmp_path / "good")
    text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,version={version},credentials={file}"
    told = []

    def hears(words):
        told.extend(event.message for event in sink.take_events())
        return any(words in one for one in told)

    with broker, Listener(broker) as listener:
        sink = make_sink(text)
        sink.open(RUN)
        broker.stop()
        broker.know("another one")
        broker.start()
        sink.emit(Event("gap", "while we are not let in"))
        until(lambda: hears("write credentials=FILE"), what="the refusal")
        broker.stop()
        broker.know(PASSWORD)
        broker.start()
        until(lambda: hears("is back after"), what="the way back")
        until(lambda: listener.of("event"), what="the event")
        sink.close()


@needs_mosquitto
def test_two_devices_of_one_client_id_are_told(tmp_path):
    with Broker(tmp_path / "broker") as broker:
        both = [
            make_sink(f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/{name},client_id=same")
            for name in "ab"
        ]
        for sink in both:
            sink.open(RUN)
        words = "our client id same? give each its own --client-id"
        until(lambda: any(words in event.message for event in both[0].take_events()))
        for sink in both:
            sink.close()


def test_without_paho_the_extra_is_named():
    program = (
        "import sys; sys.modules['paho'] = None; sys.argv = ['bioxedge', 'run', '.', '--source', "
        "'replay:x', '--sink', 'mqtt:host']; from bioxedge import cli; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert (
        done.stderr == "error: paho is not installed: it comes with pip install 'bioxedge[mqtt]'\n"
    )


def test_a_password_is_taken_from_nowhere_where_others_see_it(call, tmp_path, monkeypatch):
    for text in ("mqtt:anna:secret@host", "mqtt:host,password=secret", "mqtt:host,user=anna"):
        line = refused(call, text)
        assert "write credentials=FILE" in line and IN_PASSWORD in line
        assert "secret" not in line
    open_file = credentials(tmp_path / "open", mode=0o644)
    line = refused(call, f"mqtt:127.0.0.1,credentials={open_file}")
    assert "can be read by others (mode 644): chmod 600" in line and PASSWORD not in line
    assert "No such file" in refused(call, "mqtt:127.0.0.1,credentials=nowhere")
    odd = credentials(tmp_path / "odd", "one line\n")
    assert "username=… and password=…" in refused(call, f"mqtt:127.0.0.1,credentials={odd}")
    good = credentials(tmp_path / "good")
    line = refused(call, f"mqtt:192.0.2.1,credentials={good}")
    assert "192.0.2.1 in clear: add tls=CA.pem or tls=system" in line
    make_sink(f"mqtt:192.0.2.1,credentials={good},plaintext=yes")  # nothing is opened yet
    make_sink(f"mqtt:192.0.2.1,credentials={good},tls=system")
    monkeypatch.setenv(IN_PASSWORD, "x")
    assert IN_USERNAME in refused(call, "mqtt:127.0.0.1")


@needs_mosquitto
@VERSIONS
def test_tls_opens_where_the_certificate_fits_and_else_is_one_line(call, tls, tmp_path, version):
    with Broker(tmp_path / "broker", tls=tls) as broker, Listener(broker) as listener:
        port = f"{broker.port},spool={tmp_path}/s,version={version}"
        code, _, err = call(*REPLAY, "--sink", f"mqtt:localhost:{port},tls={tls}/ca.pem")
        assert code == 0, err
        until(lambda: listener.status()[-1:] == ["offline"], what="its last word")
        assert len(listener.of("prediction")) > 30
        for text in (
            f"mqtt:localhost:{port},tls={tls}/other.pem",
            f"mqtt:127.0.0.1:{port},tls={tls}/ca.pem",
            f"mqtt:localhost:{port},tls=system",
        ):
            assert "does not fit (" in (line := refused(call, text)) and "tls=CA.pem" in line
        line = refused(call, f"mqtt:localhost:{port}")
        assert "does it want TLS (tls=)?" in line
    with Broker(tmp_path / "plain") as plain:
        text = f"mqtt:localhost:{plain.port},spool={tmp_path}/s,tls={tls}/ca.pem"
        assert "does not speak TLS" in refused(call, text)


@needs_mosquitto
def test_a_client_certificate_is_shown_to_who_wants_it(call, tls, tmp_path):
    with Broker(tmp_path / "broker", tls=tls, lines=["require_certificate true"]) as broker:
        text = f"mqtt:localhost:{broker.port},spool={tmp_path}/s,tls={tls}/ca.pem"
        pair = f",cert={tls}/client.pem,key={tls}/client.key"
        assert call(*REPLAY, "--sink", text + pair)[0] == 0
        line = refused(call, text)
        assert "client certificate" in line or "TLS" in line


def test_files_for_tls_that_do_not_do_are_one_line(call, tls, tmp_path):
    (tmp_path / "empty").write_text("")
    for option, said in (
        ("tls=nowhere.pem", "nowhere.pem: No such file"),
        (f"tls={tmp_path}/empty", "cannot be used for TLS"),
        (f"tls=system,cert={tls}/client.pem", "write both"),
        (f"tls=system,cert={tls}/client.pem,key={tls}/server.key", "belongs to its certificate"),
        (f"cert={tls}/client.pem,key={tls}/client.key", "mean nothing without TLS"),
    ):
        assert said in refused(call, f"mqtt:127.0.0.1,{option}")


# -- what cannot be right -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mqtt:", "there is no sink 'mqtt:'"),
        ("mqtt:host:0", "names no broker"),
        ("mqtt:host:99999", "names no broker"),
        ("mqtt:a host", "names no broker"),
        ("mqtt:host,homeassistant", "options behind it as ,KEY=VALUE"),
        ("mqtt:host,prefix=home/+", "has the wildcard '+'"),
        ("mqtt:host,prefix=home/#", "has the wildcard '#'"),
        ("mqtt:host,prefix=home//x", "a level without a name"),
        ("mqtt:host,prefix=$SYS", "begins with $"),
        ("mqtt:host,prefix=a\nb", "control character"),
        ("mqtt:host,prefix=" + "x" * 300, "300 bytes is too long, it may have 256"),
        ("mqtt:host,homeassistant=a/#", "has the wildcard '#'"),
        ("mqtt:host,client_id=a/b", "has a '/'"),
        ("mqtt:host,client_id=a+b", "has a '+'"),
        ("mqtt:host,client_id=" + "x" * 200, "too long"),
        ("mqtt:host,version=4", "write 3.1.1 or 5"),
        ("mqtt:host,keepalive=1", "a number of 5 or more"),
        ("mqtt:host,spool_size=1kB", "takes 64kB to"),
        ("mqtt:host,plaintext=perhaps", "yes or no"),
        ("mqtt:host,qos=2", "knows no option 'qos'"),
    ],
)
def test_what_cannot_be_right_is_one_line(call, text, said):
    assert said in refused(call, text)


def test_a_client_id_of_the_command_line_is_a_level_of_topics(call):
    assert "has a '/'" in refused(call, "mqtt:host", "--client-id", "a/b")
    with pytest.raises(Exception, match="control character"):
        topics.check_prefix("a\0b")


def test_a_client_id_of_its_own_stays_the_same_and_tells_bundles_and_runs_apart():
    made = topics.default_client_id("test bundle/#1", "left wrist")
    assert made == topics.default_client_id("test bundle/#1", "left wrist")
    assert made.endswith("test-bundle-1-left-wrist")
    assert topics.check_client_id(made) == made
    assert topics.default_client_id("other") != topics.default_client_id("another")


def test_two_runs_of_one_device_on_one_spool_are_told(call, tmp_path):
    with closed_port() as port:
        text = f"mqtt:127.0.0.1:{port},spool={tmp_path}/s"
        first = make_sink(text)
        first.open(RUN)
        assert f"is held by process {os.getpid()}" in refused(call, text)
        first.close()


@contextlib.contextmanager
def answering(answer):
    """Listen on loopback, say something to whoever comes, and hang up on them."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                with one, contextlib.suppress(OSError):
                    if answer:
                        one.recv(1000)
                        one.sendall(answer)
                        one.settimeout(5)
                        while one.recv(1000):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_what_speaks_no_mqtt_is_one_line(call, tmp_path):
    with answering(b"") as port:
        text = f"mqtt:127.0.0.1:{port},spool={tmp_path}/s"
        assert "does it speak MQTT 5 there" in refused(call, text)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x30\xff\xff\xff\xff\xff",  # a length that never ends
        b"\x30\xff\xff\xff\x7f" + bytes(100),  # a message of 256 MB
        b"\x30\x03\x00\xff\x00",  # a topic longer than its message
        b"\x40\x01\x00",  # half an acknowledgement
        b"\x40\x02\x00\x63" * 50,  # acknowledgements of what was never sent
        b"\xf0\x00" + bytes(range(256)),
    ],
)
@VERSIONS
def test_rubbish_from_a_broker_is_told_and_the_run_goes_on(tmp_path, monkeypatch, rubbish, version):
    monkeypatch.setattr(mqtt_sink, "_PATIENCE", 0.1)
    hello = b"\x20\x03\x00\x00\x00" if version == "5" else b"\x20\x02\x00\x00"
    with answering(hello + rubbish) as port:
        sink = make_sink(f"mqtt:127.0.0.1:{port},spool={tmp_path}/s,version={version}")
        sink.open(RUN)
        for number in range(20):
            sink.emit(Event("gap", str(number)))
        if rubbish[0] != 0x40 or len(rubbish) < 10:  # those are no reason to leave
            until(lambda: any(event.facts.get("away") for event in sink.take_events()))
        sink.close()
        assert sink.note.startswith(f"mqtt 127.0.0.1:{port}: 20 messages wait in")


def test_a_damaged_spool_is_said_in_the_run(call, tmp_path):
    with closed_port() as port:
        text = f"mqtt:127.0.0.1:{port},spool={tmp_path}/s"
        assert call(*REPLAY, "--sink", text)[0] == 0
        path = max((tmp_path / "s").glob("*.spool"))
        path.write_bytes(path.read_bytes()[:-5])
        code, out, _ = call(*REPLAY, "--sink", text, "--sink", "terminal")
        assert code == 0 and "a file of the spool was damaged" in out


# -- Home Assistant -------------------------------------------------------------------------


@needs_mosquitto
@VERSIONS
def test_home_assistant_is_told_once_there_and_again_on_its_birth(tmp_path, version):
    with Broker(tmp_path / "broker") as broker, Listener(broker, "#") as listener:
        text = f"mqtt:127.0.0.1:{broker.port},spool={tmp_path}/s,version={version}"
        sink = make_sink(f"{text},homeassistant=yes", client_id="anna's left")
        sink.open(RUN)
        topic = "homeassistant/device/bioxedge_anna_s_left_"

        def configs():
            return [raw for at, raw, _ in list(listener.heard) if at.startswith(topic)]

        until(configs, what="the configuration")
        about = json.loads(configs()[0])
        parts = about["components"]
        assert parts["label"]["device_class"] == "enum"
        assert parts["label"]["options"] == list(RUN.labels)
        assert about["origin"]["name"] == "bioxedge"
        assert about["device"]["name"] == "anna's left"
        # Home Assistant refuses the whole description for a key that it does not know.
        assert set(about) <= {"device", "origin", "components", "qos"}
        assert set(about["device"]) <= {
            "identifiers",
            "name",
            "manufacturer",
            "model",
            "sw_version",
        }
        assert len({part["unique_id"] for part in parts.values()}) == len(parts)
        for part in parts.values():
            assert part["platform"] in ("sensor", "binary_sensor")
            assert part["availability_topic"] == "bioxedge/anna's left/status"
            assert part["state_topic"] == "bioxedge/anna's left/state"
            assert part["expire_after"] >= 5
        listener.publish("homeassistant/status", b"offline")
        listener.publish("homeassistant/status", b"online")
        until(lambda: len(configs()) == 2, what="the second configuration")
        # Of no use to anybody: in version 5 the broker keeps what is so long from us, in 3.1.1 the
        # connection is ended, and what is said on that topic is heeded no more.
        listener.publish("homeassistant/status", b"online" * 1_000_000)
        if version == "3.1.1":
            until(lambda: listener.status()[-3:] == ["online", "offline", "online"], what="it")
        sink.emit(Event("gap", "it goes on"))
        until(lambda: listener.of("event"), what="an event after that")
        sink.close()


def test_home_assistants_templates_find_what_the_state_says(here):
    jinja2 = pytest.importorskip("jinja2", reason="Jinja reads the templates: pip install jinja2")
    kept = Keep()
    stream = Stream(Bundle.open(here / "b"))
    loop.run(ReplaySource(recording.load(here / "rec"), speed=float("inf")), stream, [kept])
    spoken = next(one for one in kept.predictions if one.label)
    silent = replace(spoken, label=None, probabilities={}, reason="ppg_2 is flat")
    about = json.loads(homeassistant.config(RUN, topics.Topics("bioxedge", "anna")))
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    shown = []
    for record in (spoken, silent):
        state = json.loads(payloads.state(record, 0.0))
        shown.append(
            {
                name: environment.from_string(part["value_template"]).render(value_json=state)
                for name, part in about["components"].items()
            }
        )
        attributes = about["components"]["problem"]["json_attributes_template"]
        known = json.loads(environment.from_string(attributes).render(value_json=state))
        assert known == {"reason": record.reason, "faults": {}}
    first, second = shown
    assert first["label"] == spoken.label and first["problem"] == "OFF"
    assert float(first["probability"]) == round(100 * max(spoken.probabilities.values()), 1)
    for place, share in enumerate(spoken.probabilities.values()):
        assert float(first[f"probability_{place}"]) == round(100 * share, 1)
    assert float(first["quality"]) == 100 and float(first["age"]) >= 0
    assert second["label"] == second["probability"] == second["probability_0"] == "None"
    assert second["problem"] == "ON"
