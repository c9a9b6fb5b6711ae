"""A board's numbers against sample indices: which pattern is in use, and where its zero lies."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from bioxedge.runtime.order import Arrangement, arrange, coordinates, reach
from bioxedge.runtime.sources.counters import Floats, Ints, Pattern
from bioxedge.runtime.sources.learning import Learner, choose

AHEAD = 8  # rows beyond a packet that show what an odd row was
_AGREE = 3  # rows that go on from a jump before it is one
# So many contradictions within so many turns of the counter: the pattern is wrong.
_STRANGE, _TURNS, _WITHIN = 3, 6, 30.0


class Numbering:
    """Knows which number each sample should have.

    Parameters
    ----------
    pattern : Pattern or None
        None where it has to be learnt.

    Attributes
    ----------
    pattern : Pattern or None
        The one in use; None while it is being learnt.
    """

    def __init__(self, pattern: Pattern | None) -> None:
        self.pattern = pattern
        self._others = () if pattern is None else pattern.others
        self._learner = Learner() if pattern is None else None
        self._phase: int | None = None  # the index that the first number would have
        self._strange: list[float] = []

    @property
    def counts(self) -> bool:
        """Whether losses show."""
        return self.pattern is not None and not self.pattern.blind and not self._others

    @property
    def begun(self) -> bool:
        """Whether the first rows have been looked at."""
        return not self._others and (self._phase is not None or not self.counts)

    @property
    def turn(self) -> int | None:
        """Rows until the numbers come round."""
        return self.pattern.turn if self.pattern is not None and self.counts else None

    @property
    def ahead(self) -> int:
        """Rows that it takes to tell what an odd one is."""
        return AHEAD + (0 if self.pattern is None else 2 * self.pattern.rows)

    @property
    def first(self) -> int:
        """Rows that it takes to begin."""
        patterns = (self.pattern, *self._others)
        most = max(1 if one is None else one.rows for one in patterns)
        return AHEAD // 2 if len(patterns) == most == 1 else 3 * most + 1

    # -- to begin with ---------------------------------------------------------------------

    def begin(self, numbers: Floats, following: int) -> str | None:
        """Look at the first rows; the first of them is sample ``following``.

        Returns
        -------
        str or None
            What was chosen, where there was a choice.
        """
        said = None
        if self._others:
            assert self.pattern is not None
            self.pattern = choose((self.pattern, *self._others), numbers)
            self._others = ()
            said = f"the counter is {self.pattern}"
        if self.counts:
            self._anchor(numbers[: self.ahead], following)
        return said

    def _anchor(self, numbers: Floats, following: int) -> None:
        """Find the index that the first number would have, by what most of the rows say."""
        pattern = self.pattern
        assert pattern is not None
        ordinals = pattern.ordinals(numbers)
        valid = np.flatnonzero(ordinals >= 0)
        if not len(valid):
            self._phase = following
            return
        if pattern.rows > 1:  # whole packets come first
            valid = valid[:1]
        phases = following + valid - ordinals[valid] * pattern.rows
        if pattern.turn is not None:
            phases = following - (following - phases) % pattern.turn
        self._phase = Counter(phases.tolist()).most_common(1)[0][0]

    def look(self, numbers: Floats) -> None:
        """Show new rows to the learner, where the pattern is not known."""
        if self._learner is not None:
            self._learner.look(numbers)

    def adopt(self, following: int) -> str | None:
        """Use what was learnt; all rows before sample ``following`` have been looked at.

        Returns
        -------
        str or None
            What was learnt, once.
        """
        learner = self._learner
        if learner is None or learner.found is None:
            return None
        self.pattern, self._learner = learner.found, None
        self._phase = following - learner.inside - 1
        return f"the counter was learnt: {self.pattern}"

    def use(self, pattern: Pattern) -> None:
        """Go by another pattern from the next row on."""
        self.pattern, self._others, self._learner = pattern, (), None
        self._phase, self._strange = None, []

    # -- row by row --------------------------------------------------------------------------

    def regular(self, numbers: Floats, following: int) -> int:
        """Count the rows, from the first on, that have the numbers they should have."""
        pattern = self.pattern
        assert pattern is not None and self._phase is not None
        expected = np.arange(following - self._phase, following - self._phase + len(numbers))
        if pattern.rows > 1:
            expected //= pattern.rows
        if pattern.turn is not None:
            expected %= pattern.turn // pattern.rows
        same = pattern.ordinals(numbers) == expected
        return len(numbers) if same.all() else int(same.argmin())

    def within(self, numbers: Floats) -> Ints:
        """Count samples from the first row to each, those included that numbers show to be gone.

        A jump counts once as many rows as it takes go on from it; one garbage number does not.
        """
        rows = np.arange(len(numbers))
        pattern = self.pattern
        if pattern is None or pattern.blind or not len(rows):
            return rows
        ordinals = pattern.ordinals(numbers)
        begins = rows[ordinals != np.append(-2, ordinals[:-1])] if pattern.rows > 1 else rows
        begins = begins[ordinals[begins] >= 0]
        drift = ordinals[begins] - np.arange(len(begins))
        packets = None if pattern.turn is None else pattern.turn // pattern.rows
        agree = _AGREE if pattern.rows == 1 else 2
        now = drift[0] if len(drift) else 0
        for at in np.flatnonzero(drift != now).tolist():
            same = drift[at : at + agree]
            if drift[at] == now or len(same) < agree or (same != drift[at]).any():
                continue
            jump = int(drift[at] - now)
            if packets is not None:
                jump %= packets
                back = min(2 * AHEAD, packets // 4)  # rows that came again, or were swapped
                jump -= packets if jump >= packets - back else 0
            rows[begins[at] :] += jump * pattern.rows
            now = drift[at]
        return rows

    def arrange(
        self, numbers: Floats, before: float, following: int, low: int | None
    ) -> Arrangement:
        """Tell what the first of some rows are, of which the first is odd.

        Parameters
        ----------
        numbers : ndarray, shape [rows]
        before : float
            The number of the row before them.
        following : int
            The sample expected next.
        low : int or None
            Samples missing by the time that passed, where time has to tell.
        """
        pattern = self.pattern
        assert pattern is not None and self._phase is not None
        places = coordinates(pattern.ordinals(numbers), pattern, following - self._phase, low)
        twins = [False] * len(numbers)
        if pattern.stale:
            twins = (np.diff(numbers, prepend=before) == 0).tolist()
        return arrange(places, reach(pattern), twins)

    def shift(self, samples: int) -> None:
        """Move the zero: the counter began anew."""
        assert self._phase is not None
        self._phase += samples

    def distrust(self, now: float, pace: float, numbers: Floats) -> str | None:
        """Count a contradiction; after some of them, learn the pattern anew.

        Returns
        -------
        str or None
            That it is being learnt.
        """
        turn = math.inf if self.turn is None else self.turn / pace
        within = min(_WITHIN, _TURNS * turn)
        self._strange = [*(at for at in self._strange if now - at < within), now]
        if len(self._strange) < _STRANGE:
            return None
        said = f"the counter is not {self.pattern}: learning it"
        self._strange, self.pattern, self._phase = [], None, None
        self._learner = Learner()
        self._learner.look(numbers)
        return said
