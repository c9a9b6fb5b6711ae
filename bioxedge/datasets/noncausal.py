"""Windows of whole recordings, at the places where a device would cut them.

A side of a recipe with ``preprocessing = "reference"`` gets them, so that what being causal costs
can be measured: same windows, same people, same labels, other samples. Which steps a recording
goes through is decided by the side's stages:

- Where they are those of its model (``stages = "model"`` and ``then = "model"``, or the same
  written out) and the model's authors published steps, these are taken
  (:mod:`bioxedge.models.reference`), in place of ``stages`` and ``then`` alike. Steps that were
  published at the model's rate get a recording that was brought to it by the device's resampler.
- Otherwise the counterpart of the side's own stages is (:mod:`bioxedge.models.zerophase`): each
  filter forward, then backward over the recording, all else as it is, ``then`` on each window.

What statistics are taken over is a stretch without a long gap, which is the whole recording where
there is none: gaps are held over up to ``max_gap`` and part it beyond, as in a stream. (Li et al.
standardise whole recordings of WESAD and FOG, and 30 s epochs of ISRUC: here it is the recording.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from bioxedge import spec
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.errors import ModelError, SignalError
from bioxedge.models.cards import card
from bioxedge.models.reference import Step, prepare
from bioxedge.models.zerophase import counterparts
from bioxedge.recipes import Side
from bioxedge.signals import Recording, Samples
from bioxedge.stage import Affine
from bioxedge.windows import Window, as_chunk, finish

Cut = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """What is done to a side's recordings.

    Attributes
    ----------
    published : bool
        By its model's authors; the counterpart of the side's own stages otherwise.
    whole : tuple of Step
        To each stretch of a recording.
    windowed : tuple of Step
        To each window.
    then : tuple of spec.WindowStage
        To each window after that.
    """

    published: bool
    whole: tuple[Step, ...]
    windowed: tuple[Step, ...] = ()
    then: tuple[spec.WindowStage, ...] = ()


def plan(side: Side) -> Plan:
    """Say what is done to a side's recordings in place of its causal stages.

    Raises
    ------
    SignalError
        A stage that has no counterpart, or published steps that end at another rate.
    """
    contract = card(side.model.name).contract
    channels = side.sensor.input.names
    try:
        own = contract.streaming(side.sensor.rate) == (side.streamed, side.finished)
    except ModelError:  # no rate, or one that this sensor cannot be brought to
        own = False
    if not (own and contract.reference):
        return Plan(False, counterparts(side.streamed, channels), then=side.finished)
    rate, steps = side.sensor.rate, contract.reference
    if _after(steps, rate) != contract.rate:
        brought = tuple(one for one in side.streamed if isinstance(one, spec.Resample))
        steps = (*counterparts(brought, channels), *steps)
    if _after(steps, rate) != streamed_rate(side):
        raise SignalError(
            f"the published steps of {side.model.name} end at {_after(steps, rate):g} Hz, its "
            f"windows are at {streamed_rate(side):g} Hz: write stages and then out"
        )
    parted = tuple(itertools.takewhile(lambda step: not step.windowed, steps))
    return Plan(True, parted, steps[len(parted) :])


def said(side: Side) -> str:
    """Say in words what is done to a side's recordings in place of its causal stages."""
    found = plan(side)
    steps = ", ".join(f"{step}" for step in found.whole) or "nothing to the recording"
    after = ", ".join(f"{step}" for step in (*found.windowed, *found.then))
    kind = "as published" if found.published else "counterpart of the recipe's stages"
    return f"{kind}: {steps}" + (f"; to each window {after}" if after else "")


def as_wanted(windows: Iterator[Window], side: Side, worn: Recording) -> Iterator[Window]:
    """Give a stream's windows, with the samples that the side's ``preprocessing`` wants.

    Parameters
    ----------
    windows : iterator of Window
        What a device would cut of the recording.
    side : Side
    worn : Recording
        As the side's sensor would have given it.

    Raises
    ------
    SignalError
        Too few samples for a published filter.
    """
    if side.preprocessing == "streaming":
        return windows
    whole = _Whole(side, worn)
    return (replace(window, samples=whole.at(window.start)) for window in windows)


