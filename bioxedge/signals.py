"""Samples with a rate, a unit and a clock.

Samples are *counted*, not dated: a chunk knows the absolute index of its first sample at
its nominal rate, and an anchor (``t0``) that maps index 0 to the wall clock. A jump in the
index between two chunks is a gap; a value that is not finite is a gap of one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SignalError

Samples = npt.NDArray[np.float64]
"""float64, C order, shape ``[channels, n]``."""


@dataclass(frozen=True)
class Channel:
    """One recorded signal.

    Parameters
    ----------
    name : str
        The channel's name, as the sensor or the standard calls it (``ppg_2``, ``II``).
    unit : str
        ``uV``, ``mV``, ``V``, ``g`` …, or ``a.u.`` where the sensor states none.
    """

    name: str
    unit: str = "a.u."


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of all channels, as they arrived.

    Parameters
    ----------
    samples : ndarray of float64, shape [channels, n]
        The values; a value that is not finite is missing. Kept as given when it already is
        float64 in C order, converted otherwise. Never written to.
    first : int
        Absolute index of the first sample since the source started.
    rate : float
        Nominal rate in Hz.
    t0 : float, optional
        Unix time, in seconds, that ``index / rate`` counts from, so that the last sample's time
        is right: a live source estimates it anew for every chunk; NaN when unknown.
    arrived : int, optional
        Monotonic clock, in nanoseconds, at which the last sample was in this process's hands.
    acquired : int, optional
        Monotonic clock, in nanoseconds, at which the sensor took the last sample, as well as it
        can be told; 0 where it cannot, and then ``arrived`` stands for it.
    real_rate : float, optional
        Estimated real rate in samples per second of the monotonic clock; NaN when unknown.
    loss_known : bool, optional
        Whether a loss of samples up to here would have been seen.

    Raises
    ------
    SignalError
        Samples that are not two-dimensional, a negative index, a rate that is not positive.
    """

    samples: Samples
    first: int
    rate: float
    t0: float = float("nan")
    arrived: int = 0
    acquired: int = 0
    real_rate: float = float("nan")
    loss_known: bool = True

    def __post_init__(self) -> None:
        """Hold the layout that every stage relies on."""
        samples = np.ascontiguousarray(self.samples, dtype=np.float64)
        if samples.ndim != 2:
            raise SignalError(
                f"a chunk's samples are [channels, n], got {samples.ndim} dimensions "
                f"{samples.shape}"
            )
        if self.first < 0:
            raise SignalError(f"a chunk starts at sample {self.first}: indices start at 0")
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise SignalError(f"a chunk's rate is {self.rate} Hz: it must be positive")
        object.__setattr__(self, "samples", samples)

    @property
    def end(self) -> int:
        """Absolute index one past the last sample."""
        return self.first + int(self.samples.shape[1])


@dataclass(frozen=True)
class Recording:
    """One person's continuous recording of some channels at one rate.

    Parameters
    ----------
    samples : ndarray of float64, shape [channels, n]
        The values; NaN where a sample is missing.
    rate : float
        Rate in Hz.
    channels : tuple of Channel
        One for each row, names distinct.
    modality : str
        ``ppg``, ``ecg``, ``eeg``, ``emg`` …
    person : str
        Who wore the sensor. Splits are made by this.
    t0 : float, optional
        Unix time, in seconds, of sample 0. Two recordings of a pair share this clock.
    facts : dict, optional
        Anything else worth keeping (JSON values only).

    Raises
    ------
    SignalError
        Rows and channels that do not fit together.
    """

    samples: Samples
    rate: float
    channels: tuple[Channel, ...]
    modality: str
    person: str
    t0: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that rows and channels fit together."""
        samples = np.ascontiguousarray(self.samples, dtype=np.float64)
        if samples.ndim != 2 or samples.shape[0] != len(self.channels):
            raise SignalError(
                f"a recording of {len(self.channels)} channels has samples "
                f"[{len(self.channels)}, n], got {list(samples.shape)}"
            )
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise SignalError(f"channel names must be distinct, got {', '.join(names)}")
        if not (np.isfinite(self.rate) and self.rate > 0):
            raise SignalError(f"a recording's rate is {self.rate} Hz: it must be positive")
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "channels", tuple(self.channels))

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return float(self.samples.shape[1] / self.rate)

    def rows(self, names: tuple[str, ...]) -> list[int]:
        """Row numbers of the named channels, in the order asked for.

        Raises
        ------
        SignalError
            A name that the recording does not have.
        """
        return rows_by_name(
            names, tuple(c.name for c in self.channels), f"{self.person}'s recording"
        )


def rows_by_name(wanted: tuple[str, ...], present: tuple[str, ...], where: str) -> list[int]:
    """Find each wanted channel among those present.

    Parameters
    ----------
    wanted, present : tuple of str
        Channel names.
    where : str
        What has the present ones; goes into the message.

    Raises
    ------
    SignalError
        Names that are wanted and not present.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise SignalError(
            f"{where} has no channel {', '.join(missing)}: it has {', '.join(present) or 'none'}"
        )
    return [present.index(name) for name in wanted]
