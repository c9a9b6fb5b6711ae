"""Goes through a recorded stream, take by take: whole reads, and what is damaged said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bioxedge.errors import RecordingError
from bioxedge.recorded.about import FORMAT, About, parts
from bioxedge.recorded.frames import END, HEAD, READ, Frame, scan
from bioxedge.recorded.read import End, Read, unpack

_FIRST = 4096  # bytes in which a part says what it is


@dataclass(frozen=True)
class Head:
    """What a part says of itself.

    Attributes
    ----------
    take : int
        From 1: one for each time that recording was begun.
    unix : float
    monotonic_ns : int
        Of the same moment, when the take began.
    boot : str
        Of the machine; monotonic times of one boot are on one clock.
    """

    take: int
    unix: float
    monotonic_ns: int
    boot: str


@dataclass(frozen=True)
class Lost:
    """Frames that are missing or damaged.

    Attributes
    ----------
    part : str
    byte : int
    frames : int or None
        How many; None where it cannot be told.
    """

    part: str
    byte: int
    frames: int | None

    def __str__(self) -> str:
        many = "frames are" if self.frames is None else _many(self.frames)
        return f"{many} damaged or missing in {self.part} at byte {self.byte}"


@dataclass
class Take:
    """One time that was recorded, from its begin to its end or a kill.

    Attributes
    ----------
    head : Head
    parts : list of Path
    end : End or None
        Known once :meth:`reads` has come to it; None where the recorder was killed.
    lost : list of Lost
        Known so far.
    torn : int
        Bytes of a last frame that was not finished.
    """

    head: Head
    parts: list[Path]
    end: End | None = None
    lost: list[Lost] = field(default_factory=list)
    torn: int = 0

    def reads(self) -> Iterator[Read | Lost]:
        """Give every read, in order, and where some are missing; may be called again."""
        self.end, self.lost, self.torn = None, [], 0
        expected = end = 0
        for path in self.parts:
            hurt: Frame | None = None
            for frame in scan(path.read_bytes()):
                if not frame.kind:
                    if frame.torn and path == self.parts[-1]:
                        self.torn = frame.end - frame.begin
                    else:
                        hurt = frame
                    continue
                if frame.number != expected:
                    frames = frame.number - expected
                    at = frame.begin if hurt is None else hurt.begin
                    yield self._missing(Lost(path.name, at, frames if frames > 0 else None))
                hurt, expected = None, frame.number + 1
                if frame.kind == HEAD:
                    continue
                try:
                    if frame.kind == READ:
                        reads = unpack(frame.payload)
                    elif frame.kind == END:
                        self.end = End.unpack(frame.payload)
                except (ValueError, TypeError, RecursionError) as error:
                    raise RecordingError(
                        f"{path} holds a frame at byte {frame.begin} that this bioxedge cannot "
                        f"read: {error}"
                    ) from error
                if frame.kind != READ:
                    continue
                if reads[0].chunk.first < end:  # of a take whose head is damaged
                    yield self._missing(Lost(path.name, frame.begin, 1))
                    continue
                yield from reads
                end = reads[-1].chunk.end
            if hurt is not None:
                yield self._missing(Lost(path.name, hurt.begin, None))

    def _missing(self, lost: Lost) -> Lost:
        self.lost.append(lost)
        return lost


class Reader:
    """A recorded stream.

    Parameters
    ----------
    folder : path

    Attributes
    ----------
    folder : Path
    about : About
    takes : list of Take
        In order; one more for each time that the recording went on.

    Raises
    ------
    RecordingError
        No stream there, or one of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.about = About.read(self.folder)
        self.takes: list[Take] = []
        for path in parts(self.folder):
            head = head_of(path)
            same = self.takes and (head is None or head.take == self.takes[-1].head.take)
            if same:
                self.takes[-1].parts.append(path)
            elif head is not None:
                self.takes.append(Take(head, [path]))
            elif path.stat().st_size:  # its first bytes are damaged, and no part is before it
                about = self.about
                self.takes.append(Take(Head(1, about.unix, about.monotonic_ns, ""), [path]))
        if not self.takes:
            raise RecordingError(f"{self.folder} holds a recording without anything in it")


def head_of(path: Path) -> Head | None:
    """Read what a part says of itself; None where its first bytes are not whole.

    Raises
    ------
    RecordingError
        It is of another format.
    """
    with path.open("rb") as file:
        raw = file.read(_FIRST)
    first = next(scan(raw), None)
    if first is None or first.kind != HEAD:
        return None
    try:
        said = json.loads(bytes(first.payload))
        if said["format"] != FORMAT:
            raise RecordingError(
                f"{path} is of format {said['format']!r}, this bioxedge reads {FORMAT}: update it"
            )
        return Head(
            int(said["take"]), float(said["unix"]), int(said["monotonic_ns"]), str(said["boot"])
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordingError(f"{path} does not say what it is: {error!r}") from error


def _many(frames: int) -> str:
    return "1 frame is" if frames == 1 else f"{frames} frames are"
