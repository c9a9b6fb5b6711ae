"""The sample clock, rebuilt from a board's package counter and time stamps.

Most boards count packages modulo 256 (a larger power of two looks the same here); a jump of
the counter is a gap, and which multiple of 256 went missing is told by the time that passed.
Some boards count on the host, share a number among samples or write none at all: there a loss
cannot be seen, and the clock says so instead of claiming that there was none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CYCLE = 256
LEARN = 32  # steps of the counter that are looked at before it is trusted
_PLAIN = 0.9  # share of them that must be +1
# A jump of so many samples for which no time passed is no loss: the counter wraps elsewhere.
_CONTRADICTION = 64

Floats = npt.NDArray[np.float64]


class SampleClock:
    """Gives every row its absolute sample index.

    Parameters
    ----------
    pace : float
        Rows per second of the time stamps (rate times playback speed).
    counts : bool, optional
        Whether the counter is known to be +1 modulo 256; learnt from the first rows where
        nothing is known.
    start : int, optional
        Index of the first row.

    Attributes
    ----------
    loss : int or None
        Samples missing so far; None where the counter cannot tell.
    """

    def __init__(self, pace: float, *, counts: bool | None = None, start: int = 0) -> None:
        self._pace = pace
        self.counts = counts
        self.next = start
        self._missing = 0
        self._last: tuple[float, float] | None = None

    @property
    def loss(self) -> int | None:
        """Samples missing so far; None where the counter cannot tell."""
        return self._missing if self.counts else None

    def learn(self, counter: Floats) -> None:
        """Look at the first rows' counter and settle whether it can be trusted."""
        steps = np.diff(counter) % CYCLE
        self.counts = bool(len(steps) and np.mean(steps == 1) >= _PLAIN)

    def index(
        self, counter: Floats, stamps: Floats, *, passed: float | None = None
    ) -> npt.NDArray[np.int64]:
        """Give rows their indices.

        Parameters
        ----------
        counter, stamps : ndarray, shape [rows]
            Package counter, and time stamps in seconds.
        passed : float, optional
            Seconds on the monotonic clock since rows were last taken. No more can have been
            lost than fits into it, which keeps a step of the wall clock from making a gap.

        Returns
        -------
        ndarray of int64, shape [rows]
        """
        if not len(counter):
            return np.empty(0, np.int64)
        if self._last is None:
            missing = np.zeros(len(counter), np.int64)
            if self.counts:
                missing[1:] = self._gaps(counter, stamps, passed)
        elif self.counts:
            before, when = self._last
            missing = self._gaps(
                np.concatenate([[before], counter]), np.concatenate([[when], stamps]), passed
            )
        else:
            missing = np.zeros(len(counter), np.int64)
        if not self.counts:
            missing[:] = 0
        self._last = float(counter[-1]), float(stamps[-1])
        self._missing += int(missing.sum())
        indices = self.next + np.arange(len(counter)) + np.cumsum(missing)
        self.next = int(indices[-1]) + 1
        return indices

    def _gaps(self, counter: Floats, stamps: Floats, passed: float | None) -> npt.NDArray[np.int64]:
        """Samples missing before each row but the first."""
        counted = ((np.diff(counter) - 1) % CYCLE).astype(np.int64)
        timed = np.diff(stamps) * self._pace - 1
        if passed is not None:
            timed = np.minimum(timed, passed * self._pace)
        if np.any((counted >= _CONTRADICTION) & (timed < counted / 4)):
            self.counts = False
        turns = np.maximum(np.rint((timed - counted) / CYCLE), 0).astype(np.int64)
        return counted + turns * CYCLE
