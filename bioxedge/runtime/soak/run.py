"""A simulated day with thousands of faults, through the real run loop, held against the truth."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bioxedge import windows
from bioxedge.bundle import Bundle
from bioxedge.runtime import loop
from bioxedge.runtime.engine import Engine, Floats
from bioxedge.runtime.events import Event
from bioxedge.runtime.faults import KINDS, TRANSPORT, Fault, FaultSource, draw
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.soak.examine import Examiner, digest
from bioxedge.runtime.soak.report import Report
from bioxedge.runtime.soak.truth import Truth
from bioxedge.runtime.soak.wearer import Wearer
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.sources.counters import BYTE, Pattern
from bioxedge.runtime.sources.rows import RowReader
from bioxedge.runtime.stream import Stream
from bioxedge.runtime.supervise import Supervised
from bioxedge.signals import Chunk
from bioxedge.wearer import Baseline, Known

Progress = Callable[[float, float], None]
"""Told the simulated seconds that are done, and all of them."""

# Where only some windows are asked about: one in so many.
SOME = 50
# Seconds between two polls, in the mean: a busy host's, and fewer than the loop would make.
POLL = 0.2
# Seconds of the simulated day between two looks at memory and at what can be settled.
LOOK = 60.0
# How far a time that is written down may be from the true one.
TIME = 1.0


class BusyClock(SimulatedClock):
    """A simulated clock on which a short sleep takes a while: now little, now long."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = np.random.default_rng([seed, 2])

    def sleep(self, seconds: float) -> None:
        """Sleep as asked, or, where a poll is waited for, for as long as the host likes."""
        if 0 < seconds < POLL / 4:
            seconds = min(float(self._rng.exponential(POLL)) + seconds, 10 * POLL)
        super().sleep(seconds)


class Recorder(Engine):
    """An engine that takes the fingerprint of every window that it is given."""

    def __init__(
        self, bundle: Bundle, digests: deque[bytes], model: Literal["every", "some"]
    ) -> None:
        super().__init__(bundle)
        self._digests, self._every = digests, 1 if model == "every" else SOME
        self._count = 0
        self._answer: Floats | None = None

    def run(self, window: Floats, beside: Floats | None = None) -> Floats:
        """Answer one window, or as the last one that was asked about."""
        self._digests.append(digest(window))
        if self._answer is None or self._count % self._every == 0:
            self._answer = super().run(window, beside)
        self._count += 1
        answer: Floats = self._answer.copy()
        return answer


class Acquaintance:
    """Knows the simulated wearer from the start, as well as the bundle's golden windows do.

    A day that began with minutes of learning would hold no window of them to anything.
    """

    def __init__(self, bundle: Bundle) -> None:
        about, beside = bundle.manifest.features, bundle.golden.beside
        self.known: Known | None = None
        if about is None or about.baseline is None or beside is None:
            return
        mean, inverse = np.split(beside[0, len(about.classic) :].astype(np.float64), 2)
        spread = np.where(inverse > 0, 1 / np.where(inverse > 0, inverse, 1.0), 0.0)
        seen = about.baseline.settle
        count = (float(seen),) * about.count
        self.known = Known(seen, count, tuple(mean.tolist()), tuple((spread**2).tolist()))

    def saw(self, baseline: Baseline) -> None:
        """Nothing is kept."""


class Collector:
    """A sink that keeps what it is given until it is fetched."""

    name = "soak"

    def __init__(self) -> None:
        self._records: deque[Prediction | Event] = deque()

    def open(self, run: RunInfo) -> None:
        """Nothing to open."""

    def emit(self, record: Prediction | Event) -> None:
        """Keep one."""
        self._records.append(record)

    def close(self) -> None:
        """Nothing to close."""

    def fetch(self) -> list[Prediction | Event]:
        """Give what has come."""
        return [self._records.popleft() for _ in range(len(self._records))]


