"""Hold a source that somebody else wrote to what the run loop relies on."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.checking.holding import Checked, Holding
from bioxedge.runtime.sources.base import Source
from bioxedge.signals import Chunk

PROMPT = 1.0  # seconds that a read may take
_KEPT = 64  # chunks that are looked at again later
_REST = 0.002  # seconds between reads that give nothing


def check_source(source: Source, *, seconds: float = 5.0) -> Checked:
    """Start a source, read it for a while, and hold it to the protocol.

    Parameters
    ----------
    source : Source
        Not started.
    seconds : float, optional
        How long it is read, of real time or of signal.

    Returns
    -------
    Checked

    Raises
    ------
    SourceError
        The clause that is broken, and the cure; or what the source raised itself.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise SourceError(f"a source is checked for {seconds} s: it must be above 0")
    holding = Holding(source, SourceError, "source")
    _attributes(holding)
    holding.call("close before start", source.close)
    holding.call("close a second time", source.close)
    _not_started(holding)
    try:
        holding.call("start", source.start)
        _Reading(holding, source).go(seconds)
        holding.call("close", source.close)
        holding.call("close a second time", source.close)
        holding.looked.append("close, twice and before start")
        holding.call("start, a second time", source.start)
        _again(holding, source, seconds)
    finally:
        source.close()
    return holding.done()


def _attributes(holding: Holding) -> None:
    attribute = holding.attribute
    attribute("name", lambda name: isinstance(name, str) and name != "", "name it for people")
    channels = attribute("channels", _names, "give a tuple of distinct names, one a row")
    attribute(
        "rate",
        lambda rate: isinstance(rate, float | int) and math.isfinite(rate) and rate > 0,
        "give the nominal rate in Hz, above 0",
    )
    attribute(
        "units",
        lambda units: units is None or (_texts(units) and len(units) == len(channels)),
        "give a tuple with a unit for each channel, or None",
    )
    attribute(
        "sensor",
        lambda sensor: sensor is None or isinstance(sensor, str),
        "give board/preset as text, or None",
    )
    attribute(
        "waits",
        lambda waits: isinstance(waits, bool),
        "say True where nothing is lost while nobody reads, else False",
    )
    attribute("loss", _count, "give the samples lost so far as an int from 0 on, or None")
    holding.methods("start", "read", "take_events", "close")
    holding.looked.append("attributes and their types")


def _texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) and one for one in value)


def _names(value: Any) -> bool:
    return _texts(value) and 0 < len(value) == len(set(value))


def _count(loss: Any) -> bool:
    return loss is None or (isinstance(loss, int) and not isinstance(loss, bool) and loss >= 0)


def _not_started(holding: Holding) -> None:
    """Read what was not started."""
    try:
        holding.call("read before start", holding.what.read)
    except SourceError as error:
        if error.__cause__ is not None and holding.name in str(error) and "raised" in str(error):
            raise
        holding.looked.append("read before start")
        return
    holding.hold(False, "read before start gave something", "raise SourceError there")


