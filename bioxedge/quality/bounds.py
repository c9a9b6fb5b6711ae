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

ENOUGH = 12
"""People from whom on a margin holds as it is written; fewer say less of what others are like."""

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
    return next((f for f in _faults(figures, expect, quality) if f not in quality.off), None)


def _faults(found: Figures, expect: Expect | None, quality: QualitySpec) -> Iterator[Fault]:
    """Every fault that the figures show."""
    known: _Known = expect.measures if expect else {}
    if found["span"] == 0 or found["run"] > most("run", quality.flat_run, expect):
        yield "flat"
    if expect and quality.amplitude and found["span"] < known["span"].low * quality.flat_span:
        yield "flat"
    if found["edge"] > most("edge", quality.railed_edge, expect):
        yield "railed"
    if found["mains"] > most("mains", quality.mains, expect):
        yield "no contact"
    lowest = quality.contact_level
    if lowest is not None and found["level"] < lowest:
        yield "no contact"
    if found["roughness"] > ZIGZAG or (expect and _noisy(found, expect, quality)):
        yield "noise"
    if expect and quality.amplitude:
        names: tuple[Measure, ...] = ("span", "level") if lowest is not None else ("span",)
        if any(outside(name, found, expect, quality.amplitude_margin) for name in names):
            yield "amplitude"
    if expect and unlike(found, expect, quality):
        yield "unlike"


def most(name: Measure, bound: float, expect: Expect | None) -> float:
    """Give the most of a share that is good: the bound, or twice what training saw."""
    known: _Known = expect.measures if expect else {}
    return max(bound, known[name].high * 2) if name in known else bound


def outside(name: Measure, found: Figures, expect: Expect, margin: float) -> bool:
    """Say whether a figure lies more than a margin beyond what training saw."""
    known, margin = expect.measures[name], margin ** _few(expect)
    return not known.low / margin <= found[name] <= known.high * margin


def unlike(found: Figures, expect: Expect, quality: QualitySpec) -> Measure | None:
    """Name the measure, free of amplitude, that is not that of the sensor in training."""
    if outside("roughness", found, expect, quality.roughness_margin):
        return "roughness"
    return "crest" if outside("crest", found, expect, quality.crest_margin) else None


def _noisy(found: Figures, expect: Expect, quality: QualitySpec) -> bool:
    """Say whether white noise makes up too much of the power.

    Where training is itself as rough as noise (a slow signal whose converter's steps show), its
    size tells: more hiss than in training, and most of what is there.
    """
    known = expect.measures
    usual = known["roughness"].high
    if usual < EVEN:
        limit = usual**2 + (WHITE**2 - usual**2) * min(quality.noise * _few(expect), 1.0)
        return found["roughness"] ** 2 > limit
    return quality.amplitude and found["roughness"] > EVEN and found["hiss"] > known["hiss"].high


def _few(expect: Expect) -> float:
    """Widen margins where few people taught: 1 for a dozen or more, 1.75 for three."""
    return 1.0 + max(0, ENOUGH - expect.people) / ENOUGH
