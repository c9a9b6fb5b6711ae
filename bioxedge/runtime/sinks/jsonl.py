"""A run as JSON lines: what it is, what happened, what was predicted (docs/predictions.md)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from bioxedge.errors import SinkError
from bioxedge.runtime.events import Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.runtime.sinks.files import LineFile
from bioxedge.runtime.sinks.rotation import Rotation
from bioxedge.runtime.sinks.standard import NAME, StandardOutput

FORMAT = 1
"""Of the lines; a field that changes its meaning makes it 2."""


class JsonLinesSink(BaseSink):
    """One JSON object a line, each of its ``kind``: ``run``, ``event`` or ``prediction``.

    Parameters
    ----------
    path : path, optional
        A file, which is appended to; ``-`` is standard output.
    rotate : str, optional
        ``day``, or a size such as ``100MB``: when to put the file aside for a new one.
    clock : HostClock, optional
        For when events are written, and for days.

    Raises
    ------
    SinkError
        A rotation that cannot be read, or one of standard output.
    """

    def __init__(
        self, path: str | Path = "-", *, rotate: str | None = None, clock: HostClock = SYSTEM
    ) -> None:
        rotation = None if rotate is None else Rotation.parse(rotate)
        self._clock = clock
        self._out: LineFile | StandardOutput
        if str(path) != "-":
            self.name = str(path)
            self._out = LineFile(path, rotation, clock)
        elif rotation is None:
            self.name = NAME
            self._out = StandardOutput()
        else:
            raise SinkError("--rotate means nothing to standard output: write jsonl:PATH")

    @property
    def to_stdout(self) -> bool:
        """Whether it writes to standard output."""
        return isinstance(self._out, StandardOutput)

    @property
    def to_file(self) -> bool:
        """Whether it writes to a path."""
        return isinstance(self._out, LineFile)

    @property
    def stuck(self) -> bool:
        """Whether standard output takes no more."""
        return isinstance(self._out, StandardOutput) and self._out.stuck

    @property
    def cut(self) -> int:
        """Bytes of half a line, from a run that was killed, that opening cut away."""
        return self._out.cut if isinstance(self._out, LineFile) else 0

    def open(self, run: RunInfo) -> None:
        """Open the file and write what the run is.

        Raises
        ------
        SinkError
            It cannot be written, another process writes it, or it holds something else.
        """
        about = run.to_dict()

        def heading(part: int) -> str:
            return line({"kind": "run", "format": FORMAT, "part": part, **about})

        if isinstance(self._out, LineFile):
            self._out.open(heading)
        else:
            self._out.open()
            self._out.write(heading(1))

    def emit(self, record: Prediction | Event) -> None:
        """Write one line.

        Raises
        ------
        SinkError
            It cannot be written: a full disk, a closed pipe.
        """
        if isinstance(record, Event):
            about = {"kind": "event", **record.to_dict(), "written": self._clock.time()}
        else:
            about = {"kind": "prediction", **record.to_dict()}
        self._out.write(line(about))

    def close(self) -> None:
        """Close the file."""
        if isinstance(self._out, LineFile):
            self._out.close()


def line(about: dict[str, Any]) -> str:
    """Give an object as one line of strict JSON; a number that it cannot hold becomes null."""
    try:
        text = json.dumps(about, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(_plain(about), allow_nan=False)
    return text + "\n"


def _plain(value: Any) -> Any:
    """Give builtins for what NumPy measures, and None for what is not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
