"""Files that people have: one module a format, all giving what :mod:`bioxedge.readers.found` says.

A module has ``recognises(path, head)``, which tells from the path and its first bytes (empty for
a folder) whether it is of its format, and ``look(path, **told)``, which gives a :class:`Found`.
None needs torch; what needs another package says which extra brings it.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Stream
from bioxedge.readers.names import distinct, safe

__all__ = ["READERS", "Found", "Stream", "find", "recognised"]

READERS = (
    "edf",
    "xdf",
    "wfdb",
    "empatica",
    "openbci",
    "muse",
    "polar",
    "brainflow",
    "arrays",
    "session",
    "table",
)
"""In the order in which they are asked: a table with a header is what nothing else claims."""

_HEAD = 4096  # bytes that a reader is shown


def find(path: str | Path, **told: Any) -> Found:
    """Look into a file, or a folder that is a recording.

    Parameters
    ----------
    path : path
        An EDF, EDF+, BDF, XDF, WFDB header, OpenBCI, Muse, Polar, BrainFlow, CSV, TSV or NumPy
        file; a folder of an Empatica E4, or of what ``bioxedge record`` or ``import`` wrote.
    **told
        What a file may not say: ``rate`` in Hz (tables and arrays), ``modality`` of streams whose
        kind it does not tell, ``units`` (a mapping of channels' names), ``board`` of BrainFlow's
        rows.

    Raises
    ------
    RecordingError
        Nothing there, no format that is known, or a file that is not what its format demands.
    MissingExtraError
        A format whose package is not installed.
    """
    path = Path(path)
    rate = told.get("rate")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise RecordingError(f"a rate of {rate:g} Hz was told: give one above 0")
    reader = _reader(path)
    if reader is None:
        raise RecordingError(
            f"{path} is of no format that is known: give EDF, EDF+, BDF, WFDB (.hea), XDF, an "
            "Empatica E4 folder, text of OpenBCI, Muse or Polar, BrainFlow's rows, CSV or TSV "
            "with a header, or NumPy"
        )
    return _kinds(reader.look(path, **told), told.get("modality"))


def _kinds(found: Found, told: str | None) -> Found:
    """Say of what kind those streams are of which the file does not, or that nobody said it."""
    streams, remarks = list(found.streams), list(found.remarks)
    kinds = sorted({stream.modality for stream in streams} - {""})
    if told:
        known = [stream.name for stream in streams if stream.modality]
        for k, stream in enumerate(streams):
            if not stream.modality:
                known = distinct([*known, safe(told)])
                streams[k] = replace(stream, modality=told, name=known[-1])
        if streams and told not in {stream.modality for stream in streams}:
            remarks.append(
                f"says what its streams are ({', '.join(kinds)}): none is taken for {told}"
            )
    for stream in streams:
        if not stream.modality:
            names = [channel.name for channel in stream.channels]
            also = f" and {len(names) - 8} more" if len(names) > 8 else ""
            remarks.append(
                f"does not say of what kind {', '.join(names[:8])}{also} is: give --modality"
            )
    return replace(found, streams=tuple(streams), remarks=tuple(remarks))


def recognised(path: str | Path) -> bool:
    """Whether a file, or a folder as one recording, is of a format that is known."""
    return _reader(Path(path)) is not None


def _reader(path: Path) -> Any:
    """Find the module whose format it is."""
    try:
        if path.is_dir():
            head = b""
        else:
            with path.open("rb") as file:
                head = file.read(_HEAD)
    except FileNotFoundError as error:
        raise RecordingError(f"{path} is not there") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    for name in READERS:
        module = importlib.import_module(f"bioxedge.readers.{name}")
        if module.recognises(path, head):
            return module
    return None
