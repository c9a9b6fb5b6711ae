"""The sessions of a recipe: from all its data sets, each with what it may serve for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioxedge.datasets import bidmc, folder, simulated
from bioxedge.datasets.parted import parted
from bioxedge.datasets.picking import lacking, pick, pick_reference
from bioxedge.datasets.published import SETS
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.marks import Mark
from bioxedge.recipes import ROLES, Data, Recipe


@dataclass(frozen=True)
class Chosen:
    """One session, and what of it a recipe means.

    Attributes
    ----------
    session : Session
    data : Data
        The data set that it is of.
    roles : tuple of str
        Those of ``head``, ``pair`` and ``test`` that it may serve for.
    source, target, reference : Part or None
        Which of its recordings is what.
    name : str
        Distinct within the recipe.
    """

    session: Session
    data: Data
    roles: tuple[str, ...]
    source: Part | None
    target: Part | None
    reference: Part | None
    name: str

    @property
    def person(self) -> str:
        """Who was recorded."""
        return self.session.person

    @property
    def marks(self) -> tuple[list[Mark], list[Mark]]:
        """Marks on the source's clock alone and on the target's, by which the two compare."""
        if self.source is None or self.target is None:
            return [], []
        names = {self.source.name, self.target.name}
        apart = [mark for mark in self.session.clocked() if len(names & {*mark.of}) == 1]
        return (
            [mark for mark in apart if self.source.name in mark.of],
            [mark for mark in apart if self.target.name in mark.of],
        )


@dataclass(frozen=True)
class Left:
    """Something that serves for nothing, and why."""

    name: str
    person: str
    why: str
    windows: int = 0
    seconds: float = 0.0


def choose(recipe: Recipe, root: Path | None) -> tuple[list[Chosen], list[Left]]:
    """Find all sessions of a recipe's data sets; no sample is read.

    Parameters
    ----------
    recipe : Recipe
    root : Path, optional
        What folders are relative to.

    Returns
    -------
    list of Chosen
        In the order of the data sets, sessions by name.
    list of Left
        Sessions that lack what every role of theirs needs.

    Raises
    ------
    DatasetError
        Recordings that are not there, or that could be meant in more than one way.
    RecipeError
        A split into more people than there are.
    """
    kept: list[Chosen] = []
    left: list[Left] = []
    several = len(recipe.used) > 1
    for group in _places(recipe):
        seen: set[str] = set()
        for session in _open(group[0][0], root, apart=several):
            roles = {
                role
                for data, names in group
                for role in names
                if not data.people or session.person in data.people
            }
            seen.add(session.person)
            if not roles:
                continue
            data = group[0][0]
            for piece in parted(session, recipe.split, data.skip, _timed(recipe, session, data)):
                found = _chosen(recipe, piece, data, roles)
                name = f"{data.name}/{piece.name}" if several else piece.name
                if isinstance(found, str):
                    left.append(Left(name, piece.person, found))
                else:
                    kept.append(replace(found, name=name))
        for data, _ in group:
            if unknown := sorted(set(data.people) - seen):
                raise DatasetError(
                    f"{data.name} has nobody called {', '.join(unknown)}: it has "
                    f"{', '.join(sorted(seen)[:12])}{' …' if len(seen) > 12 else ''}"
                )
    if not kept:
        why = f"; {left[0].name}: {left[0].why}" if left else ""
        raise DatasetError(f"no session of {recipe.where} serves for anything{why}")
    if recipe.split.numbers is not None:
        wanted = sum(recipe.split.numbers.counts.values())
        people = len({one.person for one in kept})
        if wanted > people:
            raise RecipeError(
                f"the parts have {wanted} people together, {recipe.where} has {people} that can "
                "serve: name fewer, or give what is missing - at `$.split.numbers`"
            )
    return kept, left


def _places(recipe: Recipe) -> list[list[tuple[Data, tuple[str, ...]]]]:
    """Group a recipe's data sets by what is read, so that nothing is read twice."""
    groups: dict[object, list[tuple[Data, tuple[str, ...]]]] = {}
    for data in recipe.used:
        roles = tuple(role for role in ROLES if data in recipe.role(role))
        key = (data.place, data.source, data.target, data.channel)
        groups.setdefault(key, []).append((data, roles))
    return list(groups.values())


def _timed(recipe: Recipe, session: Session, data: Data) -> set[str]:
    """Name the recordings that blocks of time are counted by: those that the recipe means."""
    if not recipe.split.block:
        return set()
    found = (
        pick(session, recipe.source.sensor, data.source, "source"),
        pick(session, recipe.target.sensor, data.target, "target"),
    )
    return {part.name for part in found if part is not None}


def _chosen(recipe: Recipe, session: Session, data: Data, wanted: set[str]) -> Chosen | str:
    """Say what of a session is what; or why it serves for nothing."""
    source = pick(session, recipe.source.sensor, data.source, "source")
    target = pick(session, recipe.target.sensor, data.target, "target")
    reference = pick_reference(session, data, recipe.task)
    known = reference is not None or bool(recipe.task.marks)
    able = {
        "head": target is not None and known,
        "pair": source is not None and target is not None,
        "test": source is not None,
    }
    roles = tuple(role for role in ROLES if role in wanted and able[role])
    if not roles:
        if source is None and wanted & {"pair", "test"}:
            return lacking(session, recipe.source.sensor, data.source, "source")
        if target is None:
            return lacking(session, recipe.target.sensor, data.target, "target")
        return f"nothing is known of {recipe.task.said}"
    needs_source = bool({"pair", "test"} & set(roles))
    return Chosen(
        session, data, roles, source if needs_source else None, target, reference, session.name
    )


def _open(data: Data, root: Path | None, *, apart: bool) -> Sequence[Session]:
    """Find the sessions of one data set."""
    if data.dataset == "simulated":
        made = simulated.sessions(count=data.wearers, minutes=data.minutes, seed=data.seed)
        # Wearer 1 of another seed is somebody else; a code in two folders is the same person.
        if apart:
            made = [replace(each, person=f"{each.person} of {data.seed}") for each in made]
        return made
    place = place_of(data, root)
    if data.dataset in SETS:
        return SETS[data.dataset].sessions(place, data)
    return bidmc.sessions(place) if data.dataset == "bidmc" else folder.sessions(place)


def place_of(data: Data, root: Path | None) -> Path:
    """Say where a data set's recordings lie.

    Raises
    ------
    DatasetError
        They are not where they are said to be.
    """
    if root is None and "BIOXEDGE_SHARED" in os.environ:
        root = Path(os.environ["BIOXEDGE_SHARED"]) / "data"
    if root is None:
        raise DatasetError(
            f"the recipe wants the recordings of {data.folder!r}: name the directory that "
            f"holds it with --data (or BIOXEDGE_SHARED, for its data/){_whence(data)}"
        )
    place = root / data.folder
    about = SETS.get(data.dataset)
    if about is not None and not place.is_dir() and about.holds(root):
        place = root
    if not place.is_dir():
        raise DatasetError(
            f"{place} is not there: the recipe wants the recordings of {data.folder!r} in "
            f"the directory that --data names{_whence(data)}"
        )
    return place


def _whence(data: Data) -> str:
    """Say where a published set is to be had."""
    about = SETS.get(data.dataset)
    return f"; the set: {about.where}" if about is not None else ""
