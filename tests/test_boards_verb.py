"""``boards``: the catalogue is held against BrainFlow's library, and what the verb prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from bioxedge import SourceError, cli
from bioxedge.measuring import machine
from bioxedge.measuring.doctor import Host
from bioxedge.measuring.doctor.scan import scan
from bioxedge.runtime import BrainFlowSource
from bioxedge.runtime.sources import catalogue
from bioxedge.runtime.sources.brainflow import STARTUP
from bioxedge.runtime.sources.counters import pattern

ROOT = Path(__file__).resolve().parent.parent
KNOWN = catalogue.shipped()
SHIPPED = json.loads((files("bioxedge") / "data" / "boards.json").read_text())["brainflow"]
PRESETS = [(name, preset) for name, one in KNOWN.items() for preset in one.presets]


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", "boards", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


# -- what is known --------------------------------------------------------------------------


def test_what_is_shipped_is_what_the_library_says():
    pytest.importorskip("brainflow")
    described, version = catalogue.from_library()
    if version != SHIPPED:
        pytest.skip(f"BrainFlow {version} is here, the descriptors of {SHIPPED} are shipped")
    assert set(described) == set(KNOWN)
    for name, one in described.items():
        assert (KNOWN[name].number, KNOWN[name].presets) == (one.number, one.presets), name


def test_asking_for_every_board_leaves_the_library_whole():
    pytest.importorskip("brainflow")
    catalogue.catalogue()
    source = BrainFlowSource("synthetic", channels=("eeg_1",), rate=250.0)
    with source:
        assert source.sensor == "synthetic/default"


@pytest.mark.parametrize("board", KNOWN.values(), ids=lambda one: one.name)
def test_every_board_is_told_of_in_full(board):
    assert board.title and board.unit and board.having()
    assert board.link in ("Bluetooth", "dongle", "serial", "Wi-Fi", "USB", "SPI", "none")
    for sentence in (*board.losses, *board.notes):
        assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize("board", KNOWN.values(), ids=lambda one: one.name)
def test_what_a_board_needs_is_what_brainflow_takes(board):
    shim = pytest.importorskip("brainflow.board_shim")
    assert {*board.needs, *board.may} <= set(vars(shim.BrainFlowInputParams()))
    preset, one = next(iter(board.having().items()))
    name = next(f"{kind}_1" for kind in catalogue.SIGNALS if kind in one.signals)
    BrainFlowSource(board.name, channels=(name,), rate=one.rate, preset=preset, params=board.needs)


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_the_words_on_losses_are_the_streams_own_pattern(name, preset):
    how, said = pattern(name, preset), " ".join(catalogue.losses(KNOWN[name], preset))
    brief = catalogue.brief(name, preset)
    if how is None:
        assert "learnt" in said and brief == "learnt"
    elif how.blind:
        assert "A loss is not seen" in said and brief == "unseen"
    else:
        assert f"goes {how}." in said and (how.rows == 1 or f"packets of {how.rows}" in said)
        assert brief == ("seen" if how.rows == 1 else f"{how.rows} rows")
    assert how is None or all(str(other) in said for other in how.others)


def test_a_daisys_half_old_rows_are_told():
    said = " ".join(catalogue.losses(KNOWN["cyton_daisy"], "default"))
    assert "0–255 in steps of 2" in said and "rows 9–16 are old" in said and "1.02 s" in said


def test_start_up_strings_are_those_that_run_sends():
    for name, sent in STARTUP.items():
        assert KNOWN[name].startup("ancillary") == sent and KNOWN[name].startup("default") == ""
    assert KNOWN["muse_2"].startup("ancillary") == "p50"
    assert KNOWN["muse_s"].startup("ancillary") == "p61"


# -- what is printed ------------------------------------------------------------------------


def test_the_table_names_every_board_in_a_hundred_columns(call):
    code, out, err = call()
    rows = out.splitlines()
    assert (code, err) == (0, "") and max(map(len, rows)) <= 100 and "…" not in out
    assert {row.split()[0] for row in rows[1 : rows.index("")]} == set(KNOWN)


@pytest.mark.parametrize(
    ("signal", "has", "lacks"),
    [
        ("ppg", "muse_2      ancillary", "cyton"),
        ("ecg", "callibri_ecg", "muse_2"),
        ("eda", "emotibit", "muse_2"),
        ("emg", "gforce_pro", "brainbit"),
    ],
)
def test_only_boards_with_a_signal(call, signal, has, lacks):
    _, out, _ = call("--signal", signal)
    assert has in out and f"\n{lacks} " not in out


@pytest.mark.parametrize("name", ["muse_2", "Muse-2", "MUSE_2_BOARD"])
def test_a_page_says_all_of_a_board(call, name):
    code, out, _ = call(name)
    assert code == 0 and max(map(len, out.splitlines())) <= 100
    for words in (
        "muse_2: Muse 2",
        "preset ancillary, 64 Hz",
        "optical_1–3, ppg_1–3",
        "TP9, AF7, AF8, TP10",
        "start-up string p50",
        "0–65535, 6 rows a number",
        "shifted against each",
        "bioxedge run BUNDLE --source brainflow:muse_2",
    ):
        assert words in out


def test_a_page_for_every_board(call):
    for name in KNOWN:
        code, out, err = call(name)
        assert (code, err) == (0, "") and f"brainflow:{name}" in out


def test_an_example_has_what_the_board_needs(call):
    line = "brainflow:ganglion --param serial_port=/dev/ttyACM0 --param other_info=fw:auto\n"
    assert line in call("ganglion")[1]
    assert "brainflow:muse_s --preset ancillary\n" in call("muse_s", "--signal", "ppg")[1]


def test_json_holds_the_same(call):
    told = json.loads(call("--json", "--signal", "ppg")[1])
    muse = next(one for one in told["boards"] if one["name"] == "muse_s")
    assert list(muse["presets"]) == ["ancillary"]
    ancillary = muse["presets"]["ancillary"]
    assert (ancillary["rate"], ancillary["startup"], ancillary["loss"]) == (64.0, "p61", "6 rows")
    assert ancillary["signals"]["ppg"] == 3 and muse["losses"] and muse["notes"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mus_2"], "did you mean muse_2"),
        (["qqqqqq"], "see bioxedge boards"),
        (["playback_file"], "there is no board"),
        (["cyton", "--signal", "ppg"], "cyton has no ppg"),
        (["--signal", "mood"], "'ppg', 'ecg', 'emg', 'eeg', 'eda'"),
    ],
)
def test_what_is_not_there_is_one_line(call, arguments, says):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ModuleNotFoundError('none', name='brainflow')", "is not installed"),
        ("raise OSError('wrong ELF class')", "cannot be loaded on this machine"),
    ],
)
def test_without_the_library_what_is_shipped_is_told(tmp_path, body, why):
    (tmp_path / "brainflow.py").write_text(body)
    done = subprocess.run(
        [sys.executable, "-c", "from bioxedge.cli import main; main()", "boards", "--json"],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["described_by"] == "shipped" and why in told["why"] and done.stderr == ""
    assert {one["name"] for one in told["boards"]} == set(KNOWN)


# -- what is near ---------------------------------------------------------------------------


@pytest.fixture
def near(tmp_path, monkeypatch):
    """A machine with a serial port and an adapter, and a bluetoothctl that knows two devices."""
    usb = tmp_path / "sys/devices/usb1/1-1"
    there = {
        usb / "product": "FT231X USB UART\n",
        usb / "1-1:1.0/ttyUSB0/port_number": "0",
        tmp_path / "sys/class/bluetooth/hci0/uevent": "",
        tmp_path / "dev/ttyUSB0": "",
    }
    for path, content in there.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    tty = tmp_path / "sys/class/tty/ttyUSB0"
    tty.mkdir(parents=True)
    (tty / "device").symlink_to(usb / "1-1:1.0/ttyUSB0")
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr(machine, "PATIENCE", 2.0)
    return tmp_path


def look(root):
    announced = {name: one.seen_as for name, one in KNOWN.items()}
    return scan(Host(root=root), ["cyton"], announced)


def test_a_scan_tells_what_was_looked_for_and_what_was_not(near):
    seen, said = look(near)
    assert [(one.address, one.name, one.boards) for one in seen] == [
        ("/dev/ttyUSB0", "FT231X USB UART", ["cyton"])
    ]
    assert "bluetoothctl (package bluez) is missing" in said[1] and "Not looked for" in said[2]


def test_a_scan_lists_bluetooth_devices_by_what_they_may_be(near):
    tool = near / "tools/bluetoothctl"
    tool.parent.mkdir()
    known = "Device 00:55:DA:B0:00:01 Muse-A1B2\\nDevice 11:22:33:44:55:66 Kettle\\n"
    tool.write_text(f'#!/bin/sh\nif [ "$1" = devices ]; then printf "{known}"; fi\n')
    tool.chmod(0o755)
    seen, said = look(near)
    found = {one.name: one.boards for one in seen}
    assert set(found["Muse-A1B2"]) == {"muse_2", "muse_s", "muse_2016"} and found["Kettle"] == []
    assert "2 devices, 4 s of listening" in said[1]
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert "BlueZ does not answer" in look(near)[1][1]


def test_the_verb_scans_this_machine(call):
    code, out, err = call("--scan", "--signal", "ppg")
    assert (code, err) == (0, "") and "Serial ports:" in out and "Not looked for" in out


def test_a_board_is_found_in_the_catalogue_by_its_nearest_name():
    known = catalogue.Catalogue(KNOWN, "shipped", "5.23.0")
    with pytest.raises(SourceError, match="did you mean cyton"):
        known.find("cyto")
