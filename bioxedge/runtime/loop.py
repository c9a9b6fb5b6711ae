"""The run loop: a source's chunks through a stream into sinks, and what came of it."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioxedge import windows
from bioxedge.bundle import Bundle
from bioxedge.runtime.sinks.base import Sink
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.stream import Prediction, Stream
from bioxedge.signals import Chunk

# How long to wait where nothing is new: short beside any hop, and about 1 % of a core.
POLL = 0.005


@dataclass
class Tally:
    """What a run has done so far; kept up to date while it runs.

    Attributes
    ----------
    samples : int
        Input samples seen, from the first to the last.
    labels : Counter
        Windows for each label.
    latencies : list of float
        Seconds, one for each window.
    gaps : dict
        ``filled``, ``lost`` and ``restarts``.
    loss : int or None
        Samples that the source lost; None where it cannot know.
    """

    samples: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=lambda: {"filled": 0, "lost": 0, "restarts": 0})
    loss: int | None = 0

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.latencies)

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.labels[prediction.label] += 1
        self.latencies.append(prediction.latency)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON: latencies in ms, gaps with ``loss_known``."""
        return {
            "windows": self.windows,
            "samples": self.samples,
            "labels": {label: n / self.windows for label, n in self.labels.most_common()},
            "latency_ms": self._latency(),
            "gaps": {**self.gaps, "loss_known": self.loss is not None},
        }

    def _latency(self) -> dict[str, float] | None:
        if not self.latencies:
            return None
        ms = np.array(self.latencies) * 1e3
        return {
            "median": round(float(np.median(ms)), 3),
            "p95": round(float(np.percentile(ms, 95)), 3),
            "max": round(float(ms.max()), 3),
        }

    def line(self) -> str:
        """Give the summary as one line."""
        about = self.to_dict()
        shares = ", ".join(f"{label} {share:.0%}" for label, share in about["labels"].items())
        ms = about["latency_ms"] or {"median": 0.0, "p95": 0.0, "max": 0.0}
        gaps = (
            f"{self.gaps['filled']} samples held over, {self.gaps['lost']} lost, "
            f"{self.gaps['restarts']} restarts"
        )
        if self.loss is None:
            gaps = f"loss unknown (the board's counter does not show it), {gaps} seen"
        return (
            f"{self.windows} windows: {shares}; latency {ms['median']:.2f} ms median, "
            f"{ms['p95']:.2f} ms 95 %, {ms['max']:.2f} ms max; {gaps}"
        )


def run(
    source: Source,
    stream: Stream,
    sinks: Sequence[Sink],
    *,
    labels: tuple[str, ...],
    seconds: float | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Read a source to its end and send every prediction to every sink.

    The source is started and closed here, and the sinks are opened and closed, whatever
    happens in between.

    Parameters
    ----------
    source, stream, sinks
    labels : tuple of str
        The bundle's, for the sinks.
    seconds : float, optional
        Stop after so much signal (not time), for every chunking at the same sample.
    tally : Tally, optional
        Filled while running, so that an interrupted run can tell what it did.

    Returns
    -------
    Tally

    Raises
    ------
    SourceError, SignalError, BundleError
        What the source, the stream or the model raise.
    """
    tally = Tally() if tally is None else tally
    limit = None if seconds is None else round(seconds * source.rate)
    with ExitStack() as stack:
        for sink in sinks:
            stack.callback(sink.close)
            sink.open(labels)
        stack.callback(source.close)
        source.start()
        while limit is None or tally.samples < limit:
            chunk = source.read()
            if chunk is None:
                break
            if not chunk.samples.shape[1]:
                time.sleep(POLL)
                continue
            with _uninterrupted():
                _step(_trim(chunk, limit), stream, sinks, tally)
                tally.loss = source.loss
    return tally


def samples_needed(bundle: Bundle) -> int:
    """Count the input samples, none missing, that it takes to give a first window."""
    about = bundle.manifest
    return windows.samples_needed(about.input, about.stream, about.window)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back, so that what a sink was given and what is counted stay the same."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if caught:
        raise KeyboardInterrupt


def _trim(chunk: Chunk, limit: int | None) -> Chunk:
    """Leave off what lies beyond the limit."""
    if limit is None or chunk.end <= limit:
        return chunk
    keep = max(limit - chunk.first, 0)
    first = min(chunk.first, limit)
    return Chunk(chunk.samples[:, :keep], first, chunk.rate, chunk.t0, chunk.arrived)


def _step(chunk: Chunk, stream: Stream, sinks: Sequence[Sink], tally: Tally) -> None:
    """Take one chunk all the way."""
    predictions = stream.push(chunk)
    tally.samples, tally.gaps = chunk.end, stream.gaps
    for prediction in predictions:
        for sink in sinks:
            sink.emit(prediction)
        tally.add(prediction)
