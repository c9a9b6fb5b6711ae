"""What training scripts store beside weights: held, never made into what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Objects that training scripts store beside the weights: options, numbers, paths. They are
# read as `Inert`, never as what they are called; anything else makes a file refused.
BESIDE = (
    "argparse.Namespace",
    "_codecs.encode",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.*",
    "pathlib.*Path",
)


class Inert:
    """Stands for an object stored in a checkpoint: it holds what was stored and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __hash__(self) -> int:
        return id(self)


def plain(value: Any) -> Any:
    """Give what an `Inert` object stored as plain values, nested ones too, where it is known.

    An options object is its dictionary; a node of an OmegaConf configuration is its content.
    """
    if isinstance(value, Inert):
        state = getattr(value, "state", None)
        if isinstance(state, Mapping):
            for key in ("_content", "_val"):
                if key in state:
                    return plain(state[key])
            return plain(state)
        return None
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value
