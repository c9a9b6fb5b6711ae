"""Rows out of line: which came twice, which were swapped, which bear a number that is garbage.

A row's *place* is its distance from the sample that is expected next, by its number alone. Most
rows are in line: their places rise. The largest set of them that does (the longest increasing
subsequence) is believed, and each row beside it is judged by the places that are still free.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioxedge.runtime.sources.counters import Ints, Pattern

GOOD, GARBLED, STALE = 0, 1, 2
NOWHERE = -(2**62)  # the place of a row without a number that could be one


class Placed(NamedTuple):
    """Rows that have found their place, and are to be taken from the front of what is held.

    Attributes
    ----------
    consumed : int
        Rows to take, those left out among them.
    order : ndarray of int64
        Which of them, in the order of their samples.
    samples : ndarray of int64
        Their samples; strictly rising.
    state : ndarray of int8
        ``GOOD``, ``GARBLED`` or ``STALE``.
    plain : bool
        All of the rows, one sample after another, all good.
    """

    consumed: int
    order: Ints
    samples: Ints
    state: npt.NDArray[np.int8]
    plain: bool = False


@dataclass
class Arrangement:
    """What the first of some rows turned out to be.

    Attributes
    ----------
    consumed : int
        Rows that are settled, from the front.
    rows, places, states : list of int
        Those that are kept, by rising place.
    doubled, dropped : int
        Rows left out because they came twice, and for want of any place.
    swapped : int
        Rows that were put before one that came earlier.
    sure : bool
        Whether any row at all is in line.
    """

    consumed: int
    rows: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    states: list[int] = field(default_factory=list)
    doubled: int = 0
    dropped: int = 0
    swapped: int = 0

    sure: bool = True

    @property
    def first_good(self) -> int:
        """Which of the kept rows is the first whose number is believed."""
        return self.states.index(GOOD) if GOOD in self.states else len(self.states)

    @property
    def first(self) -> int:
        """Samples missing before that row."""
        at = self.first_good
        return self.places[at] - at if at < len(self.places) else 0


def reach(pattern: Pattern) -> int:
    """How many rows back a row may come from: a packet and its forerunner, or eight rows."""
    most = max(8, 2 * pattern.rows)
    return most if pattern.turn is None else min(most, pattern.turn // 4)


def coordinates(ordinals: Ints, pattern: Pattern, origin: int, low: int | None) -> list[int]:
    """Give rows their places.

    Parameters
    ----------
    ordinals : ndarray of int64
        Packets within a turn, -1 for what is no number.
    pattern : Pattern
    origin : int
        Rows from the counter's zero to the sample that is expected next.
    low : int or None
        Samples that are missing by the time that passed: places are the nearest to it. None
        where no time passed: then a little backwards, or else forwards.
    """
    k, turn = pattern.rows, pattern.turn
    packets = None if turn is None else turn // k
    inside = _inside(ordinals, k, origin, packets)
    if turn is None:
        return [NOWHERE if x is None else x - origin for x in inside]
    least = -reach(pattern) if low is None else low - turn // 2
    return [NOWHERE if x is None else least + (x - origin - least) % turn for x in inside]


def _inside(ordinals: Ints, k: int, origin: int, packets: int | None) -> list[int | None]:
    """Rows from the counter's zero, within a turn: packet times rows, and the row in it."""
    numbers: list[int] = ordinals.tolist()
    if k == 1:
        return [n if n >= 0 else None for n in numbers]
    current = origin // k if packets is None else origin // k % packets
    seen = {current: origin % k}
    before = current if origin % k else -1
    out: list[int | None] = []
    for row, number in enumerate(numbers):
        after = numbers[row + 1] if row + 1 < len(numbers) else -1
        if number != before and before == after and before >= 0 and abs(number - before) != 1:
            seen[before] = seen.get(before, 0) + 1  # garbage amid a packet keeps its row there
            out.append(None)
            continue
        if number < 0:
            out.append(None)
            continue
        out.append(number * k + seen.get(number, 0) % k)
        seen[number] = seen.get(number, 0) + 1
        before = number
    _align(numbers, out, k, origin)
    return out


def _align(numbers: list[int], inside: list[int | None], k: int, origin: int) -> None:
    """Put a packet whose front is missing to the packet's end."""
    row = 0
    while row < len(numbers) and inside[row] is None:
        row += 1
    end = row
    while end < len(numbers) and numbers[end] == numbers[row]:
        end += 1
    if row >= len(numbers) or end == len(numbers) or end - row >= k:
        return  # not complete yet, or whole
    begins = inside[row]
    assert begins is not None
    fresh = begins % k == 0 and None not in inside[row:end]
    if fresh and (row > 0 or begins != origin) and numbers[row] != numbers[end]:
        for at in range(row, end):
            inside[at] = begins + k - (end - at)


def _line(places: list[int]) -> list[int]:
    """Rows of the longest strictly rising run of places that are not behind."""
    tops: list[int] = []
    rows: list[int] = []
    back: dict[int, int] = {}
    for row, place in enumerate(places):
        if place < 0:
            continue
        at = bisect_left(tops, place)
        back[row] = rows[at - 1] if at else -1
        tops[at : at + 1] = [place]
        rows[at : at + 1] = [row]
    chain = []
    row = rows[-1] if rows else -1
    while row >= 0:
        chain.append(row)
        row = back[row]
    return chain[::-1]


def arrange(places: list[int], far: int, twin: list[bool]) -> Arrangement:
    """Settle the first rows, as few as stand for themselves.

    Parameters
    ----------
    places : list of int
    far : int
        Rows by which one may be displaced.
    twin : list of bool
        For each row, whether one that bears the number of the row before it is a stale row,
        not the same row again.
    """
    line = _line(places)
    taken = {places[row] for row in line}
    kept = dict.fromkeys(line, GOOD)
    top = places[line[-1]] if line else -1
    for row, place in enumerate(places):  # swapped rows have a place of their own
        if row in kept or not 0 <= place < top or place in taken:
            continue
        rank = sum(places[other] < place for other in kept)
        here = sum(other < row for other in kept)
        if abs(rank - here) <= far:
            kept[row] = GOOD
            taken.add(place)
    size = _cut(places, kept, line)
    out = Arrangement(size, sure=bool(line))
    placed = {row: places[row] for row in kept if row < size}
    states = dict.fromkeys(placed, GOOD)
    for row in range(size):
        if row in placed:
            continue
        free = max((p for r, p in placed.items() if r < row), default=-1) + 1
        limit = min((places[r] for r in kept if r > row), default=None)
        again = -far <= places[row] < 0 or places[row] in taken
        if free < limit if limit is not None else not (line or again):
            placed[row], states[row] = free, STALE if twin[row] else GARBLED
        elif again:
            out.doubled += 1
        else:
            out.dropped += 1
    out.rows = sorted(placed, key=placed.__getitem__)
    out.places = [placed[row] for row in out.rows]
    out.states = [states[row] for row in out.rows]
    out.swapped = sum(b < a for a, b in pairwise(out.rows))
    return out


def _cut(places: list[int], kept: dict[int, int], line: list[int]) -> int:
    """Find the shortest front that nothing behind it belongs into."""
    if not line:
        return 1
    size = line[0] + 1
    while size < len(places):
        front = [places[row] for row in kept if row < size]
        rest = [places[row] for row in kept if row >= size]
        if not rest or max(front) < min(rest):
            break
        size += 1
    return size
