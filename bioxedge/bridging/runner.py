"""The one way in which frozen models pass over windows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.costs import costs
from bioxedge.bridging.features import Features, Sheets, Windows, taken
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report, quiet
from bioxedge.bridging.peak import free_bytes, peak_bytes
from bioxedge.bridging.world import ALONE, World
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain

BATCH = 64
"""Windows that pass through a model together; fewer where one costs much."""

_ANSWERED = 256  # rows of features that are answered together
_COSTLIEST = 2**36  # multiply-accumulates of a batch: a report and a Ctrl-C wait no longer
_LARGEST = {"cpu": 2**22, "cuda": 2**24}  # numbers of one activation of a batch: a cache's worth
_MOST = {"cpu": 2**30, "cuda": 2**33}  # bytes that a batch may take, however much there is
_SHARE = 4  # of what is free, one part


@dataclass(frozen=True)
class Runner:
    """Passes windows through frozen models: device, precision, batches, files and processes.

    Results do not depend on the memory at hand but by rounding, and not at all while a batch
    fits.

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
        windows: Windows,
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
        windows : Tensor or ndarray of float32
            May be mapped from a file larger than the memory: a batch is read at a time.
        rows : Tensor of int64, optional
            Which of the windows, in this order; all if left out.
        last : int, optional
            The highest cut that is needed; the chain's last if left out. Nothing beyond it runs.
        tokens : collection of int
            Cuts at which to keep all tokens (n · tokens · features floats each).
        folder : Path, optional
            For these windows and this chain alone; made if need be.
        report : callable, optional
            Told how many of how many batches are done.

        Raises
        ------
        ModelError
            A cut that the chain does not have, or that lies behind ``last``.
        StorageError
            The disk has no room for all of it; what was there stays.
        """
        chain = chain if last is None else chain[:last]
        if beyond := [k for k in tokens if not 0 <= k <= chain.last]:
            raise ModelError(
                f"tokens of cut {beyond[0]} are wanted of {chain.name}, which is run to cut "
                f"{chain.last}: raise last, or ask for a cut up to it"
            )
        rows = torch.arange(len(windows)) if rows is None else rows
        samples = windows.shape[2]
        cuts = [chain.cut(k, samples) for k in range(len(chain) + 1)]
        shapes: dict[str, tuple[int, ...]] = {
            f"pooled-{k:02d}": (len(rows), cut.features) for k, cut in enumerate(cuts)
        }
        shapes |= {f"tokens-{k:02d}": (len(rows), *cuts[k]) for k in sorted(set(tokens))}
        batch = self.batch(chain, samples)
        sheets = Sheets(shapes, -(-len(rows) // batch), folder, self.world)
        report(sheets.done, sheets.batches)
        if todo := sheets.todo():
            piece = self._fitting(batch, peak_bytes(_Cuts(chain), (1, chain.channels, samples)))
            with self.compute.placed(chain), torch.inference_mode(), self.compute.running(), sheets:
                for number in todo:
                    first, end = number * batch, min((number + 1) * batch, len(rows))
                    for start in range(first, end, piece):
                        part = slice(start, min(start + piece, end))
                        self._fill(sheets, part, chain, taken(windows, rows[part]), tokens)
                    sheets.mark(number)
                    report(sheets.done, sheets.batches)
        found = sheets.read()
        return Features(
            [found[f"pooled-{k:02d}"] for k in range(len(cuts))],
            {k: found[f"tokens-{k:02d}"] for k in tokens},
        )

    def _fill(
        self, sheets: Sheets, part: slice, chain: Chain, x: Tensor, tokens: Collection[int]
    ) -> None:
        """Write what one pass gives at every cut."""
        pool, cuts = TokenMean(), chain.activations(x.to(self.compute.where))
        for k in range(len(chain) + 1):
            activation = next(cuts)
            sheets.write(f"pooled-{k:02d}", part, pool(activation.float()))
            if k in tokens:
                sheets.write(f"tokens-{k:02d}", part, activation)
            del activation  # not to be held while the next block runs

    def batch(self, chain: Chain, samples: int) -> int:
        """Say how many windows pass through a chain together, where there is memory enough.

        Parameters
        ----------
        chain : Chain
            Stem included.
        samples : int
            Of a window.
        """
        cuts = [chain.cut(k, samples) for k in range(len(chain) + 1)]
        largest = max(cut.tokens * cut.features for cut in cuts)
        macs = costs(chain, samples)[-1].macs
        return max(1, min(BATCH, self._of(_LARGEST) // largest, _COSTLIEST // max(macs, 1)))

    def answers(self, bridge: PrototypeBridge, tail: Chain, head: Head, features: Tensor) -> Tensor:
        """Give what a head says of bridged features, in float32, as a bundle computes it.

        Every process answers for itself.

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
        # Behind the last block is nothing; a bridge to the head may give more than that has.
        whole = nn.Sequential(bridge, *((tail,) if len(tail) else ()), head)
        peak = peak_bytes(whole, (1, *features.shape[1:]))
        batch = self._fitting(max(1, min(_ANSWERED, self._of(_MOST) // peak)), peak)
        exact = replace(self.compute, precision="fp32", packed=False)
        with exact.placed(whole), torch.inference_mode():
            found = [
                whole(part.to(self.compute.where)).float().cpu() for part in features.split(batch)
            ]
        return torch.cat(found)

    def tokens(
        self, chain: Chain, cut: int, windows: Windows, rows: Tensor, places: Tensor
    ) -> Tensor:
        """Give single tokens [n, features] at one cut: that of each row at its place.

        Parameters
        ----------
        chain : Chain
            Frozen, stem included.
        cut : int
        windows : Tensor or ndarray of shape [windows, channels, samples]
        rows, places : Tensor of int64, shape [n]
            The window and the token of each.
        """
        start, samples = chain[:cut], windows.shape[2]
        needed, where = torch.unique(rows, return_inverse=True)
        batch = self.batch(start, samples)
        batch = self._fitting(batch, peak_bytes(start, (1, chain.channels, samples)))
        found = torch.empty(len(rows), chain.cut(cut, samples).features)
        with self.compute.placed(start), torch.inference_mode(), self.compute.running():
            for number, part in enumerate(needed.split(batch)):
                activation = start(taken(windows, part).to(self.compute.where)).float().cpu()
                mine = torch.nonzero((where // batch) == number).flatten()
                found[mine] = activation[where[mine] - number * batch, places[mine]]
        return found

    def _fitting(self, batch: int, peak: int) -> int:
        """Say how many of a batch fit into the memory together."""
        room = free_bytes(self.compute.where) // (_SHARE * self.world.size)
        return max(1, min(batch, room // peak))

    def _of(self, table: dict[str, int]) -> int:
        """Look up what holds for the device."""
        return table.get(self.compute.where.type, table["cpu"])


class _Cuts(nn.Module):
    """A chain that is looked at at every cut, for its memory."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain, self.pool = chain, TokenMean()

    def forward(self, x: Tensor) -> None:
        """``[batch, channels, samples]``."""
        for activation in self.chain.activations(x):
            self.pool(activation.float())
            del activation
