"""What every source of samples does, a sensor or what stands in for one."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TypeVar

from bioxedge.runtime.events import Event
from bioxedge.signals import Chunk

Self = TypeVar("Self", bound="Managed")  # typing's own comes with Python 3.11


class Source(Protocol):
    """A sensor, or what stands in for one.

    Attributes
    ----------
    name : str
        What it is, for people.
    channels : tuple of str
        The rows of every chunk, in order.
    rate : float
        Nominal rate in Hz.
    units : tuple of str or None
        The channels' units, in order; None where they are not known.
    sensor : str or None
        Board and preset as BrainFlow names them (``muse_2/ancillary``); None where what stands
        behind the samples is not known.
    waits : bool
        Whether nothing is lost while nobody reads: a recording waits, a sensor does not.
    loss : int or None
        Samples that were lost on the way so far; None where the source cannot know.
    """

    name: str
    channels: tuple[str, ...]
    rate: float
    units: tuple[str, ...] | None
    sensor: str | None
    waits: bool

    @property
    def loss(self) -> int | None:
        """Samples lost on the way so far; None where the source cannot know."""
        ...

    def start(self) -> None:
        """Begin; sample 0 is the first one after this."""
        ...

    def read(self) -> Chunk | None:
        """Give what has come since the last call.

        Returns
        -------
        Chunk or None
            Without samples where nothing is new; None once the source has ended.

        Raises
        ------
        SourceError
            The sensor stopped, or never started.
        """
        ...

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice, and before :meth:`start`."""
        ...


class Managed:
    """Start and close by ``with``; nothing known of the sensor, nothing ever happens."""

    units: tuple[str, ...] | None = None
    sensor: str | None = None
    waits: bool = False
    # Whether steps of the wall clock are among its events; whoever reads it looks else.
    watches_clock: bool = False

    def take_events(self) -> list[Event]:
        """Nothing happened."""
        return []

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self: Self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, whatever happened."""
        self.close()
