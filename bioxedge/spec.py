"""What comes in, what is done to it and how it is cut: clauses 2 to 5 of the manifest.

The structs hold parameters only; :mod:`bioxedge.dsp` and :mod:`bioxedge.windows` carry them
out. A recipe writes the same structs, with the warm-ups left open.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1, max_length=400)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all parts: frozen, and closed to keys it does not know."""


# -- clause 2: the sensor ---------------------------------------------------------------


class ChannelSpec(Struct, frozen=True):
    """One channel of the input, as the sensor names it, and its unit."""

    name: Text
    unit: Text


class Input(Struct, frozen=True):
    """What must come in: modality, channels in order, rate in Hz.

    ``sensors`` are those that count as the same (``muse_2/ancillary``); ``expect`` says what
    each channel looked like in training. Either is empty where it is not known.
    """

    modality: Text
    channels: Annotated[tuple[ChannelSpec, ...], Meta(min_length=1)]
    rate: Rate
    sensors: tuple[Text, ...] = ()
    expect: tuple[Expect, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The channel names, in order."""
        return tuple(channel.name for channel in self.channels)


# -- clause 3: causal stages ------------------------------------------------------------


class Select(Struct, frozen=True, tag_field="stage", tag="select"):
    """Keep these channels, in this order."""

    channels: Annotated[tuple[Text, ...], Meta(min_length=1)]


class Scale(Struct, frozen=True, tag_field="stage", tag="scale"):
    """``x · gain + offset``, the same for every channel."""

    gain: float = 1.0
    offset: float = 0.0


class Resample(Struct, frozen=True, tag_field="stage", tag="resample"):
    """Rational polyphase resampling by ``up / down`` with a Kaiser-windowed linear-phase FIR.

    ``reach`` is the filter's half length in samples of the slower of the two rates;
    ``warmup`` counts output samples and is filled in when a bundle is built.
    """

    up: Positive
    down: Positive
    reach: Positive = 10
    warmup: Count | None = None


Section = tuple[float, float, float, float, float, float]


class Filter(Struct, frozen=True, tag_field="stage", tag="filter"):
    """A causal recursive filter in second-order sections.

    ``cutoff`` is in Hz, one number or a pair; ``order`` is the prototype's (a band-pass has
    twice as many poles); ``ripple`` (dB) belongs to ``chebyshev1`` and ``q`` (centre over
    bandwidth) to ``notch``. ``warmup`` counts output samples. ``sections`` (b0, b1, b2, 1, a1,
    a2 of each) are what is run: designed when a bundle is built, so that a device need not.
    """

    design: Literal["butterworth", "chebyshev1", "notch"]
    cutoff: Annotated[tuple[Rate, ...], Meta(min_length=1, max_length=2)]
    kind: Literal["lowpass", "highpass", "bandpass", "bandstop"] = "bandpass"
    order: Annotated[int, Meta(ge=1, le=12)] = 2
    ripple: Rate = 0.5
    q: Rate = 30.0
    warmup: Count | None = None
    sections: Annotated[tuple[Section, ...], Meta(min_length=1, max_length=24)] | None = None


class Standardise(Struct, frozen=True, tag_field="stage", tag="standardise"):
    """Each channel's distance from its own running mean, in running deviations.

    Both are of all samples since the stream began, this one included; with a ``memory`` (a time
    constant in samples) older ones weigh less, by e after so many. Unlike a window's z-score it
    keeps what changes over minutes, such as the level of skin conductance. Nothing leaves before
    ``warmup`` output samples, which a recipe gives: how long the wearer is looked at first.
    """

    warmup: Positive
    memory: Count = 0


Stage = Select | Scale | Resample | Filter | Standardise


class StreamSpec(Struct, frozen=True):
    """The causal stages in order, and how long a gap may be held over, in input samples."""

    stages: tuple[Stage, ...] = ()
    max_gap: Count = 0


# -- clauses 4 and 5: the window --------------------------------------------------------


class ZScore(Struct, frozen=True, tag_field="stage", tag="zscore"):
    """Subtract each channel's mean and divide by its deviation (by n); 0 where that is 0."""


class Rank(Struct, frozen=True, tag_field="stage", tag="rank"):
    """Average ranks of each channel's samples, mapped linearly to [−1, 1]."""


WindowStage = ZScore | Rank


class WindowSpec(Struct, frozen=True):
    """Length and hop in samples at the streamed rate, and the pure stages on a window."""

    length: Positive
    hop: Positive
    then: tuple[WindowStage, ...] = ()


# -- clause 8c: features between encoder and bridge --------------------------------------


