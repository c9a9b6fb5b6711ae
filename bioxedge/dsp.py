"""Causal stages with carried state, built from the manifest.

Two rules make windows equal to the last bit for every chunking: each output sample is computed
by the same operations in the same order whatever arrived with it, and nothing leaves a stage
before it has settled.

Positions are exact: every stage is an affine map from its output index to its input index
(:class:`fractions.Fraction`), linear-phase delay included, so a window knows which input
samples it is made of. The delay of a recursive filter depends on frequency and is not
compensated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np

from bioxedge import spec
from bioxedge.errors import ManifestError, SignalError
from bioxedge.filters import LONGEST, Cascade, low_pass, sections_of, settling
from bioxedge.signals import Samples, rows_by_name
from bioxedge.stage import Affine, Stage
from bioxedge.standardising import StandardiseStage


class SelectStage(Stage):
    """Channel selection by name."""

    def __init__(self, wanted: tuple[str, ...], present: tuple[str, ...]) -> None:
        self._rows = rows_by_name(wanted, present, "the stream")

    def push(self, samples: Samples) -> Samples:
        """Pick the rows."""
        return np.ascontiguousarray(samples[self._rows])

    def reset(self) -> None:
        """Nothing is carried."""


class ScaleStage(Stage):
    """Gain and offset."""

    def __init__(self, gain: float, offset: float) -> None:
        self._gain, self._offset = gain, offset

    def push(self, samples: Samples) -> Samples:
        """Multiply, then add."""
        return samples * self._gain + self._offset

    def reset(self) -> None:
        """Nothing is carried."""


class ResampleStage(Stage):
    """Rational polyphase resampling (Crochiere and Rabiner, 1983, chapter 4).

    Output m is ``Σ_k h[p + k·up] · x[b − k]`` with ``b, p = divmod(m · down, up)``, summed in
    the order of k for every chunking. The filter is linear-phase: its delay of
    ``half / up`` input samples is part of the position. An output leaves only when all of its
    inputs are real, so the warm-up is exact.
    """

    _held: Samples | None
    _start: int
    _next: int

    def __init__(self, parameters: spec.Resample) -> None:
        up, down, reach = parameters.up, parameters.down, parameters.reach
        if up == down:
            raise SignalError(f"resampling by {up}/{down} changes nothing: leave the stage out")
        common = math.gcd(up, down)
        self._up, self._down = up // common, down // common
        slower = max(self._up, self._down)
        half = reach * slower
        if 2 * half >= LONGEST:
            raise SignalError(
                f"resampling by {up}/{down} with reach {reach} takes more than {LONGEST} taps: "
                "choose a simpler ratio"
            )
        taps = low_pass(half, slower) * self._up
        depth = -(-len(taps) // self._up)
        padded = np.zeros(depth * self._up)
        padded[: len(taps)] = taps
        bank = padded.reshape(depth, self._up)  # [k, phase]
        # Every phase passes a constant unchanged: otherwise a level of 1e5 leaves a ripple of 1.
        self._bank = np.ascontiguousarray(bank / bank.sum(axis=0))
        needed = -(-(len(taps) - 1) // self._down)
        self.warmup = _warmup(parameters.warmup, needed)
        self.position = Affine(
            Fraction(self._down, self._up),
            Fraction(self.warmup * self._down, self._up) - Fraction(half, self._up),
        )
        self.reset()

    def push(self, samples: Samples) -> Samples:
        """Give every output whose newest input has arrived."""
        held = samples if self._held is None else np.concatenate([self._held, samples], axis=1)
        start = self._start
        end = start + held.shape[1]
        stop = max(self._next, -(-(end * self._up) // self._down))
        base, phase = np.divmod(np.arange(self._next, stop) * self._down, self._up)
        out = np.zeros((held.shape[0], stop - self._next))
        # Term by term, never a dot product: BLAS sums in an order that depends on the batch.
        for k, row in enumerate(self._bank):
            out += row[phase] * held[:, np.maximum(base - k - start, 0)]
        self._next = stop
        oldest = (stop * self._down) // self._up - (len(self._bank) - 1)
        drop = min(max(oldest - start, 0), held.shape[1])
        self._held, self._start = held[:, drop:].copy(), start + drop
        return out

    def reset(self) -> None:
        """Start again at input 0, output ``warmup``."""
        self._held = None
        self._start = 0
        self._next = self.warmup


class FilterStage(Stage):
    """Second-order sections with carried state, at rest at the first sample's level.

    Attributes
    ----------
    sections : ndarray of float64, shape [sections, 6]
    """

    def __init__(self, parameters: spec.Filter, rate: float) -> None:
        self.sections = sections_of(parameters, rate)
        self._cascade = Cascade(self.sections)
        # One sample of slack: a design may round differently under another SciPy.
        slack = 0 if parameters.warmup is None else 1
        self.warmup = _warmup(parameters.warmup, settling(self.sections) - slack)
        self.position = Affine(Fraction(1), Fraction(self.warmup))
        self._unsettled = self.warmup

    def push(self, samples: Samples) -> Samples:
        """Filter, carrying the state over."""
        if samples.shape[1] == 0:
            return samples
        out = self._cascade.push(samples)
        unsettled = min(self._unsettled, out.shape[1])
        self._unsettled -= unsettled
        return np.ascontiguousarray(out[:, unsettled:])

    def reset(self) -> None:
        """Rest again at whatever comes first."""
        self._cascade.reset()
        self._unsettled = self.warmup


class Stages:
    """A manifest's causal stages in order.

    Parameters
    ----------
    stages : sequence of manifest stages
    source : manifest.Input
        Channels and rate that come in.

    Attributes
    ----------
    channels : tuple of str
        Names that come out.
    rate : float
        Streamed rate in Hz.
    position : Affine
        Where each streamed sample stands among the inputs since the last reset.

    Raises
    ------
    ManifestError
        A channel that is not there, a cutoff beyond the Nyquist rate, a warm-up too short.
    """

    def __init__(self, stages: Sequence[spec.Stage], source: spec.Input) -> None:
        self.channels = source.names
        ratio = Fraction(1)
        self._stages: list[Stage] = []
        for index, parameters in enumerate(stages):
            rate = source.rate * ratio.numerator / ratio.denominator
            try:
                self._stages.append(_build(parameters, self.channels, rate))
            except (SignalError, ValueError) as error:
                raise ManifestError(f"{error} - at `$.stream.stages[{index}]`") from error
            if isinstance(parameters, spec.Select):
                self.channels = parameters.channels
            if isinstance(parameters, spec.Resample):
                ratio *= Fraction(parameters.up, parameters.down)
        self.rate = source.rate * ratio.numerator / ratio.denominator
        self.position = Affine()
        for stage in self._stages:
            self.position = stage.position.after(self.position)

    def push(self, samples: Samples) -> Samples:
        """Pass samples [channels, n] through every stage."""
        for stage in self._stages:
            samples = stage.push(samples)
        return samples

    def reset(self) -> None:
        """Reset every stage."""
        for stage in self._stages:
            stage.reset()

    @property
    def warmups(self) -> tuple[int, ...]:
        """Each stage's warm-up in its own output samples."""
        return tuple(stage.warmup for stage in self._stages)

    def settled(self, stages: Sequence[spec.Stage]) -> tuple[spec.Stage, ...]:
        """Fill in what the stages left open: warm-ups, and the sections of filters."""
        return tuple(
            _filled(parameters, stage)
            for parameters, stage in zip(stages, self._stages, strict=True)
        )


