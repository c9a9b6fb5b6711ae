"""How much memory a frozen module takes, and how much there is."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

_GROUPS = Path("/sys/fs/cgroup")


class Allocated(TorchDispatchMode):
    """Counts the bytes of storages that stand at once while something runs.

    What a kernel takes inside itself is not seen.

    Attributes
    ----------
    now, peak : int
        Bytes that stand, and that stood at most.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch left it bare
        self.now = self.peak = 0
        self._standing: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in _pytree.tree_leaves(found):
            if isinstance(one, Tensor) and one.layout is torch.strided:
                self._count(one.untyped_storage())
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address in self._standing:
            return  # a view of what was counted

        def gone(_: Any) -> None:
            del self._standing[address]
            self.now -= size

        self._standing[address] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(module: nn.Module, shape: Sequence[int]) -> int:
    """Say what a forward pass has allocated at its highest, beside the weights.

    Shapes alone pass through: nothing is computed or copied, so the figure is the same on every
    machine, and a batch that follows from it, too.

    Parameters
    ----------
    module : Module
        Frozen.
    shape : sequence of int
        Of the input, float32.

    Returns
    -------
    int
        Bytes, the input's with them.
    """
    states = {
        name: torch.empty_like(value, device="meta")
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }
    with torch.inference_mode(), Allocated() as allocated:
        functional_call(module, states, (torch.empty(tuple(shape), device="meta"),))
    most: int = max(allocated.peak, 1)
    return most


def free_bytes(where: torch.device) -> int:
    """Say how many bytes a device has left, with what the system would give back at once."""
    if where.type == "cuda":
        cached = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
        return torch.cuda.mem_get_info(where)[0] + cached
    free = [_available(), _within_group(), _within_limits()]
    return min(one for one in free if one is not None)


def _available() -> int:
    """Give what the machine has."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    # No Linux: nothing says what is free, so a part of what there is.
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _within_group() -> int | None:
    """Give what a container leaves, its file cache counted as free; None where it has no bound."""
    for bound, folder, held in (
        ("memory.max", _GROUPS, "anon"),
        ("memory.limit_in_bytes", _GROUPS / "memory", "rss"),
    ):
        try:
            most = int((folder / bound).read_text())
            facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return max(0, most - int(facts[held]))
        except (OSError, ValueError, KeyError):  # no such file, or "max"
            continue
    return None


def _within_limits() -> int | None:
    """Give what the process may still take; None where that is not bounded or not told."""
    try:
        import resource

        bound = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if bound == resource.RLIM_INFINITY:
            return None
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return max(0, bound - int(line.split()[1]) * 1024)
    except (ImportError, OSError):
        pass
    return None
