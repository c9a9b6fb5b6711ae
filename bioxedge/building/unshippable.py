"""Builds without a bundle: what is learnt from windows that no device can compute.

A recipe asks for them by ``preprocessing = "reference"`` on a side; ``bioxedge build --beside
reference`` makes one beside a causal build, from the same windows in time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.preparation import Prepared, prepare
from bioxedge.building.seen import see
from bioxedge.building.store import Store
from bioxedge.datasets import noncausal
from bioxedge.errors import DatasetError, ExportError, RecipeError, StorageError
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe

STREAMING, REFERENCE = "streaming", "reference"
SIDES = ("source", "target")


def preprocessing_of(recipe: Recipe) -> dict[str, str]:
    """Say of each side what is done to whole recordings; nothing of one that is streamed."""
    sides = ((name, getattr(recipe, name)) for name in SIDES)
    return {name: noncausal.said(side) for name, side in sides if side.preprocessing == REFERENCE}


def refuse(recipe: Recipe) -> None:
    """Refuse a recipe that no device can follow.

    Raises
    ------
    ExportError
        One of its sides takes whole recordings.
    """
    for name in SIDES:
        if getattr(recipe, name).preprocessing == REFERENCE:
            raise ExportError(
                f'the {name}\'s windows are cut from whole recordings (preprocessing = "reference"'
                "), which no device can do: there is no bundle of that; leave it out - "
                f"at `$.{name}.preprocessing`"
            )


def told(recipe: Recipe) -> str:
    """Say in one line why a build ends without a bundle."""
    sides = " and ".join(preprocessing_of(recipe))
    return (
        f"No bundle: windows of the {sides} are cut from whole recordings (preprocessing = "
        '"reference"), which no device can do; these figures are for comparison'
    )


def check(recipe: Recipe, beside: str, out: Path) -> bool:
    """Hold what is asked for against what there is, before anything is computed.

    Parameters
    ----------
    recipe : Recipe
    beside : str
        ``reference``, or nothing.
    out : Path
        Where the build goes.

    Returns
    -------
    bool
        Whether there will be a bundle.

    Raises
    ------
    RecipeError
        Something else is to stand beside, or the recipe is not causal itself.
    SignalError
        A stage that has no counterpart over a whole recording.
    StorageError
        A bundle lies where one that has none would be described.
    """
    if beside not in ("", REFERENCE):
        raise RecipeError(f"{beside!r} cannot stand beside a build: reference can, or nothing")
    sides = preprocessing_of(recipe)
    if not sides:
        if beside:
            preprocessing_of(reference_of(recipe))  # a stage without a counterpart is found now
        return True
    if beside:
        side = next(iter(sides))
        raise RecipeError(
            f"reference is to stand beside a {side} that is reference itself: leave "
            f"preprocessing out - at `$.{side}.preprocessing`"
        )
    if (out / "bundle").exists():
        raise StorageError(
            f"{out} holds a bundle, which this report would not be about: name another --out"
        )
    return False


def reference_of(recipe: Recipe) -> Recipe:
    """Give the same recipe with both sides' windows cut from whole recordings."""
    sides = {
        name: msgspec.structs.replace(getattr(recipe, name), preprocessing=REFERENCE)
        for name in SIDES
    }
    return msgspec.structs.replace(recipe, **sides)


def prepare_beside(
    recipe: Recipe, streaming: Prepared, data: Path | None, store: Store
) -> Prepared:
    """Prepare the reference windows, and hold them to stand where the others do.

    Raises
    ------
    DatasetError
        Nothing is known of those who are tested, or recordings changed in between.
    BioxedgeError
        As of :func:`bioxedge.building.preparation.prepare`.
    """
    if streaming.agreeing:
        raise DatasetError(
            "nothing is known of the tested, and two teachers are no one truth: what being causal "
            "costs needs labels; leave --beside out"
        )
    found = prepare(reference_of(recipe), data, store)
    mine, theirs = streaming.windows, found.windows
    same = streaming.people == found.people and all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in (
            (mine.start, theirs.start),
            (mine.session, theirs.session),
            (mine.source_row, theirs.source_row),
            (mine.target_row, theirs.target_row),
            (streaming.values, found.values),
            (streaming.labels, found.labels),
        )
    )
    if not same:
        raise DatasetError(
            "windows of whole recordings do not stand where the stream's do: recordings changed "
            "while they were read; build again"
        )
    return found


def learn_beside(
    causal: Learnt,
    wanted: Recipe,
    prepared: Prepared,
    store: Store,
    base: Path,
    models: dict[str, Chain],
) -> Learnt:
    """Learn from the reference windows, with the bridge where the causal one stands.

    Chosen anew the places may differ, and a bridge's place moves its figures more than what was
    done to the signal does: then the two would not differ in that alone.

    Parameters
    ----------
    causal : Learnt
    wanted : Recipe
        From :func:`reference_of`.
    prepared : Prepared
        From :func:`prepare_beside`.
    store, base, models
        As for :func:`bioxedge.building.learnt.learn`; so are the errors.
    """
    given = wanted.bridge
    place = msgspec.structs.replace(
        given,
        source_cut=causal.source_cut,
        target_cut="head" if given.target_cut == "head" else causal.target_cut,
    )
    store.say("once more, from the same windows cut from whole recordings")
    found = learn(
        msgspec.structs.replace(wanted, bridge=place), prepared, store, base, dict(models)
    )
    if given.source_cut != "auto":
        return found
    # With its cut named, the encoder was passed up to there; the oracle reads its last one.
    return replace(found, seen=see(wanted, prepared, store, base, dict(models)))
