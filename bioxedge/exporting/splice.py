"""The bridged model as one module, without hooks and without what it does not use."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.head import Head
from bioxedge.bridging.scaling import put_together
from bioxedge.errors import ModelError
from bioxedge.models.chain import Chain
from bioxedge.spec import FeaturesSpec


@dataclass(frozen=True)
class Tasked:
    """A further task's head, and what is done to its answers: divided, then added to."""

    head: Head
    temperature: float
    bias: Sequence[float]


class BridgedModel(nn.Module):
    """``source[:i] → pool → bridge → target[j:] → head → calibration → softmax``.

    A head of one answer gives a value, which is calibrated the same way, without softmax. Between
    pool and bridge stand classic features, and the wearer's baseline, where there are any.

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
    features : FeaturesSpec, optional
        What goes into the bridge, where that is not the encoder's pooled features alone.
    others : sequence of Tasked, optional
        Heads on the same tail; their answers stand behind the first head's.

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
        features: FeaturesSpec | None = None,
        others: Sequence[Tasked] = (),
    ) -> None:
        super().__init__()
        if source.stem is None:
            raise ModelError("the source must start at its stem: slice it as source[:i]")
        if tail.stem is not None:
            raise ModelError("the tail must start from tokens: slice the target as target[j:]")
        # Straight to the head, it may give features that no cut has: classic ones beside them.
        straight = len(tail) == 0 and bridge.tokens == 1
        wanted = head.linear.in_features if straight else tail.config.features(tail.first)
        given = bridge.out_features
        if wanted != given:
            raise ModelError(
                f"the bridge gives {given} features, cut {tail.first} of {tail.name} has {wanted}"
            )
        if features is not None and features.count != bridge.in_features:
            raise ModelError(
                f"{features.count} features do not fit a bridge from {bridge.in_features}"
            )
        self.source, self.features = source, features
        self.pool = TokenMean()
        self.bridge = bridge.fold()
        self.tail = tail
        self.head = _calibrated(head, temperature, bias)
        self.others = nn.ModuleList(
            [_calibrated(one.head, one.temperature, one.bias) for one in others]
        )
        self.eval()
        self.requires_grad_(False)

    def forward(
        self, window: Tensor, beside: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """``[batch, channels, samples]`` to probabilities ``[batch, labels]``, or one value.

        With features of its own it takes ``beside`` ``[batch, numbers]`` as
        :func:`bioxedge.wearer.beside` lays it out, and gives the features, too, ``[batch,
        features]``, before they are scaled.
        """
        pooled = self.pool(self.source(window))
        if self.features is None or beside is None:
            return self._answered(pooled)
        features, whole = put_together(pooled, beside, self.features)
        return self._answered(features), whole

    def _answered(self, features: Tensor) -> Tensor:
        """Probabilities, or values, of what goes into the bridge."""
        tokens = self.bridge(features)
        tokens = self.tail(tokens) if len(self.tail) else tokens
        if not len(self.others):
            return _told(self.head(tokens))
        pooled = self.head.pool(tokens)
        heads = (self.head, *self.others)
        return torch.cat([_told(head.of_pooled(pooled)) for head in heads], dim=1)


def _calibrated(head: Head, temperature: float, bias: Sequence[float] | None) -> Head:
    """Fold a calibration into a copy of a head."""
    classes = head.linear.out_features
    if bias is not None and len(bias) != classes:
        raise ModelError(f"{len(bias)} biases do not fit a head of {classes} classes")
    made = copy.deepcopy(head)
    with torch.no_grad():
        made.linear.weight.div_(temperature)
        made.linear.bias.div_(temperature)
        if bias is not None:
            made.linear.bias.add_(torch.tensor(bias))
    return made


def _told(answers: Tensor) -> Tensor:
    """Turn logits into probabilities; one answer is a value."""
    return answers.softmax(dim=1) if answers.shape[1] > 1 else answers
