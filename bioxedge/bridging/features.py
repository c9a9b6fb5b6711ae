"""What frozen models make of windows, computed once: every cut from one pass over the data."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.costs import costs
from bioxedge.bridging.loop import Report, quiet
from bioxedge.bridging.world import ALONE, World
from bioxedge.models.chain import Chain

Array = npt.NDArray[np.float32]

BATCH = 64
"""Windows that pass through a model together; fewer where one costs much."""

_COSTLIEST = 2**36  # multiply-accumulates of a batch: memory inside a model grows with them
_LARGEST = {"cpu": 2**22, "cuda": 2**24}  # numbers of one activation of a batch: a cache's worth
_FLUSH_EVERY = 10.0  # seconds


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


def extract(
    chain: Chain,
    windows: Tensor,
    *,
    rows: Tensor | None = None,
    tokens: Collection[int] = (),
    folder: Path | None = None,
    report: Report = quiet,
    compute: Compute | None = None,
    world: World = ALONE,
) -> Features:
    """Pass windows [n, channels, samples] through a whole chain, once.

    With a folder the activations are written to files that the result is mapped from: memory
    does not grow with the number of windows, what was stopped goes on where it was, and
    several processes share the work.

    Parameters
    ----------
    chain : Chain
        Frozen, stem included.
    windows : Tensor of float32
    rows : Tensor of int64, optional
        Which of the windows, in this order; all if left out.
    tokens : collection of int
        Cuts at which to keep all tokens (n · tokens · features floats each).
    folder : Path, optional
        For these windows and this chain alone; made if need be.
    report : callable, optional
        Told how many of how many batches are done.
    compute : Compute, optional
    world : World
        Shares the work where there is a folder.
    """
    rows = torch.arange(len(windows)) if rows is None else rows
    compute = compute or Compute()
    cuts = [chain.cut(k, windows.shape[2]) for k in range(len(chain) + 1)]
    shapes = {f"pooled-{k:02d}": (len(rows), cut.features) for k, cut in enumerate(cuts)}
    shapes |= {f"tokens-{k:02d}": (len(rows), *cuts[k]) for k in sorted(set(tokens))}
    largest = max(cut.tokens * cut.features for cut in cuts)
    macs = costs(chain, windows.shape[2])[-1].macs
    fitting = _LARGEST.get(compute.where.type, _LARGEST["cpu"]) // largest
    batch = max(1, min(BATCH, fitting, _COSTLIEST // max(macs, 1)))
    sheets = _Sheets(shapes, -(-len(rows) // batch), folder, world)
    pool = TokenMean()
    report(sheets.done, sheets.batches)
    with compute.placed(chain), torch.inference_mode(), compute.running():
        for number in sheets.todo():
            part = slice(number * batch, (number + 1) * batch)
            x = windows[rows[part]].to(compute.where)
            for k, activation in enumerate(chain.activations(x)):
                sheets.write(f"pooled-{k:02d}", part, pool(activation.float()))
                if k in tokens:
                    sheets.write(f"tokens-{k:02d}", part, activation)
            sheets.mark(number)
            report(sheets.done, sheets.batches)
    found = sheets.read()
    return Features(
        [found[f"pooled-{k:02d}"] for k in range(len(cuts))],
        {k: found[f"tokens-{k:02d}"] for k in tokens},
    )


class _Sheets:
    """Arrays that are filled batch by batch: in memory, or in files that are mapped."""

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
        flags = {"done": (batches,)}
        if folder is None:
            self._arrays = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
            self._flags = np.zeros(batches, np.uint8)
            return
        if self._world.first:
            folder.mkdir(parents=True, exist_ok=True)
            kept = all(_fits(folder / f"{name}.npy", shape) for name, shape in shapes.items())
            for name, shape in (shapes if not kept else {}).items():
                _create(folder / f"{name}.npy", shape, np.float32)
            if not kept or not _fits(folder / "done.npy", flags["done"]):
                _create(folder / "done.npy", flags["done"], np.uint8)
        self._world.wait()
        self._arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in shapes}
        self._flags = np.load(folder / "done.npy", mmap_mode="r+")

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
                array.flush()
        self._flags[self._ready] = 1
        self._ready = []
        if self._folder is not None:
            self._flags.flush()
        self._flushed = time.monotonic()

    def read(self) -> dict[str, Tensor]:
        """Give the arrays, filled by all; those in files are mapped and must not be written to."""
        self._flush()
        self._world.wait()
        if self._folder is None:
            return {name: torch.from_numpy(array) for name, array in self._arrays.items()}
        return {name: mapped(self._folder / f"{name}.npy") for name in self._arrays}


def mapped(path: Path) -> Tensor:
    """Map an array of a ``.npy`` file: read where it is used, never written to."""
    return readonly(np.load(path, mmap_mode="r", allow_pickle=False))


def readonly(array: npt.NDArray[np.float32]) -> Tensor:
    """Take a mapped array as a tensor that must not be written to."""
    with warnings.catch_warnings():
        # Torch has no read-only tensors and says so; a write would end the process.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _create(path: Path, shape: tuple[int, ...], kind: type) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape).flush()


def _fits(path: Path, shape: tuple[int, ...]) -> bool:
    """Say whether a file holds an array of that shape."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).shape == shape
    except (OSError, ValueError):
        return False


def tokens_of(chain: Chain, cut: int, windows: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """Give single tokens [n, features] at one cut: that of each row at its place.

    Parameters
    ----------
    chain : Chain
        Frozen, stem included.
    cut : int
    windows : Tensor of shape [windows, channels, samples]
    rows, places : Tensor of int64, shape [n]
        The window and the token of each.
    """
    head = chain[:cut]
    needed, where = torch.unique(rows, return_inverse=True)
    tokens, features = chain.cut(cut, windows.shape[2])
    batch = max(1, min(BATCH, _LARGEST["cpu"] // (tokens * features)))
    found = torch.empty(len(rows), features)
    with torch.inference_mode():
        for number, part in enumerate(needed.split(batch)):
            activation = head(windows[part])
            mine = torch.nonzero((where // batch) == number).flatten()
            found[mine] = activation[where[mine] - number * batch, places[mine]]
    return found
