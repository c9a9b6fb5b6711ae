"""How the clocks of two devices differ, told by the pulse that both carry.

Two devices that were started by hand differ by seconds, and their crystals by parts per million:
2.4 s a day at 28 ppm. Where both sensors show the heart, each beat is a common event. Two minutes
of beats are unlike any other two minutes, so blocks of them are held against each other, and a
line is laid through the lags that agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from bioxedge.recipes import Align
from bioxedge.signals import Recording

Floats = npt.NDArray[np.float64]

PULSE = ("ecg", "ppg", "bvp", "pressure")
_GRID = 25.0  # Hz of the tracks that are compared
_BLOCK, _STEP = 120.0, 60.0  # s
_ALIKE = 0.25  # correlation below which a block says nothing
_APART = 0.15  # by which a block's best lag must beat the best one elsewhere
_BEAT = 0.35  # s: nearer lags are the same answer
_NEAR = 0.25  # s from the line within which a block agrees with it
_FEWEST = 3  # blocks that a line is laid through
_MOST = 0.6  # share of the blocks that stand out which must agree
_TIGHT = 0.06  # s of scatter beyond which the agreement is chance
_JUMP = 0.5  # s from the line at which a block contradicts it
_SAID = 0.5  # s below which a lag may be the pulse's way from the heart


@dataclass(frozen=True)
class Clocks:
    """What was found of two clocks.

    Attributes
    ----------
    lag : float
        Seconds by which the target shows a beat later than the source, at the source's start.
    drift : float
        By how much that grows, in seconds a second.
    scatter : float
        Median distance of the agreeing blocks from the line, in seconds.
    agreeing, blocks : int
        Blocks that the line goes through, and all that could be compared.
    start : float
        Where the source starts, on its nominal line.
    wrong : tuple of (float, float)
        Stretches of the source's line in which blocks clearly say another lag.
    told : bool
        Whether enough blocks agree for any of it to be believed.
    """

    lag: float
    drift: float
    scatter: float
    agreeing: int
    blocks: int
    start: float
    wrong: tuple[tuple[float, float], ...] = ()
    told: bool = True

    def at(self, times: Floats) -> Floats:
        """Give the lag in seconds at some times of the source's line."""
        lags: Floats = self.lag + self.drift * (times - self.start)
        return lags

    def moved(self, times: Floats) -> Floats:
        """Give the times on the target's line at which the source's times are seen there."""
        return times + self.at(times) if self.told else times

    def unsure(self, begin: Floats, seconds: float) -> npt.NDArray[np.bool_]:
        """Say which windows lie where the clocks cannot be told to agree with the line."""
        found = np.zeros(len(begin), bool)
        for first, last in self.wrong:
            found |= (begin < last) & (begin + seconds > first)
        return found

    def line(self) -> str:
        """Say it in one line."""
        if not self.told:
            return (
                f"the beats of both sensors do not tell how their clocks differ ({self.agreeing} "
                f"of {self.blocks} blocks agree)"
            )
        said = f"the target shows a beat {self.lag:+.2f} s"
        if abs(self.lag) <= _SAID:
            said += " (which may be the pulse's way)"
        said += f", drifting by {self.drift * 1e6:+.0f} ppm"
        said += f"; {self.agreeing} of {self.blocks} blocks agree within {self.scatter:.2f} s"
        if self.wrong:
            away = sum(last - first for first, last in self.wrong)
            said += f", {away / 60:.0f} min contradict it"
        return said