class _Reading:
    """Reads a source that was started."""

    def __init__(self, holding: Holding, source: Source) -> None:
        self._holding, self._source = holding, source
        self._next = self._samples = self._gaps = 0
        self._loss = -1
        self._kept: deque[tuple[Chunk, Any]] = deque(maxlen=_KEPT)
        self._slowest = 0.0

    def go(self, seconds: float) -> None:
        """Read for a while."""
        holding, source = self._holding, self._source
        until, ended = time.monotonic() + seconds, False
        while time.monotonic() < until and self._next < seconds * source.rate:
            chunk = self.read()
            holding.events()
            self._look_at_loss()
            if chunk is None:
                ended = True
                break
            self.take(chunk)
            if not chunk.samples.shape[1]:
                time.sleep(_REST)
        self._unchanged()
        self._say(ended)

    def read(self) -> Chunk | None:
        """Read, in time."""
        holding = self._holding
        began = time.monotonic()
        chunk = holding.call("read", self._source.read)
        took = time.monotonic() - began
        self._slowest = max(self._slowest, took)
        cure = "give a chunk without samples where nothing is new"
        holding.hold(took <= PROMPT, f"read took {took:.1f} s, at most {PROMPT:g} s", cure)
        right = chunk is None or isinstance(chunk, Chunk)
        holding.hold(right, f"read gave {chunk!r:.60}", "give a Chunk, or None at the end")
        return chunk

    def take(self, chunk: Chunk) -> None:
        """Hold a chunk to the protocol."""
        hold, source = self._holding.hold, self._source
        samples = chunk.samples
        hold(
            samples.dtype == np.float64 and bool(samples.flags.c_contiguous) and samples.ndim == 2,
            f"samples are {samples.dtype} {list(samples.shape)}",
            "give float64 in C order, [channels, n]",
        )
        hold(
            samples.shape[0] == len(source.channels),
            f"a chunk has {samples.shape[0]} rows, channels are {len(source.channels)}",
            "give one row a channel",
        )
        hold(
            chunk.rate == source.rate,
            f"a chunk's rate is {chunk.rate:g} Hz, the source's {source.rate:g} Hz",
            "give the nominal rate in both; the measured one is real_rate",
        )
        if not samples.shape[1]:
            return
        first = self._next if self._samples else 0
        hold(
            self._samples > 0 or chunk.first == 0,
            f"the first chunk begins at sample {chunk.first}",
            "sample 0 is the first one after start",
        )
        hold(
            chunk.first >= first,
            f"a chunk begins at sample {chunk.first}, the one before ended at {first}",
            "indices never go back: leave out what came twice",
        )
        self._gaps += chunk.first - first
        self._samples += samples.shape[1]
        self._next = chunk.end
        self._kept.append((chunk, samples.copy()))

    def _look_at_loss(self) -> None:
        loss = self._source.loss
        hold = self._holding.hold
        hold(_count(loss), f"loss is {loss!r}", "give an int from 0 on, or None")
        if loss is not None:
            cure = "count what is lost since start, and never less"
            hold(loss >= self._loss, f"loss fell from {self._loss} to {loss}", cure)
            self._loss = loss

    def _unchanged(self) -> None:
        for chunk, before in self._kept:
            same = np.array_equal(chunk.samples, before, equal_nan=True)
            self._holding.hold(
                same,
                f"samples from {chunk.first} on were changed after they were handed out",
                "give each chunk an array of its own",
            )

    def _say(self, ended: bool) -> None:
        holding = self._holding
        looked, missed = holding.looked, holding.missed
        (looked if self._slowest else missed).append(
            f"read returns (at most {self._slowest:.3f} s)"
        )
        if self._samples:
            looked.append(f"{self._samples} samples: layout, rate, indices from 0 on, unchanged")
        else:
            missed.append("chunks: no sample came")
        said = f"gaps: {self._gaps} samples" if self._gaps else "gaps: none happened"
        (looked if self._gaps else missed).append(said)
        if self._loss < 0:
            missed.append("loss: it was not known")
        else:
            looked.append(f"loss: {self._loss}")
        if not ended:
            missed.append("the end: it did not come")
            return
        for _ in range(2):
            again = self.read()
            holding.hold(again is None, "read gave a chunk after None", "stay at None once ended")
        looked.append("the end, which stays")


def _again(holding: Holding, source: Source, seconds: float) -> None:
    """Read the first samples after a second start."""
    reading, until = _Reading(holding, source), time.monotonic() + seconds
    while time.monotonic() < until:
        chunk = reading.read()
        if chunk is None:
            break
        if chunk.samples.shape[1]:
            holding.hold(
                chunk.first == 0,
                f"started again, the first chunk begins at sample {chunk.first}",
                "begin at 0 with every start",
            )
            holding.looked.append("starting again")
            return
        time.sleep(_REST)
    holding.missed.append("starting again: no sample came")
