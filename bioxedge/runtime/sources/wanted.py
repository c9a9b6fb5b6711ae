"""What is asked of a source: by a bundle, or by whoever records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bioxedge.runtime.hostclock import SYSTEM, HostClock

if TYPE_CHECKING:
    from bioxedge.manifest import Manifest


@dataclass(frozen=True)
class Wanted:
    """Channels, rate and units that a source is to have.

    Attributes
    ----------
    channels : tuple of str or None
        In the order wanted; None for all that there are.
    rate : float or None
        In Hz; None for whatever it has.
    units : tuple of str or None
        One for each channel; None where any will do.
    modality : str
        Of the channels; empty where it is not known.
    scaled : tuple of str
        Channels that whoever asks multiplies: their units are theirs.
    clock : HostClock
    """

    channels: tuple[str, ...] | None = None
    rate: float | None = None
    units: tuple[str, ...] | None = None
    modality: str = ""
    scaled: tuple[str, ...] = ()
    clock: HostClock = SYSTEM

    @classmethod
    def of(cls, manifest: Manifest) -> Wanted:
        """Give what a bundle takes."""
        about = manifest.input
        units = tuple(channel.unit for channel in about.channels)
        return cls(about.names, about.rate, units, about.modality)
