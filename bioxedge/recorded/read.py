"""Reads of a source as they are recorded: the chunk, what was told with it, and when it was."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioxedge.signals import Chunk

# at, wall, loss, first, rate, t0, arrived, acquired, real_rate, flags, channels, samples, told
_READ = struct.Struct("<qdqqddqqdBxHII")
_FRONT = struct.Struct("<II")  # reads, bytes of what stands beside their samples
MOST = 1 << 14
"""Reads in a frame."""
_LOSS_KNOWN, _LOSS = 1, 2  # of the chunk; whether the source's count is a number
_FLOATS = np.dtype("<f8")

Told = Mapping[str, Any]
"""An event in plain values: ``kind``, ``message``, ``t`` and ``facts``."""


@dataclass(frozen=True)
class Read:
    """What one read of a source gave.

    Attributes
    ----------
    chunk : Chunk
        Exactly as it was given; without samples where only something was told.
    at : int
        Monotonic nanoseconds at which it was read.
    wall : float
        Unix time less monotonic time then, in seconds: it jumps where the clock was set.
    loss : int or None
        The source's count after it.
    told : sequence of mapping
        Events that came with it, in order.
    """

    chunk: Chunk
    at: int
    wall: float
    loss: int | None
    told: Sequence[Told] = ()


def pack(reads: Sequence[Read]) -> bytes:
    """Write reads, as many as :data:`MOST`, as bytes.

    What stands beside the samples differs little from one read to the next: its bytes are laid
    column by column and deflated, which leaves a quarter of them. Samples are as they are.
    """
    heads, bodies = bytearray(), []
    for read in reads:
        chunk = read.chunk
        told = b""
        if read.told:
            told = json.dumps(list(read.told), default=_plain, separators=(",", ":")).encode()
        channels, samples = chunk.samples.shape
        heads += _READ.pack(
            read.at,
            read.wall,
            read.loss or 0,
            chunk.first,
            chunk.rate,
            chunk.t0,
            chunk.arrived,
            chunk.acquired,
            chunk.real_rate,
            _LOSS_KNOWN * chunk.loss_known | _LOSS * (read.loss is not None),
            channels,
            samples,
            len(told),
        )
        bodies += [told, chunk.samples.astype(_FLOATS, copy=False).tobytes()]
    rows = np.frombuffer(heads, np.uint8).reshape(len(reads), _READ.size)
    columns = zlib.compress(rows.T.tobytes(), 1)
    return b"".join([_FRONT.pack(len(reads), len(columns)), columns, *bodies])


def unpack(raw: memoryview) -> list[Read]:
    """Read reads from bytes.

    Raises
    ------
    ValueError
        They are not of reads: the check sum was right, so another program wrote them.
    """
    if len(raw) < _FRONT.size:
        raise ValueError(f"{len(raw)} bytes are no reads")
    count, size = _FRONT.unpack_from(raw)
    at, wanted = _FRONT.size + size, count * _READ.size
    if not 0 < count <= MOST or at > len(raw):
        raise ValueError(f"it says that it holds {count} reads")
    try:
        columns = zlib.decompressobj().decompress(raw[_FRONT.size : at], wanted)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(columns) != wanted:
        raise ValueError(f"it holds no {count} reads")
    heads = np.frombuffer(columns, np.uint8).reshape(_READ.size, count).T.tobytes()
    reads = []
    for head in _READ.iter_unpack(heads):
        when, wall, loss, first, rate, t0, arrived, acquired, real = head[:9]
        flags, channels, samples, told = head[9:]
        body = at + told
        end = body + channels * samples * _FLOATS.itemsize
        if end > len(raw):
            raise ValueError(f"there are no {samples} samples of {channels} channels")
        values = np.frombuffer(raw[body:end], _FLOATS).astype(np.float64, copy=False)
        chunk = Chunk(
            values.reshape(channels, samples),
            first,
            rate,
            t0,
            arrived,
            acquired,
            real,
            bool(flags & _LOSS_KNOWN),
        )
        events = _told(bytes(raw[at:body])) if told else ()
        reads.append(Read(chunk, when, wall, loss if flags & _LOSS else None, events))
        at = end
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes are too many")
    return reads


@dataclass(frozen=True)
class End:
    """How a recording ended.

    Attributes
    ----------
    why : str
    at : int
        Monotonic nanoseconds.
    loss : int or None
        The source's last count.
    told : sequence of mapping
        Events that were told after the last read.
    """

    why: str
    at: int
    loss: int | None = None
    told: Sequence[Told] = ()

    def pack(self) -> bytes:
        """Write it as bytes."""
        said = {"why": self.why, "at": self.at, "loss": self.loss, "told": list(self.told)}
        return json.dumps(said, default=_plain).encode()

    @classmethod
    def unpack(cls, raw: memoryview) -> End:
        """Read it from bytes.

        Raises
        ------
        ValueError
            They are not of an end.
        """
        said = json.loads(bytes(raw))
        if not isinstance(said, dict) or set(said) != {"why", "at", "loss", "told"}:
            raise ValueError("these bytes are no end")
        loss = None if said["loss"] is None else int(said["loss"])
        told = _told(json.dumps(said["told"]).encode())
        return cls(str(said["why"]), int(said["at"]), loss, told)


def _told(raw: bytes) -> list[Told]:
    """Read events, and nothing that only looks like them."""
    told = json.loads(raw)
    if not isinstance(told, list):
        raise ValueError("events are a list")
    for one in told:
        if not (
            isinstance(one, dict)
            and set(one) == {"kind", "message", "t", "facts"}
            and isinstance(one["kind"], str)
            and isinstance(one["message"], str)
            and isinstance(one["facts"], dict)
            and (one["t"] is None or isinstance(one["t"], int | float))
        ):
            raise ValueError("these bytes are no events")
    return told


def _plain(value: object) -> object:
    """Give what JSON cannot hold in a way that it can: no event is a reason to stop."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
