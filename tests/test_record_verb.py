"""``bioxedge record``: what it writes, how it ends, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from cyton import Cyton, when
from fixtures_disk import small_disk
from fixtures_sessions import pairs_in

from bioxedge import SourceError, recording
from bioxedge.cli import main
from bioxedge.commands.keys import Keys
from bioxedge.commands.tracks import Wish, tracks
from bioxedge.errors import BioxedgeError
from bioxedge.recording import save
from bioxedge.runtime.record import Recorded
from bioxedge.runtime.recorder import Recorder, Track
from bioxedge.signals import Channel, Recording

pytest.importorskip("brainflow", reason="boards come with pip install 'bioxedge[brainflow]'")

HEAD = "brainflow:synthetic,channels=Fz+ecg_2,unit=uV"
SKIN = "brainflow:synthetic,preset=auxiliary,channels=eda_1"
PATIENCE = 30.0


@pytest.fixture
def call(monkeypatch, capsys):
    """Give a verb's exit code, output and error output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


def wait_until(done):
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE, "it does not come to pass"
        time.sleep(0.01)


def flat(values, rate=64.0):
    return Recording(np.atleast_2d(values), rate, (Channel("ppg_2", "a.u."),), "ppg", "anna", 0.0)


# -- what it writes ------------------------------------------------------------------------


def test_two_presets_of_a_board_are_a_pair_that_build_reads(call, tmp_path):
    out = tmp_path / "recordings" / "anna-monday"
    code, said, error = call(
        "record", "--source", HEAD, "--source", SKIN, "--out", out, "--person", "anna",
        "--seconds", "1.5",
    )  # fmt: skip
    assert (code, error) == (0, "")
    (pair,) = pairs_in(tmp_path / "recordings")
    assert [c.name for c in pair.source.channels] == ["Fz", "ecg_2"]
    assert {c.unit for c in pair.source.channels} == {"uV"}
    assert [c.name for c in pair.target.channels] == ["eda_1"] and pair.target.modality == "eda"
    assert pair.person == "anna" and pair.source.seconds > 1
    assert f"replay:{out}/source" in said and 'dataset = "folder"' in said
    assert "still needs" not in said
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [out, *out.rglob("*")]}
    assert modes == {0o700, 0o600}
    summary = json.loads((out / "summary.json").read_text())
    assert [one["role"] for one in summary["streams"]] == ["source", "target"]


def test_every_kind_of_source_records_and_the_end_of_all_is_the_end(call, tmp_path):
    values = np.random.default_rng(0).normal(size=640)
    values[100:130] = np.nan
    save(flat(values), tmp_path / "old")
    code, said, _ = call(
        "record", "--source", f"replay:{tmp_path / 'old'},speed=max", "--out", tmp_path / "new"
    )
    assert code == 0
    again = recording.load(tmp_path / "new" / "source")
    assert again.samples.tobytes() == flat(values).samples.tobytes()
    assert "needs a stream target and the person" in said and "ended: the source ended" in said


def test_roles_are_given_or_found():
    found = tracks(
        ["chest=" + HEAD, SKIN, "brainflow:synthetic", "brainflow:synthetic,name=extra", HEAD]
    )
    roles = [track.role for track in found]
    assert roles == ["chest", "source", "target", "extra", "synthetic-default"]
    assert found[1].modality == "eda" and found[2].source.channels[0] == "Fz"


def test_a_simulated_wearer_is_of_the_kind_that_it_simulates():
    wishes = [f"synthetic:{kind}" for kind in ("ppg", "ecg")]
    assert [one.modality for one in tracks(wishes)] == ["ppg", "ecg"]


def test_a_role_an_option_and_a_folder_with_commas_are_told_apart():
    wish = Wish.parse("target=replay:/tmp/a, b,speed=max,channels=x+y,unit=mV+V,modality=ecg")
    assert (wish.role, wish.channels, wish.units) == ("target", ("x", "y"), ("mV", "V"))
    assert wish.asked.spelled.what == "/tmp/a, b"
    assert wish.asked.spelled.options == {"speed": "max"}


def test_a_session_goes_on_as_another_take(call, tmp_path):
    for _ in range(2):
        assert call("record", "--source", HEAD, "--out", tmp_path / "s", "--seconds", "0.5")[0] == 0
    assert recording.load(tmp_path / "s" / "source").facts["takes"] == 2


def test_json_is_lines_and_a_summary(call, tmp_path):
    code, said, _ = call(
        "record", "--json", "--source", HEAD, "--out", tmp_path / "s", "--minutes", "0.01"
    )
    lines = [json.loads(line) for line in said.splitlines()]
    assert code == 0 and lines[0]["kind"] == "recording" and lines[-1]["kind"] == "summary"
    assert lines[-1]["summary"]["streams"][0]["samples"] > 50


