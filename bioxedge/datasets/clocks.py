"""How the clocks of two devices differ, told by the pulse that both carry, or by marks in both.

Two devices that were started by hand differ by seconds, and their crystals by parts per million:
2.4 s a day at 28 ppm. Where both sensors show the heart, each beat is a common event, and minutes
of beats are unlike other minutes. Blocks of them are held against each other at every lag; the
line of lags on which all blocks are most alike is the answer, if it beats every other line.

A pulse needs 0.1 to 0.6 s from the heart to a finger or a wrist. That is no clock's, and looks
like one: a lag of that size and sign between an ECG and a pulse is said and not corrected, and a
larger one is corrected to a usual way of the pulse. So the clocks are told to 0.3 s there, to some
0.02 s between two sensors of one kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge.datasets import pulse
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.lagging import BLOCK, FEWEST, STEP, Line, alike, best_line, laid, margin_of
from bioxedge.marks import Mark
from bioxedge.recipes import Align
from bioxedge.signals import Recording

Floats = npt.NDArray[np.float64]

_WAY = 0.3  # s that a pulse usually needs from the heart
_WAYS = (-0.05, 0.65)  # s between which it does
_STILL = 0.1  # s by which a lag may change and count as constant
_EVEN = 0.5  # share of blocks that fit a line, above which it is the same heart
_FAR = 1.0  # s by which a mark may lie off the line of the others


@dataclass(frozen=True)
class Clocks:
    """What was found of two clocks.

    Attributes
    ----------
    lag : float
        Seconds by which the target shows a beat later than the source, at ``start``.
    drift : float
        By how much that grows, in seconds a second.
    scatter : float
        Median distance of the agreeing blocks from the line, in seconds.
    agreeing, blocks : int
        Blocks that the line goes through, and all that could be compared.
    start, seconds : float
        Where what both recorded begins on the source's nominal line, and how long it is.
    way : float
        Seconds of the lag that the pulse needs from the heart, usually: no clock's.
    wrong : tuple of (float, float)
        Stretches of the source's line in which blocks clearly say another lag.
    told : bool
        Whether the line beats all others, so that any of it can be believed.
    by : str
        What told it: ``beats`` or ``marks``.
    """

    lag: float
    drift: float
    scatter: float
    agreeing: int
    blocks: int
    start: float
    seconds: float = 0.0
    way: float = 0.0
    wrong: tuple[tuple[float, float], ...] = ()
    told: bool = True
    by: str = "beats"

    @property
    def ppm(self) -> float:
        """The drift in parts per million."""
        return self.drift * 1e6

    @property
    def share(self) -> float:
        """Share of the blocks that agree."""
        return self.agreeing / self.blocks if self.blocks else 0.0

    @property
    def agree(self) -> bool:
        """Whether the lag can be the pulse's way alone, all the time."""
        if not self.told or not self.way or abs(self.drift) * self.seconds > _STILL:
            return False
        low, high = sorted(np.sign(self.way) * np.array(_WAYS))
        return bool(low <= self.lag <= high)

    def at(self, times: Floats) -> Floats:
        """Give the lag of beats, in seconds, at some times of the source's line."""
        lags: Floats = self.lag + self.drift * (times - self.start)
        return lags

    def moved(self, times: Floats) -> Floats:
        """Give the times on the target's line at which the source's moments are found there.

        Unchanged where nothing could be told, and where the lag can be the pulse's way alone.
        """
        if not self.told or self.agree:
            return times
        return times + self.at(times) - self.way

    def unsure(self, begin: Floats, seconds: float) -> npt.NDArray[np.bool_]:
        """Say which windows lie where blocks clearly say another lag than the line.

        Parameters
        ----------
        begin : ndarray
            On the source's line.
        seconds : float
            How long each is.
        """
        found = np.zeros(len(begin), bool)
        for first, last in self.wrong:
            found |= (begin < last) & (begin + seconds > first)
        return found

    def line(self) -> str:
        """Say it in one line."""
        what = "marks" if self.by == "marks" else "blocks"
        if not self.told and self.by == "beats" and self.share > _EVEN:
            return (
                "the heart beats too evenly to tell how the clocks of both sensors differ: "
                f"{self.lag:+.2f} s fits, and another lag nearly as well"
            )
        if not self.told:
            return (
                f"the {self.by} of both sensors do not tell how their clocks differ "
                f"({self.agreeing} of {self.blocks} {what} agree)"
            )
        later = "later" if self.lag >= 0 else "earlier"
        thing = "a mark" if self.by == "marks" else "a beat"
        said = f"the target shows {thing} {abs(self.lag):.2f} s {later} than the source"
        if self.agree:
            said += ", which can be the pulse's way from the heart"
        elif self.way:
            said += f" (some {abs(self.way):g} s of that are the pulse's way from the heart)"
        said += f", drifting by {self.ppm:+.0f} ppm"
        said += f"; {self.agreeing} of {self.blocks} {what} agree within {self.scatter:.2f} s"
        if self.wrong:
            away = sum(last - first for first, last in self.wrong)
            said += f", {away / 60:.0f} min contradict it"
        return said


