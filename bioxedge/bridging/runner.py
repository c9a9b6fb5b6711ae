"""The one way in which frozen models pass over windows."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.costs import costs
from bioxedge.bridging.features import Features, Sheets
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report, quiet
from bioxedge.bridging.peak import peak_bytes
from bioxedge.bridging.world import ALONE, World
from bioxedge.models.chain import Chain

BATCH = 64
"""Windows that pass through a model together; fewer where one costs much."""

_COSTLIEST = 2**36  # multiply-accumulates of a batch: a report and a Ctrl-C wait no longer
_LARGEST = {"cpu": 2**22, "cuda": 2**24}  # numbers of one activation of a batch: a cache's worth
_MOST = 2**30  # bytes that a batch may take, however much there is
_SHARE = 8  # of what is free, one part


@dataclass(frozen=True)
class Runner:
    """Passes windows through frozen models: device, precision, batches, files and processes.

    Parameters
    ----------
    compute : Compute
        On what, and how precisely.
    world : World
        Who shares the work of what goes to files.
    """

    compute: Compute = field(default_factory=Compute)
    world: World = ALONE

    def features(
        self,
        chain: Chain,
        windows: Tensor,
        *,
        rows: Tensor | None = None,
        last: int | None = None,
        tokens: Collection[int] = (),
        folder: Path | None = None,
        report: Report = quiet,
    ) -> Features:
        """Pass windows [n, channels, samples] through a chain, once, up to the last cut needed.

        With a folder the activations are written to files that the result is mapped from: memory
        does not grow with the number of windows, what was stopped goes on where it was, and
        several processes share the work.

        Parameters
        ----------
        chain : Chain
            Frozen, stem included.
        windows : Tensor of float32
            May be mapped from a file: a batch is read at a time.
        rows : Tensor of int64, optional
            Which of the windows, in this order; all if left out.
        last : int, optional
            The highest cut that is needed; the chain's last if left out.
        tokens : collection of int
            Cuts at which to keep all tokens (n · tokens · features floats each).
        folder : Path, optional
            For these windows and this chain alone; made if need be.
        report : callable, optional
            Told how many of how many batches are done.
        """
        chain = chain if last is None else chain[:last]
        rows = torch.arange(len(windows)) if rows is None else rows
        cuts = [chain.cut(k, windows.shape[2]) for k in range(len(chain) + 1)]
        shapes = {f"pooled-{k:02d}": (len(rows), cut.features) for k, cut in enumerate(cuts)}
        shapes |= {f"tokens-{k:02d}": (len(rows), *cuts[k]) for k in sorted(set(tokens))}
        batch = self.batch(chain, windows.shape[2])
        sheets = Sheets(shapes, -(-len(rows) // batch), folder, self.world)
        pool = TokenMean()
        report(sheets.done, sheets.batches)
        with self.compute.placed(chain), torch.inference_mode(), self.compute.running():
            for number in sheets.todo():
                part = slice(number * batch, (number + 1) * batch)
                x = windows[rows[part]].to(self.compute.where)
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

    def batch(self, chain: Chain, samples: int) -> int:
        """Say how many windows pass through a whole chain together."""
        cuts = [chain.cut(k, samples) for k in range(len(chain) + 1)]
        largest = max(cut.tokens * cut.features for cut in cuts)
        macs = costs(chain, samples)[-1].macs
        fitting = _LARGEST.get(self.compute.where.type, _LARGEST["cpu"]) // largest
        # At the first cut and inside blocks there may be far more than at any cut.
        parts = [part for part in (chain.stem, *chain.blocks) if part is not None]
        most = self._room() // peak_bytes(parts, (1, chain.channels, samples))
        return max(1, min(BATCH, fitting, most, _COSTLIEST // max(macs, 1)))

    def answers(self, bridge: PrototypeBridge, tail: Chain, head: Head, features: Tensor) -> Tensor:
        """Give what a head says of bridged features, on the processor.

        Parameters
        ----------
        bridge : PrototypeBridge
        tail : Chain
            ``target[j:]``.
        head : Head
        features : Tensor of shape [n, in_features]
            Pooled, at the source's cut.

        Returns
        -------
        Tensor of shape [n, answers]
        """
        parts = [bridge, *(tail[k : k + 1] for k in range(tail.first, tail.last)), head]
        most = self._room() // max(peak_bytes(parts, (1, features.shape[1])), 1)
        with torch.inference_mode():
            parts = features.split(max(1, min(256, most)))
            return torch.cat([head(tail(bridge(part))) for part in parts])

    def tokens(
        self, chain: Chain, cut: int, windows: Tensor, rows: Tensor, places: Tensor
    ) -> Tensor:
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
        batch = self.batch(head, windows.shape[2])
        found = torch.empty(len(rows), chain.cut(cut, windows.shape[2]).features)
        with torch.inference_mode():
            for number, part in enumerate(needed.split(batch)):
                activation = head(windows[part])
                mine = torch.nonzero((where // batch) == number).flatten()
                found[mine] = activation[where[mine] - number * batch, places[mine]]
        return found

    def _room(self) -> int:
        """Say how many bytes a batch may take: a part of what is free, and never very much."""
        where = self.compute.where
        if where.type == "cuda":
            free = torch.cuda.mem_get_info(where)[0]
        else:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return min(_MOST if where.type == "cpu" else 8 * _MOST, free // _SHARE)