def test_marks_by_the_api_are_in_every_stream(tmp_path):
    made = tracks([HEAD, SKIN])
    with Recorder(tmp_path / "s", made, person="anna") as recorder:
        wait_until(lambda: all(track.samples > 50 for track in made))
        recorder.mark("lights off")
        wait_until(lambda: all(track.events["mark"] for track in made))
    for role in ("source", "target"):
        (mark,) = recording.load(tmp_path / "s" / role).facts["marks"]
        assert mark["text"] == "lights off" and mark["index"] >= 50


# -- boards that come and go -----------------------------------------------------------------


def test_a_board_that_is_lost_is_waited_for_and_the_other_goes_on(tmp_path):
    with Cyton(tmp_path / "left") as left, Cyton(tmp_path / "right") as right:
        made = [
            Track(role, _supervised(board), "ecg")
            for role, board in (("source", left), ("target", right))
        ]
        with Recorder(tmp_path / "s", made, person="anna") as recorder:
            wait_until(lambda: all(track.samples > 250 for track in made))
            left.unplug()
            wait_until(lambda: made[0].events["stall"])
            end = made[1].samples
            left.plug_in()
            wait_until(lambda: made[0].events["reconnect"])
            end = made[0].samples
            wait_until(lambda: made[0].samples > end + 100)
            assert not recorder.over and not recorder.failures
    first, second = (recording.load(tmp_path / "s" / role) for role in ("source", "target"))
    assert first.facts["missing"] > 100 and second.facts["missing"] == 0
    assert (np.diff(when(second.samples[0], 1)) == 1).all()
    ticks = when(first.samples[0], 1)
    assert np.nanmax(np.abs(np.arange(len(ticks)) - (ticks - ticks[0]))) < 25
    assert made[0].to_dict()["longest_gaps"][0]["samples"] > 100


def _supervised(board):
    from bioxedge.runtime import BrainFlowSource
    from bioxedge.runtime.supervise import Supervised

    params = {"serial_port": str(board.port)}
    one = BrainFlowSource("cyton", channels=("ecg_1",), rate=250.0, params=params, stall=0.5)
    return Supervised(one, first_delay=0.2, longest_delay=0.4)


def test_one_that_does_not_start_leaves_nothing(call, tmp_path):
    gone = f"brainflow:cyton,serial_port={tmp_path / 'none'}"
    code, said, error = call("record", "--source", HEAD, "--source", gone, "--out", tmp_path / "s")
    assert code == 2 and error.startswith("error: cyton") and error.count("\n") == 1
    assert not (tmp_path / "s").exists() and said == ""


@pytest.mark.parametrize("which", [0, 1])
def test_one_that_fails_behind_its_connection_leaves_nothing_either(tmp_path, which):
    before = set(threading.enumerate())  # some library of another test may have one
    made = tracks([HEAD, SKIN])

    def fail():
        raise SourceError("it does not begin")

    made[which].source.start = fail
    with pytest.raises(SourceError, match="does not begin"):
        Recorder(tmp_path / "s", made).start()
    assert not (tmp_path / "s").exists()
    assert set(threading.enumerate()) <= before


def test_what_fails_later_ends_alone(tmp_path):
    class Failing:
        """A source that breaks for good after a while."""

        def __init__(self, source, after):
            self.source, self.left = source, after

        def __getattr__(self, name):
            return getattr(self.source, name)

        def read(self):
            self.left -= 1
            if self.left < 0:
                raise SourceError("the sensor is broken: get another")
            return self.source.read()

    made = tracks([HEAD, SKIN])
    made[1].source = Failing(made[1].source, 40)
    with Recorder(tmp_path / "s", made) as recorder:
        wait_until(lambda: made[1].failed)
        end = made[0].samples
        wait_until(lambda: made[0].samples > end + 50)
        assert not recorder.over
    assert "broken" in recording.load(tmp_path / "s" / "target").facts["ended"]


# -- how it ends -----------------------------------------------------------------------------


def start(*arguments, **options):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from bioxedge.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path, number):
    out = tmp_path / "s"
    with start("record", "--source", HEAD, "--source", SKIN, "--out", out) as process:
        wait_until(lambda: sum(p.stat().st_size for p in out.glob("*/part-*.log")) > 40_000)
        process.send_signal(number)
        said, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (128 + number, "")
    assert "source: " in said and "replay: bioxedge run" in said
    for role in ("source", "target"):
        taken = recording.load(out / role)
        assert taken.facts["ended"] == "stopped" and np.isfinite(taken.samples).all()


def test_keys_mark_at_a_terminal(tmp_path):
    master, slave = pty.openpty()
    out = tmp_path / "s"
    process = start(
        "record", "--source", HEAD, "--source", SKIN, "--out", out,
        stdin=slave, stdout=slave, stderr=slave, text=False, preexec_fn=_lead,
    )  # fmt: skip
    os.close(slave)
    shown, done = bytearray(), threading.Event()

    def drain():
        while not done.is_set():
            if select.select([master], [], [], 0.05)[0]:
                try:
                    shown.extend(os.read(master, 4096))
                except OSError:
                    return

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        wait_until(lambda: b"on the disk" in shown)
        os.write(master, b"a\x1b[A")
        os.write(master, "\rLicht aus, müde\r".encode())
        wait_until(lambda: b"mark: Licht" in shown.split(b"on the disk")[-1] or b"2 marks" in shown)
        wait_until(lambda: b"2 marks" in shown)
        os.write(master, b"\x03")
        assert process.wait(PATIENCE) == 130
    finally:
        process.kill()
        process.wait()
        done.set()
        reader.join()
        os.close(master)
    for role in ("source", "target"):
        marks = recording.load(out / role).facts["marks"]
        assert [mark["text"] for mark in marks] == ["a", "Licht aus, müde"]
    assert b"\x1b[?25h" in shown  # the cursor is back