def between(source: Recording, target: Recording, align: Align) -> Clocks | None:
    """Compare the clocks of two recordings of one person.

    Parameters
    ----------
    source, target : Recording
        As recorded; NaN where nothing arrived.
    align : Align
        Whether it is wanted, and how far lags are sought.

    Returns
    -------
    Clocks or None
        None where it is not wanted, one of them carries no pulse, or they are too short.
    """
    if not align.estimate or not {source.modality, target.modality} <= set(PULSE):
        return None
    start = max(source.t0, target.t0)
    end = min(source.t0 + source.seconds, target.t0 + target.seconds)
    count = int((end - start - _BLOCK) // _STEP) + 1
    if count < _FEWEST:
        return None
    reach = min(align.most, (end - start) / 4)
    mine, theirs = _beats(source, start, end), _beats(target, start, end)
    times, lags, sure = [], [], []
    for number in range(count):
        found = _lag(mine, theirs, number * _STEP, reach)
        if found is not None:
            times.append(start + number * _STEP + _BLOCK / 2)
            lags.append(found[0])
            sure.append(found[1])
    return _through(np.array(times), np.array(lags), np.array(sure, bool), source.t0)


def _beats(recording: Recording, start: float, end: float) -> Floats:
    """Give a track on the common grid that rises with each beat."""
    row = max(recording.samples, key=lambda samples: np.isfinite(samples).sum())
    first = max(0, round((start - recording.t0) * recording.rate))
    samples = row[first : first + round((end - start) * recording.rate)]
    real = np.isfinite(samples)
    if real.sum() < 2:
        return np.zeros(max(1, int((end - start) * _GRID)))
    index = np.arange(len(samples))
    held = np.interp(index, index[real], samples[real])
    band = (5.0, 20.0) if recording.modality == "ecg" else (0.5, 5.0)
    high = min(band[1], 0.45 * recording.rate)
    sections = signal.butter(2, (band[0], high), "bandpass", fs=recording.rate, output="sos")
    seen = signal.sosfiltfilt(sections, held)
    # An R wave has energy either way up; a pulse has its steepest rise shortly after it.
    energy = np.abs(seen) if recording.modality == "ecg" else np.maximum(np.gradient(seen), 0.0)
    smooth = signal.butter(2, min(4.0, 0.4 * recording.rate), fs=recording.rate, output="sos")
    track = signal.sosfiltfilt(smooth, energy)
    # Square roots: one loud artefact must not outweigh the beats around it.
    track = np.sqrt(np.maximum(track, 0.0))
    grid = np.arange(int((end - start) * _GRID)) / _GRID
    found: Floats = np.interp(grid, index / recording.rate, track)
    return found


def _lag(mine: Floats, theirs: Floats, begin: float, reach: float) -> tuple[float, bool] | None:
    """Find the lag of one block, and whether it stands out; None where nothing can be said."""
    first, size, most = round(begin * _GRID), round(_BLOCK * _GRID), round(reach * _GRID)
    block = mine[first : first + size]
    low, high = max(0, first - most), min(len(theirs), first + size + most)
    other = theirs[low:high]
    if len(block) < size or len(other) < size or np.ptp(block) == 0 or np.ptp(other) == 0:
        return None
    block = block - block.mean()
    sums = signal.fftconvolve(other - other.mean(), block[::-1], "valid")
    total = np.cumsum(np.insert(other, 0, 0.0))
    squares = np.cumsum(np.insert(other**2, 0, 0.0))
    mean = (total[size:] - total[:-size]) / size
    spread = np.maximum((squares[size:] - squares[:-size]) / size - mean**2, 0.0)
    scale = np.sqrt(spread * size) * np.linalg.norm(block)
    alike = np.divide(sums, scale, out=np.zeros_like(sums), where=scale > 0)
    best = int(alike.argmax())
    if alike[best] < _ALIKE:
        return None
    places = np.arange(len(alike))
    elsewhere = alike[np.abs(places - best) > _BEAT * _GRID]
    second = float(elsewhere.max()) if len(elsewhere) else 0.0
    shift = _summit(alike, best)
    # Near an end the right lag may lie beyond it.
    whole = low == first - most and high == first + size + most
    stands_out = alike[best] - second > _APART * alike[best]
    return (low + shift - first) / _GRID, bool(whole and stands_out)


def _summit(values: Floats, best: int) -> float:
    """Find a peak between samples, by a parabola through three of them."""
    if not 0 < best < len(values) - 1:
        return float(best)
    before, at, after = values[best - 1 : best + 2]
    bend = before - 2 * at + after
    return best + (0.5 * float(before - after) / float(bend) if bend < 0 else 0.0)


def _through(
    times: Floats, lags: Floats, sure: npt.NDArray[np.bool_], start: float
) -> Clocks | None:
    """Lay the line through lags that most blocks agree on."""
    if len(times) < _FEWEST:
        return None
    # A heart that beats like a clock tells no lag from the next: only blocks that stand out count.
    picked = sure if sure.sum() >= _FEWEST else np.ones(len(times), bool)
    slope, level = _consensus(times[picked] - start, lags[picked])
    off = np.abs(lags - (level + slope * (times - start)))
    near = picked & (off <= _NEAR)
    if near.sum() >= 2 and np.ptp(times[near]) > 0:
        slope, level = np.polyfit(times[near] - start, lags[near], 1)
        off = np.abs(lags - (level + slope * (times - start)))
        near = picked & (off <= _NEAR)
    scatter = float(np.median(off[near])) if near.any() else 0.0
    told = bool(
        (near & sure).sum() >= _FEWEST and near.sum() >= _MOST * sure.sum() and scatter <= _TIGHT
    )
    away = times[sure & (off > _JUMP)] if told else np.empty(0)
    return Clocks(
        lag=float(level),
        drift=float(slope),
        scatter=scatter,
        agreeing=int((off <= _NEAR).sum()),
        blocks=len(times),
        start=start,
        wrong=tuple((t - _BLOCK / 2, t + _BLOCK / 2) for t in away.tolist()),
        told=told,
    )


def _consensus(x: Floats, y: Floats) -> tuple[float, float]:
    """Find the line of two points that most others lie near; few blocks: a level alone."""
    best, found = -1, (0.0, float(np.median(y)))
    rng = np.random.default_rng(0)
    count = len(x)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    if len(pairs) > 2000:
        pairs = [tuple(rng.choice(count, 2, replace=False)) for _ in range(2000)]
    for i, j in [(k, k) for k in range(count)] + pairs:
        slope = 0.0 if i == j else (y[j] - y[i]) / (x[j] - x[i])
        if abs(slope) > 5e-3:  # no two crystals differ by that much
            continue
        level = y[i] - slope * x[i]
        votes = int((np.abs(y - level - slope * x) <= _NEAR).sum())
        if votes > best:
            best, found = votes, (float(slope), float(level))
    return found
