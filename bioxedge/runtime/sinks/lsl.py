"""Predictions as streams of the Lab Streaming Layer (docs/lsl.md)."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from typing import Any

from bioxedge.errors import SinkError, SourceError
from bioxedge.manifest import Value
from bioxedge.runtime import lsl
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.signals import Chunk

BESIDE = ("real", "gap", "loss", "latency", "age")
"""Channels behind the labels' probabilities."""

_UNITS = {"real": "1", "gap": "samples", "loss": "samples", "latency": "s", "age": "s"}
# Seconds that are held for a client that does not read; liblsl takes an irregular stream's for
# hundreds of samples each.
_BUFFER = 30
# Seconds that clients have to fetch what was sent last.
_LAST = 0.2


@dataclass(frozen=True)
class _Task:
    """The streams of one task; ``said`` is None where it tells a value."""

    name: str
    labels: tuple[str, ...]
    said: Any
    numbers: Any


class LslSink(BaseSink):
    """Labels, probabilities and events, each a stream; stamps are those of the data.

    Where a bundle tells a value, that is one stream of numbers in place of the first two: NaN is
    no value. Further tasks have streams of their own in the same way.

    Parameters
    ----------
    name : str, optional
        Of the first stream; left out, ``bioxedge-`` and the run's or the bundle's name.

    Raises
    ------
    MissingExtraError, SinkError
        No pylsl, or no liblsl.
    """

    def __init__(self, name: str = "") -> None:
        try:
            self._lsl = lsl.load()
        except SourceError as error:
            raise SinkError(str(error)) from error
        self._given = name
        self.name = f"LSL {name}" if name else "LSL"
        self._outlets: list[Any] = []
        self._tasks: list[_Task] = []
        self._events: Any = None
        self._run = RunInfo(())
        self._seen = math.nan, 0.0  # when a sample was taken, and which

    def open(self, run: RunInfo) -> None:
        """Make the streams."""
        self._run = run
        base = self._given or f"bioxedge-{run.name or run.bundle}"
        self.name = f"LSL {base}"
        self._tasks = [self._task(base, "", run.labels, run.value)]
        self._tasks += [
            self._task(f"{base}.{name}", name, output.labels, output.value)
            for name, output in run.others.items()
        ]
        text = self._lsl.cf_string
        self._events = self._outlet(f"{base}-events", "Markers", text, ["event"], [""], "Markers")

    def _task(self, base: str, name: str, labels: tuple[str, ...], value: Value | None) -> _Task:
        """Make the streams of one task."""
        text, numbers = self._lsl.cf_string, self._lsl.cf_double64
        beside = [_UNITS[name] for name in BESIDE]
        if value is None:
            ones, kind = ["1"] * len(labels), "Probability"
            said = self._outlet(base, "Markers", text, ["label"], [""], "Markers", labels)
            given = self._outlet(
                f"{base}-probabilities", "Prediction", numbers, [*labels, *BESIDE],
                [*ones, *beside], kind, labels,
            )  # fmt: skip
            return _Task(name, labels, said, given)
        unit = value.unit
        given = self._outlet(
            base, "Prediction", numbers, [value.name, "answer", *BESIDE],
            [unit, unit, *beside], "Value", labels,
        )  # fmt: skip
        return _Task(name, labels, None, given)

    def _outlet(
        self,
        name: str,
        kind: str,
        form: int,
        labels: list[str],
        units: list[str],
        told: str,
        known: tuple[str, ...] | None = None,
    ) -> Any:
        """Make one stream, with a header that says what it is; ``told`` is what is in front.

        ``known`` are the task's labels, those of the first one where they are left out.
        """
        run = self._run
        # The same source comes back under the same id, so that clients find it again; another
        # device with the same bundle has another one, or they would go over to it unasked.
        own = f"{name}-{run.digest[:16]}-{platform.node()}"
        info = self._lsl.StreamInfo(name, kind, len(labels), self._lsl.IRREGULAR_RATE, form, own)
        desc = info.desc()
        facts = {
            "manufacturer": "bioxedge", "version": run.versions.get("bioxedge", ""),
            "bundle": run.bundle, "digest": run.digest, "source": run.source,
            "sensor": run.sensor or "", "modality": run.modality,
            "labels": " ".join(run.labels if known is None else known),
            "window": f"{run.window:g}", "hop": f"{run.hop:g}", "run": run.name,
        }  # fmt: skip
        for key, value in facts.items():
            desc.append_child_value(key, value)
        channels = desc.append_child("channels")
        front = len(labels) - len(BESIDE) if kind == "Prediction" else len(labels)
        for at, (label, unit) in enumerate(zip(labels, units, strict=True)):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
            channel.append_child_value("type", told if at < front else kind)
        # A model that cannot keep up leaves windows out.
        desc.append_child("synchronization").append_child_value("can_drop_samples", "true")
        made = self._lsl.StreamOutlet(info, max_buffered=_BUFFER)
        self._outlets.append(made)
        return made

    def signal(self, chunk: Chunk) -> None:
        """Note when samples were taken, to place events."""
        self._seen = (chunk.acquired or chunk.arrived) / 1e9, chunk.end / chunk.rate

    def emit(self, record: Prediction | Event) -> None:
        """Send one window, or one event."""
        if isinstance(record, Event):
            self._events.push_sample([f"{record.kind}: {record.message}"], self._when(record))
            return
        when = record.acquired / 1e9  # LSL's clock is the monotonic one here
        beside = [
            record.quality.real,
            float(record.gap),
            _number(record.loss),
            record.latency,
            record.age,
        ]
        for task in self._tasks:
            one = record.others[task.name] if task.name else record
            if task.said is None:
                told = [_number(one.value), _number(one.answer)]
            else:
                said = one.label if one.label is not None else f"no label: {one.reason}"
                task.said.push_sample([said], when)
                told = [one.probabilities.get(label, math.nan) for label in task.labels]
            task.numbers.push_sample([*told, *beside], when)

    def _when(self, event: Event) -> float:
        """When the sample at which something happened was taken."""
        taken, at = self._seen
        if event.t is None or not math.isfinite(taken):
            return float(self._lsl.local_clock())
        return taken + event.t - at

    def close(self) -> None:
        """End the streams, once clients had a moment to fetch what was sent last."""
        outlets, self._outlets = self._outlets, []
        self._tasks, self._events = [], None
        if any(one.have_consumers() for one in outlets):
            time.sleep(_LAST)


def _number(found: float | None) -> float:
    """Give a number as LSL holds it: NaN where there is none."""
    return math.nan if found is None else float(found)
