"""Scores laid out for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bioxedge.bridging.evaluate import ENOUGH, FEWEST, Difference, Score
from bioxedge.bridging.spent import NOTHING
from bioxedge.bridging.values import ValueScore
from bioxedge.bridging.verdict import digits

BRIDGE = "bridge"


def scores(
    found: Sequence[Score | ValueScore],
    title: str,
    *,
    unit: str = "",
    ahead: Sequence[Difference] = (),
) -> Table:
    """Lay scores out, with as many digits as the widest of their intervals allows.

    Parameters
    ----------
    found : sequence of Score or ValueScore
    title : str
        Says what the truth was, if that is not known labels.
    unit : str
        Of values.
    ahead : sequence of Difference
        How far the bridge is ahead of other rows: a column more.
    """
    rows = Table(title=title, title_justify="left", caption_justify="left")
    first = found[0]
    rows.add_column(f"{_people(first.people)} never seen, {first.windows:,} windows")
    after = f" [{unit}]" if unit else ""
    names = (
        (f"mean error{after}", "95 %", "r", "bias", "trained")
        if isinstance(first, ValueScore)
        else ("bal. acc.", "95 %", "macro F1", "kappa", "ECE", "trained")
    )
    for name in names:
        rows.add_column(name.replace("[", r"\["), justify="right")
    places = _places([one.interval for one in found])
    by_other = {one.other: one for one in ahead}
    if by_other:
        rows.add_column("bridge ahead by", justify="right")
    for one in found:
        cells = _cells(one, places)
        if by_other:
            other = by_other.get(one.method)
            apart = _places([each.interval for each in ahead])
            cells.append("" if other is None else _ahead(other, apart))
        rows.add_row(*cells, style="bold" if one.method == BRIDGE else None)
    rows.caption = _caption(first.people, first.interval is not None)
    return rows


def costs(found: Sequence[Score | ValueScore]) -> Table | None:
    """Lay out what each method took; None where nothing of it is known.

    Parameters
    ----------
    found : sequence of Score or ValueScore
    """
    kept = [one for one in found if one.spent != NOTHING]
    if not kept:
        return None
    rows = Table(title="what they took", title_justify="left", caption_justify="left")
    rows.add_column("method")
    for name in ("trained", "pretrained here", "seconds", "MiB", "ms a window"):
        rows.add_column(name, justify="right")
    for one in kept:
        spent = one.spent
        rows.add_row(
            one.method,
            _count(one.parameters),
            _count(spent.pretrained),
            _figure(spent.seconds, 1),
            _figure(spent.memory, 0),
            _figure(spent.window, 3),
            style="bold" if one.method == BRIDGE else None,
        )
    rows.caption = (
        "seconds: its own training, without that of encoders; MiB: the whole process at most "
        "meanwhile; ms: this machine, one thread"
    )
    return rows


def _count(number: int) -> str:
    """Write a count."""
    return f"{number:,}" if number else "–"


def _figure(value: float | None, places: int) -> str:
    """Write a figure, if it is known."""
    return "–" if value is None else f"{value:,.{places}f}"


def _caption(people: int, known: bool) -> str:
    """Say what the intervals are, or why there are none."""
    if not known:
        return f"{_people(people)}: no interval (they are given from {FEWEST} people on)"
    few = "" if people >= ENOUGH else f"; {people} people are few, and it is as wide as that"
    return f"95 %: over people like these, drawn with replacement{few}"


def _places(intervals: Sequence[tuple[float, float] | None]) -> int:
    """Say how many digits a column gets: one that says more than it can is read as if it could."""
    return digits(max((one[1] - one[0] for one in intervals if one is not None), default=0.0))


def _cells(one: Score | ValueScore, places: int) -> list[str]:
    """Give the cells of one row."""
    span = "–"
    if one.interval is not None:
        span = f"{one.interval[0]:.{places}f}–{one.interval[1]:.{places}f}"
    size, method = _count(one.parameters), one.method
    if one.spread is not None:
        method += f" ({one.spread[0]:.{places}f}–{one.spread[1]:.{places}f})"
    if isinstance(one, ValueScore):
        return [
            method, f"{one.mean_error:.{places}f}", span, f"{one.correlation:.2f}",
            f"{one.bias:+.{places}f}", size,
        ]  # fmt: skip
    return [
        method, f"{one.balanced_accuracy:.{places}f}", span, f"{one.macro_f1:.{places}f}",
        f"{one.kappa:.2f}", _figure(one.calibration_error, 2), size,
    ]  # fmt: skip


def _ahead(one: Difference, places: int) -> str:
    """Give the interval of a difference."""
    low, high = (round(end, places) + 0.0 for end in one.interval)  # no -0.00
    return f"{low:+.{places}f} to {high:+.{places}f}"


def _people(count: int) -> str:
    """Count people in words."""
    return "1 person" if count == 1 else f"{count} people"
