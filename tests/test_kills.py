"""Kill -9 at any moment: what was written is whole or absent, and everything opens.

``python tests/kills.py jsonl FOLDER 200 0`` is the same with more kills.
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


@pytest.mark.parametrize("what", ["jsonl", "rotated", "long", "recording"])
def test_whatever_is_killed_is_whole_or_absent(tmp_path, what):
    # Its own process: it forks, and what it forks has no threads to lose.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "kills.py"), what, str(tmp_path), str(KILLS), "7"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["random"]["kills"] == KILLS
    if what == "recording":  # the kills did reach the inside of a save
        assert found["random"]["torn"] and found["every"]["torn"]
        assert found["every"]["kills"] > 20
    else:
        assert found["random"]["lines"] > KILLS
    if what in ("jsonl", "rotated"):  # a line of such a length is never torn, not even at its end
        assert found["random"]["torn"] == found["every"]["torn"] == 0
        assert found["every"]["kills"] > 40