def _lead():
    """Have the terminal as one's own, as a shell gives it."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_keys_are_read_as_they_come():
    end, other = os.pipe()
    keys = Keys(end)
    for typed, marks in (
        ("a b", ["a", "space", "b"]),
        ("\x1b[A\x1bOP", []),
        ("\r", []),
        ("off\x7f\x7fn", []),
        ("\n", ["on"]),
        ("\rnever\x1b", []),
        ("\r\r", []),
        ("ü", ["ü"]),
    ):
        os.write(other, typed.encode())
        assert keys.marks() == marks
    os.write(other, "ö".encode()[:1])
    assert keys.marks() == []
    os.write(other, "ö".encode()[1:])
    assert keys.marks() == ["ö"]
    os.close(other)
    assert keys.marks() == []
    os.close(end)


# -- the disk ----------------------------------------------------------------------------------


def test_a_bound_on_disk_is_an_end_in_order(call, tmp_path):
    code, said, error = call(
        "record", "--source", HEAD, "--source", SKIN, "--out", tmp_path / "s", "--max-size", "60kB"
    )
    assert (code, error) == (0, "") and "--max-size is reached" in said
    assert sum(path.stat().st_size for path in tmp_path.glob("s/*/part-*")) <= 60_000
    assert recording.load(tmp_path / "s" / "source").seconds > 0.2


def test_a_disk_that_fills_up_is_one_line_and_what_was_written_stands(call, tmp_path):
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 128) as disk:
        code, said, error = call(
            "record", "--source", HEAD, "--out", disk / "s", "--keep-free", "100kB"
        )
        assert code == 2 and error.count("\n") == 1 and "kept free" in error
        assert recording.load(disk / "s" / "source").seconds > 0.2 and "replay:" in said


# -- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "more", "says"),
    [
        (["board:x"], [], r"there is no source 'board:x': write one of brainflow:BOARD"),
        (["source=brainflow:synthetic", "source=" + SKIN], [], "two sources are called source"),
        (["a=brainflow:synthetic,name=b"], [], "has a role and a name"),
        (["brainflow:synthetic,name=../up"], [], r"named by small letters.*'\.\./up'"),
        (["brainflow:synthetic,channels=Fz+qq"], [], r"no channel qq: it has .*Fz"),
        (["brainflow:synthetic,channels=Fz,unit=uV+mV"], [], "1 channels and unit= names 2"),
        (["brainflow:synthetic,colour=red"], [], "no parameter 'colour'"),
        (["replay:nowhere"], [], "nowhere"),
        (["brainflow:synthetic"], ["--seconds", "1", "--minutes", "1"], "not both"),
        (["brainflow:synthetic"], ["--max-size", "many"], "--max-size takes a size"),
    ],
)
def test_a_mistake_is_one_line(call, tmp_path, sources, more, says):
    given = [word for text in sources for word in ("--source", text)]
    code, said, error = call("record", *given, "--out", tmp_path / "s", *more)
    assert (code, said) == (2, "") and error.startswith("error: ") and error.count("\n") == 1
    import re

    assert re.search(says, error), error
    assert not (tmp_path / "s").exists()


def test_a_folder_that_is_no_session_is_refused(call, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    (tmp_path / "file").touch()
    save(flat(np.zeros(10)), tmp_path / "saved" / "source")
    for where, says in (
        ("photos", "no recorded session (it holds me.jpg)"),
        ("file", "is a file"),
        ("saved", "no recorded session (it holds source)"),
    ):
        code, _, error = call("record", "--source", HEAD, "--out", tmp_path / where)
        assert code == 2 and says in error and error.count("\n") == 1
    assert call("record", "--source", HEAD, "--out", tmp_path / "s", "--seconds", "0.3")[0] == 0
    code, _, error = call("record", "--source", HEAD, "--out", tmp_path / "s" / "source")
    assert code == 2 and "is a stream of a session: name the session" in error
    code, _, error = call("record", "--source", SKIN, "--out", tmp_path / "s")
    assert code == 2 and "record into another folder" in error


def test_a_recording_that_cannot_be_opened_connects_no_board(tmp_path):
    made = tracks([HEAD, SKIN])
    (tmp_path / "s" / "target").mkdir(parents=True)
    (tmp_path / "s" / "target" / "notes").touch()
    with pytest.raises(BioxedgeError, match="holds other things"):
        Recorder(tmp_path / "s", made).start()
    assert not (tmp_path / "s" / "source").exists()
    assert isinstance(made[0].recorded, Recorded)
