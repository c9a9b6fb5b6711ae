"""What a table of scores says, in words: judged by intervals over people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.bridging.evaluate import FEWEST, middle

Floats = npt.NDArray[np.float64]

BRIDGE, TEACHER, CONSTANT, CLASSIC = "bridge", "teacher", "majority", "classic features"
_COARSE = 0.1  # of an interval: wider ones are said to two digits


def verdicts(
    methods: Sequence[str],
    found: Sequence[float],
    draws: Floats | None,
    people: int,
    *,
    chance: float | None = None,
    agreeing: bool = False,
    unit: str = "",
) -> list[str]:
    """Say what is better than what.

    Parameters
    ----------
    methods : sequence of str
    found : sequence of float
        What each reached; more is better (an error counts below 0).
    draws : ndarray of float64, shape [draws, methods], optional
        The same over draws of people.
    people : int
        How many were tested.
    chance : float, optional
        What a constant answer reaches; the row of the majority (or of the mean) if left out.
    agreeing : bool
        The truth is the teacher's answers.
    unit : str
        Of the figures, where they have one.

    Returns
    -------
    list of str
        A sentence each.
    """
    at = {name: k for k, name in enumerate(methods)}
    if BRIDGE not in at:
        return []
    if people < FEWEST or draws is None:
        return [
            f"{people} test {'person' if people == 1 else 'people'}: the figures are theirs alone, "
            "and no verdict can be given; test at least 3"
        ]
    lines = []
    if CONSTANT in at:
        lines.append(_against(at, found, draws, CONSTANT, "a constant answer", unit))
    if CLASSIC in at:
        words = "classic features with a linear model on the same pseudo-labels"
        lines.append(_against(at, found, draws, CLASSIC, words, unit))
    if TEACHER in at and CONSTANT in at and not agreeing:
        lines.append(_kept(at, found, draws, chance))
    if agreeing:
        lines.append("No label is known: all of this is agreement with the teacher, right or wrong")
    return lines


def _against(
    at: dict[str, int],
    found: Sequence[float],
    draws: Floats,
    other: str,
    words: str,
    unit: str,
) -> str:
    """Compare the bridge with another row."""
    mine, theirs = found[at[BRIDGE]], found[at[other]]
    low, high = middle(draws[:, at[BRIDGE]] - draws[:, at[other]])
    digits = _digits(high - low)
    after = f" {unit}" if unit else ""
    figures = (
        f"{abs(mine):.{digits}f} against {abs(theirs):.{digits}f}{after}; difference "
        f"{mine - theirs:+.{digits}f}, {low:+.{digits}f} to {high:+.{digits}f} over people"
    )
    if low > 0:
        return f"The bridge is better than {words} ({figures})"
    if high < 0:
        return f"The bridge is WORSE than {words} ({figures})"
    return f"The bridge is not shown to be better than {words} ({figures})"


def _kept(at: dict[str, int], found: Sequence[float], draws: Floats, chance: float | None) -> str:
    """Say what the bridge keeps of the teacher's margin over a constant."""
    base = draws[:, at[CONSTANT]] if chance is None else np.full(len(draws), chance)
    level = found[at[CONSTANT]] if chance is None else chance
    margin = draws[:, at[TEACHER]] - base
    if middle(margin)[0] <= 0:
        return "The teacher itself is not shown to be better than a constant answer"
    kept = (found[at[BRIDGE]] - level) / (found[at[TEACHER]] - level)
    shares = (draws[:, at[BRIDGE]] - base)[margin > 0] / margin[margin > 0]
    low, high = middle(shares)
    return (
        f"The bridge keeps {kept:.2f} of its teacher's margin over a constant "
        f"({low:.2f} to {high:.2f} over people)"
    )


def _digits(width: float) -> int:
    """Say how many digits an interval's width allows."""
    return 2 if width > _COARSE else 3
