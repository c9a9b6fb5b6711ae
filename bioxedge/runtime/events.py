"""What happened beside the predictions, and said as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "gap",  # samples are missing: held over or not
    "restart",  # the stream began afresh; no window until it has settled
    "missing",  # channels that give no values, by name
    "duplicate",  # a row came twice; the second was left out
    "swap",  # rows came in another order and were put right
    "garbled",  # a row whose counter makes no sense; it counts as missing
    "stale",  # a row with old values in some channels; they count as missing
    "contradiction",  # counter, stamps and arrival do not agree; says which was believed
    "counter",  # what was learnt of an unknown board's counter, or that nothing can be told
    "rate",  # the real rate is off the nominal one by more than 2 %
    "clock_step",  # the wall clock was set
    "stall",  # nothing came for too long
    "reconnect",  # a board that was lost streams again
    "late",  # the model cannot keep up: windows were left out
    "abstention_begins",
    "abstention_ends",
    "sink_failed",  # a sink gave up, or had to leave records out
    "output",  # what a sink has to say: its broker is away, or back
    "recording",  # what is recorded beside the run ended, or is not whole
    "mark",  # somebody marked this moment
]

KEPT = 4096
"""Events that wait to be taken; where nobody takes them the oldest go."""


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes
    ----------
    kind : str
    message : str
        One line for people.
    t : float or None
        Where it lies, in seconds of stream time (input sample over nominal rate); None where it
        lies nowhere in the stream.
    facts : mapping of str to plain JSON values
        The figures in the message, by name: ``samples``, ``seconds``, ``channel`` …
    """

    kind: Kind
    message: str
    t: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {"event": self.kind, "message": self.message, "t": self.t, **self.facts}
