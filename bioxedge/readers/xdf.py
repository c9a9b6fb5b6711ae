"""XDF, as LabRecorder writes it: several streams, their stamps on one clock, markers.

Read by pyxdf with its own synchronisation of clocks: a clock that was reset starts a new piece,
whose offset is its own. What did not arrive shows in the stamps. Streams without a footer (the
recorder was killed) are read as far as they go.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import MissingExtraError, RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import distinct, safe
from bioxedge.readers.xdf_chunks import opened
from bioxedge.readers.xdf_streams import is_signal, streams_of

_SECONDS_OF_2001 = 978307200.0


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes."""
    return head[:4] == b"XDF:"


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    try:
        import pyxdf
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "pyxdf", "data") from error
    file, remarks = opened(path)
    try:
        with file, _heard(remarks):
            read, header = pyxdf.load_xdf(file, dejitter_timestamps=False, verbose=False)
    except MemoryError as error:
        raise RecordingError(f"{path} says it is larger than memory: it is damaged") from error
    except Exception as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise RecordingError(f"{path} cannot be read as XDF: {said}") from error
    started, dated = _dated(header, read, remarks)
    found: list[Stream] = []
    marks: list[Mark] = []
    names = distinct(safe(_first(each["info"], "name"), "stream") for each in read)
    for name, each in zip(names, read, strict=True):
        _said(name, each, remarks)
        shift, known = (0.0, True) if _unix(each) else (started, dated)
        if not len(each["time_stamps"]):
            remarks.append(f"{name} has no samples: left out")
        elif is_signal(each):
            try:
                found += streams_of(name, each, shift, known, remarks)
            except RecordingError as error:
                remarks.append(f"{name}: {error}: left out")
        else:
            if each["info"]["channel_format"][0] != "string":
                remarks.append(f"{name} has no rate: its values are marks")
            marks += _marks(each, shift)
    if not found and not marks:
        raise RecordingError(f"{path} holds no samples that can be read in {len(names)} streams")
    # Parts of one stream may be named like another.
    called = distinct(one.name for one in found)
    streams = tuple(replace(one, name=name) for one, name in zip(found, called, strict=True))
    return Found(path, "XDF", streams, tuple(marks), "", tuple(dict.fromkeys(remarks)), (path,))


@contextmanager
def _heard(remarks: list[str]) -> Iterator[None]:
    """Note what the library warns of, instead of printing it."""

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """Note a warning in one line."""
            said = " ".join(record.getMessage().split())[:160]
            # Of its own removal of jitter, which is not asked for here.
            if "clock-segments differ" not in said:
                remarks.append(said)

    log = logging.getLogger("pyxdf")
    before, handler = (log.level, log.propagate), Heard()
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def _first(info: Any, key: str) -> str:
    """Give the first text under a key, as pyxdf nests it."""
    found = info.get(key) or [""]
    return str(found[0] or "")


def _unix(each: Any) -> bool:
    """Tell whether a sender stamped with Unix time: no machine has been up for 30 years."""
    times = each["time_stamps"]
    return bool(len(times)) and bool(np.median(times) > _SECONDS_OF_2001)


def _said(name: str, each: Any, remarks: list[str]) -> None:
    """Say what of a stream's clock is not as it should be."""
    if "footer" not in each:
        remarks.append(f"{name} has no footer: the recorder was stopped before its end")
    resets = len(each["info"].get("clock_segments") or []) - 1
    if resets > 0:
        remarks.append(f"{name}: its clock was reset {resets} times; each piece has its own offset")
    if not len(each["clock_times"]) and len(each["time_stamps"]):
        remarks.append(f"{name} has no measurements of its clock: its stamps are taken as they are")


def _dated(header: Any, read: list[Any], remarks: list[str]) -> tuple[float, bool]:
    """Tell what to add to a stamp to have Unix time, and whether that can be told."""
    text = str(_first((header or {}).get("info") or {}, "datetime"))
    moment = None
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?", text)
    if match:
        try:
            moment = datetime.strptime(match[1] + (match[2] or "Z"), "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            moment = None
    # A recorder measures clocks from its start on; what it records may come later.
    own = [each for each in read if not _unix(each)]
    begun = [each["clock_times"][0] + each["clock_values"][0] for each in own if
             len(each["clock_times"])]  # fmt: skip
    begun = begun or [float(each["time_stamps"][0]) for each in own if len(each["time_stamps"])]
    begun = [one for one in begun if math.isfinite(one)]
    if len(own) < len(read):
        remarks.append("stamps are Unix time already, in some streams or in all")
    if not own:
        return 0.0, True
    if moment is None or not begun or moment < datetime(1990, 1, 1, tzinfo=timezone.utc):
        remarks.append("its clock is the recorder's: seconds since that machine started, no date")
        return 0.0, False
    if not match or not match[2]:
        remarks.append("its clock names no zone: taken as UTC")
    remarks.append("its date is the one of its header: all on one clock, and that good to seconds")
    return moment.timestamp() - min(begun), True


def _marks(each: Any, shift: float) -> list[Mark]:
    """Read a stream of markers."""
    found = []
    for t, values in zip(each["time_stamps"], each["time_series"], strict=True):
        texts = [v if isinstance(v, str) else f"{v:g}" for v in np.atleast_1d(values).tolist()]
        text = " ".join(" ".join(texts).split())
        if text and math.isfinite(t):
            found.append(Mark(float(t) + shift, text))
    return found
