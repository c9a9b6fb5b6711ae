"""The bridged model as one module, without hooks and without what it does not use."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.head import Head
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain


class BridgedModel(nn.Module):
    """``source[:i] → pool → bridge → target[j:] → head → calibration → softmax``.

    A head of one answer gives a value, which is calibrated the same way, without softmax.

    Parameters
    ----------
    source : Chain
        ``source[:i]``, stem included.
    bridge : PrototypeBridge
        Its standardisation is folded into its weights here.
    tail : Chain
        ``target[j:]``.
    head : Head
    temperature : float
        What the logits are divided by.
    bias : sequence of float, optional
        What is added to each label's logit after that; both are folded into a copy of the head.

    Raises
    ------
    ModelError
        Parts that do not fit each other.
    """

    def __init__(
        self,
        source: Chain,
        bridge: PrototypeBridge,
        tail: Chain,
        head: Head,
        *,
        temperature: float = 1.0,
        bias: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if source.stem is None:
            raise ModelError("the source must start at its stem: slice it as source[:i]")
        if tail.stem is not None:
            raise ModelError("the tail must start from tokens: slice the target as target[j:]")
        wanted, given = tail.config.features(tail.first), bridge.out_features
        if wanted != given:
            raise ModelError(
                f"the bridge gives {given} features, cut {tail.first} of {tail.name} has {wanted}"
            )
        classes = head.linear.out_features
        if bias is not None and len(bias) != classes:
            raise ModelError(f"{len(bias)} biases do not fit a head of {classes} classes")
        self.source = source
        self.pool = TokenMean()
        self.bridge = bridge.fold()
        self.tail = tail
        self.head = copy.deepcopy(head)
        with torch.no_grad():
            self.head.linear.weight /= temperature
            self.head.linear.bias /= temperature
            if bias is not None:
                self.head.linear.bias += torch.tensor(bias)
        self.eval()
        self.requires_grad_(False)

    def forward(self, window: Tensor) -> Tensor:
        """``[batch, channels, samples]`` to probabilities ``[batch, labels]``, or one value."""
        tokens = self.bridge(self.pool(self.source(window)))
        answers: Tensor = self.head(self.tail(tokens))
        return answers.softmax(dim=1) if answers.shape[1] > 1 else answers
