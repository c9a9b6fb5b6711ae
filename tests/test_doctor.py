"""``doctor``: what it finds on this machine, in damaged installs and in trees of real files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fixtures_bundle import make_bundle

from bioxedge.measuring import machine
from bioxedge.measuring.doctor import (
    Host,
    bluetooth,
    bundle,
    clock,
    elf,
    library,
    power,
    runtime,
    serial,
    storage,
)

ROOT = Path(__file__).resolve().parent.parent
MAIN = "from bioxedge.cli import main; main()"


def call(*arguments, flags=(), **environ):
    """Run the command in a process of its own: exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", MAIN, "doctor", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, **{key: str(value) for key, value in environ.items()}},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def by_check(output):
    return {one["check"]: one for one in json.loads(output)["findings"]}


def write(root, files):
    """Real files below a root; a number behind ``|`` is their mode."""
    for name, content in files.items():
        name, _, mode = name.partition("|")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(int(mode or "644", 8))


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Give the board's tools as small scripts; no other program is found."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(machine, "PATIENCE", 2.0)

    def make(name, said="", code=0):
        script = folder / name
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n".replace("cat", CAT))
        script.chmod(0o755)

    return make


CAT = shutil.which("cat")


def stranger(root, *groups):
    """A user who owns nothing and is in these groups."""
    return Host(root=root, uid=os.getuid() + 54321, groups=frozenset(groups))


def one(findings, check):
    found = {finding.check: finding for finding in findings}
    return found[check]


# -- the command ---------------------------------------------------------------------------


def test_this_machine_is_looked_at_from_all_sides():
    code, out, err = call("--json")
    told = json.loads(out)
    assert err == "" and code == (1 if told["problems"] else 0)
    assert told["machine"]["cores"] >= 1
    found = by_check(out)
    wanted = "python onnxruntime brainflow bluetooth serial governor throttling supply clock"
    assert set(wanted.split()) | {"hardware-clock", "cache", "disk", "memory"} <= set(found)
    for finding in found.values():
        assert finding["state"] in ("ok", "warning", "problem", "unknown") and finding["seen"]
        assert finding["cure"] or finding["state"] in ("ok", "unknown")
        assert "\n" not in finding["seen"] + finding["cure"]


def test_for_people_each_cure_stands_below_its_finding(tmp_path):
    code, out, _ = call(XDG_CACHE_HOME=Path(__file__) / "below-a-file")
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if " cache " in line)
    assert lines[at].startswith("warning") and "-> set XDG_CACHE_HOME" in lines[at + 1]
    assert code == ("problem" in lines[-1]) and "Traceback" not in out


# -- Python, ONNX Runtime, BrainFlow --------------------------------------------------------


def test_an_import_that_dies_is_a_finding(tmp_path):
    write(tmp_path, {"onnxruntime/__init__.py": "import os; os.kill(os.getpid(), 4)  # SIGILL"})
    code, out, err = call("--json", PYTHONPATH=tmp_path)
    found = by_check(out)["onnxruntime"]
    assert (code, err, found["state"]) == (1, "", "problem")
    assert "its import died of SIGILL" in found["seen"]
    assert "instructions that the processor lacks" in found["cure"] and "1.22" in found["cure"]


@pytest.mark.parametrize(
    ("body", "seen", "cure"),
    [
        ("import os; os.abort()", "died of SIGABRT", "another version"),
        ("raise ImportError('no libcublas.so.12')", "ImportError: no libcublas.so.12", "pip"),
        ("print('[1'); raise SystemExit", "answered", "pip"),
        ("__version__ = '1.22.0'; get_available_providers = list", "1.22.0", "!=1.22"),
    ],
)
def test_an_import_that_fails_is_told(tmp_path, monkeypatch, body, seen, cure):
    write(tmp_path, {"onnxruntime/__init__.py": body})
    monkeypatch.syspath_prepend(tmp_path)
    found = one(runtime.check(Host()), "onnxruntime")
    assert found.state == ("warning" if "version" in body else "problem")
    assert seen in found.seen and cure in found.cure


