"""Who builds is alone in a folder, and says how far it is where nobody watches, too."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", exc_type=ImportError)

from rich.console import Console

from bioxedge.building.lock import locked
from bioxedge.building.progress import Steps
from bioxedge.errors import StorageError

pytestmark = pytest.mark.train

HOLD = """
import sys, time
from pathlib import Path
from bioxedge.building.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder."""
    one = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert one.stdout is not None and one.stdout.readline() == "held\n"
    yield one
    one.kill()
    one.wait()
    one.stdout.close()


def test_who_builds_second_is_told_who_builds(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(StorageError) as caught, locked(tmp_path / "out"):
        raise AssertionError("two hold it")
    said = str(caught.value)
    assert f"process {holder.pid} on {os.uname().nodename} since 20" in said
    assert "out is in use by" in said and "or name another --out" in said and "\n" not in said
    with locked(tmp_path / "other"):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "out"):  # the dead hold nothing
        mine = (tmp_path / "out" / "lock").read_text()
        assert f'"pid": {os.getpid()}' in mine and mine.count("{") == 1


def test_where_nobody_watches_a_step_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("bioxedge.building.progress.time.monotonic", lambda: now[0])
    said = io.StringIO()
    with Steps(Console(file=said, width=40)).running("The [eeg] encoder, which is long") as report:
        for done in range(20, 101):  # a fifth was done before this run
            report(done, 100)
            now[0] += 8
    lines = said.getvalue().splitlines()
    assert lines[0] == "  The [eeg] encoder, which is long …"
    assert lines[-1] == "  ✓ The [eeg] encoder, which is long (648.0 s)"
    assert lines[1] == "    The [eeg] encoder, which is long: 24% after 32 s, about 10 min left"
    assert 640 / 32 - 2 <= len(lines) - 2 <= 640 / 30


def test_a_quick_step_is_two_lines_and_one_that_was_done_is_one() -> None:
    said = io.StringIO()
    steps = Steps(Console(file=said))
    with steps.running("Cut") as report:
        report(0, 0)
        report(1, 1)
    steps.found("Cut")
    lines = said.getvalue().splitlines()
    assert lines == ["  Cut …", "  ✓ Cut (0.0 s)", "  ✓ Cut (already done)"]


def test_on_a_terminal_the_bar_leaves_one_line() -> None:
    said = io.StringIO()
    steps = Steps(Console(file=said, force_terminal=True, color_system=None, width=100))
    with steps.running("Cut") as report:
        report(1, 2)
    assert said.getvalue().count("✓") == 1 and "…" not in said.getvalue()


def test_a_step_that_was_interrupted_has_no_tick() -> None:
    said = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Steps(Console(file=said)).running("Cut"):
        raise KeyboardInterrupt
    assert "✓" not in said.getvalue()
