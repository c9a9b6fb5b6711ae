"""Windows, what is known of them, and who is in which part: what everything is learnt from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from bioxedge.bridging.bynumber import by_number
from bioxedge.bridging.split import Able, People, deal
from bioxedge.building.adapting import settled
from bioxedge.building.store import Store, Values, digest_of, key_of
from bioxedge.building.windowing import Windows, digest_of_part, windows_of
from bioxedge.datasets.choosing import Chosen, choose
from bioxedge.datasets.known import of_marks, of_reference
from bioxedge.datasets.picking import pick_reference
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.recipes import Recipe, Task, section

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """Windows, who is in which part, and the classes.

    Attributes
    ----------
    windows : Windows
    people : People
    values : ndarray of float64, shape [n]
        What is known in each window; NaN where too little is.
    bounds : ndarray of float64, shape [classes − 1], optional
        Where bands meet; from the head people's windows alone.
    labels : ndarray of int64, shape [n]
        −1 where there is none; 0 wherever a value is known.
    agreeing : bool
        Nothing is known of anybody: what is tested is held to the teacher.
    settled : dict of str to ndarray of bool, shape [n]
        For each side the moments before which its baseline has seen enough; all where it has none.
    """

    windows: Windows
    people: People
    values: Floats
    bounds: Floats | None
    labels: Labels
    agreeing: bool = False
    settled: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def of(self, group: str) -> npt.NDArray[np.intp]:
        """Give the moments that serve for a part (``head``, ``pair``, ``test``), in order.

        Those of ``head`` have a target window and something known, those of ``pair`` both
        windows, those of ``test`` a source window and something known (if anything is); and a
        target window, where the target was worn at all, so that everybody answers for the same.
        """
        windows = self.windows
        person = np.isin(windows.person, list(getattr(self.people, group)))
        source, target = (
            (getattr(windows, f"{side}_row") >= 0) & self.settled.get(side, True)
            for side in ("source", "target")
        )
        known = (self.labels >= 0) | self.agreeing
        alone = np.array([one.target is None for one in windows.sessions])[windows.session]
        serves = {
            "head": target & known,
            "pair": source & target,
            "test": source & known & (target | alone),
        }[group]
        return np.flatnonzero(person & windows.serving(group) & serves)

    def rows(self, side: str, group: str) -> npt.NDArray[np.int64]:
        """Give the places of a part's windows in the file of a side's."""
        rows: npt.NDArray[np.int64] = getattr(self.windows, f"{side}_row")[self.of(group)]
        return rows

    def unlabelled(self, side: str) -> npt.NDArray[np.int64]:
        """Give the places of all windows of a side's sensor of people who are not tested."""
        others = np.isin(self.windows.person, [*self.people.head, *self.people.pair])
        rows = getattr(self.windows, f"{side}_row")[others]
        return np.sort(rows[rows >= 0])

    @property
    def taught(self) -> bool:
        """Whether the tested wore the target, too: then the teacher's row can stand."""
        rows = self.rows("target", "test")
        return bool(len(rows)) and bool((rows >= 0).all())


def seed_of(recipe: Recipe, name: str) -> int:
    """Give each step its own seed, fixed by the recipe's, or the bridge's own."""
    seed = recipe.seed
    if name in ("bridge", "held-out") and recipe.bridge.seed is not None:
        seed = recipe.bridge.seed
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")


def prepare(recipe: Recipe, data: Path | None, store: Store) -> Prepared:
    """Cut windows, read what is known, deal people out and set the classes.

    Parameters
    ----------
    recipe : Recipe
    data : Path, optional
        What the folders of its data sets are relative to.
    store : Store
        Where finished steps are kept and found.

    Raises
    ------
    DatasetError, RecipeError
        Recordings, people or labels that do not suffice.
    """
    chosen, left = choose(recipe, data)
    windows = windows_of(recipe, chosen, left, store)
    values = _values(recipe, windows, store)
    people = _people(recipe, windows, values)
    agreeing = not np.isfinite(values).any()
    bounds, labels = _classes(recipe, windows, values, people)
    ready = {side: settled(recipe, windows, side) for side in ("source", "target")}
    found = Prepared(windows, people, values, bounds, labels, agreeing, ready)
    _suffices(recipe, found)
    return found


