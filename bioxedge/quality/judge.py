"""Raw samples in, a verdict on any recent window out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from bioxedge import spec
from bioxedge.errors import SignalError
from bioxedge.quality.bounds import fault_of, most
from bioxedge.quality.measures import MEASURES, measure
from bioxedge.quality.misfit import STRANGE, wrong_modality, wrong_unit
from bioxedge.quality.verdict import ChannelVerdict, Verdict
from bioxedge.signals import Chunk, Samples
from bioxedge.windows import samples_needed


def memory_for(source: spec.Input, stream: spec.StreamSpec, window: spec.WindowSpec) -> int:
    """Count the raw samples before the newest chunk that a window may still begin at.

    A window is complete later than it ends by the stages' delay, and after a gap by as much as
    may be held over.

    Parameters
    ----------
    source, stream, window : parts of a manifest
    """
    return samples_needed(source, stream, window) + stream.max_gap + 1


class Judge:
    """Keeps just enough raw samples to say of any new window whether it is a signal at all.

    The same class judges training windows when a bundle is built and live ones on a device.
    What it says depends on the samples of a window alone, never on how they came.

    Parameters
    ----------
    source : spec.Input
        Channels, units, rate and modality.
    expect : tuple of spec.Expect
        What training saw: one for each channel, in order. Without any, only what needs no
        comparison is looked for.
    quality : spec.QualitySpec
    memory : int
        Samples kept before the newest chunk: see :func:`memory_for`.

    Raises
    ------
    SignalError
        Expectations for other channels than the input has, or without one of the measures.
    """

    def __init__(
        self,
        source: spec.Input,
        expect: tuple[spec.Expect, ...],
        quality: spec.QualitySpec,
        *,
        memory: int,
    ) -> None:
        named = tuple(one.channel for one in expect)
        if named and named != source.names:
            raise SignalError(
                f"quality is described for {', '.join(named)}, but the input has "
                f"{', '.join(source.names)}: one for each channel, in this order"
            )
        for one in expect:
            lacking = [name for name in MEASURES if name not in one.measures]
            if lacking:
                raise SignalError(
                    f"what is expected of {one.channel} lacks {', '.join(lacking)}: build the "
                    "bundle again"
                )
        if memory < 1:
            raise SignalError(f"memory is {memory} samples: a window needs at least 1")
        self.source, self.expect, self.quality = source, expect, quality
        self._memory = memory
        self.reset()

    def reset(self) -> None:
        """Forget everything, as if new."""
        self._room: Samples = np.empty((len(self.source.channels), 0))
        self._first = self._end = 0  # absolute indices of what the room holds
        self._begun = False
        self._strange = 0  # windows without a label that look like another sensor's

    def push(self, chunk: Chunk) -> None:
        """Take the chunk that the window stream takes.

        Raises
        ------
        SignalError
            Another rate or number of channels, or samples that were pushed before; nothing is
            changed.
        """
        width, n = chunk.samples.shape
        if width != len(self.source.channels) or chunk.rate != self.source.rate:
            raise SignalError(
                f"quality is judged on {len(self.source.channels)} channels at "
                f"{self.source.rate:g} Hz, the chunk has {width} at {chunk.rate:g} Hz"
            )
        if self._begun and chunk.first < self._end:
            raise SignalError(
                f"the chunk starts at sample {chunk.first}, but samples up to {self._end} were "
                "pushed already"
            )
        if not self._begun:
            self._first = self._end = chunk.first
            self._begun = True
        keep = max(self._first, chunk.first - self._memory)  # a jump is never stored at length
        needed = chunk.end - keep
        capacity = self._room.shape[1]
        if chunk.end - self._first > capacity or capacity > 4 * (needed + self._memory):
            # Room for as much again, so that a sample is moved once and not at every push.
            room = np.empty((width, needed + self._memory))
            old = self._room[:, keep - self._first : self._end - self._first]
            room[:, : old.shape[1]] = old
            self._room, self._first = room, keep
        place = chunk.first - self._first
        self._room[:, max(self._end - self._first, 0) : place] = np.nan
        self._room[:, place : place + n] = chunk.samples
        self._end = chunk.end

    def verdict(self, start: Fraction | int, end: Fraction | int, *, window: int = 0) -> Verdict:
        """Judge the raw samples in ``[ceil(start), ceil(end))``, absolute input indices.

        Parameters
        ----------
        start, end : Fraction or int
        window : int, optional
            How many samples a window has, of which a shorter stretch is judged: what is flat or
            railed in it is held to its share of so many.

        Raises
        ------
        SignalError
            Samples that are still to come, or longer ago than the memory.
        """
        first, last = math.ceil(start), math.ceil(end)
        if not (self._begun and self._first <= first < last <= self._end):
            raise SignalError(
                f"samples {first} to {last} cannot be judged: {self._first} to {self._end} are "
                "at hand"
            )
        held = np.ascontiguousarray(self._room[:, first - self._first : last - self._first])
        return judged(held, self.source, self.expect, self.quality, window)

    @property
    def tolerated(self) -> float:
        """Share of a good window that may be flat or railed, and lie at its beginning."""
        shares = [
            bound
            for one in self.expect or (None,)
            for bound in (
                most("run", self.quality.flat_run, one),
                most("edge", self.quality.railed_edge, one),
            )
        ]
        return min(max(shares), 1.0)

    def recent(self, first: int) -> Samples:
        """Give the raw samples [channels, n] from an index on; NaN where none came.

        Raises
        ------
        SignalError
            Longer ago than the memory.
        """
        if not (self._begun and self._first <= first <= self._end):
            raise SignalError(f"sample {first} is not among {self._first} to {self._end}")
        return np.ascontiguousarray(self._room[:, first - self._first : self._end - self._first])

    def raw(self, first: int, last: int) -> Samples:
        """Give the raw samples [channels, n] of ``[first, last)``; NaN where none came.

        Raises
        ------
        SignalError
            Samples that are still to come, or longer ago than the memory.
        """
        if not (self._begun and self._first <= first < last <= self._end):
            raise SignalError(
                f"samples {first} to {last} are not among {self._first} to {self._end}"
            )
        copied: Samples = self._room[:, first - self._first : last - self._first].copy()
        return copied

    def misfit(self, verdict: Verdict) -> str | None:
        """Say in one line why a run must not begin: another unit or modality than in training.

        Ask with every window until the first that the model is asked about, in order: a good one
        says that the sensor is right, whatever is worn or not later.

        Returns
        -------
        str or None
            None where all is well, or where it cannot be told yet.
        """
        unit = wrong_unit(verdict, self.source, self.expect, self.quality)
        if unit is not None:
            return unit
        modality = wrong_modality(verdict, self.source, self.expect, self.quality)
        self._strange += modality is not None
        return modality if self._strange >= STRANGE else None


def judged(
    samples: Samples,
    source: spec.Input,
    expect: Sequence[spec.Expect],
    quality: spec.QualitySpec,
    window: int = 0,
) -> Verdict:
    """Judge one window of raw samples [channels, n], or a shorter stretch of what a window has."""
    found, part = [], min(samples.shape[1] / window, 1.0) if window else 1.0
    for row, figures in enumerate(measure(samples, source.rate)):
        known = expect[row] if expect else None
        real = float(np.isfinite(samples[row]).mean())
        if figures is not None and part < 1:
            figures = {**figures, "run": figures["run"] * part, "edge": figures["edge"] * part}
        fault = fault_of(figures, real, known, quality)
        found.append(ChannelVerdict(source.names[row], fault, figures or {}))
    return Verdict(tuple(found))
