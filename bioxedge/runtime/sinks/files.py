"""A file of whole lines, for days: appended to, one writer, mended after a kill, put aside.

A line is written by one call to a descriptor that only appends. Linux heeds a kill even inside
such a call, but only between two pages of the file; so a line is followed by blanks up to the
next page where another one would not fit before it, and no line of up to half a page is ever
torn. What a kill leaves of a longer one is cut away when the file is next opened, what a full
disk leaves at once. Lines that are whole are never touched.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

from bioxedge.errors import SinkError
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.sinks.rotation import Rotation, day_of

# What every line that we write begins with: a file that begins otherwise is somebody else's.
OURS = b'{"kind":'
_BLOCK = 1 << 16
_PAGE = 4096  # or a multiple of it, on any machine


class LineFile:
    """Appends lines to a file.

    Parameters
    ----------
    path : path
        A file, which is made if need be; a pipe or a device is written to as it is.
    rotation : Rotation, optional
        When to begin a new file; never by default.
    clock : HostClock, optional
        For the date.

    Attributes
    ----------
    cut : int
        Bytes of half a line that were cut away at opening.
    """

    def __init__(
        self, path: str | Path, rotation: Rotation | None = None, clock: HostClock = SYSTEM
    ) -> None:
        self.path = Path(path)
        self.cut = 0
        self._rotation, self._clock = rotation, clock
        self._fd: int | None = None
        self._regular = False
        self._day = ""
        self._part = self._longest = 0
        self._heading: Callable[[int], str] = lambda _: ""

    def open(self, heading: Callable[[int], str]) -> None:
        """Open, lock and mend the file, and begin it with a heading.

        Parameters
        ----------
        heading : callable
            Gives the line that each file of this run begins with; takes its number, from 1.

        Raises
        ------
        SinkError
            It cannot be opened or written to, another process writes it, or it holds other
            lines than ours.
        """
        self._heading, self._part = heading, 0
        try:
            self._take()
            if self._regular:
                self._mend()
                if self._due(0):
                    self._put_aside()
            self._begin()
        except BaseException:
            self.close()
            raise

    def write(self, line: str) -> None:
        """Append one line, its end included; a part of it never stays.

        Raises
        ------
        SinkError
            The file cannot be written to: a full disk.
        """
        raw = line.encode()
        if self._regular and self._gone():  # somebody moved it away, as logrotate does
            self.close()
            self._take()
            self._begin()
        if self._regular and self._due(len(raw)):
            self._put_aside()
            self._begin()
        self._append(raw)

    def close(self) -> None:
        """Let the file go; what was written is on the disk."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            if self._regular:
                os.fsync(fd)
        except OSError as error:
            raise self._error(error) from error
        finally:
            os.close(fd)

    @property
    def _handle(self) -> int:
        """The open descriptor."""
        if self._fd is None:
            raise SinkError(f"{self.path} is not open: open the sink first")
        return self._fd

    # -- one file ---------------------------------------------------------------------------

    def _take(self) -> None:
        """Open the file that has the path's name, and be the only one that writes it."""
        while self._fd is None:
            try:
                self._regular = not self.path.exists() or self.path.is_file()
                how = os.O_RDWR | os.O_CREAT if self._regular else os.O_WRONLY | os.O_NOCTTY
                self._fd = os.open(self.path, how | os.O_APPEND, 0o666)
                if not self._regular:
                    return
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                who = _holder(self._handle)
                raise SinkError(
                    f"{self.path} is being written by {who}: stop it, or name another file"
                ) from error
            except OSError as error:
                raise self._error(error) from error
            if self._gone():  # put aside by its writer between our two calls
                self.close()

    def _gone(self) -> bool:
        """Whether the path names another file than ours, or none."""
        try:
            return not os.path.samestat(os.fstat(self._handle), self.path.stat())
        except FileNotFoundError:
            return True

    def _mend(self) -> None:
        """Cut away what a kill left of the last line; end a last line that is whole."""
        about = os.fstat(self._handle)
        self._day = day_of(about.st_mtime)
        size = end = about.st_size
        start = os.pread(self._handle, len(OURS), 0)
        if start != OURS[: len(start)]:
            raise SinkError(
                f"{self.path} holds other things than the lines of a run: name another file"
            )
        found = -1
        while end and found < 0:
            begin = max(end - _BLOCK, 0)
            found = os.pread(self._handle, end - begin, begin).rfind(b"\n")
            end = begin + found + 1
        tail = os.pread(self._handle, size - end, end)
        if not tail:
            return
        try:
            json.loads(tail)
        except ValueError:
            os.ftruncate(self._handle, end)
            self.cut = len(tail)
        else:  # only its end is missing
            self._append(b"\n")

    def _begin(self) -> None:
        """Write the line that each file begins with."""
        self._part += 1
        self._day = day_of(self._clock.time())
        self._append(self._heading(self._part).encode())

    def _append(self, raw: bytes) -> None:
        """Write all of it or nothing."""
        size = os.fstat(self._handle).st_size
        if len(raw) <= _PAGE // 2:
            self._longest = max(self._longest, len(raw))
        room = -(size + len(raw)) % _PAGE
        if room < self._longest and self._regular:
            raw = raw[:-1] + b" " * room + raw[-1:]
        done = 0
        try:
            while done < len(raw):
                done += os.write(self._handle, raw[done:])
        except BaseException as error:
            if done and self._regular:
                os.ftruncate(self._handle, size)
            if isinstance(error, OSError):
                raise self._error(error) from error
            raise

    # -- the next file ----------------------------------------------------------------------

    def _due(self, more: int) -> bool:
        """Whether it is time for a new file."""
        if self._rotation is None:
            return False
        size = os.fstat(self._handle).st_size
        today = day_of(self._clock.time())
        return bool(size) and self._rotation.due(size, more, self._day, today)

    def _put_aside(self) -> None:
        """Give the file another name, and open one that has its old one."""
        try:
            if self._rotation is not None:
                self.path.rename(self._rotation.aside(self.path, self._day))
        except OSError as error:
            raise self._error(error) from error
        self.close()
        self._take()

    def _error(self, error: OSError) -> SinkError:
        why = error.strerror or str(error)
        return SinkError(f"{self.path}: {why}; check the path, its permissions and space")


def _holder(fd: int) -> str:
    """Say who holds the lock, where the system tells (Linux)."""
    about = os.fstat(fd)
    device = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    try:
        locks = Path("/proc/locks").read_text()
    except OSError:
        locks = ""
    for line in locks.splitlines():
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and device in fields and int(fields[4]) > 0:
            return f"process {fields[4]}"
    return "another process"
