"""One read of a source as it is recorded: the chunk, what was told with it, and when it was."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bioxedge.signals import Chunk

# at, wall, loss, first, rate, t0, arrived, acquired, real_rate, flags, channels, samples, told
_READ = struct.Struct("<qdqqddqqdBxHII")
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

    def pack(self) -> bytes:
        """Write it as bytes."""
        chunk = self.chunk
        told = b""
        if self.told:
            told = json.dumps(list(self.told), default=_plain, separators=(",", ":")).encode()
        flags = _LOSS_KNOWN * chunk.loss_known | _LOSS * (self.loss is not None)
        channels, samples = chunk.samples.shape
        front = _READ.pack(
            self.at,
            self.wall,
            self.loss or 0,
            chunk.first,
            chunk.rate,
            chunk.t0,
            chunk.arrived,
            chunk.acquired,
            chunk.real_rate,
            flags,
            channels,
            samples,
            len(told),
        )
        return front + told + chunk.samples.astype(_FLOATS, copy=False).tobytes()

    @classmethod
    def unpack(cls, raw: memoryview) -> Read:
        """Read it from bytes.

        Raises
        ------
        ValueError
            They are not of a read: the check sum was right, so another program wrote them.
        """
        if len(raw) < _READ.size:
            raise ValueError(f"{len(raw)} bytes are no read")
        at, wall, loss, first, rate, t0, arrived, acquired, real, flags, channels, samples, told = (
            _READ.unpack_from(raw)
        )
        body = _READ.size + told
        if len(raw) != body + channels * samples * _FLOATS.itemsize:
            raise ValueError(f"{len(raw)} bytes are not {channels} channels of {samples} samples")
        values = np.frombuffer(raw[body:], _FLOATS).astype(np.float64, copy=False)
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
        events = _told(bytes(raw[_READ.size : body])) if told else ()
        return cls(chunk, at, wall, loss if flags & _LOSS else None, events)


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
