"""What every chain must hold, tried on one of them: cuts, slices, modes, gradients, export."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.errors import ModelError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain, Cut
from bioxedge.models.own import said

ROUNDING = 1e-5
"""How far a window alone may be from the same one in a batch, relative to the largest value."""
EXPORTED = 1e-4
"""How far ONNX Runtime may be from torch, relative to the largest value."""


@dataclass(frozen=True)
class Checked:
    """What was found of a chain.

    Attributes
    ----------
    name : str
    samples : int
    cuts : tuple of Cut
        As declared; empty where they could not be.
    held : tuple of str
        What holds, in words.
    faults : tuple of str
        What does not, in words.
    """

    name: str
    samples: int
    cuts: tuple[Cut, ...]
    held: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is at fault."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "samples": self.samples,
            "cuts": [{"tokens": cut.tokens, "features": cut.features} for cut in self.cuts],
            "held": list(self.held),
            "faults": list(self.faults),
            "pass": self.ok,
        }

    def lines(self) -> list[str]:
        """Say it in lines of text."""
        found = [f"{self.name}, windows of {self.samples} samples"]
        found += [
            f"  cut {k:<3} {cut.tokens} tokens of {cut.features} features"
            for k, cut in enumerate(self.cuts)
        ]
        found += [f"  holds   {text}" for text in self.held]
        found += [f"  FAULT   {text}" for text in self.faults]
        return [*found, "PASS" if self.ok else "FAIL"]


def check(chain: Chain, samples: int, *, export: bool = True) -> Checked:
    """Hold a whole chain to what the rest of the package relies on.

    Parameters
    ----------
    chain : Chain
        Whole; left as it is.
    samples : int
        Length of a window that it takes.
    export : bool
        Whether it is exported, too, which takes longest.

    Returns
    -------
    Checked

    Raises
    ------
    ModelError
        A slice, or a length that it does not take.
    """
    if chain.stem is None or chain.first or len(chain) != chain.whole:
        raise ModelError(f"a whole chain is checked, not {chain.extra_repr()}: give it uncut")
    cuts = tuple(chain.cut(k, samples) for k in range(len(chain) + 1))
    with torch.random.fork_rng(devices=[]):
        trial = _Trial(copy.deepcopy(chain).freeze(), samples, cuts)
        held, faults = [], []
        for title, ask in trial.questions(export):
            try:
                found = list(ask())
            except Exception as error:  # whatever somebody's modules raise
                found = [f"{title}: it cannot be tried, {said(error)}"]
            faults += found
            held += [] if found else [title]
    return Checked(chain.name, samples, cuts, tuple(held), tuple(faults))


class _Trial:
    """One frozen copy of a chain, and a batch for it."""

    def __init__(self, chain: Chain, samples: int, cuts: tuple[Cut, ...]) -> None:
        self.chain, self.cuts = chain, cuts
        generator = torch.Generator().manual_seed(1)
        self.x = torch.rand(2, chain.channels, samples, generator=generator) * 2 - 1

    def questions(self, export: bool) -> list[tuple[str, Callable[[], Iterator[str]]]]:
        """Give what is asked, in words, and how."""
        asked = [
            ("every cut is as declared, contiguous and finite", self._shapes),
            ("it answers alike twice, in whatever mode its parent is", self._modes),
            ("a window's answer is its own, whatever else is in the batch", self._batch),
            ("all weights learn", self._learns),
            ("saved and read again it is the same", self._saved),
        ]
        if self.chain.layout.tailless() is None:
            asked[1:1] = [
                ("two halves are the whole at every cut, to the bit", self._slices),
                ("gradients pass its frozen tails", self._gradients),
            ]
        if export:
            asked.append(("it exports to ONNX and answers as torch does", self._exports))
        return asked

    @torch.no_grad()
    def _shapes(self) -> Iterator[str]:
        before = self.x.clone()
        for k, h in enumerate(self.chain.activations(self.x)):
            wanted = [2, *self.cuts[k]]
            if list(h.shape) != wanted:
                yield f"cut {k} is {list(h.shape)}, declared was {wanted}: correct its config"
            if not h.is_contiguous():
                yield f"cut {k} is not contiguous: let the layout's leave make it so"
            if not h.isfinite().all():
                yield f"cut {k} is not finite for values between -1 and 1"
        if not torch.equal(before, self.x):
            yield "the window it was given is changed: use no operation in place on it"

    @torch.no_grad()
    def _slices(self) -> Iterator[str]:
        whole = self.chain(self.x)
        for k, h in enumerate(self.chain.activations(self.x)):
            if not torch.equal(self.chain[:k](self.x), h):
                yield f"chain[:{k}] does not give what the whole has at cut {k}"
            given = h.clone()
            self.chain(-0.5 * self.x)  # what a block has kept must not help its tail
            rest = self.chain[k:](given)
            if not torch.equal(rest, whole):
                off = (rest - whole).abs().max().item() if rest.shape == whole.shape else "shape"
                yield (
                    f"chain[{k}:] on cut {k} is not the whole (off by {off}): a block must need "
                    "nothing but what the one before it gives, in the same layout"
                )

    @torch.no_grad()
    def _modes(self) -> Iterator[str]:
        before = {key: value.clone() for key, value in self.chain.state_dict().items()}
        once = self.chain(self.x)
        if not torch.equal(self.chain(self.x), once):
            yield "it answers twice with different values: dropout must obey self.training"
        torch.nn.Sequential(self.chain).train()
        if any(module.training for module in self.chain.modules()):
            yield "a parent's train() reaches its modules though it is frozen"
        if not torch.equal(self.chain(self.x), once):
            yield "frozen, it answers differently once a parent was put in training mode"
        changed = [
            key for key, value in self.chain.state_dict().items() if not value.equal(before[key])
        ]
        if changed:
            yield f"a pass changes {', '.join(changed)} though it is frozen"

    @torch.no_grad()
    def _batch(self) -> Iterator[str]:
        together = self.chain(self.x)
        alone = torch.cat([self.chain(row[None]) for row in self.x])
        off = (together - alone).abs().max() / together.abs().max().clamp_min(1e-30)
        if off > ROUNDING:
            yield (
                f"a window alone differs from the same one in a batch by {off:.1e} of the largest "
                "value: norms must not use the batch's statistics, reshapes must keep rows apart"
            )

    def _gradients(self) -> Iterator[str]:
        with torch.no_grad():
            cuts = [h.clone() for h in self.chain.activations(self.x)]
        for k, h in enumerate(cuts[:-1]):
            given = h.requires_grad_()
            self.chain[k:](given).square().mean().backward()
            if given.grad is None or not given.grad.isfinite().all():
                yield f"the gradient at cut {k} is not finite"
            elif not given.grad.any():
                yield f"no gradient arrives at cut {k}: a bridge there could not be trained"

    def _learns(self) -> Iterator[str]:
        chain = copy.deepcopy(self.chain).thaw()
        chain(self.x).square().mean().backward()
        named = dict(chain.named_parameters())
        without = [key for key, value in named.items() if value.grad is None]
        wild = [
            key
            for key, value in named.items()
            if value.grad is not None and not value.grad.isfinite().all()
        ]
        if without:
            yield f"no gradient reaches {_some(without)}: leave out what computes nothing"
        if wild:
            yield f"the gradients of {_some(wild)} are not finite"

    @torch.no_grad()
    def _saved(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "chain.safetensors"
            checkpoint.save(self.chain, path)
            if self.chain.name not in models.names() and ":" not in self.chain.name:
                return  # nobody could make it again by its name
            again = models.load(self.chain.name, path)
            if not torch.equal(again(self.x), self.chain(self.x)):
                yield "read again from a file it answers differently: is a tensor no buffer?"

    @torch.no_grad()
    def _exports(self) -> Iterator[str]:
        # The one arrow upwards: what is tried is what a bundle would hold.
        from bioxedge.exporting.onnx import graph_of

        middle = len(self.chain) // 2
        one = self.x[:1]
        parts = {"the whole": (self.chain, one)}
        if self.chain.layout.tailless() is None:
            cut = self.chain[:middle](one)
            parts = {
                f"chain[:{middle}]": (self.chain[:middle], one),
                f"chain[{middle}:]": (self.chain[middle:], cut),
            }
        for title, (part, given) in parts.items():
            wanted = part(given)
            found = _answer(graph_of(part, given), given)
            off = _off(wanted, found)
            if not off <= EXPORTED:
                yield f"{title} answers differently in ONNX Runtime, by {off:.1e} of the largest"


def _answer(graph: bytes, given: Tensor) -> Any:
    """Run a graph in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it refuses becomes an error, said once
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: given.numpy()})[0]


def _off(wanted: Tensor, found: Any) -> float:
    """Give the largest difference, relative to the largest value."""
    expected = wanted.numpy()
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected - found).max() / max(np.abs(expected).max(), 1e-30))


def _some(keys: list[str]) -> str:
    """Name a few of many keys."""
    return ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
