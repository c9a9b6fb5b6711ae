"""Who is in which part: by person, always; nothing is trained on test people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bioxedge.errors import RecipeError


@dataclass(frozen=True)
class People:
    """Three groups that share nobody.

    Attributes
    ----------
    head : tuple of str
        Their labels train the teacher; nobody where it was ready.
    pair : tuple of str
        Their simultaneous recordings train the bridge; their labels are not read.
    test : tuple of str
        Only evaluated on.
    """

    head: tuple[str, ...]
    pair: tuple[str, ...]
    test: tuple[str, ...]


def numbers(people: Iterable[str]) -> dict[str, str]:
    """Give each of some people a number in place of a name, for what leaves the building."""
    names = sorted(set(people))
    width = max(2, len(str(len(names))))
    return {name: f"p{k + 1:0{width}d}" for k, name in enumerate(names)}


@dataclass(frozen=True)
class Able:
    """What one person's recordings could serve for.

    Parameters
    ----------
    head, pair, test : bool
        Labelled windows of the target; windows of both; windows of the source to be tested on.
    labelled : bool
        Whether anything is known of them.
    value : float
        Mean of what is known.
    """

    head: bool
    pair: bool
    test: bool
    labelled: bool
    value: float = 0.0


def split_people(
    people: Mapping[str, float],
    *,
    folds: int,
    fold: int,
    head_share: float = 0.5,
    seed: int = 0,
) -> People:
    """Deal people, who could all serve for everything, out to test, head and pair.

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
    able = {name: Able(True, True, True, True, value) for name, value in people.items()}
    return deal(able, folds=folds, fold=fold, head_share=head_share, seed=seed)


def deal(
    able: Mapping[str, Able],
    *,
    folds: int,
    fold: int,
    head_share: float | None = None,
    seed: int = 0,
    named: Mapping[str, Sequence[str]] | None = None,
    ready: bool = False,
) -> People:
    """Deal people out by what their recordings could serve for.

    Those with labels go to head and test, everybody else to pair. Labelled people are sorted by
    their value and dealt in blocks, at random within a block, so that every fold sees the same
    range. With a ``head_share`` the labelled who are not tested are dealt out to head and pair;
    it is a half where nobody else could pair.

    Parameters
    ----------
    able : mapping of str to Able
    folds, fold : int
        How many parts of the labelled, at most as many as they are, and which of them is tested.
    head_share : float, optional
    seed : int
    named : mapping of str to sequence of str, optional
        People of a part, as a published split names them: everyone else is dealt out among the
        parts that name nobody.
    ready : bool
        The head was trained before: nobody has to teach. Where nothing is known of anybody, a
        fold of those who wore both sensors is tested, on agreement.

    Raises
    ------
    RecipeError
        A part that would have nobody, or somebody who cannot serve for what the recipe says.
    """
    named = {role: tuple(given) for role, given in (named or {}).items() if given}
    _hold(able, named)
    taken = {name for given in named.values() for name in given}
    free = {
        name: replace(
            one,
            head=one.head and "head" not in named and not ready,
            pair=one.pair and "pair" not in named,
            test=one.test and "test" not in named,
        )
        for name, one in able.items()
        if name not in taken
    }
    known = any(one.labelled for one in able.values())
    test = _tested(free, folds, fold, seed, known=known, ready=ready)
    # The order that folds are dealt in, where all can be tested.
    rest = [name for name in _order(free, np.random.default_rng([seed, 0])) if name not in test]
    both = [name for name in rest if free[name].head and free[name].pair]
    if head_share is None:
        others = any(free[name].pair and not free[name].head for name in rest) or "pair" in named
        head_share = None if others else 0.5
    head = [name for name in rest if free[name].head and name not in both]
    head += both if head_share is None else _share(both, head_share, [seed, 1, fold])
    pair = [name for name in rest if free[name].pair and name not in head]
    found = People(
        tuple(sorted((*head, *named.get("head", ())))),
        tuple(sorted((*pair, *named.get("pair", ())))),
        tuple(sorted((*test, *named.get("test", ())))),
    )
    _whole(found, able, ready)
    return found


def _order(people: Mapping[str, Able], rng: np.random.Generator) -> list[str]:
    """Sort people by their value; equal ones at random, so that none is dealt by name."""
    names = [str(name) for name in rng.permutation(sorted(people))]
    names.sort(key=lambda name: people[name].value)
    return names


def _tested(
    free: Mapping[str, Able], folds: int, fold: int, seed: int, *, known: bool, ready: bool
) -> list[str]:
    """Choose who is tested."""
    wanted = {name: one for name, one in free.items() if one.test and (one.labelled or not known)}
    # Whoever can serve for nothing else is tested, and so is everyone with labels where nobody
    # has to teach and others pair.
    only = [name for name, one in wanted.items() if not (one.head or one.pair)]
    dealt = {name: one for name, one in wanted.items() if name not in only}
    if ready and known and any(one.pair and not one.labelled for one in free.values()):
        return [*only, *dealt]
    if len(dealt) < 2:
        return only
    folds = min(folds, len(dealt))
    if fold >= folds:
        raise RecipeError(
            f"fold {fold} does not exist: {len(dealt)} people can be tested, in folds 0 to "
            f"{folds - 1} - at `$.split.fold`"
        )
    rng = np.random.default_rng([seed, 0])
    names = _order(dealt, rng)
    found = list(only)
    for start in range(0, len(names), folds):
        block = names[start : start + folds]
        for name, number in zip(block, rng.permutation(folds), strict=False):
            if int(number) == fold:
                found.append(name)
    return found


def _share(names: Sequence[str], share: float, seed: list[int]) -> list[str]:
    """Take a share of people, evenly along their order: error diffusion."""
    debt = float(np.random.default_rng(seed).random())
    found: list[str] = []
    for name in names:
        debt += share
        if debt >= 1:
            debt -= 1
            found.append(name)
    return found


def _hold(able: Mapping[str, Able], named: Mapping[str, Sequence[str]]) -> None:
    """Refuse names that nobody has, or that cannot serve for their part."""
    needs = {
        "head": "no labelled window of the target",
        "pair": "no window of both sensors",
        "test": "no window of the source",
    }
    for role, names in named.items():
        for name in names:
            if name not in able:
                raise RecipeError(
                    f"nobody is called {name}: there are {', '.join(sorted(able)[:12])}"
                    f"{' …' if len(able) > 12 else ''} - at `$.split.{role}`"
                )
            if not getattr(able[name], role):
                raise RecipeError(f"{name} has {needs[role]} - at `$.split.{role}`")


def _whole(found: People, able: Mapping[str, Able], ready: bool) -> None:
    """Refuse a split of which a part has nobody."""
    lacking = [
        role
        for role in ("head", "pair", "test")
        if not getattr(found, role) and not (role == "head" and ready)
    ]
    if not lacking:
        return
    labelled = sum(one.labelled for one in able.values())
    both = sum(one.pair for one in able.values())
    tested = sum(one.test for one in able.values())
    raise RecipeError(
        f"nobody is left for {' and '.join(lacking)}: of {len(able)} people {labelled} have "
        f"labels, {both} wore both sensors and {tested} wore the source; test {len(found.test)}, "
        f"head {len(found.head)}, pair {len(found.pair)}. Record or label more people, "
        "name the parts in [split], or, of too few people, deal out stretches of time: in place of "
        "folds and head_share write block = 60.0 and shares = { head = 40, pair = 40, test = 20 }"
    )
