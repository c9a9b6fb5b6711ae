"""Who is in which part: by person, always; nothing is trained on test people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bioxedge.errors import RecipeError


@dataclass(frozen=True)
class People:
    """Three groups that share nobody.

    Attributes
    ----------
    head : tuple of str
        Their labels train the teacher.
    pair : tuple of str
        Their simultaneous recordings train the bridge; their labels are not read.
    test : tuple of str
        Only evaluated on.
    """

    head: tuple[str, ...]
    pair: tuple[str, ...]
    test: tuple[str, ...]


def split_people(
    people: Mapping[str, float],
    *,
    folds: int,
    fold: int,
    head_share: float = 0.5,
    seed: int = 0,
) -> People:
    """Deal people out to test, head and pair so that a value is spread evenly.

    People are sorted by the value and dealt in blocks, at random within a block: each fold
    gets one of every ``folds`` neighbours, so the parts see the same range. Over all folds
    everyone is tested once.

    Parameters
    ----------
    people : mapping of str to float
        Each person's value (a mean heart rate, say; 0 for all deals at random).
    folds, fold : int
        How many parts, and which of them is tested.
    head_share : float
        Of those who are not tested, how many label.
    seed : int

    Raises
    ------
    RecipeError
        Too few people for three parts that all have somebody.
    """
    rng = np.random.default_rng([seed, 0])
    # A random order first, so that equal values are not dealt by name.
    names = [str(name) for name in rng.permutation(sorted(people))]
    names.sort(key=lambda name: people[name])
    number: dict[str, int] = {}
    for start in range(0, len(names), folds):
        block = names[start : start + folds]
        for name, k in zip(block, rng.permutation(folds), strict=False):
            number[name] = int(k)
    test = [name for name in names if number[name] == fold]
    rest = [name for name in names if number[name] != fold]
    # Error diffusion along the sorted values: head people stand evenly among the others.
    rng = np.random.default_rng([seed, 1, fold])
    debt = float(rng.random())
    head: list[str] = []
    for name in rest:
        debt += head_share
        if debt >= 1:
            debt -= 1
            head.append(name)
    pair = [name for name in rest if name not in head]
    if not (test and head and pair):
        raise RecipeError(
            f"{len(people)} people cannot be split into {folds} folds with a head share of "
            f"{head_share:g}: test {len(test)}, head {len(head)}, pair {len(pair)}; "
            "record more people or use fewer folds"
        )
    return People(tuple(sorted(head)), tuple(sorted(pair)), tuple(sorted(test)))
