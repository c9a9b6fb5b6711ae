"""What frozen models make of windows, computed once: every cut from one pass over the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.bridge import TokenMean
from bioxedge.bridging.loop import Report, quiet
from bioxedge.models.chain import Chain

Array = npt.NDArray[np.float32]
BATCH = 64


@dataclass(frozen=True)
class Features:
    """Activations of one frozen chain on some windows.

    Attributes
    ----------
    pooled : list of Tensor, each of shape [n, features]
        The token mean at every cut, 0 to ``len(chain)``.
    last : Tensor of shape [n, tokens, features], optional
        The last block's tokens, where they were asked for.
    """

    pooled: list[Tensor]
    last: Tensor | None = None


def extract(
    chain: Chain, windows: Tensor, *, last: bool = False, report: Report = quiet
) -> Features:
    """Pass windows [n, channels, samples] through a whole chain, once.

    Parameters
    ----------
    chain : Chain
        Frozen, stem included.
    windows : Tensor of float32
    last : bool
        Keep the last block's tokens too (n · tokens · features floats).
    report : callable, optional
        Told how many of how many batches are done.
    """
    pool = TokenMean()
    parts = windows.split(BATCH)
    pooled: list[list[Tensor]] = [[] for _ in range(len(chain) + 1)]
    tokens: list[Tensor] = []
    report(0, len(parts))
    for number, part in enumerate(parts):
        with torch.inference_mode():
            for cut, activation in enumerate(chain.activations(part)):
                pooled[cut].append(pool(activation))
        if last:
            tokens.append(activation)
        report(number + 1, len(parts))
    # Joined outside of inference mode, so that training may use them.
    return Features([torch.cat(cut) for cut in pooled], torch.cat(tokens) if last else None)


def tokens_at(chain: Chain, cut: int, windows: Tensor) -> Tensor:
    """Give the tokens [n, tokens, features] at one cut."""
    head = chain[:cut]
    with torch.inference_mode():
        parts = [head(part) for part in windows.split(BATCH)]
    return torch.cat(parts)
