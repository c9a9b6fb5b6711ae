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
from bioxedge.bridging.features import Features
from bioxedge.bridging.loop import Report, quiet
from bioxedge.bridging.world import ALONE, World
from bioxedge.building.progress import Steps

Values = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them: what ``weights_only`` reads."""

Make = Callable[[Report, Path], Values]
"""Does a step: told where to report progress and where to keep an unfinished state."""

Fill = Callable[[Report, Path], Features]
"""Computes features: told where to report progress and which folder holds them."""


class Store:
    """A folder of steps, each named by what it was made from.

    Parameters
    ----------
    folder : Path
        Made if need be.
    steps : Steps
        Where progress is shown.
    world : World
        Who else works in it: one process makes a step that is not shared, the others wait.
    """

    def __init__(self, folder: Path, steps: Steps, world: World = ALONE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._steps = steps
        self.world = world

    def say(self, line: str) -> None:
        """Show what a step found out."""
        self._steps.console.print(f"    {line}", highlight=False, soft_wrap=True)

    def step(self, name: str, title: str, key: str, make: Make, *, shared: bool = False) -> Values:
        """Give a step's values, made now or found; large ones are mapped from their file.

        Parameters
        ----------
        name : str
            Names its file.
        title : str
            What people read while it runs.
        key : str
            From :func:`key_of`.
        make : callable
        shared : bool
            All processes make it together; the first one's values are kept.
        """
        file = self._folder / f"{name}-{key[:16]}.pt"
        if self.world.told(file.exists()):
            self._steps.found(title)
        else:
            if shared or self.world.first:
                with self._steps.running(title) as report:
                    values = make(report, self._folder / f"{name}-{key[:16]}.state")
            if self.world.first:
                partial = file.with_suffix(".partial")
                torch.save(values, partial)
                partial.replace(file)
            self.world.wait()
        found: Values = torch.load(file, weights_only=True, mmap=True)
        return found

    def folder(self, name: str, title: str, key: str, fill: Fill) -> Features:
        """Give features that lie in a folder of their own, computed now or found.

        Parameters
        ----------
        name, title, key
            As for `step`.
        fill : callable
            Computes what is missing in the folder; all processes share the work.
        """
        folder = self._folder / f"{name}-{key[:16]}"
        complete = folder / "complete"
        if self.world.told(complete.exists()):
            self._steps.found(title)
            return fill(quiet, folder)
        with self._steps.running(title) as report:
            features = fill(report, folder)
        if self.world.first:
            complete.touch()
        return features


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
