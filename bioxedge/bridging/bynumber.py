"""People dealt out by number, as published splits state them: so many of each part, by a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bioxedge.bridging.split import Able
from bioxedge.errors import RecipeError

ORDER = ("head", "validation", "pair", "test")
ROLES = ("head", "pair", "test")


def by_number(
    able: Mapping[str, Able], wanted: Mapping[str, int], *, seed: int = 0, shares: bool = False
) -> dict[str, tuple[str, ...]]:
    """Name the people of each part.

    By number, everybody is put in one order by the seed, and each part takes the first ones that
    can serve for it, in the order head, validation, pair, test. In shares, people are sorted by
    their value and dealt in turn, so that every part sees the same range. Who is for validation
    serves for nothing here: published experiments chose an epoch by them.

    Parameters
    ----------
    able : mapping of str to Able
    wanted : mapping of str to int
        How many each part has, or its share of everybody.
    seed : int
    shares : bool
        Whether ``wanted`` are shares.

    Returns
    -------
    dict of str to tuple of str
        ``head``, ``pair`` and ``test``.

    Raises
    ------
    RecipeError
        Fewer people than are wanted, or than can serve.
    """
    rng = np.random.default_rng([seed, 2])
    left = [str(name) for name in rng.permutation(sorted(able))]
    left = [name for name in left if able[name].head or able[name].pair or able[name].test]
    if shares:
        left.sort(key=lambda name: able[name].value)
        return _in_turn(able, left, _counts(wanted, len(left)))
    counts = {role: wanted.get(role, 0) for role in ORDER}
    total = sum(counts.values())
    if total > len(left):
        said = ", ".join(f"{role} {count}" for role, count in counts.items() if count)
        raise RecipeError(
            f"{said} are {total} people, {len(left)} can serve: name fewer, or give what is "
            "missing - at `$.split.numbers`"
        )
    found: dict[str, tuple[str, ...]] = {}
    for role, count in counts.items():
        fit = [name for name in left if _can(able[name], role)][:count]
        if len(fit) < count:
            raise RecipeError(
                f"{count} people are wanted for {role}, {len(fit)} of the {len(left)} that are "
                f"left can serve for it: name fewer - at `$.split.numbers.{role}`"
            )
        left = [name for name in left if name not in fit]
        found[role] = tuple(fit)
    return {role: found[role] for role in ROLES}


def _in_turn(
    able: Mapping[str, Able], names: Sequence[str], counts: Mapping[str, int]
) -> dict[str, tuple[str, ...]]:
    """Deal people out one after the other, each to the part that is furthest behind its share."""
    found: dict[str, list[str]] = {role: [] for role in ORDER}
    for place, name in enumerate(names, 1):
        behind = {
            role: counts[role] * place / len(names) - len(found[role])
            for role in ORDER
            if len(found[role]) < counts[role] and _can(able[name], role)
        }
        if behind:
            found[max(behind, key=behind.__getitem__)].append(name)
    for role in ROLES:
        if counts[role] and not found[role]:
            raise RecipeError(
                f"nobody of {len(names)} people is left that can serve for {role}: give others, "
                "or other shares - at `$.split.shares`"
            )
    return {role: tuple(found[role]) for role in ROLES}


def _can(person: Able, role: str) -> bool:
    """Whether somebody can serve for a part; anybody can for validation."""
    return role == "validation" or bool(getattr(person, role))


def _counts(shares: Mapping[str, int], people: int) -> dict[str, int]:
    """Turn shares into numbers; what rounding leaves goes to those who lost most by it."""
    whole = sum(shares.get(role, 0) for role in ORDER)
    exact = {role: people * shares.get(role, 0) / whole for role in ORDER}
    counts = {role: int(value) for role, value in exact.items()}
    behind = sorted(ORDER, key=lambda role: (counts[role] - exact[role], ORDER.index(role)))
    for role in behind[: people - sum(counts.values())]:
        counts[role] += 1
    return counts
