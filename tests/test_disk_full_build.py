"""A disk that is full in any step of a build is one line; with room again the build goes on."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)

from test_recompute import WHOLE

from bioxedge import cli
from bioxedge.building.progress import Steps
from bioxedge.bundle import Bundle
from bioxedge.runtime import verify

pytestmark = pytest.mark.train

WRITTEN_AFTER = ("What is known", "Exported")
"""Steps after which a report is written."""

POINTS = 16  # 14 steps, and two reports
FULL = (
    r"error: the disk that holds /\S*/out/steps\S* is full:"
    r"( \d+(\.\d)? ([kM]B|bytes) are needed,)? "
    r"\d+ (kB|bytes) are free\. Make room, or name another --out; finished steps are kept"
)
ONE = r"error: .*(is full|No space left on device).*"


class Disk:
    """A small disk that can be filled to its last block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        self.empty()
        left = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8000k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield Disk(folder)
    finally:  # lazily: what a build gave is mapped from it
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filling(patch: pytest.MonkeyPatch, disk: Disk) -> list[str]:
    """Fill the disk at each point of a build once: one that was met is passed the next time."""
    running, found, met = Steps.running, Steps.found, []

    def meet(point: str) -> None:
        if point not in met:
            met.append(point)
            disk.fill()

    @contextmanager
    def watched(self: Steps, title: str):
        meet(title)
        with running(self, title) as report:
            yield report
        if title.startswith(WRITTEN_AFTER):
            meet(f"after {title}")

    def already(self: Steps, title: str) -> None:
        found(self, title)
        if title.startswith(WRITTEN_AFTER):
            meet(f"after {title}")

    patch.setattr(Steps, "running", watched)
    patch.setattr(Steps, "found", already)
    return met


def test_a_disk_that_is_full_in_any_step_is_one_line_and_the_build_goes_on(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_module("bioxedge.building.forecast"), "_TIMED", 0.01)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(WHOLE)
    met, done = filling(monkeypatch, disk), []
    disk.fill()
    while code := cli._run(["build", str(recipe), "--out", str(disk.folder / "out")]):
        said = capsys.readouterr().err
        disk.empty()
        assert code == 2
        # What a step writes is said by its folder; of a report that it did not fit is enough.
        step = bool(met) and not met[-1].startswith(("after", "Exported"))
        assert re.fullmatch(FULL if step else ONE, said.splitlines()[-1]), met
        assert said.count("error") == 1
        done += re.findall(r"✓ (.*) \(\d+\.\d s\)", said)
    assert len(met) == POINTS, met
    again = {title for title in done if done.count(title) > 1}
    assert all(title.startswith(("Evaluated", "Exported")) for title in again)
    assert verify(Bundle.open(disk.folder / "out" / "bundle")).dsp_bitwise
    assert not [path for path in disk.folder.rglob("*") if "partial" in path.name]
