"""Is this a signal at all: judged alike in training and live, on raw samples before any stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bioxedge.spec import Fault

_SAID: dict[Fault, str] = {
    "missing": "is missing",
    "flat": "is flat",
    "railed": "is railed",
    "no contact": "has no contact",
    "noise": "is noise",
    "amplitude": "is of another size than in training",
    "unlike": "is unlike what was trained on",
}


@dataclass(frozen=True)
class ChannelVerdict:
    """What one channel of a window looks like.

    Attributes
    ----------
    channel : str
    fault : str or None
        ``missing``, ``flat``, ``railed``, ``no contact``, ``noise``, ``amplitude`` or
        ``unlike`` (what training saw); None where it is good.
    measures : dict of str to float
        The figures that it was judged by.
    """

    channel: str
    fault: Fault | None
    measures: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """What every channel of a window looks like."""

    channels: tuple[ChannelVerdict, ...]

    @property
    def reason(self) -> str | None:
        """Why there can be no label, naming the channels; None where all is well."""
        bad = [f"{one.channel} {_SAID[one.fault]}" for one in self.channels if one.fault]
        return ", ".join(bad) or None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {one.channel: {"fault": one.fault, **one.measures} for one in self.channels}
