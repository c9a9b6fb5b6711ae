"""Marks on two devices tell how their clocks differ: from files that are imported to windows."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from test_windowed import recipe, side

from bioxedge import cli, marks
from bioxedge.datasets.choosing import Chosen, choose
from bioxedge.datasets.cutting import Cut, cut_session
from bioxedge.marks import Mark
from bioxedge.recipes import Align, Data, Recipe, Task

T0, RATE, SECONDS = 1_700_000_000, 8, 900
PRESSED = (30, 300, 600, 870)
LATE, DRIFT = 2.5, 400e-6  # how much later the target's device shows a moment, and by how much more


def table(path: Path, name: str, late: float = 0.0, drift: float = 0.0, pressed=PRESSED) -> None:
    """Write rows whose values are the seconds at which they were taken, by a clock of its own."""
    rows = [f"time,{name},event"]
    for k in range(SECONDS * RATE):
        shown = k / RATE  # by the device's own clock
        true = (shown - late) / (1 + drift)
        event = "pressed" if any(0 <= true - at < 1 for at in pressed) else ""
        rows.append(f"{T0 + shown:.4f},{true:.5f},{event}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(rows) + "\n")


def imported(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """Bring both files to a session by the command."""
    out = root / "sessions"
    words = ["bioxedge", "import", root / "anna", "--together", "--person", "anna", "--out", out]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (0, None), capsys.readouterr().err
    return out


def meant(folder: Path, align: Align) -> tuple[Chosen, Recipe]:
    """Choose that session, skin conductance to temperature: neither carries a pulse."""
    both = side("eda", "eda", RATE, 80, hop=80), side("temperature", "temp", RATE, 80)
    task = Task(labels=("still", "pressed"), rule="classes", marks={"pressed": "pressed"})
    made = recipe(*both, task)
    made = msgspec.structs.replace(
        made, align=align, data=Data(dataset="folder", folder=folder.name)
    )
    (chosen,), _ = choose(made, folder.parent)
    return chosen, made


def cut(chosen: Chosen, made: Recipe) -> tuple[Cut, np.ndarray]:
    """Cut it; by how much the target's windows show another moment than the source's."""
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def put(rows: list[np.ndarray]):
        return lambda window: rows.append(window.copy()) or len(rows) - 1

    found = cut_session(chosen, made, put(kept[0]), put(kept[1]))
    pairs = [(one, two) for one, two in zip(found.source_row, found.target_row, strict=True)
             if one >= 0 and two >= 0]  # fmt: skip
    assert len(pairs) > 60
    return found, np.array([kept[1][two][0, 0] - kept[0][one][0, 0] for one, two in pairs])


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys) -> Path:
    table(tmp_path / "anna" / "wrist.csv", "eda [uS]")
    table(tmp_path / "anna" / "band.csv", "temp [degC]", LATE, DRIFT)
    return imported(tmp_path, monkeypatch, capsys)


def test_marks_of_two_files_align_sensors_without_a_pulse(folder: Path) -> None:
    assert {mark.of for mark in marks.load(folder / "anna")} == {("eda",), ("temperature",)}
    found, off = cut(*meant(folder, Align(correct=True)))
    assert found.clocks.by == "marks" and (found.clocks.agreeing, found.clocks.blocks) == (4, 4)
    assert found.clocks.lag == pytest.approx(LATE, abs=1 / RATE)
    assert found.clocks.ppm == pytest.approx(DRIFT * 1e6, abs=150)  # 1/8 s of 14 minutes
    assert "the target shows a mark 2.5" in found.clocks.line()
    assert np.abs(off).max() < 0.2  # a sample and a half


def test_what_marks_say_is_told_and_moves_nothing_unless_asked(folder: Path) -> None:
    found, off = cut(*meant(folder, Align()))
    assert found.clocks is not None and found.clocks.told
    assert -off[0] == pytest.approx(LATE, abs=0.2)
    assert cut(*meant(folder, Align(estimate=False)))[0].clocks is None


def test_marks_that_one_device_lacks_tell_nothing(tmp_path, monkeypatch, capsys) -> None:
    table(tmp_path / "anna" / "wrist.csv", "eda [uS]")
    table(tmp_path / "anna" / "band.csv", "temp [degC]", LATE, pressed=PRESSED[:-1])
    found, _ = cut(*meant(imported(tmp_path, monkeypatch, capsys), Align(correct=True)))
    assert found.clocks is None


def test_windows_are_cut_again_where_their_marks_moved_and_not_for_other_marks(
    folder: Path,
) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    from bioxedge.building.windowing import _identity  # of the desktop

    def key() -> list:
        return _identity(meant(folder, Align())[0])

    before, said = key(), marks.load(folder / "anna")
    marks.save([*said, Mark(T0 + 5.0, "coffee")], folder / "anna")
    assert key() == before
    marks.save(said[1:], folder / "anna")
    assert key() != before
