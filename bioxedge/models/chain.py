"""A foundation model as a stem and an ordered list of blocks that can be cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from operator import index
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from bioxedge.errors import ModelError
from bioxedge.models.cards import NOT_STATED, card
from bioxedge.models.layout import FEATURES_FIRST, TOKENS, FeaturesFirst, Grouped, Layout

__all__ = [
    "FEATURES_FIRST",
    "TOKENS",
    "Chain",
    "Config",
    "Cut",
    "FeaturesFirst",
    "Grouped",
    "Layout",
    "configure",
]


class Cut(NamedTuple):
    """What stands at a cut: activations are ``[batch, tokens, features]``."""

    tokens: int
    features: int


class Config(Protocol):
    """The dimensions of a model: a frozen dataclass that also declares its cuts."""

    @property
    def channels(self) -> int:
        """Number of input channels."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""

    def tokens(self, k: int, samples: int) -> int:
        """Tokens at cut `k` for that many input samples; ModelError if they do not fit."""

    def features(self, k: int) -> int:
        """Features at cut `k`."""


C = TypeVar("C")


def configure(kind: type[C], name: str, options: dict[str, Any]) -> C:
    """Build a configuration from options by name.

    ``size`` names one of the model's published sizes; whatever else is given beside it wins.

    Raises
    ------
    ModelError
        An unknown option or size, naming the known ones.
    """
    if "size" in options:
        sizes = {size.name: size.options for size in card(name).sizes}
        if options["size"] not in sizes:
            raise ModelError(
                f"{name} has no size {options['size']!r}: choose one of {', '.join(sizes)}"
            )
        given = {key: value for key, value in options.items() if key != "size"}
        options = {**sizes[options["size"]], **given}
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ModelError(
            f"{name} has no option {', '.join(unknown)}: it takes {', '.join(known) or 'none'}"
        )
    return kind(**options)


