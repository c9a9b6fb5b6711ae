"""Predictions and events as lines on a terminal."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from bioxedge.manifest import Value
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.runtime.sinks.standard import NAME, StandardOutput

if TYPE_CHECKING:
    from rich.console import Console

_BAR = 20
_COLOURS = ("green", "yellow", "magenta", "cyan", "blue", "red")
# Data that is older than its answer took by more than this is said to be.
_OLD = 1.0


class TerminalSink(BaseSink):
    """One aligned line a window, one an event; in colour where the output is a terminal.

    Parameters
    ----------
    file : text file, optional
        Standard output by default.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self.name = NAME if file is None else str(getattr(file, "name", "a text file"))
        self._out = StandardOutput(file)
        self._standard = file is None
        self._console: Console | None = None
        self._labels: tuple[str, ...] = ()
        self._value: Value | None = None
        self._run = ""  # where several share the terminal

    @property
    def stuck(self) -> bool:
        """Whether standard output takes no more."""
        return self._standard and self._out.stuck

    def open(self, run: RunInfo) -> None:
        """Note how wide labels are and whether there is colour."""
        self._labels, self._value = run.labels, run.value
        self._run = f"{run.name:<12} " if run.name else ""
        file = self._out.open()
        if file.isatty():
            from rich.console import Console

            self._console = Console(file=file, soft_wrap=True, highlight=False)

    def emit(self, record: Prediction | Event) -> None:
        """Write one line.

        Raises
        ------
        SinkError
            Nobody reads it any more.
        """
        text = self._run + self.line(record)
        if self._console is not None:
            with self._console.capture() as captured:
                self._console.print(text, style=self._style(record), markup=False)
            self._out.write(captured.get())
        else:
            self._out.write(text + "\n")

    def line(self, record: Prediction | Event) -> str:
        """Give the line: time, label, probability and bar, latency; or what happened.

        A value stands where the label would, and then where it lies in the range of training.
        """
        if isinstance(record, Event):
            when = " " * 22 if record.t is None else f"{record.t:20.2f} s"
            return f"{when}  {record.message}"
        width = max([1, *map(len, self._labels)])
        if self._value is not None:
            ends = self._value.low - self._value.range, self._value.high + self._value.range
            width = max(len(self._value.text(end)) for end in ends)
        when = f"{record.t_start:9.2f}–{record.t_end:9.2f} s  "
        said, others = record.said, self._others(record)
        if said is None:
            return f"{when}{'—':<{width}}  {record.reason or 'no reason was given'}{others}"
        if record.label is None:
            word = f"{said:>{width}}  {self._place(record)}"
        else:
            share = record.probabilities[record.label]
            bar = ("█" * round(share * _BAR)).ljust(_BAR, "·")
            word = f"{said:<{width}}  {share:6.1%} {bar}"
        old = f"  {record.age:.1f} s old" if record.age > record.latency + _OLD else ""
        gap = f"  {record.gap} samples held over" if record.gap else ""
        return f"{when}{word}  {record.latency * 1e3:7.2f} ms{others}{old}{gap}"

    @staticmethod
    def _others(record: Prediction) -> str:
        """Give what further tasks say; a dash where it is nothing of their own."""
        found = []
        for name, told in record.others.items():
            share = "" if told.label is None else f" {told.probabilities[told.label]:.0%}"
            if told.said is not None or told.reason != record.reason:
                found.append(f"  · {name} {told.said or '—'}{share}")
        return "".join(found)

    @staticmethod
    def _place(record: Prediction) -> str:
        """Draw where a value lies from low to high; beyond them it stands at the end."""
        about, value = record.quantity, record.value
        if about is None or value is None:
            return " " * _BAR
        share = min(max((value - about.low) / about.range, 0.0), 1.0)
        before = round(share * (_BAR - 1))
        return "·" * before + "█" + "·" * (_BAR - 1 - before)

    def _style(self, record: Prediction | Event) -> str:
        if isinstance(record, Event):
            return "yellow"
        if record.said is None:
            return "dim"
        if record.label is None:
            return _COLOURS[0]
        return _COLOURS[self._labels.index(record.label) % len(_COLOURS)]

    def close(self) -> None:
        """Nothing is held."""
