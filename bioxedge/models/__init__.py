"""Foundation models, each a chain of blocks that can be cut.

::

    chain = bioxedge.models.create("papagei", base_filters=16, blocks=10)
    chain = bioxedge.models.load("papagei", "papagei_s.pt")
    source, tail = chain[:5], chain[5:]

Nothing here imports torch until a model is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bioxedge.errors import MissingExtraError
from bioxedge.models.cards import CARDS, card

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from bioxedge.models.chain import Chain

__all__ = ["card", "create", "load", "names"]

_EXTRAS = (
    ("torch", "train"),
    ("safetensors", "train"),
    ("transformers", "train"),
    ("openecg", "openecg"),
)


def names() -> tuple[str, ...]:
    """Give the names that `create` and `load` know, in alphabetical order."""
    return tuple(CARDS)


def create(name: str, **config: Any) -> Chain:
    """Build a chain.

    Parameters
    ----------
    name : str
        One of `names`.
    **config
        The model's dimensions, by the names of the fields of its configuration; what is
        left out is as published. ``size`` names one of the published sizes (`card`).
        `openecg` takes ``pretrained`` only, and carries the weights of its package unless
        that is False; all others start untrained.

    Returns
    -------
    Chain
        The whole chain, in training mode unless it carries trained weights.

    Raises
    ------
    ModelError
        If the name or an option is unknown, or a value is out of its bounds.
    MissingExtraError
        If the library that the model needs is not installed.
    """
    chain: Chain = _module(name).create(**config)
    return chain


def load(name: str, checkpoint: str | Path, **config: Any) -> Chain:
    """Build a chain and fill it with the weights of a checkpoint, strictly.

    Parameters
    ----------
    name : str
        One of `names`.
    checkpoint : str or Path
        A file as the model's authors publish it, or one that
        `bioxedge.models.checkpoint.save` wrote; ``"pip:openecg"`` is the file inside that
        package.
    **config
        As for `create`; what the file's shapes tell may be left out. A file that `save`
        wrote, or one that stores its configuration, brings its own; options given beside
        it must agree.

    Returns
    -------
    Chain
        The whole chain in evaluation mode; ``chain.sha256`` is that of the file.

    Raises
    ------
    ModelError
        If the file cannot be read safely, or one of its keys or shapes does not fit.
    MissingExtraError
        If the library that the model needs is not installed.
    """
    chain: Chain = _module(name).load(checkpoint, **config)
    return chain


def _module(name: str) -> ModuleType:
    module = card(name).name  # each is a module of this package
    try:
        return import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        for package, extra in _EXTRAS:
            if (error.name or "").partition(".")[0] == package:
                raise MissingExtraError(package, extra) from error
        raise
