"""Appends a source's reads to the parts of a stream's folder.

Frames are given to the system in one call each time, so that a kill of this process loses nothing
that :meth:`Writer.write` took; a power cut loses what came after the last :meth:`Writer.sync`. A
part is never opened again: whoever goes on after a kill begins a new one, and a torn end of the
old one is in nobody's way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bioxedge import atomic
from bioxedge.errors import RecordingError
from bioxedge.recorded.about import FORMAT, PART, STREAM, About, parts, write_all
from bioxedge.recorded.disk import Disk, boot
from bioxedge.recorded.frames import END, HEAD, READ, SIZE, frame
from bioxedge.recorded.read import MOST, End, Read, pack
from bioxedge.recorded.reader import head_of

PART_BYTES = 64_000_000
"""After which a new part is begun."""
_PORTION = 1 << 20  # bytes of samples after which a frame is closed


class Writer:
    """Writes one stream.

    Parameters
    ----------
    folder : path
        The stream's own; it is made, for its owner only, if need be. A recording that is there
        goes on with another take, if it is of the same sensor.
    about : About
    fresh : bool, optional
        Whether a recording that is there is an error instead.
    limit_bytes : int, optional
        Of the whole folder.
    keep_free : int, optional
        Bytes to leave free on the disk: 500 MB, or a twentieth of it if that is less.
    part_bytes : int, optional

    Attributes
    ----------
    folder : Path
    about : About
        As it stands on the disk: of the first take.
    take : int
        Which take this is, from 1.
    bytes : int
        Written so far, all takes together.

    Raises
    ------
    RecordingError
        The folder is somebody else's, is being written, is of another sensor or format, or the
        disk has no room.
    """

    def __init__(
        self,
        folder: str | Path,
        about: About,
        *,
        fresh: bool = False,
        limit_bytes: int | None = None,
        keep_free: int | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.folder, self.about, self.take = Path(folder), about, 1
        self._limit, self._part_bytes = limit_bytes, part_bytes
        self._began = about.unix, about.monotonic_ns
        self._fd: int | None = None
        self._lock: int | None = None
        self._part = self._number = self._size = self.bytes = 0
        self._said_end = False
        try:
            self._make()
            self._disk = Disk(self.folder, keep_free)
            self._disk.look()
            self._go_on(fresh)
            self._next_part()
        except OSError as error:
            self.close()
            raise self._error(error) from error
        except BaseException:
            self.close()
            raise

    # -- writing ----------------------------------------------------------------------------

    def write(self, reads: Sequence[Read]) -> None:
        """Append reads, all of them or none.

        Raises
        ------
        RecordingError
            The limit is reached, or the disk is full or refuses: what was written before stands.
        """
        if not reads:
            return
        payloads = [pack(some) for some in _portions(reads)]
        size = sum(map(len, payloads)) + SIZE * len(payloads)
        if self._limit is not None and self.bytes + size > self._limit:
            raise RecordingError(
                f"{self.folder} has reached its limit of {self._limit / 1e6:g} MB: the recording "
                "ends here"
            )
        self._disk.room(size)
        try:
            if self._size + size > self._part_bytes:
                self._next_part()
            frames = [self._frame(READ, one, ahead) for ahead, one in enumerate(payloads)]
            self._append(b"".join(frames), len(frames))
        except OSError as error:
            raise self._error(error) from error

    def end(self, end: End) -> None:
        """Write how it ended, if the disk takes it, and close."""
        if self._fd is not None and not self._said_end:
            self._said_end = True
            with contextlib.suppress(OSError):  # a full disk: an end that is missing says it, too
                self._append(self._frame(END, end.pack()), 1)
                self.sync()
        self.close()

    def sync(self) -> None:
        """Have what was written on the disk; may be called from another thread.

        Raises
        ------
        OSError
            The disk refuses.
        """
        fd = self._fd
        if fd is None:
            return
        try:
            own = os.dup(fd)  # closing the part meanwhile takes nothing away
        except OSError:
            return
        try:
            os.fdatasync(own)
        finally:
            os.close(own)

    def discard(self) -> None:
        """Take back a take into which nothing was written, and close."""
        empty = self._number == 1  # its head
        self.close()
        if not empty:
            return
        with contextlib.suppress(OSError):
            (self.folder / f"part-{self._part:06d}.log").unlink(missing_ok=True)
            if not parts(self.folder):
                (self.folder / STREAM).unlink(missing_ok=True)
                self.folder.rmdir()
                self.folder.parent.rmdir()  # the session's, where it is empty

    def close(self) -> None:
        """Let go; may be called twice."""
        for fd in (self._fd, self._lock):
            if fd is not None:
                os.close(fd)
        self._fd = self._lock = None

    def _frame(self, kind: int, payload: bytes, ahead: int = 0) -> bytes:
        return frame(kind, self._number + ahead, payload)

    def _append(self, raw: bytes, count: int) -> None:
        """Append frames; nothing of them stays where not all of them fit."""
        if self._fd is None:
            raise RecordingError(f"{self.folder} is not open for writing")
        try:
            write_all(self._fd, raw)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(raw)
        self.bytes += len(raw)
        self._number += count

    # -- opening ----------------------------------------------------------------------------

    def _make(self) -> None:
        """Make the folder, and those above it that are missing, for its owner only."""
        missing = [self.folder, *self.folder.parents]
        for folder in reversed([one for one in missing if not one.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _go_on(self, fresh: bool) -> None:
        """Begin, or go on with what is there, and be the only one that does."""
        path = self.folder / STREAM
        if not path.exists():
            others = [one.name for one in self.folder.iterdir() if not one.name.startswith(".")]
            if others:
                raise RecordingError(
                    f"{self.folder} holds other things ({sorted(others)[0]}): record into an empty "
                    "folder"
                )
            self.about.write(self.folder)
        elif fresh:
            raise RecordingError(f"{self.folder} holds a recording: record into another folder")
        self._lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordingError(
                f"{self.folder} is being recorded into by another process: stop it, or name "
                "another folder"
            ) from error
        there = About.read(self.folder)
        there.require_same(self.about, self.folder)
        self.about = there
        old = parts(self.folder)
        self.bytes = sum(part.stat().st_size for part in old)
        if old:
            found = PART.match(old[-1].name)
            self._part = int(found.group(1)) if found else 0
            self.take = _takes(old) + 1

    def _next_part(self) -> None:
        """Begin a part; the one before is on the disk."""
        if self._fd is not None:
            self.sync()
            os.close(self._fd)
            self._fd = None
        self._part += 1
        path = self.folder / f"part-{self._part:06d}.log"
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, how, 0o600)
        self._size = 0
        unix, monotonic_ns = self._began
        head = {
            "format": FORMAT,
            "take": self.take,
            "unix": unix,
            "monotonic_ns": monotonic_ns,
            "boot": boot(),
        }
        self._append(self._frame(HEAD, json.dumps(head).encode()), 1)
        os.fsync(self._fd)
        atomic.sync(self.folder)

    def look(self) -> None:
        """Look whether there is room on the disk; may be called from another thread.

        Raises
        ------
        RecordingError
            Less is free than is to be kept free.
        """
        self._disk.look()

    def _error(self, error: OSError) -> RecordingError:
        why = error.strerror or str(error)
        return RecordingError(
            f"{self.folder} cannot be recorded into: {why}; what was written before stands"
        )


def _portions(reads: Sequence[Read]) -> Iterator[Sequence[Read]]:
    """Cut reads into frames: what is damaged costs a frame."""
    begin = size = 0
    for at, read in enumerate(reads):
        if at > begin and (size >= _PORTION or at - begin >= MOST):
            yield reads[begin:at]
            begin, size = at, 0
        size += read.chunk.samples.nbytes
    yield reads[begin:]


def _takes(old: Sequence[Path]) -> int:
    """Count the takes that are there, by the last part that says its own."""
    for path in reversed(old):
        head = head_of(path)
        if head is not None:
            return head.take
    return 0
