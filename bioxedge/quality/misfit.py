"""A unit or a modality that cannot be what was trained on: refused before the first label.

Both hide from a model: a z-score takes any unit away, and another modality is answered with the
usual confidence. Nobody may be refused for an electrode that has fallen off, for motion at
first contact or for a sensor that still lies on the table, so a fault is never taken for a
misfit:

* a *unit* is refused at once, and only where one of the usual factors puts everything right:
  with it the window is judged good and its size is that of training, without it neither;
* a *modality* is refused after ``STRANGE`` windows without a label whose shape is another
  sensor's, none of them flat, railed, humming or nearly white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bioxedge.quality.bounds import Figures, fault_of, outside, unlike
from bioxedge.quality.verdict import ChannelVerdict, Verdict
from bioxedge.spec import Expect, Input, QualitySpec

STRANGE = 3
"""Windows without a label that must look like another sensor's."""

FACTORS = (1e6, 1e3, 1e-3, 1e-6)
"""What a value is off by where one unit was taken for another."""

_SIZES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9}
_BASES = {"V": "volts", "S": "siemens", "g": "g", "T": "tesla", "A": "amperes"}
_PREFIXES = {0: "", -3: "milli", -6: "micro", -9: "nano", 3: "kilo"}
_EXACT = 2.0  # how far beyond training a size may lie once its unit is right
_WHITE = 1.2  # roughness beyond which a sensor on the table looks the same
_SIZED = (None, "flat", "no contact", "amplitude")


def wrong_unit(
    verdict: Verdict, source: Input, expect: Sequence[Expect], quality: QualitySpec
) -> str | None:
    """Say which channels come in another unit, and the gain that puts them right."""
    if not quality.amplitude or "amplitude" in quality.off or not expect:
        return None
    off = [
        (number, gain)
        for number, one in enumerate(verdict.channels)
        if one.measures and one.fault in _SIZED
        for gain in [_gain(one.measures, expect[number], quality)]
        if gain is not None
    ]
    if not off:
        return None
    number, gain = off[0]
    name, unit = source.names[number], source.channels[number].unit
    ratio = verdict.channels[number].measures["span"] / expect[number].measures["span"].middle
    options = " ".join(f"--scale {source.names[i]}={_written(own)}" for i, own in off)
    return (
        f"{name} spans {ratio:.0e} of what was trained on: {_sent(unit, gain)} where {unit} "
        f"are expected? say {options}"
    )


def _gain(found: Figures, expect: Expect, quality: QualitySpec) -> float | None:
    """Find the factor that puts everything right; None where all is well or nothing helps."""
    if found["span"] <= 0 or not outside("span", found, expect, quality.amplitude_margin):
        return None
    for gain in FACTORS:
        scaled = {**found, **{name: found[name] * gain for name in ("span", "level", "hiss")}}
        right = not outside("span", scaled, expect, _EXACT)
        if right and fault_of(scaled, 1.0, expect, quality) is None:
            return gain
    return None


def _written(gain: float) -> str:
    """Write a factor as people do: 1e6, 1e-3."""
    mantissa, exponent = f"{gain:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _sent(unit: str, gain: float) -> str:
    """Name the unit that came, where a gain turns it into the one expected."""
    for prefix, size in _SIZES.items():
        base = unit.removeprefix(prefix)
        if base in _BASES and unit == prefix + base:
            exponent = round(math.log10(size * gain))
            if exponent in _PREFIXES:
                return _PREFIXES[exponent] + _BASES[base]
    return f"values in a unit {_written(gain)} times as large"


def strange(one: ChannelVerdict, expect: Expect, quality: QualitySpec) -> str | None:
    """Say what of a channel's shape is another sensor's, where no fault explains it."""
    found = one.measures
    if one.fault not in ("unlike", "noise", "amplitude") or "unlike" in quality.off:
        return None
    measure = unlike(found, expect, quality)
    if measure is None or found["roughness"] > _WHITE:
        return None
    known = expect.measures[measure]
    return (
        f"its {measure} is {found[measure]:.2g} where training saw {known.low:.2g} to "
        f"{known.high:.2g}"
    )


def wrong_modality(
    verdict: Verdict, source: Input, expect: Sequence[Expect], quality: QualitySpec
) -> str | None:
    """Say which channel looks like another sensor's."""
    for one, known in zip(verdict.channels, expect, strict=False):  # nothing known, nothing said
        why = strange(one, known, quality)
        if why is not None:
            kind = source.modality.upper()
            return (
                f"{one.channel} does not look like the {kind} that this bundle was trained on: "
                f"{why} ({STRANGE} windows on end); connect that sensor, or pick its channel"
            )
    return None