class _Tap(Managed):
    """Looks at what the loop reads: where sessions begin, how right the times are."""

    def __init__(
        self, source: Supervised, board: FaultSource, truth: Truth, clock: SimulatedClock,
        look: Callable[[], None], report: Report,
    ) -> None:  # fmt: skip
        self._source, self._board, self._truth = source, board, truth
        self.name, self.channels, self.rate = source.name, source.channels, source.rate
        self.sensor, self.waits = source.sensor, True
        self._clock, self._look, self._report = clock, look, report
        self._zero, self._next = clock.monotonic_ns(), 0

    @property
    def loss(self) -> int | None:
        """The source's."""
        return self._source.loss

    def start(self) -> None:
        """Start the source."""
        self._source.start()
        self._zero = self._clock.monotonic_ns()

    def read(self) -> Chunk | None:
        """Read, and look."""
        chunk = self._source.read()
        if chunk is not None and chunk.samples.shape[1]:
            self._truth.place(chunk.first)
            self._truth.known = chunk.end
            taken = self._board.taken_at(self._truth.index(chunk.end))
            told = chunk.t0 + chunk.end / self.rate
            off = min(abs(told - time) for time in taken)
            self._report.time_error = max(self._report.time_error, off)
            self._report.late_times += off > TIME
        passed = (self._clock.monotonic_ns() - self._zero) / 1e9
        self._report.simulated = passed
        if passed >= self._next * LOOK:
            self._next = int(passed // LOOK) + 1
            self._look()
        return chunk

    def take_events(self) -> list[Event]:
        """The source's."""
        return self._source.take_events()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def soak(
    bundle: Bundle,
    *,
    hours: float = 24.0,
    faults: int | Sequence[Fault] = 2000,
    seed: int = 0,
    pattern: Pattern = BYTE,
    told: bool = True,
    model: Literal["every", "some"] = "every",
    progress: Progress | None = None,
    reader: Callable[..., RowReader] = RowReader,
) -> Report:
    """Run a bundle for a simulated day under faults, and hold every window against the truth.

    Parameters
    ----------
    bundle : Bundle
    hours : float, optional
    faults : int or sequence of Fault, optional
        How many are drawn, or which ones there are.
    seed : int, optional
    pattern : Pattern, optional
        How the board counts.
    told : bool, optional
        Whether the reader knows it.
    model : {"every", "some"}, optional
        Ask the model about every window, or about one in :data:`SOME`.
    progress : callable, optional
    reader : callable, optional
        What reads the rows.

    Returns
    -------
    Report
        Of what was done so far where Ctrl-C interrupts.

    Raises
    ------
    SourceError, SignalError, BundleError
        What the run raises.
    """
    about = bundle.manifest
    seconds = hours * 3600.0
    needed = windows.samples_needed(about.input, about.stream, about.window, windows=2)
    report = Report()
    kinds = tuple(KINDS) if bundle.judge() is not None else (*TRANSPORT, "nan")
    report.left_out = tuple(kind for kind in KINDS if kind not in kinds)
    if isinstance(faults, int):
        faults = draw(
            faults, seconds, channels=len(about.input.channels), seed=seed, kinds=kinds,
            quiet=needed / about.input.rate + 10, rate=about.input.rate,
        )  # fmt: skip
    clock = BusyClock(seed)
    wearer = Wearer(bundle, clock, seconds, seed=seed)
    board = FaultSource(
        wearer, faults, seed=seed, clock=clock, pattern=pattern, told=told, reader=reader
    )
    truth = Truth(wearer, board)
    truth.spoils = any(fault.spoils and fault.kind != "nan" for fault in faults)
    examiner = Examiner(bundle, truth)
    report.found = examiner.found
    collector = Collector()
    engine = Recorder(bundle, examiner.digests, model)

    def look() -> None:
        examiner.take(collector.fetch(), truth.known)
        examiner.settle(examiner.heard - examiner.margin)  # the sink's thread may be behind
        report.faults = dict(board.applied)
        if len(report.rss) < 2 and report.simulated >= len(report.rss) * seconds / 2:
            report.weigh()
        if progress is not None and not report.interrupted:
            progress(min(report.simulated, seconds), seconds)

    supervised = Supervised(board, clock=clock, seed=seed)
    tap = _Tap(supervised, board, truth, clock, look, report)
    began, busy = time.perf_counter(), time.process_time()
    try:
        stream = Stream(bundle, engine=engine, clock=clock, wearer=Acquaintance(bundle))
        loop.run(tap, stream, [collector], clock=clock)
    except KeyboardInterrupt:
        report.interrupted = True
    look()
    examiner.settle(truth.known - (examiner.margin if report.interrupted else examiner.hop))
    report.seconds, report.processor = time.perf_counter() - began, time.process_time() - busy
    report.weigh()
    return report
