"""Predictions as JSON lines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO

from bioxedge.runtime.stream import Prediction


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
