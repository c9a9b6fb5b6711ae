"""Several processes that train one bridge: who is who, who does what, and what they share.

``torchrun --nproc-per-node 2 -m bioxedge build …`` starts the processes; nothing else is needed.
What is averaged over a batch is averaged over all processes, so that their number changes
results by rounding only.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

# Others wait while one process does what cannot be shared, such as pretraining.
_PATIENCE = timedelta(days=7)


_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class World:
    """The processes that work together; alone unless `joined`.

    Attributes
    ----------
    rank : int
        Which of them this is.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether it is this process that speaks and writes for all."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """Give this process's part of what is dealt out in order."""
        return rows.tensor_split(self.size)[self.rank] if self.size > 1 else rows

    def trained(self, module: nn.Module) -> nn.Module:
        """Average a module's gradients over all processes."""
        if self.size == 1:
            return module
        return DistributedDataParallel(module, broadcast_buffers=False)

    def scaled(self, mean: Tensor, mine: int, all_of_them: int) -> Tensor:
        """Turn the mean over this process's rows into its share of the mean over all rows.

        `trained` averages over processes; a share of rows that is not even must count for what
        it is.
        """
        return mean if self.size == 1 else mean * (self.size * mine / all_of_them)

    def gathered(self, rows: Tensor, count: int) -> Tensor:
        """Join what `share` dealt out of `count` rows again; gradients flow back to each part."""
        if self.size == 1:
            return rows
        most = -(-count // self.size)
        padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
        sizes = [len(part) for part in torch.arange(count).tensor_split(self.size)]
        parts = all_gather(padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    def total(self, *values: float) -> list[float]:
        """Sum each number over all processes."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers)
        return [float(number) for number in numbers]

    def told(self, value: Any) -> Any:
        """Give everybody what the first process has."""
        if self.size == 1:
            return value
        box = [value if self.first else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def wait(self) -> None:
        """Wait until everybody is here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


def world() -> World:
    """Say which process this is; alone where nothing was `joined`."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that ``torchrun`` started; alone if it did not.

    They speak through gloo on processors and NCCL on GPUs; over loopback alone where torchrun
    was told of no other address.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield world()
        return
    if os.environ.get("MASTER_ADDR") in _HERE and sys.platform == "linux":
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield world()
        # Whoever leaves first would take a connection from under another's last words.
        dist.barrier()
    finally:
        # What averages gradients must be gone before its processes' group is: else a thread of it
        # may be left at the end, which ends the process with a signal.
        gc.collect()
        dist.destroy_process_group()