def prepare_other(recipe: Recipe, prepared: Prepared, store: Store) -> Prepared:
    """Read what is known of a further task in the same windows of the same people.

    Parameters
    ----------
    recipe : Recipe
        That of the task by itself (:meth:`bioxedge.recipes.Recipe.of`).
    prepared : Prepared
        Of the first task.
    store : Store

    Raises
    ------
    DatasetError, RecipeError
        Labels that do not suffice.
    """
    windows = replace(
        prepared.windows,
        sessions=tuple(_for(one, recipe.task) for one in prepared.windows.sessions),
    )
    values = _values(recipe, windows, store)
    agreeing = not np.isfinite(values).any()
    if agreeing and not prepared.agreeing:
        raise DatasetError(
            f"no window has a known {recipe.task.said}: nobody can teach {recipe.name}; check the "
            "reference, or leave the task out of [[others]]"
        )
    bounds, labels = _classes(recipe, windows, values, prepared.people)
    found = replace(prepared, values=values, bounds=bounds, labels=labels, windows=windows)
    _suffices(recipe, found)
    return found


def _for(one: Chosen, task: Task) -> Chosen:
    """Find what is known of another task in a session: a data set names a channel for one alone."""
    data = msgspec.structs.replace(one.data, channel="")
    return replace(one, data=data, reference=pick_reference(one.session, data, task))


def _values(recipe: Recipe, windows: Windows, store: Store) -> Floats:
    """Read what is known in each window; again where references, marks or their meaning change."""
    task, sessions = recipe.task, windows.sessions
    told = [_known_by(one, task) for one in sessions]

    def make(report: Any, _: Path) -> Values:
        found = np.full(len(windows), np.nan)
        for number, one in enumerate(sessions):
            own = np.flatnonzero(windows.session == number)
            if len(own):
                found[own] = _of_session(one, task, windows, own)
            report(number + 1, len(sessions))
        return {"values": torch.from_numpy(found)}

    key = key_of("values", windows.key, _meant(task), told)
    title = "What is known in each window"
    found: Floats = store.step("values", title, key, make)["values"].numpy().copy()
    return found


def _meant(task: Task) -> dict[str, Any]:
    """What of a task decides what is read; labels do where classes are known by their names."""
    facts: dict[str, Any] = section(task)[0]
    for unused in ("unit", "rate"):
        del facts[unused]
    if task.rule != "classes":
        del facts["labels"]
    return facts


def _known_by(one: Chosen, task: Task) -> str:
    """Hash what a session's windows are known by."""
    if task.marks:
        return digest_of(list(one.session.files)) if one.session.files else ""
    return digest_of_part(one.reference, one.data, one.session.name) + one.data.channel


def _of_session(one: Chosen, task: Task, windows: Windows, own: npt.NDArray[np.intp]) -> Floats:
    """Read what is known in the windows of one session."""
    moments, seconds = windows.moment[own], float(windows.seconds[own[0]])
    if task.marks:
        return of_marks(one.session.marks(), task, moments, seconds)
    if one.reference is None:
        return np.full(len(own), np.nan)
    columns = (one.data.channel,) if one.data.channel else task.channels
    return of_reference(one.reference.read(), columns, task, moments, seconds)


