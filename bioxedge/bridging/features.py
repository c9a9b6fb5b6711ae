"""What a frozen model made of windows, in memory or mapped from files."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.room import reserve, told
from bioxedge.bridging.world import ALONE, World
from bioxedge.errors import StorageError

Windows = Tensor | npt.NDArray[np.float32]
"""Windows [n, channels, samples], in memory or mapped."""

_FLUSH_EVERY = 10.0  # seconds
_DONE = "done.npy"


@dataclass(frozen=True)
class Features:
    """Activations of one frozen chain on some windows.

    Attributes
    ----------
    pooled : list of Tensor, each of shape [n, features]
        The token mean at every cut, 0 to ``len(chain)``.
    tokens : dict of int to Tensor of shape [n, tokens, features]
        All tokens at the cuts that were asked for.
    """

    pooled: list[Tensor]
    tokens: dict[int, Tensor] = field(default_factory=dict)


class Sheets:
    """Arrays that are filled batch by batch: in memory, or in files that are mapped.

    Used as a context it keeps what is done, however it ends.

    Parameters
    ----------
    shapes : dict of str to tuple of int
    batches : int
    folder : Path or None
        In memory where there is none. What an earlier process has done there is kept.
    world : World

    Raises
    ------
    StorageError
        The disk has no room for all arrays.
    """

    def __init__(
        self,
        shapes: dict[str, tuple[int, ...]],
        batches: int,
        folder: Path | None,
        world: World,
    ) -> None:
        self.batches = batches
        self._folder, self._world = folder, world if folder else ALONE
        self._ready: list[int] = []  # batches whose numbers are written, not yet on disk
        self._flushed = time.monotonic()
        if folder is None:
            self._arrays = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
            self._flags = np.zeros(batches, np.uint8)
            return
        failed: StorageError | None = None
        if self._world.first:
            try:
                _lay_out(folder, shapes, batches)
            except StorageError as error:
                failed = error
        if (failed := self._world.told(failed)) is not None:  # nobody waits for who failed
            raise failed
        self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
        self._flags = np.load(folder / _DONE, mmap_mode="r+")

    def __enter__(self) -> Sheets:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    @property
    def done(self) -> int:
        """Batches that are written."""
        return int(self._flags.sum()) + len(self._ready)

    def todo(self) -> list[int]:
        """Give the batches that this process has to compute."""
        missing = np.flatnonzero(self._flags == 0)
        self._world.wait()  # nobody writes before everybody has looked
        return [int(number) for number in missing[self._world.rank :: self._world.size]]

    def write(self, name: str, part: slice, values: Tensor) -> None:
        """Fill the rows of a batch."""
        self._arrays[name][part] = values.float().cpu().numpy()

    def mark(self, number: int) -> None:
        """Count a batch as written; on disk its numbers come before its mark."""
        self._ready.append(number)
        if self._folder is None or time.monotonic() - self._flushed > _FLUSH_EVERY:
            self._flush()

    def _flush(self) -> None:
        if self._folder is not None:
            for array in self._arrays.values():
                _kept(array)
        self._flags[self._ready] = 1
        self._ready = []
        if self._folder is not None:
            _kept(self._flags)
        self._flushed = time.monotonic()

    def read(self) -> dict[str, Tensor]:
        """Give the arrays, filled by all; those in files are mapped and must not be written to."""
        self._flush()
        self._world.wait()
        if self._folder is None:
            return {name: torch.from_numpy(array) for name, array in self._arrays.items()}
        return {name: mapped(self._folder / f"{name}.npy") for name in self._arrays}


def _kept(array: npt.NDArray[Any]) -> None:
    """Have what a mapped array holds on the disk."""
    if isinstance(array, np.memmap):
        array.flush()


def mapped(path: Path) -> Tensor:
    """Map an array of a ``.npy`` file: read where it is used, never written to."""
    return readonly(np.load(path, mmap_mode="r", allow_pickle=False))


def readonly(array: npt.NDArray[np.float32]) -> Tensor:
    """Take a mapped array as a tensor that must not be written to."""
    with warnings.catch_warnings():
        # Torch has no read-only tensors and says so; a write would end the process.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def taken(windows: Windows, rows: Tensor) -> Tensor:
    """Read some windows, float32, whatever they lie in."""
    if isinstance(windows, Tensor):
        return windows[rows].float()
    return torch.from_numpy(np.ascontiguousarray(windows[rows.numpy()], np.float32))


def _lay_out(folder: Path, shapes: dict[str, tuple[int, ...]], batches: int) -> None:
    """Make the files of all arrays, unless they are there; their room is taken at once."""
    needed = 4 * sum(map(math.prod, shapes.values()))
    with told(folder / _DONE, needed):
        folder.mkdir(parents=True, exist_ok=True)
        paths = {folder / f"{name}.npy": shape for name, shape in shapes.items()}
        if all(_fits(path, shape) for path, shape in paths.items()):
            if not _fits(folder / _DONE, (batches,)):
                _create(folder / _DONE, (batches,), np.uint8)
            return
        # First of all: what is new must not count as done for a moment.
        (folder / _DONE).unlink(missing_ok=True)
        try:
            for path, shape in paths.items():
                _create(path, shape, np.float32)
            _create(folder / _DONE, (batches,), np.uint8)
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise


def _create(path: Path, shape: tuple[int, ...], kind: type) -> None:
    """Make a file of an array, and take its room: a full disk is then one line, not a crash."""
    with path.open("wb") as file:
        header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        reserve(file, file.tell() + math.prod(shape) * np.dtype(kind).itemsize)


def _fits(path: Path, shape: tuple[int, ...]) -> bool:
    """Say whether a file holds an array of that shape."""
    try:
        found: tuple[int, ...] = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return found == shape
    except (OSError, ValueError, EOFError):  # the last of a file that is empty
        return False
