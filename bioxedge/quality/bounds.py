"""From figures to a fault: what a channel of a window must hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bioxedge.spec import Expect, Fault, Measure, QualitySpec

WHITE = math.sqrt(2.0)
"""Roughness of white noise."""


def fault_of(
    figures: dict[str, float] | None, real: float, expect: Expect | None, quality: QualitySpec
) -> Fault | None:
    """Name what is wrong with a channel, the plainest first; None where nothing is.

    Parameters
    ----------
    figures : dict of str to float, or None
        From :func:`bioxedge.quality.measures.measure`.
    real : float
        Share of the channel's samples that are real.
    expect : Expect or None
        What training saw.
    quality : QualitySpec
    """
    if figures is None or real < quality.min_real:
        return None if "missing" in quality.off else "missing"
    return next((f for f in _faults(figures, expect, quality) if f not in quality.off), None)


def _faults(
    found: dict[str, float], expect: Expect | None, quality: QualitySpec
) -> Iterator[Fault]:
    """Every fault that the figures show."""
    known = expect.measures if expect else {}

    def most(name: Measure, times: float = 1.0) -> float:
        """Give the most that training saw, times a margin; 0 where it was not looked at."""
        return known[name].most * times if name in known else 0.0

    if found["span"] == 0 or found["run"] > max(quality.flat_run, most("run", 2)):
        yield "flat"
    sized = quality.amplitude and "span" in known
    if sized and found["span"] < known["span"].least * quality.flat_span:
        yield "flat"
    if found["edge"] > max(quality.railed_edge, most("edge", 2)):
        yield "railed"
    if found["mains"] > max(quality.mains, most("mains", 2)):
        yield "no contact"
    if quality.contact_level is not None and found["level"] < quality.contact_level:
        yield "no contact"
    rough = known["roughness"].high if "roughness" in known else 0.0
    if found["roughness"] ** 2 > rough**2 + (WHITE**2 - rough**2) * quality.noise:
        yield "noise"
    if sized:
        margin = quality.amplitude_margin
        if not known["span"].least / margin <= found["span"] <= known["span"].most * margin:
            yield "amplitude"
