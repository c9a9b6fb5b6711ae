"""Sessions cut into windows: the source as the device cuts it, the target at the same times.

Windows go to files as they are cut, one recording after the other: what it takes in memory is a
recording, however many there are. A window that is no signal gets no label on a device; it is left
out here, too, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from bioxedge import classic
from bioxedge.datasets.alignment import Places
from bioxedge.datasets.choosing import Chosen, Left
from bioxedge.datasets.clocks import Clocks, between
from bioxedge.datasets.noncausal import as_wanted, as_wanted_at
from bioxedge.datasets.pair import Pair
from bioxedge.datasets.picking import worn_of
from bioxedge.datasets.windowed import hop_alone, stream_of, streamed_rate, window_of
from bioxedge.errors import BioxedgeError
from bioxedge.quality.judge import judged
from bioxedge.quality.measures import MEASURES
from bioxedge.quality.modality import quality_of
from bioxedge.recipes import Recipe, Side, quality_in
from bioxedge.signals import Recording, Samples
from bioxedge.spec import QualitySpec
from bioxedge.windows import Window, cutting, cutting_at

Floats = npt.NDArray[np.float64]
_TOGETHER = 256  # windows whose classic features are computed at once


@dataclass
class Cut:
    """What one session gave.

    Attributes
    ----------
    source_row, target_row : list of int
        For each window its place in the file of that sensor's windows; −1 where it has none.
    start, moment : list of float
        Where each begins: seconds on the session's clock, and Unix time.
    measures : list of ndarray, each of shape [channels, measures]
        What the judge of signals measured, of source windows.
    classic : list of ndarray, each of shape [features]
        Classic features of source windows, from raw samples.
    target_classic : ndarray of float64, shape [n, features], or None
        Those of target windows, where the recipe asks for them; NaN where there is no window.
    left : list of Left
    clocks : Clocks or None
        How the clocks of both sensors differ, where that was estimated.
    seconds : float
        How long a window is.
    """

    source_row: list[int] = field(default_factory=list)
    target_row: list[int] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    moment: list[float] = field(default_factory=list)
    measures: list[Floats] = field(default_factory=list)
    classic: list[Floats] = field(default_factory=list)
    target_classic: Floats | None = None
    left: list[Left] = field(default_factory=list)
    clocks: Clocks | None = None
    seconds: float = 0.0


Put = Callable[[npt.NDArray[np.float32]], int]
"""Keeps a window; gives its place."""


def cut_session(chosen: Chosen, recipe: Recipe, put_source: Put, put_target: Put) -> Cut:
    """Cut one session.

    Parameters
    ----------
    chosen : Chosen
    recipe : Recipe
    put_source, put_target : callable
        Keep a window of shape [channels, samples] each.

    Returns
    -------
    Cut
        Without windows, and with the reason, where the session holds none that serves.

    Raises
    ------
    BioxedgeError
        Recordings that cannot be read, or are not what the recipe says.
    """
    if chosen.source is None:
        return _alone(chosen, recipe, put_target)
    source = chosen.source.read()
    target = None if chosen.target is None else chosen.target.read()
    Pair(chosen.name, source, target)  # refuses what was not recorded together
    return _together(chosen, recipe, source, target, put_source, put_target)


def _alone(chosen: Chosen, recipe: Recipe, put: Put) -> Cut:
    """Cut the target of a session in which the source was not worn."""
    assert chosen.target is not None
    side, found = recipe.target, Cut()
    recording = chosen.target.read()
    worn = worn_of(recording, side.sensor, chosen.data.target)
    judge = _Judge(side, worn, _beside(recipe))
    places = Places(recording)
    raw = _Described(side)
    window_spec = window_of(side, hop_alone(recipe))
    windows = cutting(worn, side.sensor.input, stream_of(side), window_spec)
    for window in as_wanted(windows, side, worn):
        found.seconds = float(window.end - window.start) / worn.rate
        start = float(window.start) / worn.rate
        if not chosen.session.keeps(start) or judge.fault(window) is not None:
            continue
        found.start.append(worn.t0 + start)
        found.source_row.append(-1)
        found.target_row.append(put(window.samples))
        if side.classic:
            raw.take(_raw(judge, window))
    found.moment = places.at(np.array(found.start, np.float64)).tolist()
    if side.classic:
        found.target_classic = np.array(raw.rows()).reshape(len(found.start), -1)
    hop = window_spec.hop / streamed_rate(side)
    found.left = judge.left(chosen, "target", hop)
    return _nothing(chosen, found, worn, "target")


def _together(
    chosen: Chosen,
    recipe: Recipe,
    source: Recording,
    target: Recording | None,
    put_source: Put,
    put_target: Put,
) -> Cut:
    """Cut a session by its source; the target where it was worn as well."""
    side, found = recipe.source, Cut()
    worn = worn_of(source, side.sensor, chosen.data.source)
    judge = _Judge(side, worn, quality_in(recipe, quality_of(side.sensor.input)))
    raw = _Described(side)
    windows = cutting(worn, side.sensor.input, stream_of(side), window_of(side))
    for window in as_wanted(windows, side, worn):
        found.seconds = float(window.end - window.start) / worn.rate
        start = float(window.start) / worn.rate
        if not chosen.session.keeps(start) or judge.fault(window) is not None:
            continue
        found.start.append(worn.t0 + start)
        found.source_row.append(put_source(window.samples))
        found.measures.append(judge.measures)
        raw.take(_raw(judge, window))
    found.classic = raw.rows()
    found.target_row = [-1] * len(found.start)
    places, begin = Places(source), np.array(found.start, np.float64)
    found.moment = places.at(begin).tolist()
    hop = side.hop / streamed_rate(side)
    found.left = judge.left(chosen, "source", hop)
    if target is not None and len(begin):
        _target(chosen, recipe, source, target, begin, found, put_target)
    return _nothing(chosen, found, worn, "source")


def _target(
    chosen: Chosen,
    recipe: Recipe,
    source: Recording,
    target: Recording,
    begin: Floats,
    found: Cut,
    put: Put,
) -> None:
    """Cut the target at the times of the source's windows."""
    side = recipe.target
    times = Places(source).on(target, begin)
    found.clocks = between(source, target, recipe.align, *chosen.marks)
    unsure = np.zeros(len(times), bool)
    if found.clocks is not None:
        if recipe.align.correct:
            times = found.clocks.moved(times)
        if not recipe.align.keep_unsure:
            unsure = found.clocks.unsure(begin, found.seconds)
    worn = worn_of(target, side.sensor, chosen.data.target)
    judge = _Judge(side, worn, _beside(recipe))
    seconds, begin_at = found.seconds, times.tolist()
    raw, described = _Described(side), []
    windows = cutting_at(worn, side.sensor.input, stream_of(side), window_of(side), begin_at)
    for number, samples in as_wanted_at(windows, side, worn, begin_at):
        if unsure[number]:
            continue
        if judge.fault_at(times[number], seconds) is not None:
            continue
        found.target_row[number] = put(samples)
        if side.classic:
            raw.take(judge.raw)
            described.append(number)
    if side.classic:
        found.target_classic = np.full((len(times), len(side.described)), np.nan)
        if described:
            found.target_classic[described] = raw.rows()
    hop = recipe.source.hop / streamed_rate(recipe.source)
    found.left += judge.left(chosen, "target", hop)
    if unsure.any():
        count = int(unsure.sum())
        found.left.append(
            Left(
                chosen.name, chosen.person,
                "both sensors' clocks cannot be told to agree there (align.keep_unsure keeps "
                "them)", count, count * hop,
            )
        )  # fmt: skip


