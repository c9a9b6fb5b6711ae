"""Fixtures that every test file may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Every process of a test has one thread for its algebra: several that wait for each other on two
# cores take longer than one.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# The Lab Streaming Layer looks for streams by multicast: from tests, nothing leaves the machine.
os.environ["LSLAPICFG"] = str(ROOT / "tests" / "lsl_api.cfg")


# Files of few tests that take long each: begun first, so that none is left alone at the end.
LONGEST = (
    "test_offline_export", "test_distributed", "test_kills", "test_board_losses", "test_roles",
    "test_install", "test_compute_choice", "test_training", "test_building", "test_soak",
    "test_recompute", "test_memory", "test_published_build", "test_lsl", "test_mqtt",
    "test_directions", "test_disk_full_build", "test_study", "test_real_driver",
    "test_wearer_build", "test_tasks_build", "test_export_refused", "test_bench",
    "test_record_verb",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; the rest stays as it is."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real recordings and golden activations; skips where it is missing."""
    folder = Path(os.environ.get("BIOXEDGE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set BIOXEDGE_SHARED to the shared folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Run torch on one thread: tensors as small as those of tests wait for threads."""
    if "torch" in sys.modules:  # without it the files that need it were skipped
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command in this process; give its exit code, output and errors."""
    from bioxedge import cli  # not before the threads are told

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bioxedge", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run
