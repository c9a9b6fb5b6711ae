"""Sessions: what one person's sensors recorded at one time, known without reading a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bioxedge.errors import DatasetError
from bioxedge.marks import Mark
from bioxedge.signals import Channel, Recording

KNOWN = ("reference", "labels")
"""Names of recordings that hold what is known, not what a sensor gave."""


def _every(start: float) -> bool:
    """Keep a window, wherever it begins."""
    return True


def _none() -> list[Mark]:
    """Give no marks."""
    return []


@dataclass(frozen=True)
class Part:
    """One recording of a session, read when it is needed.

    Parameters
    ----------
    name : str
        Of its folder; distinct within the session.
    modality : str
        Empty where nobody said.
    channels : tuple of Channel
    rate : float
        In Hz.
    read : callable
        Gives the Recording; raises RecordingError.
    seconds : float, optional
        How long it is, where that is known before it is read.
    files : tuple of Path
        All that reading it reads: what a step's key is made of.
    altered : str
        What is done to it as it is read, in words; belongs to a step's key, too.
    """

    name: str
    modality: str
    channels: tuple[Channel, ...]
    rate: float
    read: Callable[[], Recording]
    seconds: float | None = None
    files: tuple[Path, ...] = field(default=(), repr=False)
    altered: str = ""

    @classmethod
    def of(cls, name: str, recording: Recording) -> Part:
        """Take a recording that is in memory."""
        return cls(
            name,
            recording.modality,
            recording.channels,
            recording.rate,
            lambda: recording,
            recording.seconds,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The channels' names, in order."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True)
class Session:
    """What one person's sensors recorded at one time.

    Parameters
    ----------
    name : str
        Distinct within its data set.
    person : str
        By whom people are split.
    parts : tuple of Part
    marks : callable
        Gives what was said about stretches of it; raises RecordingError.
    clocked : callable
        Gives those of its marks that say on which recordings' clock they stand, without reading a
        recording.
    files : tuple of Path
        What its marks are read from.
    keeps : callable
        From the seconds after which a window begins to whether it is of this session; all are.
    """

    name: str
    person: str
    parts: tuple[Part, ...]
    marks: Callable[[], list[Mark]] = _none
    clocked: Callable[[], list[Mark]] = _none
    files: tuple[Path, ...] = field(default=(), repr=False)
    keeps: Callable[[float], bool] = field(default=_every, repr=False)

    def __post_init__(self) -> None:
        """Refuse a session of nobody."""
        if not self.person:
            raise DatasetError(
                f'{self.name} says no person: set "person" in its recording.json or stream.json '
                "to a code for whoever wore it, by which people are split"
            )