class BaselineSpec(Struct, frozen=True):
    """A wearer's own baseline: features are told as distances from their running mean.

    What is answered of a window is scaled by the windows before it alone. ``settle`` is how many
    must have been seen before anything is said; with a ``memory`` (a time constant in windows)
    older ones weigh less. A feature further than ``clip`` deviations off counts as so far.
    """

    settle: Positive
    memory: Count = 0
    clip: Rate = 8.0


class FeaturesSpec(Struct, frozen=True):
    """What goes into the bridge: the encoder's pooled features, classic ones, a baseline.

    ``encoder`` counts the encoder's. ``classic`` names features that are computed of the raw
    window (:mod:`bioxedge.classic`), in order; ``fill`` is what stands for one that a window does
    not allow, where no baseline knows better.
    """

    encoder: Positive
    classic: tuple[Text, ...] = ()
    fill: tuple[float, ...] = ()
    baseline: BaselineSpec | None = None

    @property
    def count(self) -> int:
        """How many features there are in all."""
        return self.encoder + len(self.classic)

    @property
    def beside(self) -> int:
        """How many numbers the graph takes beside a window."""
        return len(self.classic) + (0 if self.baseline is None else 2 * self.count)


# -- clause 8b: is this a signal at all -------------------------------------------------

Share = Annotated[float, Meta(ge=0, le=1)]
Margin = Annotated[float, Meta(ge=1)]
Fault = Literal["missing", "flat", "railed", "no contact", "noise", "amplitude", "unlike"]
Measure = Literal["span", "level", "hiss", "roughness", "crest", "run", "edge", "mains"]


class Quantiles(Struct, frozen=True):
    """How one measure spread over training windows, every person weighing the same.

    ``low`` and ``high`` are the 1st and the 99th percentile, ``least`` and ``most`` the ends.
    """

    least: float
    low: float
    middle: float
    high: float
    most: float


class Expect(Struct, frozen=True):
    """What one channel looked like in training, raw, before any stage.

    ``samples`` is the length of the windows in input samples. ``measures`` holds ``span`` and
    ``level`` in the channel's unit, and the rest free of amplitude: see
    :mod:`bioxedge.quality.measures`.
    """

    channel: Text
    samples: Positive
    windows: Positive
    people: Positive
    measures: Annotated[dict[Measure, Quantiles], Meta(min_length=1)]


class QualitySpec(Struct, frozen=True):
    """When a window gets no label: bounds by fault, each beside what training showed.

    ``build`` writes the defaults of the modality; a recipe or a run may set others.

    *Least* and *most* are the 1st and the 99th percentile of the training windows. Where fewer
    than a dozen people taught, margins and ``noise`` widen.

    Attributes
    ----------
    min_real : float
        Share of a window's samples that must be real, for all channels and for each.
    amplitude : bool
        Whether a value means the same on every sensor of this kind. False where the unit is
        arbitrary: then nothing is judged by its size, and no unit is refused.
    off : tuple of str
        Faults that are not looked for.
    flat_run : float
        Flat: share of the window that one value holds, and twice the most.
    flat_span : float
        Flat: span as a share of the least.
    railed_edge : float
        Railed: share of the window in plateaus at its own extremes, and twice the most.
    mains : float
        No contact: share of power at the mains' frequency, and twice the most.
    contact_level : float or None
        No contact: the level, in the channel's unit, that a worn sensor stays above. Where
        there is one, the level is judged as the span is.
    noise : float
        Noise: share of what lies between the roughest in training and white noise.
    amplitude_margin : float
        Amplitude: how many times below the least or above the most span.
    roughness_margin, crest_margin : float
        Unlike: how many times below the least or above the most.
    """

    min_real: Share = 0.5
    amplitude: bool = True
    off: tuple[Fault, ...] = ()
    flat_run: Share = 0.25
    flat_span: Share = 0.1
    railed_edge: Share = 0.1
    mains: Share = 0.5
    contact_level: float | None = None
    noise: Share = 0.2
    amplitude_margin: Margin = 5.0
    roughness_margin: Margin = 1.75
    crest_margin: Margin = 1.25


def numbers(value: Any, path: str = "$") -> list[tuple[str, float]]:
    """Every float in a tree of builtins, with its path."""
    if isinstance(value, float):
        return [(path, value)]
    if isinstance(value, dict):
        return [n for key, item in value.items() for n in numbers(item, f"{path}.{key}")]
    if isinstance(value, list | tuple):
        return [n for i, item in enumerate(value) for n in numbers(item, f"{path}[{i}]")]
    return []
