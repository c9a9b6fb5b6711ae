"""Messages that wait on disk until the broker has acknowledged them: bounded, in order.

A folder that only its user can read, with a lock, a mark of how far the messages are done, and
segments of records. Every message is appended by one call before it is sent, so that a kill of
the process loses none; the disk is told once a second, so that a loss of power costs a second.
Where there is no more room the oldest segment is left out, which is counted and said in its
place.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from bioxedge.errors import SinkError
from bioxedge.runtime.sinks.mqtt import mending, segment
from bioxedge.runtime.sinks.mqtt.holding import Lock
from bioxedge.runtime.sinks.mqtt.mark import Mark
from bioxedge.runtime.sinks.mqtt.segment import Record

NUMBER = b'"#"'
"""What stands first in a payload for the message's number, which is known as it is appended."""
SMALLEST = 64_000
"""Bytes that a spool must be allowed."""
_PARTS = 16  # segments in a full spool: what is left out at once is one of them
_LARGEST = 1 << 22  # bytes in a segment
_EVERY = 1.0  # seconds between two calls of fsync


@dataclass
class _Segment:
    """One file: where it is, the numbers in it (first, and behind the last), its bytes."""

    path: Path
    first: int
    end: int
    size: int


class Spool:
    """Keeps messages until they are acknowledged. Safe to use from two threads.

    Parameters
    ----------
    folder : path
        Made if need be, with mode 700.
    size : int
        Bytes that the messages may take.

    Attributes
    ----------
    said : list of str
        What was found damaged at opening, and what became of it: lines for people.
    left_out : int
        Messages that this object left out for want of room.
    """

    def __init__(self, folder: str | Path, size: int) -> None:
        self.folder = Path(folder)
        self.said: list[str] = []
        self.left_out = 0
        self._size = size
        self._part = min(max(size // _PARTS, 1), _LARGEST)
        self._lock = threading.RLock()
        self._segments: deque[_Segment] = deque()
        self._fd: int | None = None
        self._synced = 0.0
        self._cursor = (self.folder, 0, 0)
        self._dirty = False
        try:
            self._hold = Lock(self.folder)
        except OSError as error:
            raise self._error(error) from error
        try:
            self._mark = Mark(self.folder)
            self._find()
        except OSError as error:
            self._hold.close()
            raise self._error(error) from error

    def __len__(self) -> int:
        """Count what waits; 0 once everything is acknowledged."""
        with self._lock:
            return self.next - max(self._mark.done, self._first)

    @property
    def taken(self) -> int:
        """Give what the segments take on disk."""
        with self._lock:
            return sum(one.size for one in self._segments)

    def append(self, kind: int, payload: bytes) -> int:
        """Keep a message; where there is no room, the oldest are left out. Give its number.

        A disk that is full is no error: what cannot be kept is left out, too.
        """
        with self._lock:
            number = self.next
            payload = payload.replace(NUMBER, b"%d" % number, 1)
            raw = segment.pack(Record(number, kind, payload))
            while self._segments and self.taken + len(raw) > self._size:
                self._leave_out()
            self.next += 1
            if self._write(raw) or self._make_room(raw):
                self.sync_if_due()
            else:
                self._lose(number)
            return number

    def pending(self, after: int, most: int) -> list[Record]:
        """Give the next messages that wait, with numbers above ``after``, oldest first."""
        with self._lock:
            first = max(self._mark.done, after + 1)
            found: list[Record] = []
            for one in list(self._segments):
                if len(found) >= most:
                    break
                if one.end > first:
                    found += self._read(one, first, most - len(found))
            return found

    @property
    def missing(self) -> tuple[int, int]:
        """How many messages were left out and not yet said to be, and the last one's number."""
        with self._lock:
            return self._mark.left_out, self._mark.done - 1

    def told(self, missing: int) -> None:
        """Note that the subscribers know of so many that were left out."""
        with self._lock:
            self._mark.left_out -= min(missing, self._mark.left_out)
            with contextlib.suppress(OSError):
                self._mark.write()

    def acknowledge(self, number: int) -> None:
        """Note that this message, and every older one, is done with."""
        with self._lock:
            if number < self._mark.done:
                return  # left out while it was on its way
            self._mark.done = number + 1
            with contextlib.suppress(OSError):  # else it is sent again after a restart
                self._mark.write()
            while self._segments and self._segments[0].end <= self._mark.done:
                if len(self._segments) == 1 and self._segments[0].size < self._part:
                    break  # the one that is written to
                self._drop()

    def sync(self) -> None:
        """Tell the disk, unless nothing was written."""
        with self._lock:
            self._synced = time.monotonic()
            if self._dirty and self._fd is not None:
                self._dirty = False
                with contextlib.suppress(OSError):
                    os.fsync(self._fd)
                    self._mark.sync()

    def sync_if_due(self) -> None:
        """Tell the disk, if that was not done for a second."""
        if self._dirty and time.monotonic() - self._synced >= _EVERY:
            self.sync()

    def close(self) -> None:
        """Let the folder go; what waits is on the disk."""
        with self._lock:
            if self._hold.closed:
                return
            self.sync()
            self._end_part()
            self._mark.close()
            self._hold.close()

    # -- inside -------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        return self._segments[0].first if self._segments else self.next

    def _error(self, error: OSError) -> SinkError:
        return SinkError(
            f"the spool {self.folder} cannot be used: {error.strerror or error}; check its "
            "permissions and space, or name another folder with spool=DIR"
        )

    def _find(self) -> None:
        """Take stock of what another run left, and mend what is damaged."""
        stock = mending.stock(self.folder, self._mark, self._size)
        self.said = stock.said
        for path, first, end, size in stock.segments:
            self._segments.append(_Segment(path, first, end, size))
        last = self._segments[-1].end if self._segments else 0
        self.next = max(last, self._mark.done)
        self._mark.write()
        while self._segments and self._segments[0].end <= self._mark.done:
            self._drop()

    def _write(self, raw: bytes) -> bool:
        """Append to the last segment, or to a new one; whether it could be."""
        try:
            if self._fd is None or self._segments[-1].size + len(raw) > self._part:
                self._begin_part()
            one = self._segments[-1]
            assert self._fd is not None
            try:
                if os.write(self._fd, raw) < len(raw):
                    raise OSError("a part of it only")
            except OSError:
                os.ftruncate(self._fd, one.size)
                raise
        except OSError:
            return False
        one.size += len(raw)
        one.end = self.next
        self._dirty = True
        return True

    def _make_room(self, raw: bytes) -> bool:
        """Find room for a record on a full disk; whether it was written."""
        if self._segments and self._segments[0].end <= self._mark.done:
            self._drop()  # all of it is done with
            return self._write(raw)
        while len(self._segments) > 1:
            self._leave_out()
            if self._write(raw):
                return True
        return False

    def _begin_part(self) -> None:
        self._end_part()
        number = self.next - 1
        path = self.folder / f"{number:020d}.spool"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, 0)
        self._segments.append(_Segment(path, number, number, 0))
        if os.write(self._fd, segment.HEADER) < len(segment.HEADER):
            raise OSError("the disk is full")
        self._segments[-1].size = len(segment.HEADER)

    def _end_part(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = None

    def _drop(self) -> None:
        one = self._segments.popleft()
        if not self._segments:
            self._end_part()
        one.path.unlink(missing_ok=True)

    def _leave_out(self) -> None:
        """Give the oldest segment's room to what is new."""
        one = self._segments[0]
        self._lose_until(one.end)
        self._drop()

    def _lose_until(self, end: int) -> None:
        missing = max(end - max(self._mark.done, self._first), 0)
        self._mark.done = max(self._mark.done, end)
        self._mark.left_out += missing
        self.left_out += missing
        with contextlib.suppress(OSError):
            self._mark.write()

    def _lose(self, number: int) -> None:
        """Leave out the message that could not be written, and say it at the next chance."""
        self._mark.left_out += 1
        self.left_out += 1
        if number == self._mark.done:
            self._mark.done += 1
        with contextlib.suppress(OSError):
            self._mark.write()

    def _read(self, one: _Segment, first: int, most: int) -> list[Record]:
        """Give the records of one segment from a number on, and note where the next one begins."""
        path, number, place = self._cursor
        if path != one.path or number > first:
            place = len(segment.HEADER)
        found, place = segment.read(one.path, place, one.size, first, most)
        if found:
            self._cursor = (one.path, found[-1].number + 1, place)
        return found
