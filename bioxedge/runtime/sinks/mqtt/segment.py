"""One file of a spool: records in a row, each with its own checksum, found again after damage.

::

    header   "bioxedge-spool 1" and an end of line
    record   marker (4) · bytes of payload (u32) · number (u64) · kind (u8) · CRC-32 (u32) · payload

All integers are little-endian; the checksum is of length, number, kind and payload. The marker
holds bytes that UTF-8 has no use for, so it stands in no payload, and what follows a damaged
record is found.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HEADER = b"bioxedge-spool 1\n"
_MARKER = b"\xf5BX\xf6"
_HEAD = struct.Struct("<4sIQBI")
_SUMMED = struct.Struct("<IQB")
_BLOCK = 1 << 16  # bytes read at once
MOST = 1 << 20
"""Bytes that a payload may have; a longer one is damage."""


class Record(NamedTuple):
    """One message that waits.

    Attributes
    ----------
    number : int
        Its place in the order of everything that this spool has held.
    kind : int
        Which topic it is for.
    payload : bytes
    """

    number: int
    kind: int
    payload: bytes


def pack(record: Record) -> bytes:
    """Give a record as it stands in a file."""
    length = len(record.payload)
    summed = _SUMMED.pack(length, record.number, record.kind)
    crc = zlib.crc32(record.payload, zlib.crc32(summed))
    return _HEAD.pack(_MARKER, length, record.number, record.kind, crc) + record.payload


def size_of(payload: bytes) -> int:
    """Give the bytes that a record with this payload takes."""
    return _HEAD.size + len(payload)


def at(raw: bytes, place: int) -> Record | None:
    """Read the record that begins at ``place``; None where none does, or not whole."""
    if place + _HEAD.size > len(raw):
        return None
    marker, length, number, kind, crc = _HEAD.unpack_from(raw, place)
    if marker != _MARKER or length > MOST:
        return None
    payload = raw[place + _HEAD.size : place + _HEAD.size + length]
    summed = _SUMMED.pack(length, number, kind)
    if len(payload) < length or zlib.crc32(payload, zlib.crc32(summed)) != crc:
        return None
    return Record(number, kind, payload)


def scan(raw: bytes) -> Iterator[tuple[int, Record]]:
    """Give every whole record, and where it ends, whatever lies between them."""
    place = raw.find(_MARKER)
    while place >= 0:
        found = at(raw, place)
        if found is None:
            place += 1
        else:
            place += size_of(found.payload)
            yield place, found
        place = raw.find(_MARKER, place)


def whole(raw: bytes) -> int:
    """Give how many bytes from the start are as they should be: all of them in a good file."""
    if not raw.startswith(HEADER):
        return 0
    place = len(HEADER)
    while (found := at(raw, place)) is not None:
        place += size_of(found.payload)
    return place


def read(path: Path, place: int, end: int, first: int, most: int) -> tuple[list[Record], int]:
    """Read some records of a file, and give where the next one begins.

    Parameters
    ----------
    path : path
    place, end : int
        Where to begin, between two records, and where the file ends.
    first : int
        Only records with this number or a larger one.
    most : int
        How many.
    """
    found: list[Record] = []
    block = _BLOCK
    try:
        with path.open("rb") as file:
            while len(found) < most and place < end:
                file.seek(place)
                ended = 0
                for where, record in scan(file.read(block)):
                    ended = where
                    if record.number >= first:
                        found.append(record)
                        if len(found) == most:
                            break
                if not ended and block > _BLOCK:
                    break  # damaged since it was opened
                block = _BLOCK if ended else _BLOCK + MOST
                place += ended
    except OSError:  # what cannot be read now is read later, or left out when there is no room
        return found, place
    return found, place
