"""The chunks of an XDF file, told apart before they are read: which are sound, and what is not.

A recorder that was killed leaves a chunk that ends too early, a disk that failed some that cannot
be. A reader that trusts the lengths in them takes memory without bound, or stops at the first; so
those that contradict themselves are left out, and reading goes on behind the next boundary.

Format: https://github.com/sccn/xdf/wiki/Specifications
"""

from __future__ import annotations

import io
import math
import mmap
import struct
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np

from bioxedge.errors import RecordingError

_MAGIC = b"XDF:"
_BOUNDARY = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")
_FILE, _STREAM, _SAMPLES, _OFFSET, _BOUND, _FOOTER = 1, 2, 3, 4, 5, 6
_SIZES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8, "string": 0}
_MOST = 100_000  # channels
# What may be passed over by its length; after anything else, only a boundary is to be trusted.
_PASSED = {
    "text": "its header cannot be read, and is left out",
    "orphan": "what belongs to a stream without a readable header is left out",
    "again": "a stream has two headers: the second is left out",
    "footer": "a footer cannot be read, and is left out",
    "offset": "a measurement of a clock is no number, and is left out",
}


def opened(path: Path) -> tuple[BinaryIO, list[str]]:
    """Open a file without the chunks that cannot be.

    Returns
    -------
    file : binary file
    remarks : list of str
        What was left out.

    Raises
    ------
    RecordingError
        A file that cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            spans, remarks = _sound(content)
            if not remarks:
                return file, []
            parts = [content[first:last] for first, last in spans]
    except (OSError, ValueError) as error:
        file.close()
        raise RecordingError(f"{path} cannot be read: {error}") from error
    file.close()
    return io.BytesIO(b"".join([_MAGIC, *parts])), list(dict.fromkeys(remarks))


def _sound(content: mmap.mmap) -> tuple[list[tuple[int, int]], list[str]]:
    """Walk through the chunks; gives the stretches that are sound, and what is said of others."""
    spans: list[tuple[int, int]] = []
    remarks: list[str] = []
    streams: dict[int, tuple[int, int]] = {}
    place = first = len(_MAGIC)
    while place < len(content):
        length, start = _length(content, place)
        end = start + length
        wrong = "length" if length < 2 or end > len(content) else ""
        wrong = wrong or _wrong(content, start, end, streams)
        if not wrong:
            place = end
            continue
        spans.append((first, place))
        if wrong in _PASSED:
            remarks.append(_PASSED[wrong])
            first = place = end
            continue
        after = content.find(_BOUNDARY, place)
        if after < 0:
            remarks.append("ends within a chunk, or is damaged there: read as far as it goes")
            return spans, remarks
        remarks.append(f"is damaged at byte {place}: read on behind the next boundary")
        first = place = after + len(_BOUNDARY)
    return [*spans, (first, place)], remarks


def _length(content: mmap.mmap, place: int) -> tuple[int, int]:
    """Read a length: gives it, -1 where it is none, and where what it counts begins."""
    size = content[place] if place < len(content) else 0
    raw = content[place + 1 : place + 1 + size]
    if size not in (1, 4, 8) or len(raw) < size:
        return -1, place
    return int.from_bytes(raw, "little"), place + 1 + size


def _wrong(content: mmap.mmap, start: int, end: int, streams: dict[int, tuple[int, int]]) -> str:
    """Say what of a chunk cannot be; empty where it can."""
    tag = int.from_bytes(content[start : start + 2], "little")
    if tag == _FILE:
        return "" if _xml(content[start + 2 : end]) is not None else "text"
    if tag == _BOUND:
        return "" if content[start + 2 : end] == _BOUNDARY else "boundary"
    if tag not in (_STREAM, _SAMPLES, _OFFSET, _FOOTER) or end - start < 6:
        return "tag"
    number, start = int.from_bytes(content[start + 2 : start + 6], "little"), start + 6
    if tag == _STREAM:
        if number in streams:
            return "again"
        about = _stream(content[start:end])
        if about is not None:
            streams[number] = about
        return "" if about is not None else "orphan"
    if number not in streams:
        return "orphan"
    if tag == _FOOTER:
        return "" if _footer(content[start:end]) else "footer"
    if tag == _OFFSET:
        if end - start != 16:
            return "length"
        both = struct.unpack("<dd", content[start:end])
        return "" if all(math.isfinite(one) and abs(one) < 1e12 for one in both) else "offset"
    channels, size = streams[number]
    count, start = _length(content, start)
    if count < 0 or count * (1 + channels * max(size, 2 - size)) > end - start:
        return "count"
    fits = _strings(content, start, count, channels) if size == 0 else None
    end_of = fits if fits is not None else _numbers(content, start, end, count, channels * size)
    return "" if end_of == end else "samples"


def _numbers(content: mmap.mmap, start: int, end: int, count: int, width: int) -> int:
    """Tell where samples end: each a flag, a stamp where the flag is 8, and its values."""
    # Mostly all have stamps, or the first alone: those are looked at together.
    for stamped in (count, 1, 0):
        if stamped <= count and start + count * (1 + width) + 8 * stamped == end:
            raw = np.frombuffer(content[start:end], np.uint8)
            if stamped == count:
                flags = raw[:: 9 + width] == 8 if count else np.ones(0, bool)
            elif stamped:
                flags = np.append(raw[9 + width :: 1 + width] == 0, raw[0] == 8)
            else:
                flags = raw[:: 1 + width] == 0
            if flags.all():
                return end
    place = start
    for _ in range(count):
        if place >= end or content[place] not in (0, 8):
            return -1
        place += 1 + content[place] + width
    return place


def _strings(content: mmap.mmap, start: int, count: int, channels: int) -> int:
    """Tell where samples of texts end; -1 where they cannot be followed."""
    place = start
    for _ in range(count):
        if place >= len(content) or content[place] not in (0, 8):
            return -1
        place += 1 + content[place]
        for _ in range(channels):
            length, place = _length(content, place)
            if length < 0 or place + length > len(content):
                return -1
            place += length
    return place


def _xml(text: bytes | str) -> ElementTree.Element | None:
    """Read a chunk's text; None where it is none."""
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _stream(text: bytes) -> tuple[int, int] | None:
    """Read how many values a stream's samples have, and their bytes; None where it cannot be."""
    root = _xml(text.decode("utf-8", "replace"))
    if root is None or root.tag != "info" or root.find("name") is None:
        return None
    try:
        channels = int(root.findtext("channel_count") or "")
        size = _SIZES[root.findtext("channel_format") or ""]
        rate = float(root.findtext("nominal_srate") or "")
    except (KeyError, ValueError):
        return None
    return (channels, size) if 0 < channels <= _MOST and 0 <= rate < 1e6 else None


def _footer(text: bytes) -> bool:
    """Say whether a footer can be read; nothing is lost without one."""
    root = _xml(text)
    if root is None or root.tag != "info" or not len(root):
        return False
    counts = root.findall("sample_count")
    return all((one.text or "").isascii() and (one.text or "").isdigit() for one in counts)