def settle(stages: Sequence[spec.Stage], source: spec.Input) -> tuple[spec.Stage, ...]:
    """Fill in the warm-up of each stage that left it open, and the sections of filters."""
    return Stages(stages, source).settled(stages)


def _filled(parameters: spec.Stage, stage: Stage) -> spec.Stage:
    """Give a stage's parameters with what was computed from them."""
    if isinstance(parameters, spec.Filter) and isinstance(stage, FilterStage):
        sections = tuple(tuple(map(float, row)) for row in stage.sections)
        return msgspec.structs.replace(parameters, warmup=stage.warmup, sections=sections)
    if isinstance(parameters, spec.Resample):
        return msgspec.structs.replace(parameters, warmup=stage.warmup)
    return parameters


def _build(parameters: spec.Stage, channels: tuple[str, ...], rate: float) -> Stage:
    """Make the stage that the parameters describe."""
    if isinstance(parameters, spec.Select):
        return SelectStage(parameters.channels, channels)
    if isinstance(parameters, spec.Scale):
        return ScaleStage(parameters.gain, parameters.offset)
    if isinstance(parameters, spec.Resample):
        return ResampleStage(parameters)
    if isinstance(parameters, spec.Standardise):
        return StandardiseStage(parameters)
    return FilterStage(parameters, rate)


def _warmup(declared: int | None, needed: int) -> int:
    """Take the declared warm-up if it is long enough."""
    if declared is not None and declared < needed:
        raise SignalError(f"a warm-up of {declared} samples is short of the {needed} it needs")
    return needed if declared is None else declared
