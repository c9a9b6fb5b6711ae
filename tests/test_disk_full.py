"""A full disk is one line, whoever meets it, and what was finished stays."""

# ruff: noqa: E402 - without torch the module is skipped before it imports anything of ours
from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)
resource = pytest.importorskip("resource", reason="only Unix bounds a file's size")

from fixtures_store import KEY, Shelf
from rich.console import Console
from torch import nn

from bioxedge import models
from bioxedge.bridging import loop
from bioxedge.bridging.features import Features
from bioxedge.bridging.loop import fit
from bioxedge.bridging.room import save, told
from bioxedge.bridging.runner import Runner
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store
from bioxedge.errors import StorageError

pytestmark = pytest.mark.train


@pytest.fixture(params=["disk", "limit"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder in which no file of a megabyte has room: a small disk, or a bound for all files."""
    if request.param == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        try:
            yield tmp_path / "steps"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield tmp_path / "steps"
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@contextmanager
def refused(folder: Path, needed: str) -> Iterator[None]:
    with pytest.raises(StorageError) as caught:
        yield
    said = str(caught.value)
    full = (
        rf"the disk that holds {folder} is full: {needed} are needed, \d+ kB are free\. Make room, "
    )
    assert re.fullmatch(
        rf"{full}.* finished steps are kept|.* cannot be written: File too large", said
    )


def test_a_step_that_has_no_room_is_one_line_and_what_was_finished_stays(small: Path) -> None:
    shelf = Shelf(small)
    shelf.number()

    def make(*_: object) -> dict:
        return {"x": torch.zeros(500_000)}

    with refused(small, r"\d\.\d MB"):
        shelf.store.step("bridge", "The bridge", KEY, make)
    kept = {path.suffix for path in small.iterdir()}
    assert kept >= {".pt", ".sha256"} and kept <= {".pt", ".sha256", ".took"}
    assert not Shelf(small).number()


def test_features_that_have_no_room_are_one_line_and_take_none(small: Path) -> None:
    shelf = Shelf(small)
    shelf.number()
    torch.manual_seed(0)
    chain = models.create("papagei", base_filters=4, blocks=2).freeze()
    windows = torch.randn(300, 1, 320)

    def fill(report, folder: Path) -> Features:
        return Runner().features(chain, windows, tokens=[1], folder=folder, report=report)

    with refused(small / f"features-{KEY[:16]}", r"\d\.\d MB"):
        shelf.store.folder("features", "Features", KEY, fill)
    assert not list((small / f"features-{KEY[:16]}").iterdir())
    assert not Shelf(small).number()


def test_a_training_whose_state_has_no_room_is_one_line(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0)
    shelf = Shelf(small)

    def make(_: object, state: Path) -> dict:
        module = nn.Linear(400, 400)
        x = torch.randn(8, 400)
        fit(
            module, lambda rows, _: module(x[rows]).square().mean(), 8,
            epochs=1, batch=4, rate=1e-3, seed=0, state=state,
        )  # fmt: skip
        return module.state_dict()

    with refused(small, r"\d\.\d MB"):
        shelf.store.step("head", "The head", KEY, make)
    assert not list(small.iterdir())


def test_what_is_no_fault_of_the_disk_is_not_blamed_on_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), told(tmp_path / "steps" / "x"):
        (tmp_path / "recordings" / "gone").read_bytes()
    with pytest.raises(RuntimeError, match="other"), told(tmp_path / "x"):
        raise RuntimeError("other")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        Store(tmp_path / "file" / "steps", Steps(Console(quiet=True)))
    with pytest.raises(StorageError, match="cannot be written"):
        save({}, tmp_path / "nowhere" / "x")
