"""What a recipe names that nobody has brought yet, with where to get it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bioxedge.building.feeding import not_there
from bioxedge.building.forecast import paired
from bioxedge.building.readyhead import IN_CHECKPOINT
from bioxedge.datasets.choosing import place_of
from bioxedge.datasets.published import SETS
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.errors import DatasetError
from bioxedge.recipes import Data, Recipe, Side

_MADE = ("pretrain", "pip:openecg")


@dataclass(frozen=True)
class Missing:
    """What is not there.

    Attributes
    ----------
    sides : tuple of str
        ``source``, ``target``: whose weights are not.
    head : bool
        The ready head is not, or the weights that hold it.
    data : tuple of Data
        Whose recordings are not.
    lines : tuple of str
        All of it in words, one line each.
    """

    sides: tuple[str, ...]
    head: bool
    data: tuple[Data, ...]
    lines: tuple[str, ...]


def missing(recipe: Recipe, base: Path, root: Path | None) -> Missing:
    """Look for what a recipe names; nothing is read.

    Parameters
    ----------
    recipe : Recipe
    base : Path
        What checkpoints are relative to.
    root : Path, optional
        What folders of recordings are relative to.
    """
    lines, sides, gone = [], [], []
    for name in ("source", "target"):
        side: Side = getattr(recipe, name)
        path = base / side.model.checkpoint
        if side.model.checkpoint not in _MADE and not path.is_file():
            sides.append(name)
            lines.append(not_there(side, base))
    ready, head = recipe.ready, False
    if ready is not None:
        inside = ready.head == IN_CHECKPOINT
        head = "target" in sides if inside else not (base / ready.head).is_file()
        if head and not inside:
            lines.append(f"{base / ready.head} is not there: the ready head, {ready.licence}")
    for data in recipe.used:
        if data.dataset != "simulated" and (line := _not_there(data, root)):
            gone.append(data)
            lines.append(line)
    return Missing(tuple(sides), head, tuple(gone), tuple(dict.fromkeys(lines)))


def _not_there(data: Data, root: Path | None) -> str:
    """Say in a line that a data set's recordings are not there; nothing where they are."""
    try:
        place = place_of(data, root)
    except DatasetError as error:
        return str(error)
    about = SETS.get(data.dataset)
    if about is None or about.holds(place):
        return ""
    return f"{place} holds no {data.dataset.upper()}: {about.where}"


def nominal(recipe: Recipe) -> tuple[dict[str, int], int]:
    """Reckon how many windows published sets have, by their usual size.

    Returns
    -------
    dict of str to int
        ``source``, ``target`` and ``pair`` windows.
    int
        Data sets of which nobody knows it.
    """
    hop = recipe.source.hop / streamed_rate(recipe.source)
    count, unknown = 0, 0
    for data in recipe.used:
        about = SETS.get(data.dataset)
        if about is None:
            unknown += 1
            continue
        people = len(data.people) or about.people
        count += int(people * about.seconds / hop)
    return {"source": count, "target": count, "pair": round(count * paired(recipe))}, unknown
