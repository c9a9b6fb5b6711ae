"""Finished steps on disk: what was done for the same inputs is not done again.

A step's name holds a hash of what it depends on, no more and no less; beside its values stands
their hash. What does not match it was damaged: it is made again, and said.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bioxedge.atomic import write_file
from bioxedge.bridging.features import Features
from bioxedge.bridging.loop import Report, quiet, whole
from bioxedge.bridging.room import save, told
from bioxedge.bridging.world import ALONE, World
from bioxedge.building import took
from bioxedge.building.progress import Steps
from bioxedge.errors import StorageError

Values = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them: what ``weights_only`` reads."""

Make = Callable[[Report, Path], Values]
"""Does a step: told where to report progress and where to keep an unfinished state."""

Fill = Callable[[Report, Path], Features]
"""Computes features: told where to report progress and which folder holds them."""

Cut = Callable[[Report, Path], None]
"""Fills a folder with files: told where to report progress and which folder it is."""

FORMATS = {
    "windows": 4,
    "values": 1,
    "encoder": 2,
    "features": 1,
    "tokens": 1,
    "seen": 1,
    "copies": 1,
    "head": 1,
    "positions": 2,
    "bridge": 1,
    "distillation": 3,
    "distillation-worn": 1,
    "contrast": 2,
    "study": 1,
    "times": 1,
}
"""A number for each step, raised with any change of code that changes its results.

The versions of libraries are not part of a key: another version moves results by rounding, as
another machine does. What decides about a result is in the recipe, in the recordings or here.
"""

_HASHES = "hashes.json"
_BLOCK = 1 << 22


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

    Attributes
    ----------
    took : dict of str to Took
        What the steps that were asked for took when they were made, by name.
    """

    def __init__(self, folder: Path, steps: Steps, world: World = ALONE) -> None:
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._steps = steps
        self._sound: set[Path] = set()  # held against their hashes by this process already
        self.world = world
        self.took: dict[str, took.Took] = {}

    def alone(self) -> Store:
        """Give the same for what the first process does by itself, when the others have left."""
        mine = copy.copy(self)  # what was found and what it took are shared
        mine.world = ALONE
        return mine

    def say(self, line: str) -> None:
        """Show what a step found out."""
        self._steps.console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)

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

        Raises
        ------
        StorageError
            The disk does not take it; steps that were finished stay.
        """
        file = self._folder / f"{name}-{key[:16]}.pt"
        if self.world.told(self._found(file, lambda: _read_hash(_beside(file)) == _hash(file))):
            self._steps.found(title)
        else:
            if shared or self.world.first:
                state = file.with_suffix(".state")
                self._begun(state)
                kept = _took(file) if self.world.first else None
                with self._steps.running(title) as report, told(state):
                    with took.measured(kept, state):
                        values = make(report, state)
                    if self.world.first:
                        self._keep(values, file)
            self.world.wait()
        if (spent := took.read(_took(file))) is not None and spent.done:
            self.took[name] = spent
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
        found: list[Features] = []
        folder = self.files(name, title, key, lambda report, to: found.append(fill(report, to)))
        return found[0] if found else fill(quiet, folder)

    def files(self, name: str, title: str, key: str, cut: Cut) -> Path:
        """Give a folder of files, filled now or found; all processes fill it.

        Parameters
        ----------
        name, title, key
            As for `step`.
        cut : callable
            Fills the folder, or goes on with what it finds there.
        """
        folder = self._folder / f"{name}-{key[:16]}"
        hashes = folder / _HASHES
        if self.world.told(self._found(hashes, lambda: _sound(folder))):
            self._steps.found(title)
            return folder
        with self._steps.running(title) as report, told(folder):
            cut(report, folder)
            self.world.wait()  # until all have filled it
            if self.world.first:
                files = [path for path in sorted(folder.iterdir()) if path.is_file()]
                sums = {path.name: _hash(path) for path in files if path.name != _HASHES}
                write_file(hashes, json.dumps(sums, indent=1).encode() + b"\n")
                self._sound.add(hashes)
        self.world.wait()
        return folder

    def _keep(self, values: Values, file: Path) -> None:
        """Put a step's values in place, beside their hash."""
        partial = file.with_suffix(".partial")
        save(values, partial)
        # The hash first: a file without one that is right counts as not there.
        write_file(_beside(file), _hash(partial).encode() + b"\n")
        partial.replace(file)
        self._sound.add(file)

    def _begun(self, state: Path) -> None:
        """Say that a step cannot go on where it was stopped, if that is so."""
        if self.world.first and state.exists() and not whole(state):
            self.say(f"{state.name} was damaged: what it belongs to begins anew")
            state.unlink()

    def _found(self, path: Path, sound: Callable[[], bool]) -> bool:
        """Whether something is there and what it was; what is damaged is removed, and said."""
        if not self.world.first or not path.exists():
            return False
        if path in self._sound:
            return True
        if sound():
            self._sound.add(path)
            return True
        broken = path.parent if path.name == _HASHES else path
        self.say(f"{broken.name} was damaged: it is made again")
        if broken.is_dir():
            shutil.rmtree(broken)
        else:
            broken.unlink()
        return False


def key_of(step: str, *parts: Any) -> str:
    """Hash what a step depends on: plain values only.

    Parameters
    ----------
    step : str
        One of ``FORMATS``, whose number is hashed, too.
    *parts
    """
    text = json.dumps([step, FORMATS[step], *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(files: list[Path]) -> str:
    """Hash the contents of files, links followed, with their names.

    Raises
    ------
    StorageError
        No file, or one that cannot be read: what is not hashed must not decide about anything.
    """
    if not files:
        raise StorageError("there are no files to hash: a step's key would say nothing")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        try:
            about = path.stat()
            written = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            digest.update(_hashed(path, *written).encode())
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _hashed(path: Path, *written: int) -> str:
    """Hash a file that was last written to at some time: a set of 90 GB is read for it once."""
    return _hash(path)


def _hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _beside(file: Path) -> Path:
    """Name where a file's hash stands."""
    return file.with_suffix(".sha256")


def _took(file: Path) -> Path:
    """Name where it stands what a step took."""
    return file.with_suffix(".took")


def _read_hash(path: Path) -> str:
    """Read the hash that was written beside a file; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _sound(folder: Path) -> bool:
    """Whether every file of a folder is what was written."""
    try:
        sums = json.loads((folder / _HASHES).read_text(encoding="utf-8"))
        return bool(sums) and all(_hash(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError, TypeError):
        return False
