"""What a reader found in a file: streams that can be loaded, marks, and what it did not understand.

Opening reads headers, and only as much more as it takes to tell lengths and losses; samples are
read when a stream is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge.marks import Mark
from bioxedge.signals import Channel, Samples

__all__ = ["Found", "Mark", "Stream"]


@dataclass(frozen=True)
class Stream:
    """Channels of one file, or folder, that share a rate and a clock.

    Parameters
    ----------
    name : str
        Distinct within what was found; letters, digits, ``-`` and ``_``: the folder that an
        import writes it to (``ecg``, ``bvp``, ``eeg``).
    modality : str
        ``ecg``, ``ppg``, ``eeg``, ``emg``, ``eog``, ``eda``, ``temperature``, ``acceleration``,
        ``respiration``, ``marker`` …; empty where the file does not tell.
    rate : float
        Rate in Hz at which the samples are laid out.
    channels : tuple of Channel
        Names distinct, units as in :mod:`bioxedge.units` (``uV``, ``mV``, ``a.u.``).
    samples : int
        How many each channel has, those that are missing (NaN) included.
    t0 : float, optional
        Unix time, in seconds, of sample 0; seconds on the file's own clock where ``dated`` is
        False.
    read : callable
        Gives the samples, float64 [channels, samples]; NaN where one is missing, gaps of their
        exact length. Raises RecordingError.
    dated : bool
        Whether ``t0`` is a date. A clock time without a zone is taken as UTC, and a remark says so.
    facts : dict
        What else is worth keeping (JSON values only): the device, filters, the real rate.
    """

    name: str
    modality: str
    rate: float
    channels: tuple[Channel, ...]
    samples: int
    read: Callable[[], Samples]
    t0: float = 0.0
    dated: bool = True
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.rate


@dataclass(frozen=True)
class Found:
    """What lies in one file, or in one folder that is a recording.

    Parameters
    ----------
    path : Path
    kind : str
        The format in the field's words (``EDF+D``, ``WFDB``, ``Empatica E4``).
    streams : tuple of Stream
        On one clock.
    marks : tuple of Mark
        On the same clock.
    person : str
        Who the file says it is of; empty where it does not.
    remarks : tuple of str
        What was not understood, was guessed or was left out, one line each.
    files : tuple of Path
        All files that it was, or will be, read from.
    """

    path: Path
    kind: str
    streams: tuple[Stream, ...]
    marks: tuple[Mark, ...] = ()
    person: str = ""
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
