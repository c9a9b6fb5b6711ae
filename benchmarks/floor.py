"""What a model must multiply in any case, and how fast this machine multiplies at all.

The floor of a time is a model's multiply-accumulates over the best rate that any library at hand
reaches on any of the model's own matrix products: MKL's or whatever torch was built with, oneDNN
with packed weights, and numpy's OpenBLAS. A convolution counts as the product that it is when
its windows are laid out.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bioxedge.bridging.packed import can_pack

LARGEST = 4  # of a model's products: those that most of the time goes to


class Product(NamedTuple):
    """``[rows, inner] · [inner, columns]``."""

    rows: int
    inner: int
    columns: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inner * self.columns


class Products(TorchDispatchMode):
    """Counts the matrix products of what runs inside.

    Attributes
    ----------
    found : Counter of Product
        How many of each.
    macs : int
        Of all: linear layers, convolutions and attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Product] = Counter()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all."""
        return sum(product.macs * count for product, count in self.found.items())

    def largest(self) -> list[Product]:
        """Give the products that most of the work is in, the most first."""
        by_work = sorted(self.found, key=lambda one: -one.macs * self.found[one])
        return by_work[:LARGEST]

    def __torch_dispatch__(self, what: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        """Look at an operation on its way."""
        out = what(*given, **(named or {}))
        name = str(what)
        if name.startswith(("aten.mm", "aten.addmm")):
            a, b = given[-2:]
            self.found[Product(a.shape[0], a.shape[1], b.shape[1])] += 1
        elif name.startswith(("aten.bmm", "aten.baddbmm")):
            a, b = given[-2:]
            self.found[Product(a.shape[1], a.shape[2], b.shape[2])] += a.shape[0]
        elif name.startswith("aten._scaled_dot_product") and "backward" not in name:
            q, k, v = given[:3]
            heads = math.prod(q.shape[:-2])
            self.found[Product(q.shape[-2], q.shape[-1], k.shape[-2])] += heads
            self.found[Product(q.shape[-2], k.shape[-2], v.shape[-1])] += heads
        elif name.startswith(("aten.convolution.", "aten._convolution.")):
            x, weight = given[:2]
            # Of a group, for all samples: outputs by weights of one output, by outputs a group.
            groups = x.shape[1] // weight.shape[1]
            rows = out.shape[0] * math.prod(out.shape[2:])
            inner = math.prod(weight.shape[1:])
            self.found[Product(rows, inner, weight.shape[0] // groups)] += groups
        return out


def products_of(run: Callable[[], Any]) -> Products:
    """Count what a call multiplies."""
    counted = Products()
    with counted:
        run()
    return counted


class Rates:
    """Times products, a turn at a time, in every library; keeps the best.

    Parameters
    ----------
    products : list of Product
    precision : {"fp32", "bf16"}

    Attributes
    ----------
    best : dict of str to float
        Multiply-accumulates a second, by library.
    """

    def __init__(self, products: list[Product], precision: str = "fp32") -> None:
        self.best: dict[str, float] = {}
        kind = torch.float32 if precision == "fp32" else torch.bfloat16
        self._runs: list[tuple[str, int, Callable[[], Any]]] = []
        for product in products:
            a = torch.randn(product.rows, product.inner, dtype=kind)
            b = torch.randn(product.columns, product.inner, dtype=kind)
            out = torch.empty(product.rows, product.columns, dtype=kind)
            self._add("torch", product, lambda a=a, b=b.T, out=out: torch.mm(a, b, out=out))
            if can_pack():
                ops = torch.ops.mkldnn
                laid = ops._reorder_linear_weight(b)
                self._add(
                    "oneDNN, packed",
                    product,
                    lambda a=a, laid=laid, ops=ops: ops._linear_pointwise(
                        a, laid, None, "none", [], ""
                    ),
                )
            if precision == "fp32":
                mine, theirs = a.numpy(), np.ascontiguousarray(b.numpy().T)
                where = out.numpy()
                self._add(
                    "numpy's BLAS",
                    product,
                    lambda a=mine, b=theirs, out=where: np.matmul(a, b, out=out),
                )

    def _add(self, library: str, product: Product, run: Callable[[], Any]) -> None:
        with torch.inference_mode():
            run()
        self._runs.append((library, product.macs, run))

    @torch.inference_mode()
    def turn(self, seconds: float = 0.02) -> float:
        """Time each for so long; give the best rate of all turns so far."""
        for library, macs, run in self._runs:
            began = time.perf_counter()
            while time.perf_counter() - began < seconds:
                start = time.perf_counter()
                run()
                took = time.perf_counter() - start
                self.best[library] = max(self.best.get(library, 0.0), macs / took)
        return max(self.best.values())
