"""Whether a source is what a bundle was made for: its sensor and its units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bioxedge import units
from bioxedge.errors import SourceError

if TYPE_CHECKING:
    from bioxedge.manifest import Manifest
    from bioxedge.runtime import Source


def check_sensor(manifest: Manifest, source: Source, accepted: str | None) -> str | None:
    """Hold a source against the sensors that the bundle was made for.

    Returns
    -------
    str or None
        Why it could not be checked; None where it was, or where the manifest says so itself.

    Raises
    ------
    SourceError
        It is another sensor, and nobody accepted it.
    """
    sensors, found = manifest.input.sensors, source.sensor
    if accepted is not None and found is None:
        raise SourceError(
            f"--accept-sensor means nothing to {source.name}, which does not say what sensor it "
            "is from: leave it out"
        )
    if not sensors or found in sensors:
        return None
    if found is not None and found.startswith("simulated/"):
        return f"{found}: no sensor at all, a simulated wearer"
    if found is None:
        return f"a recording does not say which sensor it is from ({', '.join(sensors)} expected)"
    if found == accepted:
        return f"{found} was accepted for {', '.join(sensors)}"
    raise SourceError(
        f"{manifest.name} was trained on {', '.join(sensors)}, this is {found}: a channel of the "
        f"same name may be another quantity; if you know that it is the same, say "
        f"--accept-sensor {found}"
    )


def check_units(manifest: Manifest, source: Source) -> str | None:
    """Hold a source's units against the bundle's.

    Returns
    -------
    str or None
        Why they could not be checked; None where they were, or nobody states any.

    Raises
    ------
    SourceError
        Another unit.
    """
    if source.units is None:
        return None
    unchecked = []
    for channel, found in zip(manifest.input.channels, source.units, strict=True):
        if units.same(found, channel.unit):
            continue
        if units.arbitrary(channel.unit) or units.arbitrary(found):
            unchecked.append(channel.name)
        else:
            raise SourceError(
                f"{channel.name} comes in {found}, {manifest.name} takes {channel.unit}: "
                f"say --scale {channel.name}=GAIN to convert it"
            )
    if not unchecked:
        return None
    return f"the unit of {', '.join(unchecked)} is arbitrary on one side"
