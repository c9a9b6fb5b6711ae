"""From figures to a fault: what a channel of a window must hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bioxedge.spec import Expect, Fault, Measure, QualitySpec, Quantiles

WHITE = math.sqrt(2.0)
"""Roughness of white noise."""

EVEN = 1.0
"""Roughness where white noise and something slow have the same power."""

ZIGZAG = 1.75
"""Roughness of what goes up and down at every other sample: no body does."""

Figures = Mapping[str, float]
_Known = Mapping[Measure, Quantiles]


def fault_of(
    figures: Figures | None, real: float, expect: Expect | None, quality: QualitySpec
) -> Fault | None:
    """Name what is wrong with a channel, the plainest first; None where nothing is.

    Parameters
    ----------
    figures : mapping of str to float, or None
        From :func:`bioxedge.quality.measures.measure`.
    real : float
        Share of the channel's samples that are real.
    expect : Expect or None
        What training saw; without, only what needs no comparison is looked for.
    quality : QualitySpec
    """
    if figures is None or real < quality.min_real:
        return None if "missing" in quality.off else "missing"
    known: _Known = expect.measures if expect else {}
    return next((f for f in _faults(figures, known, quality) if f not in quality.off), None)


def _faults(found: Figures, known: _Known, quality: QualitySpec) -> Iterator[Fault]:
    """Every fault that the figures show."""

    def twice(name: Measure) -> float:
        """Give twice what training saw; 0 where it was not looked at."""
        return known[name].high * 2 if name in known else 0.0

    sized = quality.amplitude and "span" in known
    if found["span"] == 0 or found["run"] > max(quality.flat_run, twice("run")):
        yield "flat"
    if sized and found["span"] < known["span"].low * quality.flat_span:
        yield "flat"
    if found["edge"] > max(quality.railed_edge, twice("edge")):
        yield "railed"
    if found["mains"] > max(quality.mains, twice("mains")):
        yield "no contact"
    lowest = quality.contact_level
    if lowest is not None and found["level"] < lowest:
        yield "no contact"
    if found["roughness"] > ZIGZAG or ("roughness" in known and _noisy(found, known, quality)):
        yield "noise"
    if sized:
        names: tuple[Measure, ...] = ("span", "level") if lowest is not None else ("span",)
        if any(outside(name, found, known, quality.amplitude_margin) for name in names):
            yield "amplitude"
    if known and unlike(found, known, quality):
        yield "unlike"


def outside(name: Measure, found: Figures, known: _Known, margin: float) -> bool:
    """Say whether a figure lies more than a margin beyond what training saw."""
    return not known[name].low / margin <= found[name] <= known[name].high * margin


def unlike(found: Figures, known: _Known, quality: QualitySpec) -> Measure | None:
    """Name the measure, free of amplitude, that is not that of the sensor in training."""
    if outside("roughness", found, known, quality.roughness_margin):
        return "roughness"
    return "crest" if outside("crest", found, known, quality.crest_margin) else None


def _noisy(found: Figures, known: _Known, quality: QualitySpec) -> bool:
    """Say whether white noise makes up too much of the power.

    Where training is itself as rough as noise (a slow signal whose converter's steps show), its
    size tells: more hiss than in training, and most of what is there.
    """
    usual = known["roughness"].high
    if usual < EVEN:
        limit = usual**2 + (WHITE**2 - usual**2) * quality.noise
        return found["roughness"] ** 2 > limit
    return quality.amplitude and found["roughness"] > EVEN and found["hiss"] > known["hiss"].high
