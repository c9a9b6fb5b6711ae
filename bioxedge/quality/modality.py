"""Bounds that suit a modality, where nothing else is known of a sensor."""

from __future__ import annotations

from bioxedge import spec, units

_CONTACT = 0.025  # µS


def quality_of(source: spec.Input) -> spec.QualitySpec:
    """Give the bounds that suit a modality and its units.

    Skin conductance is the one whose level tells contact: on a dry, cool skin it stays above
    0.05 µS (Kleckner et al., IEEE Trans. Biomed. Eng. 65(7), 2018); half of that is air.
    """
    found = {channel.unit for channel in source.channels}
    micro = all(units.known(unit) and _is_microsiemens(unit) for unit in found)
    return spec.QualitySpec(
        amplitude=not any(units.arbitrary(unit) or unit == "1" for unit in found),
        contact_level=_CONTACT if source.modality == "eda" and micro else None,
    )


def _is_microsiemens(unit: str) -> bool:
    """Whether a unit is µS, however it is spelt."""
    return not units.arbitrary(unit) and units.same(unit, "uS")