class Chain(nn.Module):
    """A stem, then blocks: ``chain[:k]`` produces cut k, ``chain[k:]`` consumes it.

    Cut 0 is the embedded input and cut ``len(chain)`` of a whole chain is the last block's
    output. At every cut the activation is ``[batch, tokens, features]``, whatever the
    model uses inside.

    **Slices.** ``chain[:k]`` starts where the chain starts, that is with the stem if it
    has one; ``chain[0:k]`` starts from the tokens of cut 0. A slice shares its weights
    with the chain it came from and holds only the modules that it needs. **A cut keeps
    its number in every slice**: with ``tail = chain[3:]``, ``tail[5:]`` is ``chain[5:]``,
    and ``tail[:2]`` is an error. ``len`` counts the blocks a slice holds, and its cuts are
    ``first`` to ``last``.

    Parameters
    ----------
    stem : Module or None
        ``[batch, channels, samples]`` to the model's own layout; None if the chain starts
        from tokens.
    blocks : iterable of Module
        Each keeps the model's own layout.
    config : Config
        The dimensions of the *whole* model.
    name : str
        The model's name in `bioxedge.models`; `create` gives it to a model of one's own.
    origin, licence : str
        Where the weights come from and on what terms (SPDX where there is one).
    layout : Layout
        How the blocks keep what passes between them; it is changed at the two ends of a run
        only.
    first : int
        The number of the cut that the first block consumes.

    Attributes
    ----------
    sha256 : str or None
        That of the checkpoint the weights were loaded from.
    whole : int
        Blocks of the whole model.
    stated : dict or None
        What the function of one's own model was told.
    code : str
        A hash of the files that say what one's own model computes; empty for ours.
    """

    def __init__(
        self,
        stem: nn.Module | None,
        blocks: Iterable[nn.Module],
        *,
        config: Config,
        name: str = "own",
        origin: str = NOT_STATED,
        licence: str = NOT_STATED,
        layout: Layout = TOKENS,
        first: int = 0,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.name = name
        self.config = config
        self.channels = config.channels
        self.origin = origin
        self.licence = licence
        self.layout = layout
        self.first = first
        self.last = first + len(self.blocks)
        self.whole = len(self.blocks)
        self.sha256: str | None = None
        self.stated: dict[str, Any] | None = None
        self.code = ""
        self.frozen = False

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, samples]``, or the tokens of cut `first`, to those of `last`."""
        h = self._enter(x)
        for block in self.blocks:
            h = self.layout.settle(block(h))
        return self.layout.leave(h)

    def activations(self, x: Tensor) -> Iterator[Tensor]:
        """Give every cut from `first` to `last`, ``[batch, tokens, features]``, in one pass."""
        h = self._enter(x)
        yield self.layout.leave(h)
        for block in self.blocks:
            h = self.layout.settle(block(h))
            yield self.layout.leave(h)

    def cut(self, k: int, samples: int) -> Cut:
        """Say what stands at cut `k` when the whole chain is given that many samples.

        Raises
        ------
        ModelError
            If this chain has no cut `k`, or the model cannot take so many samples.
        """
        k = self._bound(k)
        if samples < 1:
            raise ModelError(f"{samples} samples are too few: {self.name} needs at least 1")
        return Cut(self.config.tokens(k, samples), self.config.features(k))

    def options(self) -> dict[str, Any]:
        """Give what `bioxedge.models.create` was told of the whole model, or could have been."""
        if self.stated is not None:
            return dict(self.stated)
        # A chain that no function of a name has made could not be made again.
        return asdict(self.config) if is_dataclass(self.config) else {}

    def freeze(self) -> Chain:
        """Fix the weights and stay in evaluation mode, whatever a parent's `train` says.

        Without the second half, ``bridged.train()`` would let a frozen encoder's batch
        norm drift and its dropout speak. A slice of a frozen chain is frozen.
        """
        self.requires_grad_(False)
        self.frozen = True
        self.eval()
        return self

    def thaw(self) -> Chain:
        """Undo `freeze`, in training mode; thaw a deep copy to keep the frozen one as it is."""
        self.frozen = False
        self.requires_grad_(True)
        return self.train()

    def train(self, mode: bool = True) -> Chain:
        """Set training mode, unless the chain is frozen."""
        super().train(mode and not self.frozen)
        return self

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, part: slice) -> Chain:
        if not isinstance(part, slice):
            raise ModelError(
                f"chain[{part!r}] is not a cut: write chain[:k] for what produces cut k, "
                f"chain[k:] for what consumes it"
            )
        if part.step not in (None, 1):
            raise ModelError(f"a chain is cut in steps of 1, not {part.step}: its blocks follow on")
        start = self.first if part.start is None else self._bound(part.start)
        stop = self.last if part.stop is None else self._bound(part.stop)
        if start > stop:
            raise ModelError(f"cut {start} comes after cut {stop}: swap the ends of the slice")
        if part.start is not None and (why := self.layout.tailless()) is not None:
            raise ModelError(f"{self.name} has no part that starts from tokens: {why}")
        piece = Chain(
            self.stem if part.start is None else None,
            list(self.blocks)[start - self.first : stop - self.first],
            name=self.name,
            config=self.config,
            origin=self.origin,
            licence=self.licence,
            layout=self.layout,
            first=start,
        )
        piece.sha256, piece.frozen = self.sha256, self.frozen
        piece.whole, piece.stated, piece.code = self.whole, self.stated, self.code
        # The blocks are shared and know their mode; only the new containers must be told.
        piece.training = piece.blocks.training = self.training
        return piece

    def extra_repr(self) -> str:
        """Name the model and the cuts."""
        return f"{self.name}, cuts {self.first} to {self.last}"

    def _bound(self, k: int) -> int:
        try:
            k = index(k)
        except TypeError:
            raise ModelError(f"a cut is a whole number, not {k!r}") from None
        if not self.first <= k <= self.last:
            raise ModelError(
                f"there is no cut {k}: this part of {self.name} has cuts "
                f"{self.first} to {self.last}, counted from the start"
            )
        return k

    def _enter(self, x: Tensor) -> Any:
        """To the model's own layout, through the stem if there is one."""
        if self.stem is not None:
            if x.ndim != 3 or x.shape[1] != self.channels:
                raise ModelError(
                    f"{self.name} takes [batch, {self.channels}, samples], got {list(x.shape)}"
                )
            if not torch.compiler.is_compiling():  # what is traced was tried before
                self.config.tokens(0, x.shape[2])  # refuses a length that the model cannot take
            return self.layout.settle(self.stem(x))
        features = self.config.features(self.first)
        if x.ndim != 3 or x.shape[2] != features:
            raise ModelError(
                f"cut {self.first} of {self.name} is [batch, tokens, {features}], "
                f"got {list(x.shape)}"
            )
        return self.layout.enter(x)
