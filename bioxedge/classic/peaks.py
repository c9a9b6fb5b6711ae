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
    places = _maxima(row)
    places = places[row[places] >= height]
    if distance > 1:
        places = _apart(row, places, distance)
    found = _prominences(row, places)
    kept = found >= prominence
    return places[kept], found[kept]


def _maxima(row: Row) -> Places:
    """Find samples, or plateaus, that both their neighbours lie below."""
    if len(row) < 3:
        return np.empty(0, np.intp)
    edges = np.flatnonzero(np.diff(row)) + 1  # where another value begins
    starts = np.concatenate([[0], edges])
    ends = np.concatenate([edges, [len(row)]]) - 1
    level = row[starts]
    top = np.zeros(len(starts), bool)
    top[1:-1] = (level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])
    found: Places = ((starts[top] + ends[top]) // 2).astype(np.intp)
    return found


def _apart(row: Row, places: Places, distance: int) -> Places:
    """Keep the highest of those that are nearer to each other than a distance."""
    kept = np.ones(len(places), bool)
    for number in np.argsort(row[places], kind="stable")[::-1]:
        if not kept[number]:
            continue
        low = np.searchsorted(places, places[number] - distance, "right")
        high = np.searchsorted(places, places[number] + distance, "left")
        kept[low:number] = False
        kept[number + 1 : high] = False
    return places[kept]


def _prominences(row: Row, places: Places) -> Row:
    """Say how far each peak stands out."""
    found = np.empty(len(places))
    for number, place in enumerate(places):
        top = row[place]
        higher = np.flatnonzero(row[:place] > top)
        left = row[(higher[-1] if len(higher) else 0) : place + 1].min()
        higher = np.flatnonzero(row[place + 1 :] > top)
        right = row[place : (place + 1 + higher[0] if len(higher) else len(row))].min()
        found[number] = top - max(left, right)
    return found
