"""Frozen linear layers whose weights are laid out once as the processor multiplies them.

A matrix product spends part of its time on bringing the weights into the order that its kernel
reads. Weights that no longer change need that once: for the way there, and for the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_MKLDNN = torch.ops.mkldnn


def can_pack() -> bool:
    """Say whether this torch brings oneDNN, whose layout it is."""
    wanted = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(_MKLDNN, op) for op in wanted)


@contextmanager
def packed(module: nn.Module, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Let the frozen linear layers inside a module compute with packed weights.

    On the processor; in float32 what they compute differs by rounding. Weights that want a
    gradient, or lie elsewhere, are left alone.

    Parameters
    ----------
    module : Module
        As it was, afterwards.
    dtype : {torch.float32, torch.bfloat16}
        What the weights are kept in and multiplied with. Autocast turns frozen weights into
        bfloat16 anew at every step; packed, that is done once.
    """
    found = [
        part
        for part in module.modules()
        if type(part) is nn.Linear
        and not any(parameter.requires_grad for parameter in part.parameters())
        and part.weight.device.type == "cpu"
        and part.weight.dtype == torch.float32
    ]
    try:
        for part in found:
            part.forward = _Packed(part, dtype)  # type: ignore[assignment]
        yield
    finally:
        for part in found:
            vars(part).pop("forward", None)


class _Packed:
    """What stands in for a linear layer's `forward`."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._weight = linear.weight.detach().to(dtype)
        self._bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self._there = _MKLDNN._reorder_linear_weight(self._weight)
        self._back: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """``[…, in]`` to ``[…, out]``."""
        out: Tensor = _Through.apply(x, self)  # type: ignore[no-untyped-call]  # torch left it bare
        return out

    def there(self, x: Tensor) -> Tensor:
        """The product with the weight, and the bias."""
        out: Tensor = _MKLDNN._linear_pointwise(
            x.to(self._dtype), self._there, self._bias, "none", [], ""
        )
        return out

    def back(self, gradient: Tensor) -> Tensor:
        """The product with the transposed weight, which is packed when it is first wanted."""
        if self._back is None:
            self._back = _MKLDNN._reorder_linear_weight(self._weight.t().contiguous())
        out: Tensor = _MKLDNN._linear_pointwise(
            gradient.to(self._dtype), self._back, None, "none", [], ""
        )
        return out


class _Through(torch.autograd.Function):
    """The gradient with respect to the input is all that a frozen layer hands on."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _Packed) -> Tensor:
        ctx.layer = layer
        return layer.there(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.back(gradient.contiguous()), None
