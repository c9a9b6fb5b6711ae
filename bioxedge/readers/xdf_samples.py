"""Samples in a chunk of an XDF file: a flag, a stamp where the flag says so, and the values."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Samples

_DTYPES = {"int8": "i1", "int16": "<i2", "int32": "<i4", "int64": "<i8",
           "float32": "<f4", "double64": "<f8"}  # fmt: skip
_STAMPED = 8  # a flag: that many bytes of a stamp follow


@dataclass(frozen=True)
class Block:
    """Where the numbers of one chunk lie.

    Parameters
    ----------
    start, end : int
        Bytes.
    count : int
        Samples.
    stamped : int
        How many of them have a stamp of their own: all, the first, none; -1 for some.
    width : int
        Bytes of a sample's values.
    """

    start: int
    end: int
    count: int
    stamped: int
    width: int


def block_of(content: mmap.mmap, start: int, end: int, count: int, width: int) -> Block | None:
    """Follow the samples of a chunk; None where they do not end where the chunk does.

    ``width`` is the bytes of a sample's values.
    """
    # Mostly all have stamps, or the first alone: those are looked at together.
    for stamped in (count, 1, 0):
        if stamped <= count and start + count * (1 + width) + 8 * stamped == end:
            raw = np.frombuffer(content, np.uint8, end - start, start)
            if stamped == count:
                right = bool((raw[:: 9 + width] == _STAMPED).all())
            else:
                right = not raw[8 * stamped + (1 + width if stamped else 0) :: 1 + width].any()
                right = right and (not stamped or raw[0] == _STAMPED)
            if right:
                return Block(start, end, count, stamped, width)
    place = start
    for _ in range(count):
        if place >= end or content[place] not in (0, _STAMPED):
            return None
        place += 1 + content[place] + width
    return Block(start, end, count, -1, width) if place == end else None


def texts_of(
    content: mmap.mmap, start: int, end: int, count: int, channels: int
) -> list[tuple[float | None, str]] | None:
    """Read the samples of a chunk of texts; None where they do not end where the chunk does."""
    found: list[tuple[float | None, str]] = []
    place = start
    for _ in range(count):
        if place >= end or content[place] not in (0, _STAMPED):
            return None
        flag, place = content[place], place + 1
        if place + flag > end:
            return None
        stamp = struct.unpack("<d", content[place : place + 8])[0] if flag else None
        place += flag
        values = []
        for _ in range(channels):
            size = content[place] if place < end else 0
            length = int.from_bytes(content[place + 1 : place + 1 + size], "little")
            place += 1 + size
            if size not in (1, 4, 8) or place + length > end:
                return None
            values.append(content[place : place + length].decode("utf-8", "replace"))
            place += length
        found.append((stamp, " ".join(" ".join(values).split())))
    return found if place == end else None


def stamps_of(content: mmap.mmap, blocks: Sequence[Block], step: float) -> npt.NDArray[np.float64]:
    """Read all stamps of a stream; one that is not given is ``step`` s after the one before."""
    found = np.empty(sum(block.count for block in blocks))
    last, done = 0.0, 0
    for block in blocks:
        into = found[done : done + block.count]
        if block.stamped == block.count:
            rows = _rows(content, block)
            into[:] = np.ascontiguousarray(rows[:, 1:9]).view("<f8")[:, 0]
        elif block.stamped == 1:
            first = struct.unpack("<d", content[block.start + 1 : block.start + 9])[0]
            into[:] = first + step * np.arange(block.count)
        elif block.stamped == 0:
            into[:] = last + step * np.arange(1, block.count + 1)
        else:
            for k, (stamp, _) in enumerate(_each(content, block)):
                last = into[k] = last + step if stamp is None else stamp
        last = float(into[-1])
        done += block.count
    return found


def values_into(
    found: Samples,
    content: mmap.mmap,
    blocks: Sequence[Block],
    form: str,
    columns: Sequence[int],
    targets: npt.NDArray[np.int64],
) -> None:
    """Write some columns of a stream's values to where they belong.

    Parameters
    ----------
    found : ndarray of float64, shape [columns, samples]
    content : mmap
    blocks : sequence of Block
    form : str
    columns : sequence of int
    targets : ndarray of int64
        For each sample in the file its place in ``found``; -1 for none.
    """
    dtype = np.dtype(_DTYPES[form])
    done = 0
    for block in blocks:
        own = targets[done : done + block.count]
        done += block.count
        if block.stamped < 0:
            raw = b"".join(content[at : at + block.width] for _, at in _each(content, block))
            values = np.frombuffer(raw, dtype).reshape(block.count, -1)
        else:
            values = np.ascontiguousarray(_rows(content, block)[:, -block.width :]).view(dtype)
        kept = own >= 0
        if kept.all() and own[-1] - own[0] == block.count - 1 and (np.diff(own) == 1).all():
            found[:, own[0] : own[-1] + 1] = values[:, columns].T
        else:
            found[:, own[kept]] = values[kept][:, columns].T


def _rows(content: mmap.mmap, block: Block) -> npt.NDArray[np.uint8]:
    """Give a block's samples as rows of bytes, all of one length, values last."""
    # Where the first alone has a stamp, its last byte stands where the others have their flag.
    skipped = 8 if block.stamped == 1 and block.count > 1 else 0
    start = block.start + skipped
    raw = np.frombuffer(content, np.uint8, block.end - start, start)
    return raw.reshape(block.count, -1)


def _each(content: mmap.mmap, block: Block) -> Iterator[tuple[float | None, int]]:
    """Give each sample's stamp, and where its values begin."""
    place = block.start
    for _ in range(block.count):
        flag, place = content[place], place + 1
        stamp = struct.unpack("<d", content[place : place + 8])[0] if flag else None
        place += flag
        yield stamp, place
        place += block.width
