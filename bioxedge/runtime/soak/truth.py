"""What really was: the samples that a failing board delivered, on the clock that a run claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bioxedge.runtime.faults import FaultSource, Mark, spoil
from bioxedge.runtime.soak.wearer import Wearer
from bioxedge.signals import Samples


@dataclass(frozen=True)
class Placement:
    """Where a start of the board lies on the run's clock.

    Attributes
    ----------
    claimed : int
        The run's index of the first row that was delivered.
    session : int
        Of the board.
    base : int
        The wearer's absolute index of the session's sample 0.
    """

    claimed: int
    session: int
    base: int


class Truth:
    """Knows a soak's true samples by the run's indices.

    Only where a session begins is taken from the run, because a board that comes back counts
    afresh; within a session every index has to be right.

    Parameters
    ----------
    wearer : Wearer
    board : FaultSource

    Attributes
    ----------
    placements : list of Placement
    known : int
        The run had samples before this index, and no other.
    """

    def __init__(self, wearer: Wearer, board: FaultSource) -> None:
        self._wearer, self._board = wearer, board
        self.placements: list[Placement] = []
        self.known = 0
        self.spoils = False

    def place(self, claimed: int) -> None:
        """Take note that the newest session's first sample has this index."""
        session = len(self._board.sessions) - 1
        if not self.placements or self.placements[-1].session != session:
            self.placements.append(Placement(claimed, session, self._wearer.base))

    def index(self, claimed: int) -> int:
        """Give the newest session's index of one of the run's."""
        place = self.placements[-1]
        return claimed - place.claimed + (self._board.sessions[place.session].origin or 0)

    def delivered(self, begin: int, end: int) -> Samples:
        """Give samples [channels, n] as the sensor gave them; NaN where there are none."""
        return self._made(begin, end, spoiled=True)

    def present(self, begin: int, end: int) -> Samples:
        """Give the true samples of what was delivered; NaN where nothing was."""
        return self._made(begin, end, spoiled=False)

    def _made(self, begin: int, end: int, *, spoiled: bool) -> Samples:
        out = np.full((len(self._wearer.channels), end - begin), np.nan)
        for place in self.placements:
            session = self._board.sessions[place.session]
            if session.origin is None:
                continue
            shift = session.origin - place.claimed  # from the run's index to the session's
            first, last = max(begin, place.claimed), min(end, session.end - shift)
            if first >= last:
                continue
            samples = self._wearer.samples(place.base + first + shift, place.base + last + shift)
            for mark in self._board.marks:
                if mark.session != place.session:
                    continue
                if mark.harm == "spoiled" and spoiled:
                    samples = spoil(mark, samples, first + shift, self._wearer.rate)
                elif mark.harm == "removed":
                    samples = self._without(mark, samples, first + shift)
            out[:, first - begin : last - begin] = samples
        return out

    @staticmethod
    def _without(mark: Mark, samples: Samples, first: int) -> Samples:
        begin, end = max(mark.first - first, 0), min(mark.end - first, samples.shape[1])
        if begin < end:
            samples = samples.copy()
            rows = slice(None) if mark.fault.channel is None else mark.fault.channel
            samples[rows, begin:end] = np.nan
        return samples

    def _spans(self, wanted: Callable[[Mark], bool]) -> list[tuple[int, int, Mark]]:
        """Give marks and where they lie on the run's clock."""
        spans = []
        for number, place in enumerate(self.placements):
            origin = self._board.sessions[place.session].origin or 0
            following = self.placements[number + 1 :]
            until = following[0].claimed if following else self.known + 1
            for mark in self._board.marks:
                if mark.session == place.session and wanted(mark):
                    begin = mark.first - origin + place.claimed
                    end = min(mark.end - origin + place.claimed, until)
                    spans.append((begin, max(begin, end), mark))
        return spans

    def spoiled(self, begin: Fraction, end: Fraction) -> float:
        """Give the share of ``[begin, end)`` that is spoiled in any channel."""
        touched = np.zeros(int(end) - int(begin) + 1, bool)
        for first, last, _ in self._spans(lambda mark: mark.harm == "spoiled"):
            touched[max(first - int(begin), 0) : max(last - int(begin), 0)] = True
        return float(touched.sum() / (end - begin))

    def kinds(self, begin: float, end: float) -> set[str]:
        """Give the kinds of faults that touch anything there."""
        spans = self._spans(lambda mark: True)
        return {mark.fault.kind for first, last, mark in spans if first <= end and last >= begin}

    def forget(self, before: int) -> None:
        """Let go of what lies before an index of the run's clock."""
        while len(self.placements) > 1 and self.placements[1].claimed < before:
            self.placements.pop(0)
        placed = self.placements[-1].session if self.placements else -1
        near = {id(mark) for _, last, mark in self._spans(lambda mark: True) if last >= before}
        self._board.marks[:] = [
            mark for mark in self._board.marks if mark.session > placed or id(mark) in near
        ]
