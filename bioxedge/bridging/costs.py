"""What each part of a bridged model costs, so that a place for the bridge can be weighed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain


@dataclass(frozen=True)
class Cost:
    """Of one window.

    Attributes
    ----------
    parameters : int
    macs : int
        Multiply-accumulates of matrix products and convolutions; what is done element by
        element is not counted.
    """

    parameters: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


def costs(chain: Chain, samples: int) -> list[Cost]:
    """Count what a chain costs up to each cut, for one window of that many samples.

    Nothing is computed or copied: shapes alone pass through.

    Returns
    -------
    list of Cost
        Of ``chain[:k]`` for every k, stem included.

    Raises
    ------
    ModelError
        If the chain has no stem, or cannot take so many samples.
    """
    if chain.stem is None:
        raise ModelError(f"{chain.extra_repr()}: costs are counted from the stem on")
    chain.cut(0, samples)
    h = torch.empty(1, chain.channels, samples, device="meta")
    parameters, found = 0, []
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        for part in (chain.stem, *chain.blocks):
            shapes = {
                name: torch.empty_like(value, device="meta")
                for name, value in (*part.named_parameters(), *part.named_buffers())
            }
            h = functional_call(part, shapes, (h,))
            parameters += sum(parameter.numel() for parameter in part.parameters())
            found.append(Cost(parameters, counter.get_total_flops() // 2))
    return found


def bridge_cost(
    in_features: int, out_features: int, tokens: int, rank: int, prototypes: int
) -> Cost:
    """Count what a prototype bridge costs: A, then B, then a weighted sum for every token."""
    parameters = PrototypeBridge.parameters_count(
        in_features, out_features, tokens, rank, prototypes
    )
    macs = rank * in_features + prototypes * tokens * rank + tokens * prototypes * out_features
    return Cost(parameters, macs)


@dataclass(frozen=True)
class CostMap:
    """What the bridged model costs for every source cut i (rows) and target cut j (columns).

    Attributes
    ----------
    parameters, macs : ndarray of int64, shape [source cuts, target cuts]
        Of ``source[:i] → bridge → target[j:]``; the head, a few hundred, is left out.
    trained : ndarray of int64, shape [source cuts, target cuts]
        Parameters of the bridge.
    """

    parameters: npt.NDArray[np.int64]
    macs: npt.NDArray[np.int64]
    trained: npt.NDArray[np.int64]


def cost_map(
    source: Chain,
    source_samples: int,
    target: Chain,
    target_samples: int,
    rank: int,
    prototypes: int,
) -> CostMap:
    """Count every place that a bridge can have, for one window of each sensor."""
    before, whole = costs(source, source_samples), costs(target, target_samples)
    shape = (len(before), len(whole))
    out = CostMap(*(np.zeros(shape, np.int64) for _ in range(3)))
    for i, taken in enumerate(before):
        for j, left in enumerate(whole):
            tokens, features = target.cut(j, target_samples)
            bridge = bridge_cost(
                source.cut(i, source_samples).features, features, tokens, rank, prototypes
            )
            total = taken + bridge
            out.parameters[i, j] = total.parameters + whole[-1].parameters - left.parameters
            out.macs[i, j] = total.macs + whole[-1].macs - left.macs
            out.trained[i, j] = bridge.parameters
    return out
