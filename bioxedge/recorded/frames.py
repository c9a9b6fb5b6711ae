r"""Frames: a mark, a number, a length and a check sum before each, so that damage stays small.

::

    mark    4 bytes   b"\xb1oXE"
    kind    1 byte    1 head, 2 reads, 3 end
    –       3 bytes   0
    number  uint32    of the frame, from 0 in each take
    length  uint32    of the payload
    crc     uint32    CRC-32 of the 16 bytes before it and the payload

All numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

HEAD, READ, END = 1, 2, 3
_MARK = b"\xb1oXE"
_FRONT = struct.Struct("<4sB3xII")
_CRC = struct.Struct("<I")
SIZE = _FRONT.size + _CRC.size


@dataclass(frozen=True)
class Frame:
    """What was found at a place of a part.

    Attributes
    ----------
    kind : int
        0 where bytes are damaged: then ``payload`` is empty.
    number : int
    payload : memoryview
    begin, end : int
        Bytes of the part that it takes.
    torn : bool
        Whether no whole frame comes after it: what a kill leaves at the end.
    """

    kind: int
    number: int
    payload: memoryview
    begin: int
    end: int
    torn: bool = False


def frame(kind: int, number: int, payload: bytes) -> bytes:
    """Put a frame around a payload."""
    front = _FRONT.pack(_MARK, kind, number & 0xFFFFFFFF, len(payload))
    return front + _CRC.pack(zlib.crc32(payload, zlib.crc32(front))) + payload


def scan(raw: bytes) -> Iterator[Frame]:
    """Go through a part; where bytes are damaged, on from the next frame that is whole.

    Parameters
    ----------
    raw : bytes
        The part.
    """
    view, at, size = memoryview(raw), 0, len(raw)
    while at < size:
        found = _whole(view, at, size)
        if found is not None:
            yield found
            at = found.end
            continue
        begin = at
        while found is None and at >= 0:
            at = raw.find(_MARK, at + 1)
            found = _whole(view, at, size) if at >= 0 else None
        end = size if at < 0 else at
        yield Frame(0, 0, view[:0], begin, end, torn=at < 0)
        at = end


def _whole(view: memoryview, at: int, size: int) -> Frame | None:
    """Give the frame at a place; None where there is none, or not all of it."""
    body = at + SIZE
    if body > size:
        return None
    mark, kind, number, length = _FRONT.unpack_from(view, at)
    if mark != _MARK or body + length > size:
        return None
    payload = view[body : body + length]
    (crc,) = _CRC.unpack_from(view, at + _FRONT.size)
    if zlib.crc32(payload, zlib.crc32(view[at : at + _FRONT.size])) != crc:
        return None
    return Frame(kind, number, payload, at, body + length)
