"""Pairs in memory as the sessions of a recipe, cut as a build cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioxedge.datasets import Pair
from bioxedge.datasets.choosing import Chosen
from bioxedge.datasets.cutting import Cut, cut_session
from bioxedge.datasets.folder import sessions
from bioxedge.datasets.known import of_reference
from bioxedge.datasets.session import Part, Session
from bioxedge.recipes import Data, Recipe


@dataclass
class Windowed:
    """Windows of both sensors at the same moments, and what is known in them."""

    source: np.ndarray
    target: np.ndarray
    value: np.ndarray
    person: np.ndarray
    session: np.ndarray
    start: np.ndarray
    cuts: list[Cut]

    def __len__(self) -> int:
        return len(self.start)


def chosen_of(pair: Pair, data: Data | None = None) -> Chosen:
    """Take a pair as one session that may serve for everything."""
    parts = {
        name: Part.of(name, recording)
        for name in ("source", "target", "reference")
        if (recording := getattr(pair, name)) is not None
    }
    session = Session(pair.name, pair.person, tuple(parts.values()))
    roles = ("head", "pair", "test") if "source" in parts and "target" in parts else ("head",)
    return Chosen(
        session, data or Data(), roles, parts.get("source"), parts.get("target"),
        parts.get("reference"), pair.name,
    )  # fmt: skip


def windowed(pairs: Sequence[Pair], recipe: Recipe) -> Windowed:
    """Cut pairs; keep the moments at which both sensors have a window."""
    columns: dict[str, list] = {name: [] for name in ("value", "person", "session", "start")}
    sources: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    cuts: list[Cut] = []
    for pair in pairs:
        mine: list[np.ndarray] = []
        theirs: list[np.ndarray] = []

        def put(kept: list[np.ndarray]):
            def keep(window: np.ndarray) -> int:
                kept.append(window.copy())
                return len(kept) - 1

            return keep

        found = cut_session(chosen_of(pair), recipe, put(mine), put(theirs))
        cuts.append(found)
        moments = np.array(found.moment)
        known = np.full(len(moments), np.nan)
        if pair.reference is not None and len(moments):
            known = of_reference(
                pair.reference, recipe.task.channels, recipe.task, moments, found.seconds
            )
        for number, (one, other) in enumerate(zip(found.source_row, found.target_row, strict=True)):
            if one < 0 or other < 0:
                continue
            sources.append(mine[one])
            targets.append(theirs[other])
            columns["value"].append(known[number])
            columns["person"].append(pair.person)
            columns["session"].append(pair.name)
            columns["start"].append(moments[number])
    return Windowed(
        np.array(sources), np.array(targets), *map(np.array, columns.values()), cuts=cuts
    )


def pairs_in(folder: Path) -> list[Pair]:
    """Read sessions whose recordings are called source, target and reference."""
    found = []
    for session in sessions(folder):
        parts = {part.name: part.read() for part in session.parts}
        found.append(
            Pair(session.name, parts.get("source"), parts.get("target"), parts.get("reference"))
        )
    return found
