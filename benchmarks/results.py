"""Results that carry the commit they were measured at, and whether the code has moved on since.

    python benchmarks/results.py            # says which of results/*.json are older than the code

A result is older than the code where a file that it depends on has changed since its commit.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "benchmarks" / "results"
PATHS = (
    "bioxedge/bridging",
    "bioxedge/building",
    "bioxedge/classic",
    "bioxedge/datasets",
    "bioxedge/models",
    "bioxedge/windows.py",
    "bioxedge/dsp.py",
    "export/recipes",
)
"""What the studies depend on."""


def about() -> dict[str, Any]:
    """Say at which commit, and on what, something is measured."""
    changed = _git("status", "--porcelain", "--", *PATHS)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(changed),
        "machine": f"{platform.machine()}, {platform.python_implementation()} "
        f"{platform.python_version()}, torch {version('torch')}",
    }


def older(found: dict[str, Any]) -> list[str]:
    """Name the files that have changed since a result; itself if its commit is not known."""
    try:
        changed = _git("diff", "--name-only", found["commit"], "HEAD", "--", *PATHS)
    except subprocess.CalledProcessError:
        return ["its commit is not in this history"]
    return changed.splitlines()


def _git(*words: str) -> str:
    """Ask git."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main() -> int:
    """Say of every kept result whether it is older than the code that it describes."""
    for path in sorted(KEPT.glob("*.json")):
        found = json.loads(path.read_text())
        changed = older(found)
        said = (
            f"older than the code: {len(changed)} files have changed" if changed else "up to date"
        )
        print(f"{path.relative_to(ROOT)} (commit {found['commit'][:12]}): {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
