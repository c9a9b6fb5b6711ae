"""XDF, as LabRecorder writes it: several streams, their stamps on one clock, markers.

Read here and not with a library because the one that is kept reads sample by sample, keeps all of
it in memory and gives up where a recorder was killed at the wrong byte; a test holds this reader to
it. What did not arrive shows in the stamps.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import distinct, safe
from bioxedge.readers.xdf_chunks import Chunks, Raw, read_chunks
from bioxedge.readers.xdf_clock import Floats, synchronised
from bioxedge.readers.xdf_samples import stamps_of, values_into
from bioxedge.readers.xdf_streams import is_signal, streams_of, text_of

_SECONDS_OF_2001 = 978307200.0


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes."""
    return head[:4] == b"XDF:"


def look(path: Path, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    content, chunks = read_chunks(path)
    raws = list(chunks.streams.values())
    remarks = chunks.remarks
    names = distinct(safe(text_of(raw.info, "name"), "stream") for raw in raws)
    times = [_times(name, content, raw, remarks) for name, raw in zip(names, raws, strict=True)]
    started, dated = _dated(chunks, raws, times, remarks)
    found: list[Stream] = []
    marks: list[Mark] = []
    for name, raw, own in zip(names, raws, times, strict=True):
        shift, known = (0.0, True) if _unix(own) else (started, dated)
        if not len(own):
            remarks.append(f"{name} has no samples: left out")
        elif is_signal(raw):
            try:
                found += streams_of(name, content, raw, own, shift, known, remarks)
            except RecordingError as error:
                remarks.append(f"{name}: {error}: left out")
        else:
            marks += _marks(name, content, raw, own + shift, remarks)
    if not found and not marks:
        raise RecordingError(f"{path} holds no samples that can be read in {len(raws)} streams")
    # Parts of one stream may be named like another.
    called = distinct(one.name for one in found)
    streams = tuple(replace(one, name=name) for one, name in zip(found, called, strict=True))
    return Found(path, "XDF", streams, tuple(marks), "", tuple(dict.fromkeys(remarks)), (path,))


def _times(name: str, content: Any, raw: Raw, remarks: list[str]) -> Floats:
    """Give a stream's stamps on the recorder's clock."""
    step = 1.0 / raw.rate if raw.rate else 0.0
    if raw.form == "string":
        last, found = 0.0, []
        for stamp, _ in raw.texts:
            last = last + step if stamp is None else stamp
            found.append(last)
        times = np.array(found)
    else:
        times = stamps_of(content, raw.blocks, step)
    if not raw.footer:
        remarks.append(f"{name} has no footer: the recorder was stopped before its end")
    if len(times) and not raw.clock:
        remarks.append(f"{name} has no measurements of its clock: its stamps are taken as they are")
    times, resets = synchronised(times, raw.clock)
    if resets:
        remarks.append(f"{name}: its clock was reset {resets} times; each piece has its own offset")
    return times


def _unix(times: Floats) -> bool:
    """Tell whether a sender stamped with Unix time: no machine has been up for 30 years."""
    return bool(len(times)) and bool(np.median(times) > _SECONDS_OF_2001)


def _dated(
    chunks: Chunks, raws: list[Raw], times: list[Floats], remarks: list[str]
) -> tuple[float, bool]:
    """Tell what to add to a stamp to have Unix time, and whether that can be told."""
    form = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?"
    match = re.fullmatch(form, chunks.date, re.ASCII)
    own = [(raw, each) for raw, each in zip(raws, times, strict=True) if not _unix(each)]
    if len(own) < len(raws):
        remarks.append("stamps are Unix time already, in some streams or in all")
    if not own:
        return 0.0, True
    # A recorder measures clocks from its start on; what it records may come later.
    begun = [sum(raw.clock[0]) for raw, _ in own if raw.clock]
    begun = begun or [float(each[0]) for _, each in own if len(each)]
    begun = [one for one in begun if math.isfinite(one)]
    moment = None
    if match:
        try:
            moment = datetime.strptime(match[1] + (match[2] or "Z"), "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            moment = None
    if moment is None or not begun or moment < datetime(1990, 1, 1, tzinfo=timezone.utc):
        remarks.append("its clock is the recorder's: seconds since that machine started, no date")
        return 0.0, False
    if not match or not match[2]:
        remarks.append("its clock names no zone: taken as UTC")
    remarks.append("its date is the one of its header: all on one clock, and that good to seconds")
    return moment.timestamp() - min(begun), True


def _marks(name: str, content: Any, raw: Raw, times: Floats, remarks: list[str]) -> list[Mark]:
    """Read a stream of markers."""
    if raw.form == "string":
        texts = [text for _, text in raw.texts]
    else:
        remarks.append(f"{name} has no rate: its values are marks")
        values = np.full((raw.channels, len(times)), np.nan)
        columns = list(range(raw.channels))
        values_into(values, content, raw.blocks, raw.form, columns, np.arange(len(times)))
        texts = [" ".join(f"{one:.12g}" for one in each) for each in values.T.tolist()]
    pairs = zip(times.tolist(), texts, strict=True)
    return [Mark(t, text) for t, text in pairs if text and math.isfinite(t)]
