"""What a table of scores says, in words: judged by intervals over people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bioxedge.bridging.evaluate import ENOUGH, FEWEST, Difference, differences, middle

Floats = npt.NDArray[np.float64]

BRIDGE, TEACHER, CONSTANT, CLASSIC = "bridge", "teacher", "majority", "classic features"
ORACLE_CLASSIC = "oracle: classic features, true labels"

_WORDS = {
    CONSTANT: "a constant answer",
    CLASSIC: "classic features with a linear model on the same pseudo-labels",
    ORACLE_CLASSIC: "classic features of this sensor learnt from true labels",
}
_AGREEING = "No label is known: all of this is agreement with the teacher, right or wrong"
_MOST_DIGITS = 4
_NOTHING = 1e-9  # of a width: rounding, where everybody drawn gives the same


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
    if BRIDGE not in methods:
        return []
    known = [_AGREEING] if agreeing else []
    if people < FEWEST or draws is None:
        return [
            f"{people} test {'person' if people == 1 else 'people'}: the figures are theirs alone, "
            f"and no verdict can be given; test at least {FEWEST}",
            *known,
        ]
    ahead = {one.other: one for one in differences(methods, found, draws, people, BRIDGE)}
    reached = dict(zip(methods, found, strict=True))
    lines = [
        _against(ahead[other], reached, unit) for other in (CONSTANT, CLASSIC) if other in ahead
    ]
    oracle = ahead.get(ORACLE_CLASSIC)
    if oracle is not None and oracle.interval[1] < 0:
        lines.append(f"{_against(oracle, reached, unit)}: labels are worth more than pairs here")
    if TEACHER in ahead and not agreeing and (chance is not None or CONSTANT in ahead):
        columns = dict(zip(methods, draws.T, strict=True))
        lines.append(_kept(reached, columns, people, chance))
    if people < ENOUGH:
        lines.append(
            f"{people} test people are few: the intervals are as wide as that, and hold only if "
            f"others are much like them; test at least {ENOUGH}"
        )
    return lines + known


def digits(width: float) -> int:
    """Say how many digits after the point a figure deserves whose 95 % interval is so wide.

    Two of them may move: 0.71 (0.62 to 0.79), 0.707 (0.68 to 0.73) with one more, 71 bpm with none.
    """
    if not (width > _NOTHING and math.isfinite(width)):
        return 3
    return min(max(1 - math.floor(math.log10(width)), 0), _MOST_DIGITS)


def _against(one: Difference, reached: dict[str, float], unit: str) -> str:
    """Compare the bridge with another row, by the figures that the table shows."""
    mine, theirs = abs(reached[one.method]), abs(reached[one.other])
    # An error is shown as such, and less of it is better.
    sign = -1 if min(reached.values()) < 0 else 1
    low, high = sorted(sign * end for end in one.interval)
    places = digits(high - low)
    after = f" {unit}" if unit else ""
    figures = (
        f"{_said(mine, places)} against {_said(theirs, places)}{after}; difference "
        f"{_said(mine - theirs, places, '+')}, 95 % {_said(low, places, '+')} to "
        f"{_said(high, places, '+')} over people"
    )
    words = _WORDS[one.other]
    if one.interval[0] > 0:
        return f"The bridge is better than {words} ({figures})"
    if one.interval[1] < 0:
        return f"The bridge is WORSE than {words} ({figures})"
    return f"The bridge is not shown to be better than {words} ({figures})"


def _kept(
    reached: dict[str, float], columns: dict[str, Floats], people: int, chance: float | None
) -> str:
    """Say what the bridge keeps of the teacher's margin over a constant."""
    level = reached[CONSTANT] if chance is None else chance
    base = columns[CONSTANT] if chance is None else chance
    margin = columns[TEACHER] - base
    if middle(margin, people)[0] <= 0:
        return "The teacher itself is not shown to be better than a constant answer"
    whole = reached[TEACHER] - level
    kept = (reached[BRIDGE] - level) / whole
    # What is off that share, as a share: quotients of draws have no bounds where margins are small.
    off = middle(columns[BRIDGE] - base - kept * margin, people)
    low, high = (kept + end / whole for end in off)
    places = digits(high - low)
    return (
        f"The bridge keeps {_said(kept, places)} of its teacher's margin over a constant "
        f"(95 % {_said(low, places)} to {_said(high, places)} over people)"
    )


def _said(value: float, places: int, sign: str = "") -> str:
    """Write a figure; what rounds to 0 has no sign of its own."""
    return f"{round(value, places) + 0.0:{sign}.{places}f}"
