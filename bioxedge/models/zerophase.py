"""Causal stages done to a whole recording: what they would be if the future were known.

The counterpart of a recipe's own stages, for models whose authors published no steps
(:mod:`bioxedge.models.reference` holds those). Nothing changes but what being causal costs: a
filter is passed forward, then backward, so that it moves no wave, and knows what lies ahead of
the first and behind the last sample by an odd extension only; its gain counts twice (−6 dB where
one pass has −3). A running mean and spread become those of the recording, whatever their memory.
Choice of channels, scale and resampling are the same arithmetic as on a device: a resampler is
linear-phase, and its delay is taken off in both forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from bioxedge import dsp, spec
from bioxedge.errors import SignalError
from bioxedge.filters import sections_of, settling
from bioxedge.models.reference import Standardise, Step
from bioxedge.signals import Samples
from bioxedge.stage import Affine, Stage


@dataclass(frozen=True)
class BothWays(Step):
    """A recursive filter's sections, forward, then backward.

    The ends are extended oddly for as long as the filter takes to settle, or as far as samples
    reach.
    """

    parameters: spec.Filter

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        sections = sections_of(self.parameters, rate)
        pad = min(settling(sections), samples.shape[1] - 1)
        return np.asarray(signal.sosfiltfilt(sections, samples, axis=1, padlen=pad))

    def __str__(self) -> str:
        """Name the filter."""
        about = self.parameters
        kind = "" if about.design == "notch" else f"{about.kind} of order {about.order} "
        edges = " to ".join(f"{edge:g}" for edge in about.cutoff)
        return f"{about.design} {kind}at {edges} Hz both ways"


@dataclass(frozen=True)
class AsStreamed(Step):
    """A stage that does the same on a device: it looks at no sample that it could not have.

    Parameters
    ----------
    parameters : spec.Select, spec.Scale or spec.Resample
    channels : tuple of str
        Names that go in.
    """

    parameters: spec.Select | spec.Scale | spec.Resample
    channels: tuple[str, ...]

    def _stage(self) -> Stage:
        """Make the stage, as if nothing had come yet."""
        about = self.parameters
        if isinstance(about, spec.Select):
            return dsp.SelectStage(about.channels, self.channels)
        if isinstance(about, spec.Scale):
            return dsp.ScaleStage(about.gain, about.offset)
        return dsp.ResampleStage(about)

    def rate(self, rate: float) -> float:
        """Rate in Hz of what comes out."""
        about = self.parameters
        return rate * about.up / about.down if isinstance(about, spec.Resample) else rate

    def place(self, count: int, rate: float) -> Affine:
        """Say where each sample that comes out stands among ``count`` that go in."""
        return self._stage().position

    def apply(self, samples: Samples, rate: float) -> Samples:
        """Take samples [channels, n] at a rate in Hz; give new ones [channels, m]."""
        return self._stage().push(samples)

    def __str__(self) -> str:
        """Name the stage."""
        about = self.parameters
        if isinstance(about, spec.Select):
            return f"channels {', '.join(about.channels)}"
        if isinstance(about, spec.Scale):
            return f"times {about.gain:g} plus {about.offset:g}"
        return f"resampled by {about.up}/{about.down}"


def counterparts(stages: Sequence[spec.Stage], channels: tuple[str, ...]) -> tuple[Step, ...]:
    """Give each causal stage's counterpart over a whole recording, in order.

    Parameters
    ----------
    stages : sequence of manifest stages
    channels : tuple of str
        Names that come in.

    Raises
    ------
    SignalError
        A stage that has none.
    """
    found: list[Step] = []
    for stage in stages:
        if isinstance(stage, spec.Filter):
            found.append(BothWays(stage))
        elif isinstance(stage, spec.Select | spec.Scale | spec.Resample):
            found.append(AsStreamed(stage, channels))
        elif isinstance(stage, spec.Standardise):
            found.append(Standardise())
        else:
            raise SignalError(
                f"{stage} has no counterpart over a whole recording: leave the stage out, or "
                'preprocessing = "reference"'
            )
        if isinstance(stage, spec.Select):
            channels = stage.channels
    return tuple(found)
