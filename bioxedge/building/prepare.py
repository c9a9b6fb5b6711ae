"""Recordings cut into windows, people dealt out, classes set: what everything is learnt from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bioxedge.bridging.split import People, split_people
from bioxedge.building.store import Store, Values, digest_of, key_of
from bioxedge.datasets import bidmc, folder, simulated
from bioxedge.datasets.pair import Pair
from bioxedge.datasets.windowed import PairedWindows, windowed
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.recipes import Recipe, section


@dataclass(frozen=True)
class Prepared:
    """Windows, who is in which part, and the classes.

    Attributes
    ----------
    windows : PairedWindows
    people : People
    bounds : ndarray of float64, shape [classes − 1], optional
        Where bands meet; from the head people's windows alone.
    labels : ndarray of int64, shape [n]
        −1 where there is none.
    key : str
        Hash of all of it.
    """

    windows: PairedWindows
    people: People
    bounds: npt.NDArray[np.float64] | None
    labels: npt.NDArray[np.int64]
    key: str

    def of(self, *groups: str, labelled: bool = False) -> npt.NDArray[np.intp]:
        """Indices of the windows of some groups (``head``, ``pair``, ``test``)."""
        names = [name for group in groups for name in getattr(self.people, group)]
        chosen = np.isin(self.windows.person, names)
        return np.flatnonzero(chosen & (self.labels >= 0) if labelled else chosen)


def seed_of(recipe: Recipe, name: str) -> int:
    """Give each step its own seed, fixed by the recipe's."""
    return int.from_bytes(hashlib.sha256(f"{recipe.seed}/{name}".encode()).digest()[:4], "big")


def recordings(recipe: Recipe, data: Path | None) -> tuple[Callable[[], list[Pair]], str]:
    """Find the recordings: what reads them, and a hash of them.

    Raises
    ------
    DatasetError
        They are not where they are said to be.
    """
    wanted = recipe.data
    if wanted.dataset == "simulated":
        facts = section(wanted)
        return (
            lambda: simulated.wearers(
                count=wanted.wearers, minutes=wanted.minutes, seed=wanted.seed
            ),
            key_of(facts),
        )
    root = data
    if root is None and "BIOXEDGE_SHARED" in os.environ:
        root = Path(os.environ["BIOXEDGE_SHARED"]) / "data"
    if root is None:
        raise DatasetError(
            f"the recipe wants the recordings of {wanted.folder!r}: name the directory that "
            "holds it with --data (or BIOXEDGE_SHARED, for its data/)"
        )
    place = root / wanted.folder
    if not place.is_dir():
        raise DatasetError(
            f"{place} is not there: the recipe wants the recordings of {wanted.folder!r} in "
            "the directory that --data names"
        )
    read = bidmc.load if wanted.dataset == "bidmc" else folder.load
    return (lambda: read(place)), digest_of(place)


def prepare(recipe: Recipe, data: Path | None, store: Store) -> Prepared:
    """Cut windows, deal people out and set the classes.

    Raises
    ------
    DatasetError, RecipeError
        Recordings, people or labels that do not suffice.
    """
    load, digest = recordings(recipe, data)
    key = key_of(section(recipe.source, recipe.target, recipe.task), digest)

    def make(report: Any, _: Path) -> Values:
        found = windowed(load(), recipe)
        return {
            name: value.tolist() if value.dtype.kind == "U" else torch.from_numpy(value)
            for name, value in vars(found).items()
        }

    values = store.step("windows", "Recordings cut into paired windows", key, make)
    windows = PairedWindows(
        **{
            name: np.array(value) if isinstance(value, list) else value.numpy()
            for name, value in values.items()
        }
    )
    split = recipe.split
    known = np.isfinite(windows.value)
    mean = {
        str(person): float(own.mean()) if len(own) else 0.0
        for person in np.unique(windows.person)
        for own in [windows.value[known & (windows.person == person)]]
    }
    people = split_people(
        mean, folds=split.folds, fold=split.fold, head_share=split.head_share, seed=split.seed
    )
    bounds, labels = _classes(recipe, windows, people)
    return Prepared(windows, people, bounds, labels, key_of(key, section(split)))


def _classes(
    recipe: Recipe, windows: PairedWindows, people: People
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.int64]]:
    """Turn the reference into classes; bands from the head people alone."""
    classes = len(recipe.task.labels)
    known = np.isfinite(windows.value)
    if recipe.task.rule == "classes":
        labels = np.where(known, np.nan_to_num(windows.value), -1).astype(np.int64)
        if labels.max(initial=-1) >= classes or (windows.value[known] < 0).any():
            raise RecipeError(
                f"the reference holds class {int(labels.max())}, the recipe names {classes} "
                "labels - at `$.task.labels`"
            )
        return None, labels
    own = windows.value[known & np.isin(windows.person, people.head)]
    if len(own) == 0:
        raise DatasetError(
            f"no window of {', '.join(people.head)} has a known {recipe.task.channel}: bands "
            "cannot be set without it"
        )
    bounds = np.quantile(own, np.arange(1, classes) / classes)
    labels = np.where(known, np.digitize(np.nan_to_num(windows.value), bounds), -1)
    return bounds, labels.astype(np.int64)