def as_wanted_at(
    windows: Iterator[tuple[int, Cut]], side: Side, worn: Recording, times: Sequence[float]
) -> Iterator[tuple[int, Cut]]:
    """Do the same for windows that were cut at given times.

    Parameters
    ----------
    windows : iterator of int and ndarray
        What a device would cut, with the number of its time.
    side, worn
        As for `as_wanted`; so are the errors.
    times : sequence of float
        Seconds on the recording's clock.
    """
    if side.preprocessing == "streaming":
        return windows
    whole = _Whole(side, worn)
    places = [Fraction((time - worn.t0) * worn.rate) for time in times]
    return ((number, whole.at(places[number])) for number, _ in windows)


@dataclass(frozen=True)
class _Stretch:
    """Part of a recording without a long gap, after its steps.

    Attributes
    ----------
    first, last : int
        Input samples that it is made of, the last one exclusive.
    samples : ndarray of float64, shape [channels, m]
    place : Affine
        Where each of them stands among the input samples from ``first`` on.
    """

    first: int
    last: int
    samples: Samples
    place: Affine


class _Whole:
    """A recording after a side's steps, stretch by stretch; windows are cut of it anywhere."""

    def __init__(self, side: Side, worn: Recording) -> None:
        self._side, self._plan, self._rate = side, plan(side), streamed_rate(side)
        self._worn = as_chunk(worn, side.sensor.input).samples
        self._bounds = list(stretches(self._worn, side.max_gap))
        self._made: _Stretch | None = None

    def at(self, start: Fraction) -> Cut:
        """Cut the window that begins nearest to a place among the recording's samples."""
        length = self._side.length
        stretch = self._of(start)
        where = (start - stretch.first - stretch.place.offset) / stretch.place.scale
        at, last = math.floor(where + Fraction(1, 2)), stretch.samples.shape[1] - length
        if not (-1 <= at <= last + 1 and last >= 0):
            raise SignalError(
                f"a window of {length} samples from {at} on is not among the "
                f"{stretch.samples.shape[1]} that whole-recording steps leave: shorten the window"
            )
        at = min(max(at, 0), last)  # published resampling stretches the clock by up to a sample
        samples = np.ascontiguousarray(stretch.samples[:, at : at + length])
        if self._plan.windowed:
            samples, _ = prepare(self._plan.windowed, samples, self._rate)
        return finish(samples, self._plan.then)

    def _of(self, start: Fraction) -> _Stretch:
        """Give the stretch that a window lies in; they are asked for in the order of time."""
        middle = start + Fraction(self._side.length) * _ratio(self._side) / 2
        first, last = next(
            ((first, last) for first, last in self._bounds if first <= middle < last),
            self._bounds[-1],
        )
        if self._made is None or self._made.first != first:
            self._made = self._make(first, last)
        return self._made

    def _make(self, first: int, last: int) -> _Stretch:
        """Carry the steps out."""
        samples, rate, place = held(self._worn[:, first:last]), self._side.sensor.rate, Affine()
        for step in self._plan.whole:
            place = step.place(samples.shape[1], rate).after(place)
            samples, rate = prepare((step,), samples, rate)
        return _Stretch(first, last, samples, place)


def stretches(samples: Samples, max_gap: int) -> Iterator[tuple[int, int]]:
    """Part samples [channels, n] where more than ``max_gap`` in a row are missing.

    Begins and ends (exclusive) are real; what is missing is so where any channel has no value.
    """
    real = np.flatnonzero(np.isfinite(samples).all(axis=0))
    if not len(real):
        return
    ends = np.flatnonzero(np.diff(real) > max_gap + 1)
    begins = [real[0], *real[ends + 1]]
    for first, last in zip(begins, [*real[ends], real[-1]], strict=True):
        yield int(first), int(last) + 1


def held(samples: Samples) -> Samples:
    """Hold all channels of the last real sample over what is missing; the first one is real."""
    real = np.asarray(np.isfinite(samples).all(axis=0))
    last = np.maximum.accumulate(np.where(real, np.arange(len(real)), 0))
    return np.ascontiguousarray(samples[:, last])


def _after(steps: Sequence[Step], rate: float) -> float:
    """Rate in Hz after some steps."""
    for step in steps:
        rate = step.rate(rate)
    return rate


def _ratio(side: Side) -> Fraction:
    """Input samples to a streamed one, nearly: which stretch is meant asks for no more."""
    return Fraction(side.sensor.rate) / Fraction(streamed_rate(side))
