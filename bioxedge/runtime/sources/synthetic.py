"""A simulated wearer as a live source: no hardware at hand, and everything else as it is.

The samples become a board's rows, with a counter and the host's stamps, and come when they are
taken: what is lost on the way has to be found by the clock that finds it on a board.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.faults.source import FaultSource
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk
from bioxedge.simulated.endless import Endless

MODALITIES = {"ppg": ("ppg_2", 64.0, "a.u."), "ecg": ("II", 250.0, "mV")}
"""What there is: its channel, rate in Hz and unit where nobody wants others."""

# Of a unit in millivolts.
_GAINS = {"mV": 1.0, "uV": 1e3, "V": 1e-3}


class Wearer(Managed):
    """Gives a simulated person's samples as fast as they are asked for.

    Parameters
    ----------
    modality : {"ppg", "ecg"}
    channel : str
    rate : float
        Hz.
    unit : str
        Of an ECG: mV, uV or V.
    person, seed : int
    seconds : float
        When it ends, in seconds of signal.
    """

    def __init__(
        self,
        modality: str,
        channel: str,
        rate: float,
        unit: str,
        *,
        person: int,
        seed: int,
        seconds: float,
    ) -> None:
        self.name = f"a simulated wearer of {modality} (person {person})"
        self.channels: tuple[str, ...] = (channel,)
        self.units: tuple[str, ...] | None = (unit,)
        self.rate = rate
        self.sensor: str | None = f"simulated/{modality}"
        self.waits = True
        self._gain = _GAINS[unit] if modality == "ecg" else 1.0
        self._made = Endless(modality, rate, person=person, seed=seed)
        self._limit = round(seconds * rate) if np.isfinite(seconds) else None
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: Future[npt.NDArray[np.float64]] | None = None
        self._piece = np.empty(0)
        self._number = -1
        self._next = 0  # goes on over starts: a person does not begin anew

    @property
    def loss(self) -> int | None:
        """Packets that this sensor loses, the board's counter shows."""
        return 0

    def start(self) -> None:
        """Begin, and have the next piece made beside the reader."""
        self.close()
        self._pool = ThreadPoolExecutor(1, "wearer")
        if self._number < 0:
            self._advance()

    def read(self) -> Chunk | None:
        """Give about a second; None once it has ended."""
        first, length = self._next, self._made.length
        if self._limit is not None and first >= self._limit:
            return None
        if first >= (self._number + 1) * length:
            self._advance()
        begin = first - self._number * length
        end = min(begin + max(round(self.rate), 1), length)
        if self._limit is not None:
            end = min(end, begin + self._limit - first)
        self._next += end - begin
        # What the sensor's own packets lost was never sent: the index jumps over it.
        values = self._piece[begin:end]
        there = np.flatnonzero(np.isfinite(values))
        if not len(there):
            return Chunk(np.empty((1, 0)), self._next, self.rate)
        if len(there) < len(values):
            jumps = np.flatnonzero(np.diff(there) > 1)
            stop = int(there[jumps[0]] if len(jumps) else there[-1]) + 1
            values, first = values[there[0] : stop], first + int(there[0])
            self._next = first + len(values)
        return Chunk(values[None] * self._gain, first, self.rate)

    def _advance(self) -> None:
        """Take the next piece, and have the one after it made."""
        self._number += 1
        ahead, self._ahead = self._ahead, None
        self._piece = self._made.piece(self._number) if ahead is None else ahead.result()
        if self._pool is not None:
            self._ahead = self._pool.submit(self._made.piece, self._number + 1)

    def close(self) -> None:
        """Let the thread go; the piece that it makes is kept."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def simulated(
    modality: str,
    *,
    channel: str | None = None,
    rate: float | None = None,
    unit: str | None = None,
    person: int = 1,
    seed: int = 0,
    seconds: float = float("inf"),
    clock: HostClock = SYSTEM,
) -> FaultSource:
    """Make a live source of a simulated wearer.

    Parameters
    ----------
    modality : {"ppg", "ecg"}
    channel, rate, unit : optional
        What is wanted; those of :data:`MODALITIES` by default.
    person, seed : int, optional
        Who; not negative.
    seconds : float, optional
        When it ends; never, by default.
    clock : HostClock, optional

    Raises
    ------
    SourceError
        A modality or a unit that there is not.
    """
    if modality not in MODALITIES:
        raise SourceError(
            f"no {modality!r} can be simulated: there are {', '.join(MODALITIES)}; "
            "brainflow:synthetic has channels of any kind, without meaning"
        )
    standard, usual, known = MODALITIES[modality]
    unit = known if unit is None or modality != "ecg" else unit
    if modality == "ecg" and unit not in _GAINS:
        raise SourceError(f"an ECG is simulated in {', '.join(_GAINS)}, not in {unit!r}")
    wearer = Wearer(
        modality,
        standard if channel is None else channel,
        usual if rate is None else rate,
        unit,
        person=person,
        seed=seed,
        seconds=seconds,
    )
    return FaultSource(wearer, (), clock=clock)
