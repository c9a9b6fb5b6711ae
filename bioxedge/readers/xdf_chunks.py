"""The chunks of an XDF file: which are sound, and where each stream's samples lie in them.

A recorder that was killed leaves a chunk that ends too early, a disk that failed some that cannot
be. Lengths are trusted only where they fit what they count; what contradicts itself is left out,
and reading goes on behind the next boundary. Samples stay in the file until they are asked for.

Format: https://github.com/sccn/xdf/wiki/Specifications
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from bioxedge.errors import RecordingError
from bioxedge.readers.xdf_samples import Block, block_of, texts_of

_BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_FILE, _STREAM, _SAMPLES, _OFFSET, _BOUND, _FOOTER = 1, 2, 3, 4, 5, 6
_SIZES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8, "string": 0}
_MOST = 100_000  # channels
# What may be passed over by its length; after anything else, only a boundary is to be trusted.
_PASSED = {
    "text": "its header cannot be read, and is left out",
    "orphan": "what belongs to a stream without a readable header is left out",
    "again": "a stream has two headers: the second is left out",
    "offset": "a measurement of a clock is no number, and is left out",
}


@dataclass
class Raw:
    """One stream as it lies in the file.

    Parameters
    ----------
    info : Element
        Its header.
    channels : int
    form : str
        ``float32``, ``int16``, … or ``string``.
    rate : float
        As its header states it, 0 for none.
    blocks : list of Block
        Where its numbers lie.
    texts : list of (float or None, str)
        What a stream of texts holds; None where a stamp follows from the one before.
    clock : list of (float, float)
        Measurements: time by the sender's clock, what to add to be on the recorder's.
    footer : bool
        Whether the recorder ended the stream itself.
    """

    info: ElementTree.Element
    channels: int
    form: str
    rate: float
    blocks: list[Block] = field(default_factory=list)
    texts: list[tuple[float | None, str]] = field(default_factory=list)
    clock: list[tuple[float, float]] = field(default_factory=list)
    footer: bool = False


@dataclass
class Chunks:
    """What a file holds: its header's date as it stands, its streams, what was left out."""

    date: str = ""
    streams: dict[int, Raw] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_chunks(path: Path) -> tuple[mmap.mmap, Chunks]:
    """Map a file and walk through its chunks.

    Raises
    ------
    RecordingError
        A file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be read: {error}") from error
    found = Chunks()
    place = 4
    while place < len(content):
        length, start = length_at(content, place)
        end = start + length
        wrong = "length" if length < 2 or end > len(content) else ""
        wrong = wrong or _take(content, start, end, found)
        if not wrong or wrong in _PASSED:
            place = end
            if wrong:
                found.remarks.append(_PASSED[wrong])
            continue
        after = content.find(_BOUNDARY, place)
        if after < 0:
            found.remarks.append("ends within a chunk, or is damaged there: read as far as it goes")
            break
        found.remarks.append(f"is damaged at byte {place}: read on behind the next boundary")
        place = after + len(_BOUNDARY)
    return content, found


def length_at(content: mmap.mmap, place: int) -> tuple[int, int]:
    """Read a length: gives it, -1 where it is none, and where what it counts begins."""
    size = content[place] if place < len(content) else 0
    raw = content[place + 1 : place + 1 + size]
    if size not in (1, 4, 8) or len(raw) < size:
        return -1, place
    return int.from_bytes(raw, "little"), place + 1 + size


def _take(content: mmap.mmap, start: int, end: int, found: Chunks) -> str:
    """Take a chunk; says what of it cannot be, empty where it was taken."""
    tag = int.from_bytes(content[start : start + 2], "little")
    if tag == _FILE:
        root = _xml(content[start + 2 : end])
        found.date = "" if root is None else (root.findtext("datetime") or "").strip()
        return "text" if root is None else ""
    if tag == _BOUND:
        return "" if content[start + 2 : end] == _BOUNDARY else "boundary"
    if tag not in (_STREAM, _SAMPLES, _OFFSET, _FOOTER) or end - start < 6:
        return "tag"
    number, start = int.from_bytes(content[start + 2 : start + 6], "little"), start + 6
    stream = found.streams.get(number)
    if tag == _STREAM:
        if stream is not None:
            return "again"
        stream = _stream(content[start:end])
        if stream is not None:
            found.streams[number] = stream
    if stream is None:
        return "orphan"
    if tag == _FOOTER:
        stream.footer = True
    elif tag == _OFFSET:
        if end - start != 16:
            return "length"
        at, value = struct.unpack("<dd", content[start:end])
        if not all(math.isfinite(one) and abs(one) < 1e12 for one in (at, value)):
            return "offset"
        stream.clock.append((at, value))
    elif tag == _SAMPLES:
        return _samples(content, start, end, stream)
    return ""


def _samples(content: mmap.mmap, start: int, end: int, stream: Raw) -> str:
    """Take a chunk of samples, if all of it is as it says."""
    count, start = length_at(content, start)
    width = stream.channels * _SIZES[stream.form]
    if count < 0 or count * (1 + max(width, 1)) > end - start:
        return "count"
    if stream.form == "string":
        texts = texts_of(content, start, end, count, stream.channels)
        stream.texts += texts or []
        return "samples" if texts is None else ""
    block = block_of(content, start, end, count, width)
    if block is not None and count:
        stream.blocks.append(block)
    return "samples" if block is None else ""


def _xml(text: bytes | str) -> ElementTree.Element | None:
    """Read a chunk's text; None where it is none."""
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _stream(text: bytes) -> Raw | None:
    """Read a stream's header; None where it cannot be."""
    root = _xml(text.decode("utf-8", "replace"))
    if root is None or root.tag != "info":
        return None
    form = (root.findtext("channel_format") or "").strip()
    try:
        channels = int(root.findtext("channel_count") or "")
        rate = float(root.findtext("nominal_srate") or "0")
    except ValueError:
        return None
    if form not in _SIZES or not (0 < channels <= _MOST and 0 <= rate < 1e6):
        return None
    return Raw(root, channels, form, rate)
