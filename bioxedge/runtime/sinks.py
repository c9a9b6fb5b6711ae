"""Where predictions go: a terminal, or JSON lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from bioxedge.errors import SourceError
from bioxedge.runtime.stream import Prediction

if TYPE_CHECKING:
    from rich.console import Console

_BAR = 20
_COLOURS = ("green", "yellow", "magenta", "cyan", "blue", "red")


class Sink(Protocol):
    """Takes predictions as they come."""

    def open(self, labels: tuple[str, ...]) -> None:
        """Get ready; ``labels`` are the bundle's, in order."""
        ...

    def emit(self, prediction: Prediction) -> None:
        """Take one prediction."""
        ...

    def close(self) -> None:
        """Let go; what was emitted is safe."""
        ...


class TerminalSink:
    """One aligned line a window; in colour where the output is a terminal.

    Parameters
    ----------
    file : text file, optional
        Standard output by default.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = file
        self._console: Console | None = None
        self._labels: tuple[str, ...] = ()

    def open(self, labels: tuple[str, ...]) -> None:
        """Note how wide labels are and whether there is colour."""
        self._labels = labels
        file = self._file or sys.stdout
        if file.isatty():
            from rich.console import Console

            self._console = Console(file=file, soft_wrap=True, highlight=False)

    def emit(self, prediction: Prediction) -> None:
        """Write one line."""
        line = self.line(prediction)
        if self._console is None:
            print(line, file=self._file or sys.stdout, flush=True)
        else:
            number = self._labels.index(prediction.label)
            self._console.print(line, style=_COLOURS[number % len(_COLOURS)], markup=False)

    def line(self, prediction: Prediction) -> str:
        """Give the line: time, label, probability and bar, latency, gap."""
        share = prediction.probabilities[prediction.label]
        bar = ("█" * round(share * _BAR)).ljust(_BAR, "·")
        gap = f"  {prediction.gap} samples held over" if prediction.gap else ""
        return (
            f"{prediction.t_start:9.2f}–{prediction.t_end:9.2f} s  "
            f"{prediction.label:<{max(map(len, self._labels))}}  {share:6.1%} {bar}  "
            f"{prediction.latency * 1e3:7.2f} ms{gap}"
        )

    def close(self) -> None:
        """Nothing is held."""


class JsonLinesSink:
    """One JSON object a line, flushed at once.

    Parameters
    ----------
    path : path, optional
        A file, which is replaced; ``-`` is standard output.
    """

    def __init__(self, path: str | Path = "-") -> None:
        self._path = path
        self._file: IO[str] | None = None

    @property
    def to_stdout(self) -> bool:
        """Whether it writes to standard output."""
        return str(self._path) == "-"

    def open(self, labels: tuple[str, ...]) -> None:
        """Open the file."""
        if not self.to_stdout:
            self._file = Path(self._path).open("w", encoding="utf-8")  # noqa: SIM115

    def emit(self, prediction: Prediction) -> None:
        """Write one line; strict JSON, so no NaN."""
        print(
            json.dumps(prediction.to_dict(), allow_nan=False),
            file=self._file or sys.stdout,
            flush=True,
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def make_sink(text: str) -> TerminalSink | JsonLinesSink:
    """Make a sink from ``terminal``, ``jsonl`` or ``jsonl:PATH``.

    Raises
    ------
    SourceError
        Anything else.
    """
    kind, colon, path = text.partition(":")
    if kind == "terminal" and not colon:
        return TerminalSink()
    if kind == "jsonl" and (path or not colon):
        return JsonLinesSink(path or "-")
    raise SourceError(f"there is no sink {text!r}: write terminal, jsonl or jsonl:PATH")