def _beside(recipe: Recipe) -> QualitySpec:
    """Give the bounds of the target's windows: its modality's, and what is not looked for."""
    bounds = quality_of(recipe.target.sensor.input)
    off = quality_in(recipe, bounds).off
    return msgspec.structs.replace(bounds, off=off)


def _nothing(chosen: Chosen, found: Cut, worn: Recording, side: str) -> Cut:
    """Say why a session gave no window."""
    if not found.start and not found.left:
        real = np.isfinite(worn.samples).all(axis=0)
        why = (
            f"its {side} has no real sample"
            if not real.any()
            else f"its {side} of {worn.seconds:.0f} s holds no whole settled window"
        )
        found.left.append(Left(chosen.name, chosen.person, why, 0, worn.seconds))
    return found


class _Judge:
    """Says of each window whether it is a signal, by raw samples, and counts those that are not."""

    def __init__(self, side: Side, worn: Recording, quality: QualitySpec) -> None:
        self._input = side.sensor.input
        self._quality = quality
        self._worn = worn
        self._faults: Counter[str] = Counter()
        self.measures: Floats = np.empty((0, 0))
        self.raw: Samples = np.empty((0, 0))

    def fault(self, window: Window) -> str | None:
        """Judge a window that the stream cut."""
        return self._judge(int(-(-window.start // 1)), int(-(-window.end // 1)))

    def fault_at(self, start: float, seconds: float) -> str | None:
        """Judge what lies from a time on the recording's clock on."""
        first = round((start - self._worn.t0) * self._worn.rate)
        return self._judge(max(first, 0), first + round(seconds * self._worn.rate))

    def _judge(self, first: int, last: int) -> str | None:
        raw = np.ascontiguousarray(self._worn.samples[:, first:last])
        verdict = judged(raw, self._input, (), self._quality)
        if verdict.reason is not None:
            self._faults[verdict.reason] += 1
            return verdict.reason
        self.raw = classic.held(raw)
        self.measures = np.array(
            [[one.measures[name] for name in MEASURES] for one in verdict.channels]
        )
        return None

    def left(self, chosen: Chosen, side: str, hop: float) -> list[Left]:
        """Say what was left out, and why; a window counts for the time until the next one."""
        return [
            Left(chosen.name, chosen.person, f"{side}: {why}", count, count * hop)
            for why, count in self._faults.most_common()
        ]


def _raw(judge: _Judge, window: Window) -> Samples:
    """Take the raw samples that a window is described by, as a device takes them."""
    first, last = classic.stretch(window.start, window.end)
    return judge.raw[:, : last - first]


class _Described:
    """Classic features of raw windows, computed some at a time."""

    def __init__(self, side: Side) -> None:
        self._sensor, self._breathing = side.sensor, side.breathing
        self._waiting: list[Samples] = []
        self._rows: list[Floats] = []

    def take(self, raw: Samples) -> None:
        """Take a window [channels, samples]; all have as many samples."""
        self._waiting.append(raw)
        if len(self._waiting) == _TOGETHER:
            self._describe()

    def rows(self) -> list[Floats]:
        """Give the features of all windows, in order."""
        self._describe()
        return self._rows

    def _describe(self) -> None:
        if self._waiting:
            windows = np.stack(self._waiting)
            found = classic.describe(
                windows, self._sensor.rate, self._sensor.modality, breathing=self._breathing
            )
            self._rows += list(found)
            self._waiting = []


def each(
    chosen: Sequence[Chosen], recipe: Recipe, put_source: Put, put_target: Put
) -> Iterator[tuple[Chosen, Cut]]:
    """Cut all sessions, one after the other; an error names the session."""
    for one in chosen:
        try:
            yield one, cut_session(one, recipe, put_source, put_target)
        except BioxedgeError as error:
            if str(error).startswith(one.name):
                raise
            raise type(error)(f"{one.name}: {error}") from error
