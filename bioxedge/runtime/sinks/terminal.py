"""Predictions as lines on a terminal."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from bioxedge.runtime.stream import Prediction

if TYPE_CHECKING:
    from rich.console import Console

_BAR = 20
_COLOURS = ("green", "yellow", "magenta", "cyan", "blue", "red")


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
