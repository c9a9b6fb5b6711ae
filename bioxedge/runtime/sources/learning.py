"""Learn how a counter goes from the numbers it gives."""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import pairwise

import numpy as np

from bioxedge.runtime.sources.counters import Floats, Pattern

_RUNS = 24  # runs of equal numbers that are looked at for the rows a number and the step
_PLAIN = 0.8  # share of them that must agree
_MOST = 4096  # rows of one number after which it says nothing

Run = tuple[float, int]


def choose(patterns: tuple[Pattern, ...], numbers: Floats) -> Pattern:
    """Choose the pattern that most of the first rows follow."""
    if len(numbers) > 1 and not np.any(np.diff(numbers)):
        for pattern in patterns:
            if pattern.blind:
                return pattern
    return max(patterns, key=lambda pattern: _follows(pattern, numbers))


def _follows(pattern: Pattern, numbers: Floats) -> float:
    """Share of rows that go on from the row before as this pattern says."""
    if pattern.blind or len(numbers) < 2:
        return 0.0
    ordinals = pattern.ordinals(numbers)
    changes = np.flatnonzero(np.diff(numbers)) + 1
    whole = np.diff(changes, prepend=0) == pattern.rows
    return float(np.mean(ordinals >= 0)) * float(np.mean(whole) if len(changes) else 0.0)


class Learner:
    """Learns rows a number, step and modulus; keeps looking until it has them.

    A turn counts as seen where regular steps lead up to a fall and away from it. It is believed
    when the same fall comes a second time, or at once where it ends a power of two and begins
    at 0.
    """

    def __init__(self) -> None:
        self._run: Run = (math.nan, 0)
        self._runs: deque[Run] = deque(maxlen=_RUNS)
        self._falls: Counter[tuple[float, float, float, int]] = Counter()
        self.found: Pattern | None = None
        self.silent = False

    @property
    def inside(self) -> int:
        """Rows from the counter's zero to the last row seen, within a turn."""
        assert self.found is not None
        number, rows = self._run
        ordinal = int(self.found.ordinals(np.array([number]))[0])
        return max(ordinal, 0) * self.found.rows + rows - 1

    def look(self, numbers: Floats) -> Pattern | None:
        """Take rows' numbers; give the pattern once it is known."""
        for number in numbers.tolist():
            before, rows = self._run
            if number == before:
                self._run = number, rows + 1
                self.silent = self.silent or rows >= _MOST
                continue
            if rows:
                self._runs.append((before, rows))
            self._run = number, 1
            if self.found is None and len(self._runs) >= 6:
                self._look()
        return self.found

    def _look(self) -> None:
        """Judge the fall that now has regular steps on both its sides."""
        values = [number for number, _ in self._runs]
        a, b, c, d = values[-4:]  # a -> b regular, b -> c the fall, c -> d regular
        if not (c < b and a < b and c < d):
            return
        steps = [y - x for x, y in pairwise(values) if y > x]
        step, often = Counter(steps).most_common(1)[0]
        sizes = [rows for _, rows in list(self._runs)[1:]]
        size, many = Counter(sizes).most_common(1)[0]
        if often < _PLAIN * len(steps) or many < _PLAIN * len(sizes):
            return
        if b - a != step or d - c != step or c < 0 or not all(map(_whole, (step, b, c))):
            return
        fall = b, c, step, size
        self._falls[fall] += 1
        end = b + step
        power = c == 0 and math.log2(end).is_integer()
        if power or self._falls[fall] >= 2:
            self.found = Pattern(int(end), step=int(step), rows=size, base=int(c), stamps="unknown")


def _whole(number: float) -> bool:
    return math.isfinite(number) and number == int(number)
