"""How sure a bridged answer may be: as sure as its teacher was of the same moment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RANGE = 100.0
"""The temperature lies between 1/RANGE and RANGE."""


@torch.no_grad()
def temperature(bridged: Tensor, teacher: Tensor) -> float:
    """Find the one number that logits are divided by, without labels.

    A cosine leaves the scale of what a bridge gives free, and with it the scale of the logits:
    undivided, an answer would be as sure as chance made it. The temperature (Guo et al., ICML
    2017) is chosen to minimise the cross-entropy of the bridged probabilities against the
    teacher's on the pairs. It changes no answer, and cannot be better calibrated than the
    teacher.

    Parameters
    ----------
    bridged, teacher : Tensor of shape [n, classes]
        Logits on the same pairs.

    Returns
    -------
    float
    """
    wanted = teacher.double().softmax(1)
    logits = bridged.double()
    if not logits.any():  # an untrained bridge: every temperature says the same
        return 1.0
    low, high = -torch.tensor(RANGE).log().item(), torch.tensor(RANGE).log().item()
    # The cross-entropy is convex in 1/T, so it has one minimum in log T: golden sections do.
    ratio = (5**0.5 - 1) / 2

    def cost(log_temperature: float) -> float:
        divided = logits * torch.exp(torch.tensor(-log_temperature, dtype=torch.float64))
        return F.cross_entropy(divided, wanted).item()

    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(60):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = cost(right)
    return float(torch.exp(torch.tensor((low + high) / 2)))
