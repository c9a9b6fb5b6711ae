"""Peaks of a row and how far they stand out, with NumPy alone.

A device describes windows, too, and importing SciPy's signal processing costs it most of a second
and 74 MB. Heights, distances and prominences mean what they mean there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def peaks(
    row: Row, *, height: float = -np.inf, distance: int = 1, prominence: float = 0.0
) -> tuple[Places, Row]:
    """Find local maxima.

    Parameters
    ----------
    row : ndarray of float64, shape [samples]
        Finite.
    height : float
        The least value of a peak.
    distance : int
        Peaks nearer than this to a higher one are passed over.
    prominence : float
        How far a peak must stand above the higher of the two lowest points between it and a higher
        sample (or the row's end) on either side.

    Returns
    -------
    places : ndarray of int, shape [peaks]
        The middle of a plateau, rounded down.
    prominences : ndarray of float64, shape [peaks]
    """
    summits = _maxima(row)
    places = summits[row[summits] >= height]
    if distance > 1:
        places = _apart(row, places, distance)
    found = _prominences(row, summits, places)
    kept = found >= prominence
    return places[kept], found[kept]


def _maxima(row: Row) -> Places:
    """Find samples, or plateaus, that both their neighbours lie below."""
    if len(row) < 3:
        return np.empty(0, np.intp)
    steps = np.diff(row)
    if steps.all():  # no plateau
        rises = steps > 0
        risen: Places = np.flatnonzero(rises[:-1] & ~rises[1:]) + 1
        return risen
    edges = np.flatnonzero(steps) + 1  # where another value begins
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(row)]]) - 1
    level = row[starts]
    top = np.zeros(len(starts), bool)
    top[1:-1] = (level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])
    found: Places = ((starts[top] + ends[top]) // 2).astype(np.intp)
    return found


def _apart(row: Row, places: Places, distance: int) -> Places:
    """Keep the highest of those that are nearer to each other than a distance."""
    # Plain lists: most peaks have few neighbours, fewer than an array's least step costs.
    at: list[int] = places.tolist()
    kept = [True] * len(at)
    for number in np.argsort(row[places], kind="stable")[::-1].tolist():
        if not kept[number]:
            continue
        here = at[number]
        near = number - 1
        while near >= 0 and here - at[near] < distance:
            kept[near] = False
            near -= 1
        near = number + 1
        while near < len(at) and at[near] - here < distance:
            kept[near] = False
            near += 1
    found: Places = places[np.array(kept, bool)]
    return found


def _prominences(row: Row, summits: Places, places: Places) -> Row:
    """Say how far each peak stands out.

    A row that has passed a peak's height goes on up to a summit, or to its end: so the lowest
    points between summits are all that need be looked at, each once from either side.
    """
    if not len(places):
        return np.empty(0)
    marks = np.concatenate([[0], summits, [len(row) - 1]])
    heights = row[marks].tolist()
    valleys = np.minimum.reduceat(row, marks[:-1]).tolist()
    left = _lowest(heights, valleys)
    right = _lowest(heights[::-1], valleys[::-1])[::-1]
    bases = np.maximum(left[1:-1], right[1:-1])
    found: Row = row[places] - bases[np.searchsorted(summits, places)]
    return found


def _lowest(heights: list[float], valleys: list[float]) -> Row:
    """Give the lowest point before each mark, back to the nearest higher one or the beginning.

    Parameters
    ----------
    heights : list of float, length n
    valleys : list of float, length n − 1
        The lowest point between each two marks.
    """
    found = [heights[0]]
    higher = [(heights[0], heights[0])]  # marks that nothing so far has passed, lowest last
    for height, low in zip(heights[1:], valleys, strict=True):
        while higher and higher[-1][0] <= height:
            low = min(low, higher.pop()[1])
        higher.append((height, low))
        found.append(low)
    return np.array(found)
