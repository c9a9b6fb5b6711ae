"""The signal as a screen can show it: the least and the greatest value in each column of samples.

Columns lie on one grid that is counted from sample 0, so that batches join without a seam and two
clients see the same. A column of a channel that has no value at all is NaN; one where some are
missing is marked.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Chunk

# Columns a second, at most: a few hundred pixels for what is shown.
PER_SECOND = 64
# Seconds that are shown.
SHOWN = 10.0

Pairs = npt.NDArray[np.float32]
Marks = npt.NDArray[np.uint8]


class Columns:
    """Takes chunks, gives columns.

    Parameters
    ----------
    channels : int
    rate : float
        Nominal, in Hz.

    Attributes
    ----------
    width : int
        Samples in a column.

    Examples
    --------
    >>> columns = Columns(1, 256.0)
    >>> columns.width
    4
    >>> columns.push(Chunk(np.arange(10.0)[None], 0, 256.0))
    >>> first, low, high, missing = columns.take()
    >>> first, low.tolist(), high.tolist(), missing.tolist()
    (0, [[0.0, 4.0]], [[3.0, 7.0]], [[0, 0]])
    """

    def __init__(self, channels: int, rate: float) -> None:
        self.width = max(1, math.ceil(rate / PER_SECOND))
        self._channels = channels
        self._kept = math.ceil(SHOWN * rate / self.width) + 1
        self._rest = np.empty((channels, 0))  # samples of the column that is not complete
        self._next = 0  # index of the sample that comes next
        self._first = 0  # index of the first column that waits
        self._waiting: list[tuple[Pairs, Pairs, Marks]] = []
        self._started = False

    def push(self, chunk: Chunk) -> None:
        """Take a chunk; what lies between it and the one before is missing."""
        samples, first = chunk.samples, chunk.first
        if not self._started or not 0 <= first - self._next <= self._kept * self.width:
            self._begin(first)
        elif first > self._next:
            hole = np.full((self._channels, first - self._next), np.nan)
            samples = np.concatenate([hole, samples], axis=1)
        self._next = chunk.end
        samples = np.concatenate([self._rest, samples], axis=1)
        whole = samples.shape[1] // self.width
        self._rest = samples[:, whole * self.width :]
        if whole:
            self._waiting.append(_columns(samples[:, : whole * self.width], self.width))

    def _begin(self, first: int) -> None:
        """Start anew at a sample; what came long before it is not shown any more."""
        self._waiting.clear()
        self._first = first // self.width
        self._rest = np.full((self._channels, first % self.width), np.nan)
        self._started = True

    def take(self) -> tuple[int, Pairs, Pairs, Marks] | None:
        """Give the columns that are complete since the last call.

        Returns
        -------
        tuple or None
            Index of the first column; least and greatest values, float32 [channels, n]; and 1
            where a sample is missing, uint8 [channels, n]. None where there are none.
        """
        if not self._waiting:
            return None
        if len(self._waiting) == 1:
            low, high, missing = self._waiting[0]
        else:
            low = np.concatenate([one[0] for one in self._waiting], axis=1)
            high = low
            if self.width > 1:
                high = np.concatenate([one[1] for one in self._waiting], axis=1)
            missing = np.concatenate([one[2] for one in self._waiting], axis=1)
        self._waiting.clear()
        first = self._first
        self._first += low.shape[1]
        if low.shape[1] > self._kept:
            first += low.shape[1] - self._kept
            low, high = low[:, -self._kept :], high[:, -self._kept :]
            missing = missing[:, -self._kept :]
        return first, low, high, missing


def _columns(samples: npt.NDArray[np.float64], width: int) -> tuple[Pairs, Pairs, Marks]:
    """Least, greatest and missing of every ``width`` samples [channels, n * width]."""
    with np.errstate(all="ignore"):  # of values that float32 cannot hold
        if width == 1:
            low = samples.astype(np.float32)
            return low, low, (~np.isfinite(low)).view(np.uint8)
        blocks = samples.reshape(len(samples), -1, width)
        low = np.fmin.reduce(blocks, axis=2).astype(np.float32)
        high = np.fmax.reduce(blocks, axis=2).astype(np.float32)
        # adding is the cheapest way to see a NaN in any of them
        missing = (~np.isfinite(blocks.sum(axis=2))).view(np.uint8)
        return low, high, missing


def packed(first: int, low: Pairs, high: Pairs, missing: Marks) -> dict[str, Any]:
    """Give columns as JSON values: base64 of little-endian float32, a channel after the other."""
    about: dict[str, Any] = {"first": first, "n": int(low.shape[1]), "low": _text(low, "<f4")}
    if not np.array_equal(high, low, equal_nan=True):
        about["high"] = _text(high, "<f4")
    if missing.any():
        about["missing"] = _text(missing, "u1")
    return about


def _text(values: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
