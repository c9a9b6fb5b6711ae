"""What a machine says of itself, through the tools and files that a board has."""

from __future__ import annotations

import pytest

from bioxedge.measuring import energy, machine
from bioxedge.measuring.machine import Reading
from bioxedge.measuring.readings import Watch, reasons

VCGENCMD = """#!/bin/sh
case "$1" in
  measure_temp) echo "temp=81.2'C" ;;
  measure_clock) echo "frequency(0)=1500398464" ;;
  get_throttled) echo "throttled={bits}" ;;
  pmic_read_adc)
    echo "   3V7_WL_SW_A current(0)=0.10000000A"
    echo "   VDD_CORE_A current(7)=2.00000000A"
    echo "   3V7_WL_SW_V volt(8)=3.70000000V"
    echo "   VDD_CORE_V volt(15)=0.75000000V"
    echo "   EXT5V_V volt(24)=5.12000000V" ;;
  *) exit 1 ;;
esac
"""


def tool(folder, bits="0x0", name="vcgencmd"):
    """A board's tool, as a program on its own."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(VCGENCMD.replace("{bits}", bits))
    path.chmod(0o755)
    return folder


def at(t, **known):
    return Reading(t=t, **{"temperature_c": None, "frequency_hz": None, "throttled": None, **known})


def test_this_machine_is_described_without_a_guess():
    found = machine.machine()
    assert found.cores >= 1 and found.memory_bytes > 2**20 and found.board and found.cpu
    assert found.versions["onnxruntime"] and found.python.startswith("3.")
    now = machine.reading()
    assert now.t > 1.7e9 and (now.temperature_c is None or -40 < now.temperature_c < 150)


def test_a_raspberry_pi_is_asked_through_its_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tool(tmp_path / 'bin', '0x50005')}:/usr/bin:/bin")
    now = machine.reading()
    assert (now.temperature_c, now.frequency_hz, now.throttled) == (81.2, 1500398464.0, 0x50005)
    assert machine.bits(0x50005)[:2] == ["under-voltage now", "throttled now"]
    assert energy.pmic() == pytest.approx(0.1 * 3.7 + 2.0 * 0.75)  # a rail without current is none


def test_a_tool_that_fails_or_hangs_is_none(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "vcgencmd").write_text("#!/bin/sh\necho VCHI initialization failed; exit 255\n")
    (folder / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert machine.throttled() is None and energy.pmic() is None


def test_files_of_the_kernel_stand_in_where_there_is_no_tool(tmp_path, monkeypatch):
    zones = tmp_path / "class/thermal"
    for name, kind, temp in (
        ("thermal_zone0", "iwlwifi", "31000"),
        ("thermal_zone1", "cpu-thermal", "48312"),
    ):
        (zones / name).mkdir(parents=True)
        (zones / name / "type").write_text(f"{kind}\n")
        (zones / name / "temp").write_text(f"{temp}\n")
    for cpu, governor in (("cpu0", "ondemand"), ("cpu4", "performance")):
        folder = tmp_path / "devices/system/cpu" / cpu / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
        (folder / "scaling_cur_freq").write_text("1800000\n")
    monkeypatch.setattr(machine, "SYS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    now = machine.reading()
    assert (now.temperature_c, now.frequency_hz, now.throttled) == (48.312, 1.8e9, None)
    assert machine.governor() == "ondemand, performance"


def test_energy_counters_wrap_around(tmp_path, monkeypatch):
    zone = tmp_path / "class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("999999\n")
    (zone / "energy_uj").write_text("900000\n")
    monkeypatch.setattr(energy, "SYS", tmp_path)
    found = energy.meter()
    assert found is not None and "alone" in found.name
    found.start()
    (zone / "energy_uj").write_text("100000\n")  # 0.2 J later
    found.look()
    assert found._joules == pytest.approx(0.2)
    assert found.stop() > 0


def test_no_meter_is_said_and_not_guessed(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "SYS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert energy.meter() is None


@pytest.mark.parametrize(
    ("readings", "others", "governors", "said"),
    [
        ([at(0, throttled=0x50000), at(1, throttled=0x50000)], 0.01, ["a", "a"], None),
        ([at(0, throttled=0), at(1, throttled=0x4)], 0.0, [], "throttled now"),
        ([at(0, throttled=0), at(1, throttled=0x10000)], 0.0, [], "under-voltage since boot"),
        ([at(0, throttle_count=3), at(1, throttle_count=5)], 0.0, [], "2 times for heat"),
        ([], 0.0, ["ondemand", "performance"], "changed from ondemand to performance"),
        ([], 0.25, [], "other processes took 25% of the processors, at most 10%"),
        ([at(0), at(1)], None, [], None),
    ],
)  # fmt: skip
def test_what_makes_a_run_invalid(readings, others, governors, said):
    found = reasons(readings, others, governors)
    assert (said is None) == (not found)
    assert said is None or said in found[0]


def test_a_watch_sees_the_first_and_the_last_moment():
    with Watch(busy=99.0) as watch:
        sum(range(1000))
    assert watch.seen is not None and len(watch.seen.readings) >= 2
    assert watch.seen.readings[0].t <= watch.seen.readings[-1].t
    assert watch.seen.others is None or watch.seen.others >= 0
