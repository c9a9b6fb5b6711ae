"""The open loop: windows become due on a schedule that waits for nobody.

The real path: a source of samples that are due at fixed moments, the run loop that a device runs,
its stream, its engine, and a file of JSON lines. Latency counts from the moment at which a
window's last sample was due to the moment at which its line is in the file, so that what holds
one window up is counted against every window behind it.

Nothing in the runtime is changed for it: the source and the sink are the bench's own ends, the
engine is the device's with two looks at the clock around each answer.
"""

from __future__ import annotations

import gc
import math
import resource
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.bundle import Bundle
from bioxedge.measuring.closed import memory, resident
from bioxedge.measuring.tasks import STAGES, Opened, Task
from bioxedge.runtime import Engine, JsonLinesSink, Stream, loop
from bioxedge.runtime.engine import Floats
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk

WARMUP = 5
"""Windows that are answered before those that count."""


class Paced(Managed):
    """Samples that become due one by one, whether anybody reads or not; a read gives those due.

    Parameters
    ----------
    bundle : Bundle
        Its golden samples are played forwards and backwards, without end and without a jump.
    samples : int
        After which the source ends.
    pace : float
        Samples a second of this machine's clock, which may be faster than the sensor's rate.
    """

    name = "bench"

    def __init__(self, bundle: Bundle, samples: int, pace: float) -> None:
        about = bundle.manifest.input
        self.channels, self.rate = about.names, about.rate
        piece = bundle.golden.raw[0]
        self._samples = np.concatenate([piece, piece[:, -2:0:-1]], axis=1)
        self._pace, self._end = pace, samples
        self._given = self._began = 0

    @property
    def loss(self) -> int | None:
        """Nothing is lost."""
        return 0

    def start(self) -> None:
        """Let the first sample be due now."""
        self._began = time.monotonic_ns()

    def due(self, sample: float) -> int:
        """Monotonic nanoseconds at which a sample is due."""
        return self._began + round(sample * 1e9 / self._pace)

    def read(self) -> Chunk | None:
        """Give all samples that are due."""
        first = self._given
        if first >= self._end:
            return None
        now = time.monotonic_ns()
        end = min(int((now - self._began) * self._pace / 1e9) + 1, self._end)
        index = np.arange(first, max(end, first)) % self._samples.shape[1]
        self._given = first + len(index)
        return Chunk(
            self._samples[:, index],
            first,
            self.rate,
            arrived=now,
            acquired=self.due(self._given - 1),
            real_rate=self._pace,
        )


class Timed(Engine):
    """The device's engine, and when each answer began and ended."""

    def __init__(self, *given: Any) -> None:
        self.asked: list[tuple[int, int]] = []
        super().__init__(*given)

    def run(self, window: Floats, beside: Floats | None = None) -> Floats:
        """Answer one window."""
        began = time.monotonic_ns()
        answer = super().run(window, beside)
        self.asked.append((began, time.monotonic_ns()))
        return answer


class Lines:
    """The device's JSON lines, and when each prediction stood in the file."""

    def __init__(self, path: Path) -> None:
        self._sink = JsonLinesSink(path)
        self.name = self._sink.name
        self.written: list[tuple[Prediction, int]] = []

    def open(self, run: RunInfo) -> None:
        """Open the file."""
        self._sink.open(run)

    def emit(self, record: Prediction | Event) -> None:
        """Write one line."""
        self._sink.emit(record)
        if isinstance(record, Prediction):
            self.written.append((record, time.monotonic_ns()))

    def close(self) -> None:
        """Close the file."""
        self._sink.close()


def open_loop(task: Task) -> Opened:
    """Answer windows as they become due, every ``task.hop`` seconds."""
    bundle = Bundle.open(task.bundle)
    engine = Timed(bundle, task.variant, task.threads, [task.provider])
    engine.asked.clear()
    first = resident()
    stream = Stream(bundle, engine=engine)
    pace = bundle.manifest.input.rate * stream.hop / task.hop
    hop = round(bundle.manifest.input.rate * stream.hop)
    needed = loop.samples_needed(bundle)
    source = Paced(bundle, needed + (task.windows + WARMUP) * hop + hop // 2, pace)
    pauses: list[float] = []
    gc.callbacks.append(_collector(pauses))
    spent, used = time.process_time(), resource.getrusage(resource.RUSAGE_SELF)
    wall = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bioxedge-bench-") as folder:
        sink = Lines(Path(folder) / "labels.jsonl")
        loop.run(source, stream, [sink])
        written = sink.written
    wall = time.monotonic() - wall
    gc.callbacks.pop()
    dues = _dues([one for one, _ in written], source, needed)
    latency, age, stages, unasked = split(
        written, engine.asked, dues, slice(WARMUP, WARMUP + task.windows)
    )
    preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - used.ru_nivcsw
    return Opened(
        hop=task.hop,
        latency=latency,
        age=age,
        stages=stages,
        warmup=WARMUP,
        unasked=unasked,
        provider=engine.provider,
        memory=memory(first),
        cpu_seconds=time.process_time() - spent,
        seconds=wall,
        gc_ms=pauses,
        preempted=preempted,
    )


def split(
    written: Sequence[tuple[Prediction, int]],
    asked: Sequence[tuple[int, int]],
    dues: Sequence[int],
    counted: slice,
) -> tuple[list[float], list[float], dict[str, list[float]], int]:
    """Tell where each window's time went.

    Parameters
    ----------
    written : sequence of (Prediction, int)
        And when its line stood in the file, as all times here in monotonic nanoseconds.
    asked : sequence of (int, int)
        When the engine's answers began and ended, for the windows that it was asked about.
    dues : sequence of int
        When each window was due.
    counted : slice
        The windows that count.

    Returns
    -------
    latency, age : list of float
        Milliseconds.
    stages : dict of str to list of float
        Milliseconds; their sum is the latency.
    unasked : int
        Windows that the model was not asked about, left out of all of these.
    """
    answers = iter(asked)
    every = [
        (one, done, due, next(answers) if one.asked else None)
        for (one, done), due in zip(written, dues, strict=True)
    ]
    latency: list[float] = []
    age: list[float] = []
    stages: dict[str, list[float]] = {name: [] for name in STAGES}
    unasked = 0
    for one, done, due, times in every[counted]:
        if times is None:
            unasked += 1
            continue
        moments = (due, one.due, *times, one.due + round(one.latency * 1e9), done)
        for name, (before, after) in zip(STAGES, pairwise(moments), strict=True):
            stages[name].append(round((after - before) / 1e6, 5))
        latency.append(round((done - due) / 1e6, 5))
        age.append(round(one.age * 1e3, 5))
    return latency, age, stages, unasked


def _dues(predictions: Sequence[Prediction], source: Paced, needed: int) -> list[int]:
    """When each window's last sample was due: where filters look ahead, behind its own end."""
    if not predictions:
        return []
    ends = [one.t_end * source.rate for one in predictions]
    behind = needed - ends[0]  # the first window comes with this sample, by the bundle's stages
    return [source.due(math.ceil(end + behind - 1e-6) - 1) for end in ends]


def _collector(pauses: list[float]) -> Any:
    """Make what the collector calls as it begins and ends; pauses are kept in milliseconds."""
    began = 0

    def look(phase: str, _: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.monotonic_ns()
        else:
            pauses.append(round((time.monotonic_ns() - began) / 1e6, 4))

    return look
