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
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import msgspec
import numpy as np
from scipy import signal

from bioxedge import spec
from bioxedge.errors import ManifestError, SignalError
from bioxedge.signals import Samples, rows_by_name

# What may be left of a recursive filter's impulse response (share of its absolute sum) when
# its first sample leaves: one part in a thousand, below the noise of any sensor here.
SETTLED = 1e-3

# Samples of a filter's impulse response, or taps of a resampler, beyond which a parameter is a
# slip: four million are more than an hour at 1 kHz.
LONGEST = 2**22


@dataclass(frozen=True)
class Affine:
    """``input index = scale · output index + offset``."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)

    def __call__(self, index: int | Fraction) -> Fraction:
        """Input position of an output index."""
        return self.scale * index + self.offset

    def after(self, earlier: Affine) -> Affine:
        """Compose: this map's input is the earlier map's output."""
        return Affine(earlier.scale * self.scale, earlier(self.offset))


class Stage(ABC):
    """One causal step with carried state.

    Attributes
    ----------
    warmup : int
        Output samples that are computed from less than a settled state and never leave.
    position : Affine
        Where each output that leaves stands among the inputs since the last reset.
    """

    warmup: int = 0
    position: Affine = Affine()

    @abstractmethod
    def push(self, samples: Samples) -> Samples:
        """Take any number of samples [channels, n] and give the settled ones [channels, m]."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything, as if new."""


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
        # Kaiser beta 8: about 80 dB below the pass band from the slower Nyquist rate on.
        taps = signal.firwin(2 * half + 1, 1.0 / slower, window=("kaiser", 8.0)) * self._up
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
    """Second-order sections with carried state, at rest at the first sample's level."""

    _state: Samples | None

    def __init__(self, parameters: spec.Filter, rate: float) -> None:
        self._sections = _sections(parameters, rate)
        # One sample of slack: a design may round differently under another SciPy.
        needed = _settling(self._sections)
        self._rest = signal.sosfilt_zi(self._sections)
        slack = 0 if parameters.warmup is None else 1
        self.warmup = _warmup(parameters.warmup, needed - slack)
        self.position = Affine(Fraction(1), Fraction(self.warmup))
        self.reset()

    def push(self, samples: Samples) -> Samples:
        """Filter, carrying the state over."""
        if samples.shape[1] == 0:  # sosfilt refuses an empty axis
            return samples
        if self._state is None:
            self._state = self._rest[:, None, :] * samples[None, :, :1]
        out, self._state = signal.sosfilt(self._sections, samples, axis=-1, zi=self._state)
        unsettled = min(self._unsettled, out.shape[1])
        self._unsettled -= unsettled
        return np.ascontiguousarray(out[:, unsettled:])

    def reset(self) -> None:
        """Rest again at whatever comes first."""
        self._state = None
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


def settle(stages: Sequence[spec.Stage], source: spec.Input) -> tuple[spec.Stage, ...]:
    """Fill in the warm-up of each stage that left it open."""
    built = Stages(stages, source)
    return tuple(
        msgspec.structs.replace(stage, warmup=warmup)
        if isinstance(stage, spec.Resample | spec.Filter)
        else stage
        for stage, warmup in zip(stages, built.warmups, strict=True)
    )


def _build(parameters: spec.Stage, channels: tuple[str, ...], rate: float) -> Stage:
    """Make the stage that the parameters describe."""
    if isinstance(parameters, spec.Select):
        return SelectStage(parameters.channels, channels)
    if isinstance(parameters, spec.Scale):
        return ScaleStage(parameters.gain, parameters.offset)
    if isinstance(parameters, spec.Resample):
        return ResampleStage(parameters)
    return FilterStage(parameters, rate)


def _sections(parameters: spec.Filter, rate: float) -> Samples:
    """Design the filter's second-order sections [sections, 6]."""
    cutoff = parameters.cutoff
    pair = parameters.design != "notch" and parameters.kind in ("bandpass", "bandstop")
    if len(cutoff) != (2 if pair else 1):
        kind = parameters.kind if parameters.design != "notch" else "notch"
        raise SignalError(
            f"a {kind} takes {'two cutoffs' if pair else 'one cutoff'}, got {list(cutoff)}"
        )
    if max(cutoff) >= rate / 2 or (pair and cutoff[0] >= cutoff[1]):
        raise SignalError(
            f"cutoff {list(cutoff)} Hz must rise and stay below half the rate, {rate / 2:g} Hz"
        )
    if parameters.design == "notch":
        b, a = signal.iirnotch(cutoff[0], parameters.q, fs=rate)
        return np.ascontiguousarray(signal.tf2sos(b, a))
    edges = list(cutoff) if pair else cutoff[0]
    if parameters.design == "butterworth":
        sections = signal.butter(parameters.order, edges, parameters.kind, output="sos", fs=rate)
    else:
        sections = signal.cheby1(
            parameters.order, parameters.ripple, edges, parameters.kind, output="sos", fs=rate
        )
    return np.ascontiguousarray(sections)


def _settling(sections: Samples) -> int:
    """Samples until all but SETTLED of the impulse response's absolute sum has passed."""
    _, poles, _ = signal.sos2zpk(sections)
    radius = float(np.abs(poles).max())
    if radius >= 1.0:
        raise SignalError(f"the filter is unstable: a pole at radius {radius:.6f}")
    length = 2 if radius == 0 else math.ceil(math.log(1e-9) / math.log(radius)) + 2
    if length > LONGEST:
        raise SignalError(
            f"the filter takes more than {LONGEST} samples to settle: raise its lowest cutoff"
        )
    impulse = np.zeros(length)
    impulse[0] = 1.0
    weight = np.abs(signal.sosfilt(sections, impulse))
    left = np.cumsum(weight[::-1])[::-1]
    return int(np.count_nonzero(left > SETTLED * left[0]))


def _warmup(declared: int | None, needed: int) -> int:
    """Take the declared warm-up if it is long enough."""
    if declared is not None and declared < needed:
        raise SignalError(f"a warm-up of {declared} samples is short of the {needed} it needs")
    return needed if declared is None else declared