def test_an_import_that_hangs_ends(tmp_path, monkeypatch):
    write(tmp_path, {"onnxruntime/__init__.py": "import signal; signal.pause()"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("bioxedge.measuring.doctor.runtime.PATIENCE", 0.3)
    found = one(runtime.check(Host()), "onnxruntime")
    assert found.state == "problem" and "did not end within 0.3 s" in found.seen


def foreign(folder, number=None):
    """A real shared library, its machine field changed; and that machine's number."""
    here = next(Path(np.__file__).parent.rglob("_multiarray_umath*.so"))
    raw = bytearray(here.read_bytes()[:4096])
    number = number or (62 if raw[18] == 183 else 183)
    raw[18:20] = number.to_bytes(2, "little")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(raw)
    return elf.MACHINES[number]


def test_machine_types_are_read_from_real_files(tmp_path):
    assert elf.machine(Path(sys.executable)) in ("x86-64", "64-bit Arm")
    assert elf.machine(ROOT / "pyproject.toml") is None
    (tmp_path / "short").write_bytes(b"\x7fELF\x02\x01")
    assert elf.machine(tmp_path / "short") is None
    big = b"\x7fELF\x02\x02" + bytes(12) + (183).to_bytes(2, "big")
    (tmp_path / "big").write_bytes(big)
    assert elf.machine(tmp_path / "big") == "64-bit Arm"


def test_a_library_of_another_machine_is_named_with_the_cure(tmp_path):
    write(tmp_path, {"brainflow/__init__.py": "", "brainflow/board_shim.py": ""})
    theirs = foreign(tmp_path / "brainflow/lib/libBoardController.so")
    code, out, _ = call("--json", PYTHONPATH=tmp_path)
    found = by_check(out)
    assert code == 1 and found["brainflow"]["state"] == "problem"
    assert found["brainflow"]["seen"] == f"libBoardController.so is for {theirs}"
    assert "as this Python is" in found["brainflow"]["wanted"]
    assert "pip install --force-reinstall" in found["brainflow"]["cure"]
    bluetooth = found["brainflow-bluetooth"]
    assert bluetooth["state"] == "warning" and "BUILD_BLE=ON" in bluetooth["cure"]


def test_pips_wheel_on_a_64_bit_arm_is_told_with_the_build_as_its_cure(tmp_path, monkeypatch):
    write(tmp_path, {"brainflow/__init__.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "brainflow", raising=False)  # of other tests
    foreign(tmp_path / "python3", 183)
    for name in ("libBoardController.so", "libsimpleble-c.so"):
        foreign(tmp_path / "brainflow/lib" / name, 62)
    for found in library.check(Host(python=tmp_path / "python3")):
        assert found.state == "problem" and found.seen.endswith("is for x86-64")
        assert found.wanted == "for 64-bit Arm, as this Python is"
        assert "device/brainflow/build.py" in found.cure


def test_a_library_that_is_none_or_missing_is_a_problem(tmp_path, monkeypatch):
    write(tmp_path, {"brainflow/__init__.py": "", "brainflow/lib/libsimpleble-c.so": "no library"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "brainflow", raising=False)  # of other tests
    core, ble = library.check(Host())
    assert core.state == ble.state == "problem"
    assert "libBoardController.so: No such file" in core.seen
    assert "libsimpleble-c.so is no ELF library" in ble.seen


def without(tmp_path, *names):
    """This install's packages without some: flags and PYTHONPATH for :func:`call`."""
    site = tmp_path / "site"
    site.mkdir()
    for entry in Path(np.__file__).parent.parent.iterdir():
        if not entry.name.startswith(names) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    return {"flags": ["-S"], "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}


def test_without_brainflow_there_is_a_warning(tmp_path):
    found = by_check(call("--json", **without(tmp_path, "brainflow"))[1])
    assert found["brainflow"]["state"] == "warning" and "[brainflow]" in found["brainflow"]["cure"]
    assert "brainflow-bluetooth" not in found and "setuptools" not in found


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on there is no trap")
def test_the_real_brainflow_without_pkg_resources_is_told_with_its_cure(tmp_path):
    pytest.importorskip("brainflow")
    options = without(tmp_path, "setuptools", "pkg_resources", "_distutils_hack")
    meta = "Metadata-Version: 2.1\nName: setuptools\nVersion: 82.0.0\n"
    write(tmp_path / "site", {"setuptools-82.0.0.dist-info/METADATA": meta})
    code, out, _ = call("--json", **options)
    found = by_check(out)
    assert code == 1 and found["setuptools"]["seen"] == "82.0.0, without pkg_resources"
    assert found["setuptools"]["cure"] == "pip install 'setuptools<82'"
    assert "pkg_resources" in found["brainflow"]["seen"]
    assert found["brainflow"]["cure"] == found["setuptools"]["cure"]


# -- Bluetooth ------------------------------------------------------------------------------


@pytest.fixture
def short():
    """A directory with a short name: a socket's path has 107 characters at most."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def bus(root):
    """A system bus that takes connections."""
    path = root / bluetooth.BUS
    path.parent.mkdir(parents=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


ADAPTER = {
    "sys/class/bluetooth/hci0/uevent": "",
    "sys/class/bluetooth/hci0:11/uevent": "",
    "sys/class/rfkill/rfkill0/type": "wlan\n",
    "sys/class/rfkill/rfkill0/soft": "1\n",
    "sys/class/rfkill/rfkill1/type": "bluetooth\n",
    "sys/class/rfkill/rfkill1/name": "hci0\n",
    "sys/class/rfkill/rfkill1/soft": "0\n",
    "sys/class/rfkill/rfkill1/hard": "0\n",
    "etc/group": "root:x:0:\nbluetooth:x:111:other\n",
}


def test_no_adapter_is_a_warning(tmp_path):
    (found,) = bluetooth.check(Host(root=tmp_path))
    assert (found.state, found.seen) == ("warning", "no adapter")


@pytest.mark.parametrize(
    ("files", "seen", "cure"),
    [
        ({"sys/class/rfkill/rfkill1/soft": "1\n"}, "blocked by software", "rfkill unblock"),
        ({"sys/class/rfkill/rfkill1/hard": "1\n"}, "blocked by a switch", "switch"),
        ({}, "run/dbus/system_bus_socket: No such file", "start dbus"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_a_problem(short, files, seen, cure):
    write(short, {**ADAPTER, **files})
    (found,) = bluetooth.check(Host(root=short))
    assert found.state == "problem" and seen in found.seen and cure in found.cure


def test_bluez_is_asked(short, tools):
    write(short, ADAPTER)
    with bus(short):
        (found,) = bluetooth.check(Host(root=short))
        assert (found.state, found.seen) == ("problem", "bluetoothd does not run")
        write(short, {"proc/321/comm": "bluetoothd\n"})
        (found,) = bluetooth.check(stranger(short, 5))
        assert found.state == "warning" and "usermod -aG bluetooth" in found.cure
        (found,) = bluetooth.check(stranger(short, 111))
        assert found.state == "unknown" and "no bluetoothctl" in found.seen
        tools("bluetoothctl", "Controller 00:11:22:33:44:55\n\tPowered: no")
        (found,) = bluetooth.check(stranger(short, 111))
        assert found.state == "problem" and "power on" in found.cure
        tools("bluetoothctl", "Controller 00:11:22:33:44:55\n\tPowered: yes")
        (found,) = bluetooth.check(stranger(short, 5))
        assert (found.state, found.seen) == ("ok", "hci0, powered")


# -- serial ports ---------------------------------------------------------------------------


def test_ports_rights_and_who_else_wants_them(tmp_path):
    (found,) = serial.check(Host(root=tmp_path))
    assert found.state == "unknown"
    write(tmp_path, {"dev/ttyUSB0|660": "", "dev/ttyACM0|666": "", "dev/ttyS0|660": ""})
    found = one(serial.check(stranger(tmp_path)), "serial")
    assert (found.state, found.seen) == ("problem", "no right to /dev/ttyUSB0")
    assert "usermod -aG dialout" in found.cure
    group = (tmp_path / "dev/ttyUSB0").stat().st_gid
    found = list(serial.check(stranger(tmp_path, group)))
    assert [(f.check, f.state) for f in found] == [("serial", "ok")]
    write(tmp_path, {"proc/77/comm": "ModemManager\n"})
    assert one(serial.check(Host(root=tmp_path)), "serial-others").state == "warning"


def test_the_latency_timer_is_held_to_a_millisecond(tmp_path):
    timer = "sys/bus/usb-serial/devices/ttyUSB0/latency_timer"
    write(tmp_path, {"dev/ttyUSB0": "", timer: "16\n"})
    found = one(serial.check(Host(root=tmp_path)), "latency-timer")
    assert (found.state, found.seen, found.wanted) == ("warning", "ttyUSB0: 16 ms", "1 ms")
    assert f"sudo tee /{timer}" in found.cure
    write(tmp_path, {timer: "1\n"})
    assert one(serial.check(Host(root=tmp_path)), "latency-timer").state == "ok"


# -- power, clock, room ---------------------------------------------------------------------

PI = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0"}


@pytest.mark.parametrize(
    ("bits", "throttling", "supply"),
    [
        ("0x0", "ok", "ok"),
        ("0x50005", "problem", "problem"),
        ("0x50000", "warning", "warning"),
        ("0x80008", "problem", "ok"),
        ("0x10001", "ok", "problem"),
    ],
)
def test_the_firmwares_bits_are_decoded(tmp_path, tools, bits, throttling, supply):
    # The file in sysfs says 0 while the firmware throttles; it is not believed.
    write(tmp_path, {**PI, "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n"})
    tools("vcgencmd", f"throttled={bits}")
    found = list(power.check(Host(root=tmp_path)))
    assert one(found, "throttling").state == throttling
    assert one(found, "supply").state == supply
    assert ("since boot" in one(found, "supply").seen) and bits in one(found, "throttling").seen


def test_a_raspberry_pi_that_does_not_tell_is_told_how_to(tmp_path, tools):
    write(tmp_path, PI)
    assert "raspi-utils" in one(power.check(Host(root=tmp_path)), "throttling").cure
    tools("vcgencmd", "Can't open device file: /dev/vcio", code=1)
    assert "usermod -aG video" in one(power.check(Host(root=tmp_path)), "throttling").cure


def test_a_tool_that_hangs_is_left(tmp_path, tools, monkeypatch):
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    write(tmp_path, PI)
    tools("vcgencmd", "x")
    (tmp_path / "tools/vcgencmd").write_text(f"#!{sys.executable}\nimport signal; signal.pause()\n")
    assert one(power.check(Host(root=tmp_path)), "throttling").state == "unknown"


CPU = "sys/devices/system/cpu/cpu0"


@pytest.mark.parametrize(
    ("files", "check", "state", "seen"),
    [
        ({"cpufreq/scaling_governor": "performance\n"}, "governor", "ok", "performance"),
        ({"cpufreq/scaling_governor": "ondemand\n"}, "governor", "ok", "ondemand"),
        ({"cpufreq/scaling_governor": "powersave\n"}, "governor", "warning", "powersave"),
        (
            {"cpufreq/scaling_governor": "powersave\n", "cpufreq/scaling_driver": "intel_pstate\n"},
            "governor", "ok", "powersave",
        ),
        ({"thermal_throttle/core_throttle_count": "3\n"}, "throttling", "warning", "3 times"),
        ({"thermal_throttle/core_throttle_count": "0\n"}, "throttling", "ok", "never"),
        ({"topology/core_id": "0\n"}, "throttling", "unknown", "nothing"),
    ],
)  # fmt: skip
def test_governor_and_heat_of_a_pc(tmp_path, tools, files, check, state, seen):
    write(tmp_path, {f"{CPU}/{name}": content for name, content in files.items()})
    found = one(power.check(Host(root=tmp_path)), check)
    assert found.state == state and seen in found.seen


def test_supplies_and_power_modes(tmp_path, tools):
    host = Host(root=tmp_path)
    write(tmp_path, {"sys/class/power_supply/BAT0/type": "Battery\n"})
    assert one(power.check(host), "supply").seen == "on battery"
    feed = "sys/class/power_supply/AC"
    write(tmp_path, {f"{feed}/type": "Mains\n", f"{feed}/online": "1\n"})
    assert one(power.check(host), "supply").state == "ok"
    chip = "sys/class/hwmon/hwmon1"
    write(tmp_path, {f"{chip}/name": "rpi_volt\n", f"{chip}/in0_lcrit_alarm": "1\n"})
    assert one(power.check(host), "supply").seen == "under-voltage"
    write(tmp_path, {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"})
    assert one(power.check(host), "power-mode").state == "unknown"
    tools("nvpmodel", "NV Power Mode: 15W\n0")
    found = one(power.check(host), "power-mode")
    assert (found.state, found.seen) == ("warning", "15W") and "nvpmodel -m 0" in found.cure
    tools("nvpmodel", "NV Power Mode: MAXN_SUPER\n2")
    assert one(power.check(host), "power-mode").state == "ok"


def test_the_clock_is_asked_of_those_who_know(tmp_path, tools):
    host = Host(root=tmp_path)
    assert one(clock.check(host), "clock").state == "unknown"
    tools("chronyc", "Leap status     : Not synchronised")
    assert one(clock.check(host), "clock").state == "warning"
    tools("chronyc", "Leap status     : Normal")
    assert one(clock.check(host), "clock").seen == "synchronised (chrony)"
    write(tmp_path, {"run/systemd/timesync/synchronized": ""})
    assert one(clock.check(host), "clock").seen == "synchronised (systemd-timesyncd)"
    tools("timedatectl", "no")
    found = one(clock.check(host), "clock")
    assert found.seen == "not synchronised (timedatectl)" and "set-ntp" in found.cure
    assert one(clock.check(host), "hardware-clock").state == "warning"
    write(tmp_path, {"dev/rtc0": ""})
    assert one(clock.check(host), "hardware-clock").state == "ok"
    assert one(clock.check(Host()), "clock").state in ("ok", "warning", "unknown")


@pytest.mark.parametrize(
    ("free", "state"), [(3_000_000, "ok"), (300_000, "warning"), (90_000, "problem")]
)
def test_memory(tmp_path, free, state):
    lines = f"MemTotal: 4000000 kB\nMemAvailable: {free} kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n"
    write(tmp_path, {"proc/meminfo": lines})
    assert one(storage.check(Host(root=tmp_path)), "memory").state == state
    write(tmp_path, {"proc/meminfo": "nonsense"})
    assert one(storage.check(Host(root=tmp_path)), "memory").state == "unknown"


def test_a_disk_that_is_nearly_full_is_a_problem(tmp_path, monkeypatch):
    from fixtures_disk import small_disk

    with small_disk(tmp_path, 64) as folder:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        assert one(storage.check(Host()), "disk").state == "problem"


@pytest.mark.parametrize("given", ["", "relative", "/somewhere"])
def test_the_cache_is_where_the_runtime_keeps_it(monkeypatch, given):
    from bioxedge.runtime import choice

    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert storage.cache() == choice.cache()


# -- a bundle -------------------------------------------------------------------------------


def test_a_bundle_is_proven_and_its_choice_told(tmp_path, monkeypatch):
    import onnxruntime

    from bioxedge.runtime import choice

    made = make_bundle(tmp_path / "b")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    proven, none = bundle.check(tmp_path / "b")
    assert proven.state == "ok" and none.state == "warning"
    assert none.cure == f"bioxedge bench {tmp_path / 'b'}"
    kept = choice.Choice(
        variant="fp32", threads=1, provider="cpu", milliseconds=1.25, made="2026-11-25",
        onnxruntime=onnxruntime.__version__, machine=choice.identity(),
    )  # fmt: skip
    choice.save(made.manifest, kept)
    _, found = bundle.check(tmp_path / "b")
    assert found.state == "ok"
    assert found.seen == "fp32 on 1 thread (cpu), 1.25 ms a window (bench of 2026-11-25)"


def test_a_damaged_bundle_is_a_problem_and_a_missing_one_an_error(tmp_path):
    make_bundle(tmp_path / "b")
    (tmp_path / "b" / "model.onnx").write_bytes(b"damaged")
    code, out, err = call("--json", tmp_path / "b")
    found = by_check(out)
    assert (code, err, found["bundle"]["state"]) == (1, "", "problem")
    assert "model.onnx" in found["bundle"]["seen"] and "choice" not in found
    code, out, err = call(tmp_path / "nope")
    assert (code, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
