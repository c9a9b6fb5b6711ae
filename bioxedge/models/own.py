"""Models that somebody brings: registered under a name, or a function in a module of theirs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from bioxedge.errors import MissingExtraError, ModelError
from bioxedge.models import cards
from bioxedge.models.cards import CARDS, Card

if TYPE_CHECKING:
    from bioxedge.models.chain import Chain

Factory = Callable[..., "Chain"]
Keys = Callable[[str], "str | None"]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__bioxedge_model__"
_REGISTERED: dict[str, Own] = {}
_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


@dataclass(frozen=True)
class Own:
    """A model that is not one of ours.

    Attributes
    ----------
    name : str
        For `create`, `load` and recipes.
    factory : callable
        Options by name to a whole chain.
    card : Card
        With `name`.
    keys : callable or None
        A key of its published checkpoint to that of the chain, or to None for what is dropped.
    """

    name: str
    factory: Factory
    card: Card
    keys: Keys | None

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What the function takes, by name."""
        return dict(inspect.signature(self.factory).parameters)

    def takes(self, option: str) -> bool:
        """Say whether the function has a parameter of that name."""
        found = self.parameters
        return option in found or any(each.kind is each.VAR_KEYWORD for each in found.values())

    def stated(self, options: dict[str, Any]) -> dict[str, Any]:
        """Give all options, those that were left out as the function has them.

        Raises
        ------
        ModelError
            One that it does not take, or that is missing.
        """
        try:
            inspect.signature(self.factory).bind(**options)
        except TypeError as error:
            known = ", ".join(self.parameters) or "none"
            unknown = [key for key in options if not self.takes(key)]
            what = f"has no option {', '.join(unknown)}" if unknown else str(error)
            raise ModelError(f"{self.name} {what}: it takes {known}") from error
        left = {
            key: each.default
            for key, each in self.parameters.items()
            if each.default is not each.empty and isinstance(each.default, _PLAIN)
        }
        return {**left, **options}


def register(
    name: str, factory: Factory, *, card: Card | None = None, keys: Keys | None = None
) -> None:
    """Let `create`, `load`, `check` and recipes find a model of one's own, in this process.

    A command line is another process: there, mark the function with `own_model` and write
    ``package.module:function`` in the recipe.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``; none of the published models'.
    factory : callable
        Takes options by name, returns a whole `Chain`; see `chain_of`.
    card : Card, optional
        What the model is fed, and on what terms its weights are; what is left out counts as not
        stated, and is then held to nothing.
    keys : callable, optional
        See `Own`; the checkpoint's keys are the chain's where it is left out.

    Raises
    ------
    ModelError
        A name that is taken, or none; something that is not a function.
    """
    if not name or not all(part.isalnum() or part in "_-." for part in name):
        raise ModelError(f"{name!r} is no name for a model: use letters, digits, _, - and .")
    if name in CARDS:
        raise ModelError(f"{name} is the name of a published model: choose another")
    _REGISTERED[name] = _own(name, factory, card, keys)
    cards.remember(_REGISTERED[name].card)


def own_model(card: Card | None = None, *, keys: Keys | None = None) -> Callable[[F], F]:
    """Mark a function that makes a chain, so that a recipe may name it.

    A recipe may come from anywhere, and would otherwise have any function of any module called
    with what it likes: only marked ones are.

    Parameters
    ----------
    card, keys
        See `register`.
    """
    if card is not None and not isinstance(card, Card):
        raise ModelError("own_model is called: write @own_model() above the function")

    def mark(function: F) -> F:
        setattr(function, _MARK, (card, keys))
        return function

    return mark


def registered() -> tuple[str, ...]:
    """Give the names that `register` was told, in alphabetical order."""
    return tuple(sorted(_REGISTERED))


def find(name: str) -> Own:
    """Find a model of one's own; a function's module is imported.

    Raises
    ------
    ModelError
        No such name, module or function, one that is not marked, or a module that fails.
    MissingExtraError
        The module needs a library that an extra brings.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    cards.card(name)  # refuses what is no name
    place, _, wanted = name.partition(":")
    module = _imported(place)
    function = getattr(module, wanted, None)
    marked = [key for key, value in vars(module).items() if hasattr(value, _MARK)]
    if function is None:
        offered = f"it has {', '.join(marked)}" if marked else "none there is marked as a model"
        raise ModelError(f"{place} has no function {wanted}: {offered}")
    if not hasattr(function, _MARK):
        raise ModelError(
            f"{name} is not marked as a model: write @bioxedge.models.own_model() above it; a "
            "recipe calls nothing else"
        )
    return _own(name, function, *getattr(function, _MARK))


def _own(name: str, factory: Factory, card: Card | None, keys: Keys | None) -> Own:
    """Put a model's name on its card."""
    if not callable(factory):
        raise ModelError(f"{name} is made by a function that returns a chain, not {factory!r}")
    about = card or Card(name)
    return Own(name, factory, replace(about, name=name, title=about.title or name), keys)


def _imported(place: str) -> Any:
    """Import somebody's module; whatever goes wrong in it is one line."""
    if place in sys.modules:
        return sys.modules[place]
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if place == missing or place.startswith(f"{missing}."):
            raise ModelError(
                f"there is no module {missing}: install it, or put the folder that holds it into "
                "PYTHONPATH"
            ) from error
        if missing.partition(".")[0] in ("torch", "transformers", "safetensors"):
            raise MissingExtraError(missing.partition(".")[0], "train") from error
        raise ModelError(f"{place} needs {missing}, which is not installed: install it") from error
    except (Exception, SystemExit) as error:  # whatever somebody's module raises
        raise ModelError(f"{place} cannot be imported: {said(error)}") from error


def said(error: BaseException) -> str:
    """Give another library's error as one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
