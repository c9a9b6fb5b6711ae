"""What every sink of predictions and events does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from bioxedge.manifest import Output, Value
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.signals import Chunk


@dataclass(frozen=True)
class RunInfo:
    """What a run is, as every sink is told at its start.

    Attributes
    ----------
    labels : tuple of str
        The bundle's, in order; none where it tells a value.
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
    name : str
        The run's, where several go on at once; empty else.
    modality : str
    channels, units : tuple of str
        Of the bundle's input, in order.
    window, hop : float
        Seconds of signal in a window, and from one to the next.
    value : Value or None
        What the bundle tells in place of labels.
    others : mapping of str to Output
        What is told of further tasks, by name.
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
    name: str = ""
    modality: str = ""
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    window: float = 0.0
    hop: float = 0.0
    value: Value | None = None
    others: Mapping[str, Output] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON; ``value`` and ``others`` are there only where told."""
        about = dict(vars(self))
        if others := about.pop("others"):
            about["others"] = {name: _told(output) for name, output in others.items()}
        if about.pop("value") is not None:
            about["value"] = msgspec.to_builtins(self.value)
        return {
            **about,
            "labels": list(self.labels),
            "channels": list(self.channels),
            "units": list(self.units),
            "versions": dict(self.versions),
            "checks": dict(self.checks),
            "engine": dict(self.engine),
        }


def _told(output: Output) -> dict[str, Any]:
    """Say what a further task tells: its labels, or its value."""
    if output.value is None:
        return {"labels": list(output.labels)}
    return {"value": msgspec.to_builtins(output.value)}


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


@runtime_checkable
class SignalSink(Sink, Protocol):
    """A sink that wants the samples, too."""

    def signal(self, chunk: Chunk) -> None:
        """Take the samples that the stream has just taken, in order with everything else.

        Called in the sink's own thread. The chunk is shared: it must not be written to. A sink
        that is too slow is not given some of them: ``first`` jumps, and predictions still come.
        """
        ...


@runtime_checkable
class TellingSink(Sink, Protocol):
    """A sink that has something to say to the others: its broker is away, its spool is full."""

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it; called in the run's thread."""
        ...


class BaseSink:
    """What a sink is unless it says otherwise: to nowhere that matters to others, nothing held."""

    name = "a sink"

    @property
    def to_stdout(self) -> bool:
        """Whether what it writes to standard output is for programs."""
        return False

    @property
    def to_file(self) -> bool:
        """Whether it writes to a path."""
        return False

    @property
    def stuck(self) -> bool:
        """Whether it holds standard output, which takes no more."""
        return False

    @property
    def cut(self) -> int:
        """Bytes of half a line, from a run that was killed, that opening cut away."""
        return 0

    @property
    def note(self) -> str:
        """One line for people once it is closed: what still waits, and where; empty for none."""
        return ""

    def open(self, run: RunInfo) -> None:
        """Get ready."""

    def emit(self, record: Prediction | Event) -> None:
        """Take one prediction or event."""
        raise NotImplementedError(f"{type(self).__name__} has no emit")

    def close(self) -> None:
        """Let go."""
