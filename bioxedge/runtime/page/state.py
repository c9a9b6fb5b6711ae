"""What is known of one run at this moment, in memory that does not grow."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

import numpy as np

from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.page.columns import SHOWN, Columns, packed
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.tally import Durations
from bioxedge.signals import Chunk

# Seconds of windows that are remembered, and windows at most.
HISTORY, WINDOWS = 300.0, 600
# Events that are remembered.
EVENTS = 50
# Bounds of the histograms of durations, in seconds.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# Reasons and channels that metrics tell apart.
REASONS, CHANNELS = 20, 256
# Seconds, beside two hops, after which a label is stale.
GRACE = 2.0
# Seconds without a sample after which the sensor is silent.
SILENT = 2.0


class Took:
    """Durations as a histogram with fixed bounds, and their quantiles."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.durations = Durations()

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[sum(seconds > bound for bound in BOUNDS)] += 1
        self.total += seconds
        self.durations.add(max(seconds, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON: quantiles in ms, counts by bound in seconds."""
        return {"ms": self.durations.to_ms(), "bounds": list(BOUNDS), "counts": self.counts}


class RunState:
    """One run: what it is, its last windows, events and samples.

    Every method may be called in any thread.

    Parameters
    ----------
    info : RunInfo
    clock : HostClock, optional
        The run's.

    Attributes
    ----------
    lock : RLock
        Held by whoever reads several of these at once.
    """

    def __init__(self, info: RunInfo, clock: HostClock = SYSTEM) -> None:
        self.info = info
        self.name = info.name
        self.latency, self.age = Took(), Took()
        self.labels: Counter[str] = Counter()
        self.values = 0  # windows with a value
        self.reasons: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.samples = self.missing = 0
        self.loss_known = True
        self.last: Prediction | None = None
        self.running = True
        self._clock = clock
        self.lock = threading.RLock()
        self._windows: deque[dict[str, Any]] = deque(maxlen=WINDOWS)
        self._told: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._recent: deque[Chunk] = deque()  # what is shown, as it came
        self._columns: Columns | None = None
        self._first: int | None = None
        self._end = 0
        self._heard = clock.monotonic_ns()

    # -- what comes in ----------------------------------------------------------------------

    def signal(self, chunk: Chunk, *, looked_at: bool) -> None:
        """Take samples; they are made into columns only while somebody looks."""
        with self.lock:
            if self._first is None:
                self._first = self._end = chunk.first
            self.missing += max(chunk.first - self._end, 0)
            self.missing += _missing(chunk)
            self._end, self.samples = chunk.end, chunk.end - self._first
            self.loss_known &= chunk.loss_known
            self._heard = self._clock.monotonic_ns()
            self._recent.append(chunk)
            while self._recent[0].end < self._end - SHOWN * chunk.rate:
                self._recent.popleft()
            if not looked_at:
                self._columns = None
            elif self._columns is None:
                self._columns = self._all()
            else:
                self._columns.push(chunk)

    def batch(self) -> dict[str, Any] | None:
        """Give the columns that are new since the last call; None where there are none."""
        with self.lock:
            taken = None if self._columns is None else self._columns.take()
            return None if taken is None else {"run": self.name, **packed(*taken)}

    def shown(self) -> dict[str, Any] | None:
        """Give all that is shown, for somebody who begins to look; batches go on behind it."""
        with self.lock:
            if not self._recent:
                return None
            columns = self._all()
            taken = columns.take()
            if self._columns is None:  # the first who looks: live ones go on from here
                self._columns = columns
            return None if taken is None else {"run": self.name, **packed(*taken)}

    def _all(self) -> Columns:
        """Give the columns of all that is shown."""
        columns = Columns(len(self._recent[0].samples), self._recent[0].rate)
        for chunk in self._recent:
            columns.push(chunk)
        return columns

    def emit(self, record: Prediction | Event) -> None:
        """Take a prediction or an event."""
        with self.lock:
            if isinstance(record, Event):
                self.events[record.kind] += 1
                self._told.append(told(record, self._clock))
                return
            self.last = record
            self.latency.add(record.latency)
            self.age.add(record.age)
            if record.label is not None:
                self.labels[record.label] += 1
            elif record.value is not None:
                self.values += 1
            else:
                self.reasons[self._reason(record)] += 1
            self._windows.append(brief(record))
            while self._windows[0]["t"] < record.t_end - HISTORY:
                self._windows.popleft()

    def _reason(self, record: Prediction) -> str:
        """Give why there is no label or value; reasons do not become too many to count."""
        reason = (record.reason or "unknown").partition(":")[0]
        return reason if reason in self.reasons or len(self.reasons) < REASONS else "other"

    def end(self) -> None:
        """Note that nothing more comes."""
        with self.lock:
            self.running = False

    # -- what is asked ----------------------------------------------------------------------

    @property
    def label_age(self) -> float | None:
        """Seconds since the sensor took the last sample of the last window; None before it."""
        last = self.last
        if last is None:
            return None
        return (self._clock.monotonic_ns() - last.acquired) / 1e9

    @property
    def silent(self) -> float:
        """Seconds since samples came; since the start where none did."""
        return (self._clock.monotonic_ns() - self._heard) / 1e9

    @property
    def stale(self) -> bool:
        """Whether the last label is too old to stand for now, or the run has ended."""
        if not self.running or self.silent > max(SILENT, self.info.hop):
            return True
        last, age = self.last, self.label_age
        if last is None or age is None:
            return False
        return age - last.age > 2 * self.info.hop + GRACE

    def figures(self) -> dict[str, Any]:
        """Give what is counted and measured, as JSON values."""
        with self.lock:
            return {
                "windows": self.latency.durations.count,
                **(
                    {"labels": dict(self.labels)}
                    if self.info.value is None
                    else {"values": self.values}
                ),
                "reasons": dict(self.reasons),
                "samples": self.samples,
                "loss": self.missing if self.loss_known else None,
                "missing": self.missing,
                "rate": None if self.last is None else self.last.rate,
                "latency": self.latency.to_dict(),
                "age_of_labels": self.age.to_dict(),
            }

    def _said(self, last: Prediction | None) -> dict[str, Any]:
        """Give what the last window says: label and probabilities, or value, answer and unit."""
        about = self.info.value
        if about is None:
            label = None if last is None else last.label
            return {"label": label, "probabilities": {} if last is None else last.probabilities}
        value, answer = (None, None) if last is None else (last.value, last.answer)
        return {"value": value, "answer": answer, "unit": about.unit}

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON (docs/page.md)."""
        with self.lock:
            last, info = self.last, self.info.to_dict()
            return {
                "name": self.name,
                "running": self.running,
                "stale": self.stale,
                "silent": round(self.silent, 3),
                **self._said(last),
                "reason": None if last is None else last.reason,
                "age": self.label_age,
                "last": None if last is None else last.to_dict(),
                "quality": None if last is None else faults(last),
                **self.figures(),
                "history": list(self._windows),
                "events": list(self._told),
                "shown": SHOWN,
                "column": Columns(1, self.info.rate or 1.0).width,
                "stale_after": 2 * self.info.hop + GRACE,
                "run": info,
            }


def _missing(chunk: Chunk) -> int:
    """Count the samples of a chunk that are missing in any channel."""
    with np.errstate(all="ignore"):  # of infinities and values near float64's end
        return int(np.count_nonzero(~np.isfinite(chunk.samples.sum(axis=0))))


def told(event: Event, clock: HostClock = SYSTEM) -> dict[str, Any]:
    """Give an event as JSON values, with the host's time at which it was told."""
    return {**event.to_dict(), "at": clock.time()}


def brief(record: Prediction) -> dict[str, Any]:
    """Give of a window what a history needs; ``p`` is what is drawn, empty for nothing."""
    found = faults(record)
    told: dict[str, Any] = {"label": record.label}
    drawn = [round(value, 4) for value in record.probabilities.values()]
    if record.quantity is not None:
        told = {"value": record.value}
        drawn = [] if record.value is None else [record.value]
    return {
        "t": record.t_end,
        "start": record.t_start,
        **told,
        "reason": record.reason,
        "p": drawn,
        "gap": record.gap,
        "faults": None if found is None else {one: why for one, why in found.items() if why},
    }


def faults(record: Prediction) -> dict[str, str | None] | None:
    """Give each channel's fault, None where it is good; None where nothing is judged."""
    verdict = record.quality.signal
    if verdict is None:
        return None
    return {one.channel: one.fault for one in verdict.channels[:CHANNELS]}