def _people(recipe: Recipe, windows: Windows, values: Floats) -> People:
    """Deal people out by what their windows could serve for."""
    split = recipe.split
    known = np.isfinite(values)
    person = windows.person
    source, target = windows.source_row >= 0, windows.target_row >= 0
    head = target & known & windows.serving("head")
    pair = source & target & windows.serving("pair")
    test = source & windows.serving("test")
    if known.any():
        test &= known
    able = {}
    for name in dict.fromkeys(one.person for one in windows.sessions):
        own = person == name
        told = values[own & known]
        able[name] = Able(
            head=bool((head & own).any()),
            pair=bool((pair & own).any()),
            test=bool((test & own).any()),
            labelled=bool(len(told)),
            value=float(told.mean()) if len(told) else 0.0,
        )
    ready = recipe.ready is not None
    if not ready and not any(one.labelled for one in able.values()):
        raise DatasetError(
            f"no window has a known {recipe.task.said}: nobody can teach or be tested; check the "
            "reference and $.task, or bring a ready head in [[teacher]]"
        )
    named = {"head": split.head, "pair": split.pair, "test": split.test}
    for given, shares in ((split.numbers, False), (split.shares, True)):
        if given is not None:
            named = by_number(able, given.counts, seed=split.seed, shares=shares)
    return deal(
        able,
        folds=split.folds,
        fold=split.fold,
        head_share=split.head_share,
        seed=split.seed,
        named=named,
        ready=ready,
    )


def _classes(
    recipe: Recipe, windows: Windows, values: Floats, people: People
) -> tuple[Floats | None, Labels]:
    """Turn what is known into classes; bands from the head people alone."""
    task, known = recipe.task, np.isfinite(values)
    if task.rule == "value":
        return None, np.where(known, 0, -1).astype(np.int64)
    if task.rule == "classes":
        labels = np.where(known, np.nan_to_num(values), -1).astype(np.int64)
        if labels.max(initial=-1) >= len(task.labels):
            raise RecipeError(
                f"the reference holds class {int(labels.max())}, the recipe names "
                f"{len(task.labels)} labels - at `$.task.labels`"
            )
        return None, labels
    own = values[known & np.isin(windows.person, people.head) & windows.serving("head")]
    bounds = np.quantile(own, np.arange(1, len(task.labels)) / len(task.labels))
    labels = np.where(known, np.digitize(np.nan_to_num(values), bounds), -1)
    return bounds, labels.astype(np.int64)


def _suffices(recipe: Recipe, prepared: Prepared) -> None:
    """Refuse people or labels that do not suffice, before anything is trained."""
    task = recipe.task
    if prepared.people.head and task.rule == "value":
        taught = prepared.values[prepared.of("head")]
        if not len(taught) or float(np.ptp(taught)) == 0:
            raise DatasetError(
                f"{task.said} is {taught[0] if len(taught) else 'nothing'} in every window of the "
                f"head people {_listed(prepared.people.head)}: what never varies cannot be learnt"
            )
    head = prepared.labels[prepared.of("head")]
    if prepared.people.head and task.rule != "value":
        missing = sorted(set(range(len(task.labels))) - set(head.tolist()))
        if missing:
            raise DatasetError(
                f"no window of the head people {_listed(prepared.people.head)} is "
                f"{' or '.join(task.labels[k] for k in missing)}: label more people, or name "
                "others in [split]"
            )
    for group, names in (("pair", prepared.people.pair), ("test", prepared.people.test)):
        if not len(prepared.of(group)):
            why = _why_none(prepared, names)
            raise DatasetError(f"no window of the {group} people {_listed(names)} serves: {why}")


def _why_none(prepared: Prepared, names: Sequence[str]) -> str:
    """Say why nothing of some people serves."""
    own = np.isin(prepared.windows.person, list(names))
    late = [side for side, settled in prepared.settled.items() if not settled[own].any()]
    if own.any() and late:
        return (
            f"the {late[0]}'s baseline has settled in none of their {int(own.sum())} windows: "
            f"record longer, or shorten its settle (minutes) at `$.{late[0]}.baseline`"
        )
    return "see what was left out"


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Name some people."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
