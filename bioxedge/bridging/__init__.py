"""What joins two frozen models: the bridge, and where to build it.

Names are fetched when they are used, so that choosing positions does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bioxedge.errors import MissingExtraError

if TYPE_CHECKING:
    from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
    from bioxedge.bridging.positions import Positions, linear_cka, select_positions

__all__ = ["Positions", "PrototypeBridge", "TokenMean", "linear_cka", "select_positions"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "bridge" if name in ("PrototypeBridge", "TokenMean") else "positions"
    try:
        return getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("torch", "train") from error
