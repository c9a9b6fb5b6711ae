"""Finished steps on disk: what was done for the same inputs is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

import bioxedge
from bioxedge.bridging.loop import Report
from bioxedge.building.progress import Steps

Values = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them: what ``weights_only`` reads."""

Make = Callable[[Report, Path], Values]
"""Does a step: told where to report progress and where to keep an unfinished state."""


class Store:
    """A folder of steps, each named by what it was made from.

    Parameters
    ----------
    folder : Path
        Made if need be.
    steps : Steps
        Where progress is shown.
    """

    def __init__(self, folder: Path, steps: Steps) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._steps = steps

    def step(self, name: str, title: str, key: str, make: Make) -> Values:
        """Give a step's values, made now or found.

        Parameters
        ----------
        name : str
            Names its file.
        title : str
            What people read while it runs.
        key : str
            From :func:`key_of`.
        make : callable
        """
        file = self._folder / f"{name}-{key[:16]}.pt"
        if file.exists():
            self._steps.found(title)
            found: Values = torch.load(file, weights_only=True)
            return found
        with self._steps.running(title) as report:
            values = make(report, self._folder / f"{name}-{key[:16]}.state")
        partial = file.with_suffix(".partial")
        torch.save(values, partial)
        partial.replace(file)
        return values


def key_of(*parts: Any) -> str:
    """Hash what a step depends on, plain values only, with the code's own version."""
    text = json.dumps([code_version(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version() -> str:
    """Hash the package's own source: other code, other results."""
    digest = hashlib.sha256()
    root = Path(bioxedge.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.parts[len(root.parts)] not in ("runtime", "cli.py"):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_of(folder: Path) -> str:
    """Hash the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
