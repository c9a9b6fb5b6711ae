"""How blocks keep what passes between them, and how that becomes tokens at a cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


class Layout:
    """How a model keeps what passes between its blocks: here as ``[batch, tokens, features]``.

    Everything is contiguous at a cut: the strides choose the kernel, and with it the last
    bits, so a block must meet the same strides in a slice as in the whole.
    """

    def enter(self, tokens: Tensor) -> Any:
        """``[batch, tokens, features]`` to the model's own layout."""
        return tokens.contiguous()

    def leave(self, native: Any) -> Tensor:
        """Give the model's own layout as ``[batch, tokens, features]``."""
        tokens: Tensor = native
        return tokens

    def settle(self, native: Any) -> Any:
        """Make what a stem or a block gave contiguous."""
        return native.contiguous()

    def tailless(self) -> str | None:
        """Say why no tail can run from tokens alone; None where one can."""
        return None


class FeaturesFirst(Layout):
    """``[batch, features, tokens]``, as one-dimensional convolutions have it."""

    def enter(self, tokens: Tensor) -> Tensor:
        """Transpose."""
        return tokens.transpose(1, 2).contiguous()

    def leave(self, native: Tensor) -> Tensor:
        """Transpose back."""
        return native.transpose(1, 2).contiguous()


@dataclass(frozen=True)
class Grouped(Layout):
    """``[batch · groups, tokens a group, features]``: each group is seen on its own."""

    groups: int

    def enter(self, tokens: Tensor) -> Tensor:
        """``[batch, groups · tokens, features]``, group after group, to a row for each."""
        batch, count, features = tokens.shape
        shape = (batch * self.groups, count // self.groups, features)
        return tokens.reshape(shape).contiguous()

    def leave(self, native: Tensor) -> Tensor:
        """Join a sample's groups again."""
        rows, count, features = native.shape
        shape = (rows // self.groups, self.groups * count, features)
        return native.reshape(shape)


TOKENS, FEATURES_FIRST = Layout(), FeaturesFirst()
