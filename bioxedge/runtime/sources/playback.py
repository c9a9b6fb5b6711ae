"""A recording through the real BrainFlow library: its playback board reads a file of rows.

The file has one line a sample and one column for each row of the *master* board's preset.
BrainFlow paces it by the differences of the time stamps, so compressed stamps play faster. A
value is written with the digits that ``float`` needs to come back the same to the last bit.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SourceError
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sources import boards, shared
from bioxedge.runtime.sources.brainflow import BrainFlowSource, session
from bioxedge.runtime.sources.counters import Pattern
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.signals import Chunk, Recording

# What --speed max means here: near what BrainFlow reads, and stamps still tell samples apart.
MAX_SPEED = 1000.0
# The field of BrainFlow's input parameters that plays each preset.
_FILE = {"default": "file", "auxiliary": "file_aux", "ancillary": "file_anc"}
_PLAYBACK_BOARD = -3
# What is written: a number a row, and true sample times.
_COUNTS = Pattern(256, stamps="recorded")
_BLOCK = 8192


def write_playback(
    recording: Recording,
    path: str | Path,
    *,
    board: str,
    preset: str | None = None,
    speed: float = 1.0,
    channels: tuple[str, ...] | None = None,
) -> int:
    """Write a recording as a file that BrainFlow's playback board reads.

    A sample that is missing in any of the channels (NaN) is left out while the package counter
    and the time go on, which is how a real board loses it. A value too small for a normal
    float64 is written as 0, because BrainFlow's parser refuses it.

    Parameters
    ----------
    recording : Recording
        At the rate of the board's preset.
    path : path
    board : str
        The master board, as whose the rows are read.
    preset : str, optional
        Left out, the first that has the channels.
    speed : float, optional
        How much faster than recorded it will play.
    channels : tuple of str, optional
        What to write; all of the recording's channels by default.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    SourceError
        A channel that the board does not have, another rate, or no sample to play.
    SignalError
        A channel that the recording does not have.
    """
    names = tuple(c.name for c in recording.channels) if channels is None else channels
    layout = boards.layout(board, preset, names)
    rows = layout.rows(names)
    layout.require_rate(recording.rate)
    if not 0 < speed < math.inf:
        raise SourceError(f"the speed of a playback is {speed:g}: it must be above 0 and finite")
    values, real = _values(recording, names)
    if not len(real):
        raise SourceError(f"{recording.person}'s recording has no whole sample to play")
    base = recording.t0 if recording.t0 > 0 else 1.0  # BrainFlow paces positive stamps only
    with Path(path).open("w", encoding="ascii", newline="\n") as file:
        for begin in range(0, len(real), _BLOCK):
            index = real[begin : begin + _BLOCK]
            table = np.zeros((len(index), layout.width))
            table[:, layout.counter] = index % 256
            table[:, layout.stamp] = base + index / (recording.rate * speed)
            table[:, rows] = values[:, index].T
            file.writelines("\t".join(map(repr, line)) + "\n" for line in table.tolist())
    return len(real)


class PlaybackSource(BrainFlowSource):
    """A recording, played by the BrainFlow library as if a board sent it.

    It ends when every row that was written has been read. The sample clock counts from the
    recording's first sample, so windows stand where they stand in the recording.

    Parameters
    ----------
    recording : Recording
    channels : tuple of str, optional
        Left out, all of the recording's.
    rate : float, optional
        The rate in Hz that is wanted; the recording's by default.
    board : str, optional
        Master board; left out, the first in BrainFlow's list that has the channels at the rate.
    preset : str, optional
    speed : float, optional
        1 is real time; infinity stands for :data:`MAX_SPEED`.
    stall : float, optional
        Seconds without a row, beyond the recording's own gaps, that count as stopped.

    Raises
    ------
    MissingExtraError, SignalError, SourceError
        See :class:`BrainFlowSource` and :func:`write_playback`.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        channels: tuple[str, ...] | None = None,
        rate: float | None = None,
        board: str | None = None,
        preset: str | None = None,
        speed: float = 1.0,
        stall: float = 10.0,
        clock: HostClock = SYSTEM,
    ) -> None:
        names = tuple(c.name for c in recording.channels) if channels is None else channels
        rate = recording.rate if rate is None else rate
        if not speed > 0:
            raise SourceError(f"the speed of a playback is {speed:g}: it must be above 0, or max")
        self._speed = min(speed, MAX_SPEED)
        if board is None:
            board, preset = _choose(names, rate, preset)
        self._recording = recording
        _, real = _values(recording, names)
        self._first = int(real[0]) if len(real) else 0
        super().__init__(board, channels=names, rate=rate, preset=preset, clock=clock)
        self.sensor = None  # the recording does not say
        self.name = f"playback of {recording.person} through BrainFlow's {self._layout.title}"
        longest = int(np.diff(real).max(initial=1))
        self._stall = stall + longest / (rate * self._speed)
        self._ring = min(max(len(real), 1), math.ceil(self._ring * self._speed))
        self._left = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Write the file and let BrainFlow play it."""
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="bioxedge-playback-")
        path = Path(self._folder.name) / "rows.tsv"
        try:
            self._left = write_playback(
                self._recording,
                path,
                board=self._layout.board,
                preset=self._layout.preset,
                speed=self._speed,
                channels=self.channels,
            )
            self._clear()
            self._params = self._shim.BrainFlowInputParams()
            self._params.master_board = self._layout.board_id
            setattr(self._params, _FILE[self._layout.preset], str(path))
            self._wish = self._make_wish(_PLAYBACK_BOARD, ("old_timestamps",))
            self._open()
        except BaseException:
            self.close()
            raise

    def _rows_reader(self) -> RowReader:
        """Make what turns rows into chunks, by the file's own times."""
        return RowReader(
            self._rows,
            counter=self._layout.counter,
            stamp=self._layout.stamp,
            rate=self.rate,
            pattern=_COUNTS,
            clock=self._host,
            pace=self.rate * self._speed,
            start=self._first,
            t0=self._recording.t0,
        )

    def read(self) -> Chunk | None:
        """Drain the ring; None once every row has been read."""
        if self._left == 0 and self._seat is not None:
            self._reader.flush()
            return self._reader.pop()
        return super().read()

    def _drain(self, seat: shared.Seat) -> list[shared.Part]:
        """Count what is left."""
        parts = super()._drain(seat)
        self._left -= sum(part.rows.shape[1] for part in parts)
        return parts

    def _ask(self, startup: str) -> tuple[shared.Wish, shared.SharedBoard]:
        """Want nothing of the board that the file stands for, and share with nobody."""
        wish = self._make_wish(_PLAYBACK_BOARD, ())
        return wish, shared.SharedBoard(session(self._shim))

    def close(self) -> None:
        """Stop, release the board and remove the file."""
        super().close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _values(
    recording: Recording, names: tuple[str, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Rows of the named channels, and the indices of the samples that all of them have."""
    values = recording.samples[recording.rows(names)]
    tiny = np.abs(values) < np.finfo(np.float64).tiny
    return np.where(tiny, 0.0, values), np.flatnonzero(np.isfinite(values).all(axis=0))


def _choose(channels: tuple[str, ...], rate: float, preset: str | None) -> tuple[str, str]:
    """Find a master board that could have sent this."""
    for one in boards.fitting(channels, rate):
        if preset in (None, one.preset) and not one.board.endswith("_bled"):  # deprecated
            return one.board, one.preset
    raise SourceError(
        f"none of BrainFlow's boards gives {', '.join(channels)} at {rate:g} Hz: "
        "use replay, which needs none, or record what a board gives"
    )
