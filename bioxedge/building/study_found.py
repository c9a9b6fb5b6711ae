"""What a study found: places on axes, in words and in tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.table import Table

from bioxedge import __version__
from bioxedge.bridging.evaluate import Difference
from bioxedge.building import tables as layouts
from bioxedge.building.scored import AnyScore
from bioxedge.building.study_figures import Figure, shown

FORMAT = 1
_SHORT = {"balanced accuracy": "bal. acc."}


@dataclass
class Place:
    """A point with what it came to.

    Attributes
    ----------
    at : dict
    label : str
    figure : Figure or None
        None where it could not be learnt.
    why_not : str
    parameters : int
    seconds, memory : float or None
        What training its bridge took, on average over seeds; MiB at most.
    cuts : list of list of int
        Of every bridge that was learnt.
    window : float or None
        Milliseconds that a window takes on this machine.
    """

    at: dict[str, Any]
    label: str
    figure: Figure | None = None
    why_not: str = ""
    parameters: int = 0
    seconds: float | None = None
    memory: float | None = None
    cuts: list[list[int]] = field(default_factory=list)
    window: float | None = None


@dataclass
class Laid:
    """An axis with its places.

    Attributes
    ----------
    name, title, unit : str
    places : list of Place
    why_not : str
        Why there are none.
    lines : list of str
        What they say, in words.
    scores : list of Score or ValueScore
        Where places are methods: all columns of theirs, over all seeds.
    ahead : list of Difference
        How far the bridge is ahead of each.
    """

    name: str
    title: str
    unit: str
    places: list[Place] = field(default_factory=list)
    why_not: str = ""
    lines: list[str] = field(default_factory=list)
    scores: list[AnyScore] = field(default_factory=list)
    ahead: list[Difference] = field(default_factory=list)


@dataclass(frozen=True)
class Studied:
    """What a study found.

    Attributes
    ----------
    recipe : str
    measure : str
        ``balanced accuracy``, or ``mean error`` with its unit.
    by_value : bool
        Whether less is better.
    seeds : list of int
    people, windows : int
        Tested.
    bridge, teacher, constant : Figure or None
        The recipe as it is, and what frames it.
    axes : list of Laid
    """

    recipe: str
    measure: str
    by_value: bool
    seeds: list[int]
    people: int
    windows: int
    bridge: Figure
    teacher: Figure | None
    constant: Figure
    axes: list[Laid] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = [replace(one, scores=[], ahead=[]) for one in self.axes]
        found = {"format": FORMAT, "version": __version__, **asdict(replace(self, axes=plain))}
        for one, axis in zip(found["axes"], self.axes, strict=True):
            one["scores"] = [each.to_dict() for each in axis.scores]
            one["ahead"] = [each.to_dict() for each in axis.ahead]
        return found


def said(found: Studied, laid: Laid) -> list[str]:
    """Say in words what an axis shows, by intervals over people."""
    known = [(one, one.figure) for one in laid.places if one.figure is not None]
    if not known or found.bridge.interval is None:
        return []
    worse = [one.label for one, each in known if each.ahead_interval and each.ahead_interval[1] < 0]
    better = [
        one.label for one, each in known if each.ahead_interval and each.ahead_interval[0] > 0
    ]
    lines = []
    if better:
        lines.append(f"Better than the recipe as it is: {'; '.join(better)}")
    if worse:
        lines.append(f"Worse than the recipe as it is: {'; '.join(worse)}")
    if not lines:
        lines.append("Nothing here is shown to be better or worse than the recipe as it is")
    return lines


def tables(found: Studied) -> list[Table]:
    """Lay a study out for a terminal."""
    made: list[Table] = []
    for laid in found.axes:
        if laid.scores:
            title = f"{found.recipe}: {laid.title}"
            made.append(layouts.scores(laid.scores, title, ahead=laid.ahead))
            took = layouts.costs(laid.scores)
            made += [] if took is None else [took]
            continue
        made.append(_axis(found, laid))
    return made


def _axis(found: Studied, laid: Laid) -> Table:
    """Lay one axis out."""
    numbers = ", ".join(map(str, found.seeds))
    title = (
        f"{laid.title}: {found.people} people never seen, {found.windows:,} windows, "
        f"seed{'s' if len(found.seeds) > 1 else ''} {numbers}"
    )
    rows = Table(title=title, title_justify="left", caption_justify="left")
    rows.add_column(laid.name)
    timed = any(one.window is not None for one in laid.places)
    names = [
        _SHORT.get(found.measure, found.measure),
        "kept",
        "ahead of the recipe",
        "trained",
        "s",
    ]
    for name in (*names, *(["ms a window"] if timed else [])):
        rows.add_column(name.replace("[", r"\["), justify="right")
    for one in laid.places:
        window = [] if not timed else ["–" if one.window is None else f"{one.window:.3f}"]
        rows.add_row(one.label, *_cells(one), *window)
    rows.caption = "\n".join([laid.why_not] if laid.why_not else laid.lines)
    return rows


def _cells(one: Place) -> list[str]:
    """Give the cells of one place."""
    seconds = "–" if one.seconds is None else f"{one.seconds:.1f}"
    if one.figure is None:
        return [one.why_not or "–", "–", "–", "–", seconds]
    each = one.figure
    return [
        shown(each.value, each.interval),
        "–" if each.kept is None else shown(each.kept, each.kept_interval),
        "–" if each.ahead_interval == (0, 0) else shown(each.ahead, each.ahead_interval, "+"),
        f"{one.parameters:,}" if one.parameters else "–",
        seconds,
    ]
