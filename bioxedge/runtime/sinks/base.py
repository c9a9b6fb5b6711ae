"""What every sink of predictions and events does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction


@dataclass(frozen=True)
class RunInfo:
    """What a run is, as every sink is told at its start.

    Attributes
    ----------
    labels : tuple of str
        The bundle's, in order.
    bundle, digest : str
        The bundle's name and its manifest's digest.
    source : str
        What the samples come from, for people.
    sensor : str or None
    rate : float
        Nominal rate of the input in Hz.
    started : float
        The host's Unix time.
    monotonic_ns : int
        The host's monotonic clock at the same moment: what ``due`` of a prediction counts on.
    versions : mapping of str to str
    checks : mapping of str to str
        Checks that the bundle does not allow (an old format), and why; empty where all are on.
    engine : mapping of str to str or int
        What computes: ``variant``, ``provider``, ``threads``, ``runtime``.
    """

    labels: tuple[str, ...]
    bundle: str = ""
    digest: str = ""
    source: str = ""
    sensor: str | None = None
    rate: float = 0.0
    started: float = 0.0
    monotonic_ns: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    engine: Mapping[str, str | int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        return {
            **vars(self),
            "labels": list(self.labels),
            "versions": dict(self.versions),
            "checks": dict(self.checks),
            "engine": dict(self.engine),
        }


class Sink(Protocol):
    """Takes predictions and events as they come.

    A sink may be slow or fail: the run loop gives each one a thread and a bounded queue of its
    own, so that it delays neither a window nor another sink.

    Attributes
    ----------
    name : str
        What it is, for messages: a path, an address.
    """

    name: str

    def open(self, run: RunInfo) -> None:
        """Get ready. Called once the source streams."""
        ...

    def emit(self, record: Prediction | Event) -> None:
        """Take one prediction or event."""
        ...

    def close(self) -> None:
        """Let go; what was emitted is safe. May be called without :meth:`open`."""
        ...
