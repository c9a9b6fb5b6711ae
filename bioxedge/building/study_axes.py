"""Axes of a study: what is varied, at which points, and how each point is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from bioxedge.building.learnt import Learnt, aligned
from bioxedge.building.seen import Seen, select
from bioxedge.building.store import Store
from bioxedge.building.study_vary import apart, fewer_labelled, fewer_pairs, people_of
from bioxedge.errors import RecipeError
from bioxedge.recipes import Recipe

RANKS, PROTOTYPES = (1, 4, 8, 16), (4, 16, 64)
SHARES = (1.0, 0.5, 0.2, 0.05)
LAGS = (0.0, 0.1, 0.5, 2.0, 10.0)
DRIFTS = (0.0, 20.0, 100.0, 500.0)
DRAWS = 3
"""Bridges of other first weights, where real and random prototypes are compared."""

_SAID = {False: "", True: ", corrected"}

Learn = Callable[[Learnt, Store], list[Learnt]]
"""Learns a point from what a seed's recipe as it is gave; several where chance decides."""


@dataclass(frozen=True)
class Point:
    """One setting.

    Attributes
    ----------
    at : dict
        Plain values that say where it stands.
    label : str
        In a few words, for people.
    learn : callable
    """

    at: dict[str, Any]
    label: str
    learn: Learn


@dataclass(frozen=True)
class Axis:
    """What is varied.

    Attributes
    ----------
    name, title, unit : str
    points : list of Point
    why_not : str
        Why it has none, where that is so.
    """

    name: str
    title: str
    unit: str
    points: list[Point]
    why_not: str = ""


def axes(names: Sequence[str], base: Learnt) -> list[Axis]:
    """Lay out the axes that are asked for.

    Parameters
    ----------
    names : sequence of str
        Some of :data:`LAID`.
    base : Learnt
        The recipe as it is.
    """
    return [_AXES[name](base) for name in names]


def _rank(base: Learnt) -> Axis:
    """Rank × prototypes, the recipe's own among them."""
    wanted = base.recipe.bridge
    ranks, counts = sorted({*RANKS, wanted.rank}), sorted({*PROTOTYPES, wanted.prototypes})
    points = [
        Point(
            {
                "rank": rank,
                "prototypes": count,
                "own": (rank, count) == (wanted.rank, wanted.prototypes),
            },
            f"rank {rank}, {count} prototypes",
            _bridged(rank=rank, prototypes=count),
        )
        for rank in ranks
        for count in counts
    ]
    return Axis("rank", "rank × prototypes", "", points)


def _start(base: Learnt) -> Axis:
    """Real prototypes against random ones."""
    words = {"real": "tokens of the target", "random": "random numbers"}

    def learn(start: str) -> Learn:
        def several(one: Learnt, store: Store) -> list[Learnt]:
            return [
                found
                for draw in range(DRAWS)
                for found in _bridged(start=start, seed=one.recipe.seed * DRAWS + draw)(one, store)
            ]

        return several

    points = [Point({"start": kind}, text, learn(kind)) for kind, text in words.items()]
    return Axis("start", f"what prototypes start as ({DRAWS} draws each)", "", points)


def _pairs(base: Learnt) -> Axis:
    """Shares of the pairs."""

    def learn(share: float) -> Learn:
        def one(whole: Learnt, store: Store) -> list[Learnt]:
            if share == 1:
                return [whole]
            return [_again(fewer_pairs(whole.seen, share, whole.recipe.seed), store)]

        return one

    people = len(people_of(base.seen, "pair"))
    title = f"share of the pairs, of each of {people} people"
    points = [Point({"share": share}, f"{share * 100:g} %", learn(share)) for share in SHARES]
    return Axis("pairs", title, "% of the pairs", points)


def _labelled(base: Learnt) -> Axis:
    """Numbers of labelled people."""
    title = "people whose labels the teacher's head had"
    if base.recipe.ready is not None:
        return Axis("labelled", title, "people", [], "its teacher comes with a ready head")
    everyone = len(people_of(base.seen, "head"))
    counts = sorted({one for one in (1, 2, 3, 5, 8, 12, 20, 40, 80) if one < everyone} | {everyone})

    def learn(count: int) -> Learn:
        def one(whole: Learnt, store: Store) -> list[Learnt]:
            if count == everyone:
                return [whole]
            return [_again(fewer_labelled(whole.seen, count, whole.recipe.seed, store), store)]

        return one

    points = [
        Point({"people": count}, "1 person" if count == 1 else f"{count} people", learn(count))
        for count in counts
    ]
    return Axis("labelled", title, "people", points)


def _lag(base: Learnt) -> Axis:
    """Constant lags of the target's clock, as they are and corrected by the pulse."""
    points = [
        Point({"lag": lag, "corrected": told}, f"{lag:g} s{_SAID[told]}", _late(lag, 0.0, told))
        for told in (False, True)
        for lag in LAGS
    ]
    return Axis("lag", "lag between the two sensors' clocks in the pairs", "s", points)


def _drift(base: Learnt) -> Axis:
    """Drifts of the target's clock."""
    points = [
        Point({"ppm": ppm, "corrected": told}, f"{ppm:g} ppm{_SAID[told]}", _late(0.0, ppm, told))
        for told in (False, True)
        for ppm in DRIFTS
    ]
    longest = max(
        float(np.ptp(base.prepared.windows.start[base.prepared.windows.session == number]))
        for number in np.unique(base.prepared.windows.session)
    )
    title = f"drift between them, in recordings of up to {longest / 60:.0f} min"
    return Axis("drift", title, "ppm", points)


def _late(lag: float, ppm: float, told: bool) -> Learn:
    """Learn from pairs whose target's clock lies."""

    def one(whole: Learnt, store: Store) -> list[Learnt]:
        if not (lag or ppm or told):
            return [whole]
        return [_again(apart(whole.seen, lag, ppm, store, told=told), store)]

    return one


def _bridged(**changes: Any) -> Learn:
    """Learn another bridge between the same models at the same places."""

    def one(whole: Learnt, store: Store) -> list[Learnt]:
        bridge = msgspec.structs.replace(whole.recipe.bridge, **changes)
        recipe: Recipe = msgspec.structs.replace(whole.recipe, bridge=bridge)
        seen = replace(whole.seen, recipe=recipe)
        return [aligned(seen, store, whole.positions, whole.source_cut, whole.target_cut)]

    return one


def _again(seen: Seen, store: Store) -> Learnt:
    """Choose places and learn a bridge from what is left."""
    positions, source_cut, target_cut = select(seen, store)
    return aligned(seen, store, positions, source_cut, target_cut)


_AXES: dict[str, Callable[[Learnt], Axis]] = {
    "rank": _rank,
    "start": _start,
    "pairs": _pairs,
    "labelled": _labelled,
    "lag": _lag,
    "drift": _drift,
}
LAID = tuple(_AXES)
"""Those whose points are learnt one by one."""
NAMES = (*LAID, "threads", "rows")
"""All of them."""


def check(names: Sequence[str]) -> None:
    """Refuse an axis that there is not."""
    for name in names:
        if name not in NAMES:
            raise RecipeError(f"no axis is called {name!r}: choose among {', '.join(NAMES)}")
