"""How much memory a frozen module takes for what it is given, found out by shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode


class _Counted(TorchDispatchMode):
    """Counts the bytes of all storages that are made while a module runs."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._held: dict[int, Any] = {}  # held, so that no address comes twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in _pytree.tree_leaves(found):
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                if storage._cdata not in self._held:
                    self._held[storage._cdata] = storage
                    self.bytes += storage.nbytes()
        return found


def peak_bytes(parts: Sequence[nn.Module], shape: Sequence[int]) -> int:
    """Say what a forward pass allocates at its highest, beside the weights.

    Parameters
    ----------
    parts : sequence of Module
        Frozen, one after the other; nothing is computed or copied. What each allocates counts as
        if it freed nothing before its end, so that the figure is an upper bound.
    shape : sequence of int
        Of the input, float32.

    Returns
    -------
    int
        Bytes, inputs and outputs with them. What kernels take inside is not seen.
    """
    most, given = 0, torch.empty(tuple(shape), device="meta")
    for part in parts:
        states = {
            name: torch.empty_like(value, device="meta")
            for name, value in (*part.named_parameters(), *part.named_buffers())
        }
        with torch.inference_mode(False), torch.no_grad(), _Counted() as counted:
            made = functional_call(part, states, (given,))
        most = max(most, counted.bytes + given.untyped_storage().nbytes())
        given = made
    return most
