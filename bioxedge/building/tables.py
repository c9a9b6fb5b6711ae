"""Scores laid out for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.values import ValueScore

_COARSE = 0.1  # of an interval: wider ones are said to two digits


def scores(found: Sequence[Score | ValueScore], title: str, *, unit: str = "") -> Table:
    """Lay scores out, as many digits as their intervals allow.

    Parameters
    ----------
    found : sequence of Score or ValueScore
    title : str
    unit : str
        Of values.
    """
    rows = Table(title=title, title_justify="left")
    first = found[0]
    rows.add_column(f"{_people(first.people)} never seen, {first.windows:,} windows")
    by_value = isinstance(first, ValueScore)
    names = (
        (f"mean error [{unit}]", "95 %", "r", "bias", "trained")
        if by_value
        else ("bal. acc.", "95 %", "macro F1", "kappa", "trained")
    )
    for name in names:
        rows.add_column(name, justify="right")
    for one in found:
        rows.add_row(*_cells(one), style="bold" if one.method == "bridge" else None)
    if first.interval is None:
        rows.caption = f"{_people(first.people)}: no interval can be given with fewer than 3"
    else:
        rows.caption = "95 %: over draws of people with replacement"
    return rows


def _cells(one: Score | ValueScore) -> list[str]:
    """Give the cells of one row."""
    digits = 3
    if one.interval is not None and one.interval[1] - one.interval[0] > _COARSE:
        digits = 2
    span = "–"
    if one.interval is not None:
        span = f"{one.interval[0]:.{digits}f}–{one.interval[1]:.{digits}f}"
    size = f"{one.parameters:,}" if one.parameters else "–"
    if isinstance(one, ValueScore):
        return [
            one.method, f"{one.mean_error:.{digits}f}", span, f"{one.correlation:.2f}",
            f"{one.bias:+.{digits}f}", size,
        ]  # fmt: skip
    return [
        one.method, f"{one.balanced_accuracy:.{digits}f}", span, f"{one.macro_f1:.{digits}f}",
        f"{one.kappa:.2f}", size,
    ]  # fmt: skip


def _people(count: int) -> str:
    """Count people in words."""
    return "1 person" if count == 1 else f"{count} people"
