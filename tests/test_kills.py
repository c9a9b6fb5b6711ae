"""Kill -9 at any moment: what was written is whole or absent, and everything opens.

``python tests/kills.py jsonl FOLDER 200 0`` is the same with more kills; so many in each step of a
build are ``BIOXEDGE_KILLS``, 1 if left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KILLS = 30
STEPS = 15  # of a build, with what comes before the first


def killed(program: str, *arguments: object, timeout: float = 300) -> dict:
    """Run a program that kills, and give what it found."""
    # Its own process: it forks, and what it forks has no threads to lose.
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / program), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **alone},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("what", ["jsonl", "rotated", "long", "recording"])
def test_whatever_is_killed_is_whole_or_absent(tmp_path, what):
    found = killed("kills.py", what, tmp_path, KILLS, 7)
    assert found["random"]["kills"] == KILLS
    if what == "recording":  # the kills did reach the inside of a save
        assert found["random"]["torn"] and found["every"]["torn"]
        assert found["every"]["kills"] > 20
    else:
        assert found["random"]["lines"] > KILLS
    if what in ("jsonl", "rotated"):  # a line of such a length is never torn, not even at its end
        assert found["random"]["torn"] == found["every"]["torn"] == 0
        assert found["every"]["kills"] > 40


@pytest.mark.timeout(600)
@pytest.mark.train
def test_a_build_killed_in_every_step_goes_on_and_ends_the_same_to_the_bit(tmp_path):
    pytest.importorskip("torch", exc_type=ImportError)
    kills = int(os.environ.get("BIOXEDGE_KILLS", "1"))
    found = killed("kills_build.py", tmp_path, kills, 7, timeout=300 * (1 + kills))
    assert len(found["died"]) == STEPS and all(found["died"].values())
    assert found["again"] == []  # what was finished was not done once more
    assert (
        found["odd"] == found["other"] == []
    )  # files that are not there, that are too many, differ