def between(
    source: Recording,
    target: Recording,
    align: Align,
    mine: Sequence[Mark] = (),
    theirs: Sequence[Mark] = (),
) -> Clocks | None:
    """Compare the clocks of two recordings of one person.

    Beats come first: they tell to hundredths of a second what a hand that presses two buttons
    tells to tenths. Where they do not tell, marks do that stand in both.

    Parameters
    ----------
    source, target : Recording
        As recorded; NaN where nothing arrived. What their anchors say of the clocks is taken
        first (:class:`~bioxedge.datasets.alignment.Places`): found is what is left.
    align : Align
        Whether it is wanted, and how far lags are sought.
    mine, theirs : sequence of Mark
        Of the source's device, and of the target's, each on its own clock.

    Returns
    -------
    Clocks or None
        None where it is not wanted; where one of them shows no pulse, or too little of both can
        be compared, and no mark stands in both.
    """
    if not align.estimate:
        return None
    found = _by_beats(source, target, align)
    if found is None or not found.told:
        found = by_marks(mine, theirs) or found
    return found


def _by_beats(source: Recording, target: Recording, align: Align) -> Clocks | None:
    """Compare two clocks by the pulse; None where it cannot be compared."""
    if not (pulse.shown(source) and pulse.shown(target)):
        return None
    ends = np.array([target.t0, target.t0 + target.seconds])
    begin, over = Places(target).on(source, ends).tolist()
    # Either device's clock may be the one that is ahead: what lies beyond is compared, too.
    start = max(source.t0, begin - align.most)
    end = min(source.t0 + source.seconds, over + align.most)
    if end - start < BLOCK + (FEWEST - 1) * STEP:
        return None
    mine = start + np.arange(int((end - start) * pulse.RATE)) / pulse.RATE
    margin = margin_of(end - start, align.most)
    wide = start + np.arange(-margin, len(mine) + margin) / pulse.RATE
    seen = pulse.beats(target, Places(source).on(target, wide))
    blocks = alike(pulse.beats(source, mine), seen, margin, align.most)
    if len(blocks.times) < FEWEST:
        return None
    found = laid(blocks, best_line(blocks))
    way = 0.0
    if (source.modality in pulse.ELECTRIC) != (target.modality in pulse.ELECTRIC):
        way = _WAY if source.modality in pulse.ELECTRIC else -_WAY
    return Clocks(
        lag=found.lag,
        drift=found.drift,
        scatter=found.scatter,
        agreeing=found.agreeing,
        blocks=len(blocks.times),
        start=start,
        seconds=end - start,
        way=way,
        wrong=_stretches(found, start),
        told=found.told,
    )


def _stretches(found: Line, start: float) -> tuple[tuple[float, float], ...]:
    """Join the blocks that contradict a line to stretches of time."""
    joined: list[tuple[float, float]] = []
    for begin in found.wrong if found.told else ():
        first, last = start + begin, start + begin + BLOCK
        if joined and first <= joined[-1][1]:
            first = joined.pop()[0]
        joined.append((first, last))
    return tuple(joined)


def by_marks(mine: Sequence[Mark], theirs: Sequence[Mark]) -> Clocks | None:
    """Compare two clocks by marks that stand in both recordings.

    Parameters
    ----------
    mine, theirs : sequence of Mark
        The source's, and the target's, each on its own clock. The first mark with a text is the
        first one with the same text on the other side, the second one the second.

    Returns
    -------
    Clocks or None
        None where no text stands in both equally often. One pair gives a lag, three tell more
        than themselves: what lies more than a second off the others' line contradicts it.
    """
    pairs = _paired(mine, theirs)
    if not pairs:
        return None
    times, other = np.array(pairs).T
    start, lags = float(times[0]), other - times
    drift, lag = 0.0, float(np.median(lags))
    if len(pairs) >= 3 and np.ptp(times) > 0:
        first, second = np.triu_indices(len(pairs), 1)
        apart = times[second] - times[first]
        slopes = (lags[second] - lags[first])[apart > 0] / apart[apart > 0]
        drift = float(np.median(slopes))  # Theil (1950), Sen (1968)
        lag = float(np.median(lags - drift * (times - start)))
    off = np.abs(lags - lag - drift * (times - start))
    near = off <= _FAR
    return Clocks(
        lag=lag,
        drift=drift,
        scatter=float(np.median(off[near])) if near.any() else 0.0,
        agreeing=int(near.sum()),
        blocks=len(pairs),
        start=start,
        seconds=float(times[-1] - start),
        told=bool(near.sum() > len(pairs) / 2),
        by="marks",
    )


def _paired(mine: Sequence[Mark], theirs: Sequence[Mark]) -> list[tuple[float, float]]:
    """Give the times of marks that stand in both, in order."""
    found = []
    for text in {mark.text for mark in mine}:
        left = sorted(mark.start for mark in mine if mark.text == text)
        right = sorted(mark.start for mark in theirs if mark.text == text)
        if len(left) == len(right):  # else nobody can say which one is missing
            found += list(zip(left, right, strict=True))
    return sorted(found)
