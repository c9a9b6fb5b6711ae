"""The sample clock: which sample each row is.

Three witnesses say where a row belongs: the board's counter, by its :class:`Pattern`; the time at
which a row was heard (its stamp where the host wrote it, the drain where not); and the line along
which samples come. Rows that follow each other pass at once. Where something is odd, rows are
held until those after them show what it was. How many whole turns of the counter a silence hid
is told by how late the rows after it stay: data that were delayed catch up, lost data do not.
"""

from __future__ import annotations

import math

import numpy as np

from bioxedge.runtime.journal import Journal
from bioxedge.runtime.line import Line
from bioxedge.runtime.numbering import Numbering
from bioxedge.runtime.order import Arrangement, Placed
from bioxedge.runtime.sources.counters import Floats, Ints, Pattern

SETTLE = 0.25  # seconds without catching up, after which what is missing counts as lost
HOLE = 0.4  # seconds that a counter which cannot tell lets pass before they are a hole
_PATIENCE = 5.0  # seconds that rows are held at most
_EARLY = 0.1  # seconds that rows may come before they are due
_UNSHOWN = 1.0  # seconds beyond what the counter shows that are worth a word
_CATCHING = 0.02  # seconds by which rows that catch up must have gained


class SampleClock:
    """Gives every row its absolute sample index.

    Parameters
    ----------
    rate : float
        Nominal rate in Hz, by which samples are told in seconds of stream time.
    pattern : Pattern or None
        None where the counter has to be learnt.
    pace : float, optional
        Rows per second of the time at which they are heard; the rate where it is left out.
    start : int, optional
        Index of the first row.

    Attributes
    ----------
    journal : Journal
        Events, and the samples missing so far.
    line : Line
    next : int
        Index of the next sample.
    """

    def __init__(
        self, rate: float, pattern: Pattern | None, *, pace: float | None = None, start: int = 0
    ) -> None:
        self.journal = Journal(rate)
        self.line = Line(rate if pace is None else pace)
        self.next = start
        self._numbering = Numbering(pattern)
        self._number = math.nan  # of the row before
        self._heard = -math.inf  # of the row before
        self._ended = False
        self._owing = False  # rows have caught up in part, and may be late or lost
        self._numbers = self._hear = self._arrive = np.empty(0)
        self._exact = self._stamped = False

    # -- what is known ---------------------------------------------------------------------

    @property
    def pattern(self) -> Pattern | None:
        """The pattern in use; None while it is being learnt."""
        return self._numbering.pattern

    @property
    def counts(self) -> bool:
        """Whether the counter shows losses."""
        return self._numbering.counts

    @property
    def loss(self) -> int | None:
        """Samples missing so far; None where the counter cannot tell."""
        return self.journal.missing if self.counts else None

    def use(self, pattern: Pattern) -> None:
        """Go by another pattern from the next row on: whoever numbers them knows more, or less."""
        self._numbering.use(pattern)
        self._ended = False

    def skip(self, samples: int, why: str) -> None:
        """Leave out samples that are known to be gone, before the next row."""
        self.journal.gap(samples, why, self.next, sure=True)
        self.next += samples
        self._ended = False

    # -- rows in, places out ---------------------------------------------------------------

    def take(
        self, numbers: Floats, heard: Floats, arrived: float, *, stamped: bool, exact: bool = False
    ) -> list[Placed]:
        """Take a drain's rows (or none) and give those that have found their place.

        Parameters
        ----------
        numbers : ndarray, shape [rows]
            The counter.
        heard : ndarray, shape [rows]
            When each row came, in seconds.
        arrived : float
            The time of the drain, in seconds of the monotonic clock.
        stamped : bool
            Whether ``heard`` comes from stamps, one for each row.
        exact : bool, optional
            Whether ``heard`` are true sample times, on a clock of their own.
        """
        if len(numbers):
            came = np.full(len(numbers), arrived)
            if len(self._numbers):
                numbers = np.concatenate([self._numbers, numbers])
                heard = np.concatenate([self._hear, heard])
                came = np.concatenate([self._arrive, came])
            self._numbering.look(numbers[len(self._numbers) :])
            self._numbers, self._hear, self._arrive = numbers, heard, came
            self._exact, self._stamped = exact, stamped
        return self._settle(arrived)

    def flush(self) -> list[Placed]:
        """Give what is held, as well as it can be told: no more rows will come."""
        self._ended = True
        return self._settle(math.inf)

    def _settle(self, now: float) -> list[Placed]:
        placed = []
        while len(self._numbers):
            some = self._advance(now)
            if some is None:
                break
            placed.append(some)
            self._leave(some)
        if not len(self._numbers):
            self.journal.counter(self._numbering.adopt(self.next), self.next)
        return placed

    def _leave(self, some: Placed) -> None:
        """Let go of rows that are placed."""
        if len(some.order):
            self._remember(some)
            self.next = int(some.samples[-1]) + 1
        self._heard = float(self._hear[some.consumed - 1])
        self._number = float(self._numbers[some.consumed - 1])
        self._numbers = self._numbers[some.consumed :]
        self._hear = self._hear[some.consumed :]
        self._arrive = self._arrive[some.consumed :]

    def _remember(self, some: Placed) -> None:
        """Show the line what is placed."""
        arrive = self._arrive
        if some.plain and some.consumed == len(arrive) and arrive[0] == arrive[-1]:
            last = np.array([some.consumed - 1])
            when = arrive[last]
        else:
            ends = arrive != np.append(arrive[1:], math.inf)  # last of its drain
            last = np.flatnonzero(ends[some.order])
            when = arrive[some.order[last]]
        if self._stamped:
            self.line.note(some.samples, self._hear[some.order])
            when = self._hear[some.order[last]]
        elif len(last):
            # Of rows that were drained together, only the last is known not to be old.
            self.line.note(some.samples[last], when)
        if not self._exact:
            for row, arrived in zip(last.tolist(), when.tolist(), strict=True):
                self.line.arrive(int(some.samples[row]), arrived)

    def _advance(self, now: float) -> Placed | None:
        """Place rows from the front; None where it takes more rows, or more time, to tell."""
        waited = now - self._arrive[0]
        numbering = self._numbering
        if not numbering.begun:
            rows = len(self._numbers)
            if rows < numbering.first and waited < 2 * SETTLE and not self._ended:
                return None
            self.journal.counter(numbering.begin(self._numbers, self.next), self.next)
        pauses = self._pauses()
        stop = 0 if self._owing else pauses[0] if len(pauses) else len(self._numbers)
        if self.counts:
            regular = numbering.regular(self._numbers[:stop], self.next)
            if regular:
                return self._follow(regular)
            if stop:
                return self._resolve(stop, waited, None)
        elif stop:
            return self._follow(stop)
        # Row 0 comes after a silence; what follows it is looked at up to the next one.
        later = pauses[pauses > 0]
        until = int(later[0]) if len(later) else len(self._numbers)
        late = self._late(until, waited, closed=len(later) > 0)
        if late is None:
            return None
        if self.counts:
            # Where the numbers go on over the silence and rows come faster than time passes, or
            # jump behind those that did, these were only late: what is lost was lost behind them.
            on = numbering.regular(self._numbers[:until], self.next)
            gained = until / self.line.pace - (self._hear[until - 1] - self._hear[0])
            jumps = numbering.within(self._numbers[:until])[-1] >= until
            took = self._hear[on - 1] - self._hear[0] if on else 0.0
            behind = jumps and took <= on / self.line.pace / 2
            if on and late > 0 and (behind or gained >= SETTLE) and not self._ended:
                self._owing = not behind  # how much, those after them show
                return self._follow(on)
            self._owing = False
            return self._resolve(until, math.inf, late)
        gap = round(late * self.line.pace) if late >= self._hole else 0
        if gap:
            witness = "stamps" if self._stamped else "arrival"
            self.journal.gap(gap, witness, self.next, sure=False)
        return self._follow(1, gap)

    def _follow(self, rows: int, gap: int = 0) -> Placed:
        """Place rows one after another."""
        order = np.arange(rows)
        return Placed(rows, order, self.next + gap + order, np.zeros(rows, np.int8), plain=True)

    # -- time ------------------------------------------------------------------------------

    def _pauses(self) -> Ints:
        """Rows before which so much time passed that the counter cannot tell how much is gone."""
        pace = self.line.pace
        limit = 1.0 if self.counts else self._hole
        turn = self._numbering.turn
        if turn is not None:
            limit = min(limit, turn / 2 / pace)
        heard, limit = self._hear, limit + 1 / pace
        long = heard[1:] - heard[:-1] >= limit
        first = [0] if heard[0] - self._heard >= limit and self._heard > -math.inf else []
        return np.concatenate([first, long.nonzero()[0] + 1]).astype(np.int64)

    @property
    def _hole(self) -> float:
        """Seconds that a counter which cannot tell lets pass before they are a hole."""
        return max(HOLE, 2 / self.line.pace)

    def _late(self, until: int, waited: float, *, closed: bool) -> float | None:
        """Seconds that rows after a silence stay behind; None while they may still catch up."""
        heard = self._hear[:until]
        passed_by = self._numbering.within(self._numbers[:until])
        late = heard - self.line.due(self.next) - passed_by / self.line.pace
        least = float(late.min())
        if self._exact or closed or self._ended:
            return least
        when = heard if self._stamped else self._arrive[:until]
        best = when[int(np.argmax(late <= least + _CATCHING))] - when[0]
        passed = max(waited, when[-1] - when[0])
        return least if passed - best >= SETTLE or passed >= _PATIENCE else None

    def _doubt(self) -> float:
        """By how many seconds the time of row 0 may be misjudged."""
        silence = max(self._hear[0] - self._heard, 0.0) if math.isfinite(self._heard) else 0.0
        return 0.0 if self._exact else _EARLY + silence * self.line.doubt + 2 * self.line.scatter

    # -- the counter -----------------------------------------------------------------------

    def _resolve(self, until: int, waited: float, late: float | None) -> Placed | None:
        """Place rows of which the first is odd, or comes after a silence."""
        pace, need = self.line.pace, self._numbering.ahead
        full = until >= need or until < len(self._numbers) or self._ended
        if not full and waited < SETTLE:
            return None
        window = min(until, need)
        numbers = self._numbers[:window]
        found = self._numbering.arrange(numbers, self._number, self.next, None)
        if late is not None:
            found = self._turned(found, numbers, late)
        if not found.sure and window >= need:
            return self._contradict(found, window, late)  # not one row in line: it counts no more
        gap = found.first
        doubt = self._doubt()
        if gap > 0 and late is None and self.line.known:
            times = self._hear[:window] - self.line.due(self.next) - np.arange(window) / pace
            spare = float(times.min()) - gap / pace
            half = (self._numbering.turn or math.inf) / 2 / pace
            if spare < -doubt or spare > half + doubt:
                # The counter went on by more than time did, or by turns less. It takes a moment
                # to be sure.
                late = self._late(until, waited, closed=until < len(self._numbers))
                if late is None:
                    return None
                found = self._turned(found, numbers, late)
                gap = found.first
        if late is not None and gap - 0.5 > (late + doubt) * pace:
            return self._contradict(found, window, late)
        return self._place(found, late, doubt)

    def _turned(self, found: Arrangement, numbers: Floats, late: float) -> Arrangement:
        """Add whole turns, where rows are later than they often are."""
        scatter = 0.0 if self._exact else 3 * self.line.scatter
        if late - found.first / self.line.pace <= scatter:
            return found
        low = round(late * self.line.pace)
        return self._numbering.arrange(numbers, self._number, self.next, low)

    def _place(self, found: Arrangement, late: float | None, doubt: float) -> Placed:
        """Give the first rows their samples, and say what was odd about them."""
        index = self.next + np.array(found.places, np.int64)
        before = self.next
        turn = (self._numbering.turn or math.inf) / self.line.pace
        for at in index.tolist():
            if at > before:
                witness = "counter" if late is None else "counter and time"
                self.journal.gap(at - before, witness, before, sure=bool(doubt < turn / 2))
            before = at + 1
        spare = 0.0 if late is None else late - found.first / self.line.pace - doubt
        if spare > _UNSHOWN:
            self.journal.unshown(spare, self.next)
        self.journal.odd(found, self.next)
        return self._placed(found, index)

    def _placed(self, found: Arrangement, index: Ints) -> Placed:
        order = np.array(found.rows, np.int64)
        return Placed(found.consumed, order, index, np.array(found.states, np.int8))

    def _contradict(self, found: Arrangement, window: int, late: float | None) -> Placed:
        """Believe the time: the counter started anew, or does not go as it should."""
        gap = round(late * self.line.pace) if late is not None and late >= self._hole else 0
        jump = found.first
        seconds = 0.0 if late is None else max(late, 0.0)
        self.journal.unpassed(jump if found.sure else None, seconds, self.next)
        if gap:
            self.journal.gap(gap, "time", self.next, sure=False)
        if not found.sure:
            placed = self._follow(window, gap)
        else:
            self._numbering.shift(gap - jump)
            index = self.next + np.array(found.places, np.int64) + gap
            index[found.first_good :] -= jump
            self.journal.odd(found, self.next)
            placed = self._placed(found, index)
        now = float(self._arrive[0])
        said = self._numbering.distrust(now, self.line.pace, self._numbers)
        self.journal.counter(said, self.next)
        return placed
