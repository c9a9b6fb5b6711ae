"""Foundation models, each a chain of blocks that can be cut.

::

    chain = bioxedge.models.create("papagei", base_filters=16, blocks=10)
    chain = bioxedge.models.load("papagei", "papagei_s.pt")
    source, tail = chain[:5], chain[5:]

A model of your own is a function that returns a chain (`chain_of`): marked with `own_model` it
goes by ``package.module:function``, also in a recipe, and `register` gives it a name in this
process. `check` holds it to what every chain here is held to.

Nothing here imports torch until a model is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bioxedge.errors import MissingExtraError
from bioxedge.models import cards, own
from bioxedge.models.cards import CARDS, Card
from bioxedge.models.own import own_model, register

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import ModuleType

    from torch import nn

    from bioxedge.models.chain import Chain, Layout
    from bioxedge.models.checking import Checked
    from bioxedge.models.checkpoint import Checkpoint

__all__ = [
    "card", "chain_of", "check", "create", "load", "names", "own_model", "register", "stored",
    "takes",
]  # fmt: skip

_EXTRAS = (
    ("torch", "train"),
    ("safetensors", "train"),
    ("transformers", "train"),
    ("openecg", "openecg"),
)


def names() -> tuple[str, ...]:
    """Give the names that `create` and `load` know: published models, then registered ones."""
    return (*CARDS, *own.registered())


def card(name: str) -> Card:
    """Find a model's card; the module of ``package.module:function`` is imported for it.

    Raises
    ------
    ModelError
        An unknown name, or a module that cannot be imported.
    """
    return own.find(name).card if _own(name) else cards.card(name)


def takes(name: str, option: str) -> bool:
    """Say whether a model has an option: ours do or say so; of one's own the function tells."""
    return own.find(name).takes(option) if _own(name) else True


def create(name: str, **config: Any) -> Chain:
    """Build a chain.

    Parameters
    ----------
    name : str
        One of `names`, or ``package.module:function``.
    **config
        The model's dimensions, by the names of the fields of its configuration; what is
        left out is as published. ``size`` names one of the published sizes (`card`).
        `openecg` takes ``pretrained`` only, and carries the weights of its package unless
        that is False; all others start untrained. Of one's own: what its function takes.

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
    chain: Chain = (
        _module("making").create(own.find(name), config)
        if _own(name)
        else _model(name).create(**config)
    )
    return chain


def load(name: str, checkpoint: str | Path, **config: Any) -> Chain:
    """Build a chain and fill it with the weights of a checkpoint, strictly.

    Parameters
    ----------
    name : str
        One of `names`, or ``package.module:function``.
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
    chain: Chain = (
        _module("making").load(own.find(name), checkpoint, config)
        if _own(name)
        else _model(name).load(checkpoint, **config)
    )
    return chain


def stored(name: str, checkpoint: str | Path) -> Checkpoint:
    """Read all weights of a file that is meant for a model, under the file's own key names.

    Parameters and errors as for `load`.
    """
    found: Checkpoint = (
        _module("making").stored(own.find(name), checkpoint)
        if _own(name)
        else _model(name).stored(checkpoint)
    )
    return found


def chain_of(
    stem: nn.Module,
    blocks: Iterable[nn.Module],
    *,
    samples: int,
    channels: int = 1,
    layout: Layout | None = None,
) -> Chain:
    """Make a chain of a stem and blocks; see `bioxedge.models.making.chain_of`."""
    given = {} if layout is None else {"layout": layout}
    chain: Chain = _module("making").chain_of(
        stem, blocks, samples=samples, channels=channels, **given
    )
    return chain


def check(model: str | Chain, /, *, samples: int, export: bool = True, **config: Any) -> Checked:
    """Hold a chain to all that every chain here is held to; see `bioxedge.models.checking`.

    Parameters
    ----------
    model : str or Chain
        A name as for `create`, or a whole chain.
    samples : int
        Length of a window that it takes.
    export : bool
        Whether it is exported, too, which takes longest.
    **config
        As for `create`, where a name is given.

    Returns
    -------
    Checked
        What holds and what does not, in words; ``checked.ok``, ``checked.faults``.
    """
    chain = create(model, **config) if isinstance(model, str) else model
    checked: Checked = _module("checking").check(chain, samples, export=export)
    return checked


def _own(name: str) -> bool:
    """Say whether a name is that of a model of one's own."""
    return name in own.registered() or cards.own(name)


def _model(name: str) -> ModuleType:
    return _module(cards.card(name).name)  # each is a module of this package


def _module(module: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        for package, extra in _EXTRAS:
            if (error.name or "").partition(".")[0] == package:
                raise MissingExtraError(package, extra) from error
        raise
