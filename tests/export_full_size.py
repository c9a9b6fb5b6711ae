"""Every script of ``export/`` at full size with random weights, one after the other.

Not collected by ``make test``: ``make test-export`` runs it, in some minutes and about 2 GB. What
each took is written to ``out/export/figures.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1800)  # a direction takes minutes

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.stem for path in (ROOT / "export").glob("*_to_*.py"))
FIGURES = ROOT / "out" / "export" / "figures.json"
LARGEST = 300e6  # bytes of a bundle


def device() -> str:
    """Give a Python that never had torch, or this one."""
    other = ROOT / ".venv-device" / "bin" / "python"
    return str(other if other.is_file() else sys.executable)


def verified(bundle: Path) -> None:
    """Let a process without torch prove a bundle."""
    code = (
        "import sys; from bioxedge import Bundle; from bioxedge.runtime import verify; "
        "verify(Bundle.open(sys.argv[1])); assert 'torch' not in sys.modules; print('PASS')"
    )
    found = subprocess.run(
        [device(), "-c", code, str(bundle)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # the checkout, whatever is installed
    )
    assert found.stdout == "PASS\n", found.stderr


def test_there_is_a_script_for_each_published_direction() -> None:
    assert len(SCRIPTS) == 6


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_direction_exports_at_full_size(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "export" / f"{script}.py"), "--random"]
    command += ["--out", str(tmp_path / "bundle")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    facts = json.loads(found.stdout)
    size = sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir())
    assert size <= LARGEST
    assert sum(part["bytes"] for part in facts["parts"].values()) == facts["bytes"]["fp32"]
    verified(tmp_path / "bundle")
    note(script, facts, size)


def test_the_demo_exports_without_training(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "export" / "demo.py"), "--random"]
    found = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    verified(tmp_path / "bundle")


def note(script: str, facts: dict[str, object], size: int) -> None:
    """Keep what one script took."""
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    kept = {
        key: facts[key] for key in ("seconds", "cpu_seconds", "peak_rss_bytes", "parts", "proofs")
    }
    FIGURES.write_text(json.dumps({**known, script: {**kept, "bundle_bytes": size}}, indent=1))
