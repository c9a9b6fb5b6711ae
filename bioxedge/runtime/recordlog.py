"""The queue and the threads between a source that is recorded and the disk."""

from __future__ import annotations

import threading
import time
from collections import deque

from bioxedge.errors import RecordingError
from bioxedge.recorded import End, Read, Writer

# Seconds from one writing to the next: what is in memory is all that a kill takes.
EVERY = 0.1
# Seconds from one call for the disk to the next: what a power cut takes.
SYNC = 1.0
# Bytes that wait for a disk that is slow: minutes of most boards.
HELD = 32 << 20
# Seconds that a source which can wait, waits for the disk; and that the end waits for it.
PATIENCE = 10.0
_FRONT = 200  # bytes that a read takes beside its samples, about


class Log:
    """Takes reads at once, and has a writer write them.

    What is read and what is written are each counted by one thread alone, so that the reading
    one takes no lock and wakes nobody.

    Parameters
    ----------
    writer : Writer
    patience : float
        Seconds that :meth:`put` waits for room: for a source that can wait.

    Attributes
    ----------
    samples, left_out : int
        Written, and left out because there was no room.
    failed : RecordingError or None
        What the disk said.
    ended : str or None
        Why it ended; None while it goes on.
    """

    def __init__(self, writer: Writer, patience: float) -> None:
        self._writer, self._patience = writer, patience
        self._queue: deque[tuple[Read, int]] = deque()
        self._put = self._got = 0  # bytes
        self._missed_reads = self._missed_samples = 0  # since it was last told
        self.left_out = self.samples = 0
        self._last_at = 0  # of the last read that was written
        self._last_loss: int | None = 0
        self.failed: RecordingError | None = None
        self._refused: RecordingError | None = None  # by the disk, and not yet heeded
        self.ended: str | None = None
        self._end: End | None = None
        self._ending = threading.Event()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="record", daemon=True),
            threading.Thread(target=self._sync, name="record sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def bytes(self) -> int:
        """On the disk."""
        return self._writer.bytes

    def put(self, read: Read) -> None:
        """Queue a read; where there is no room it is left out, and counted."""
        if self.failed is not None:
            return
        size = read.chunk.samples.nbytes + _FRONT
        if self._put - self._got + size > HELD and not self._room(size):
            self._missed_reads += 1
            self._missed_samples += read.chunk.samples.shape[1]
            self.left_out += read.chunk.samples.shape[1]
            return
        self._put += size
        self._queue.append((read, size))

    def _room(self, size: int) -> bool:
        """Wait for room, where the source can; a read that is larger than all goes alone."""
        limit = time.monotonic() + self._patience
        while self._put > self._got and self._put - self._got + size > HELD:
            if time.monotonic() >= limit or self.failed is not None:
                return False
            time.sleep(EVERY / 10)
        return True

    def take_left_out(self) -> tuple[int, int] | None:
        """Give the reads and samples that were left out, once there is room again."""
        if not self._missed_reads or self._put - self._got > HELD // 2:
            return None
        missed = self._missed_reads, self._missed_samples
        self._missed_reads = self._missed_samples = 0
        return missed

    def close(self, end: End) -> None:
        """Write what waits and how it ended, within a bound."""
        self._end = end
        self._ending.set()
        limit = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(limit - time.monotonic(), 0.0))
        if not self._over.is_set():
            self.ended = f"{self._writer.folder}: the disk did not take the last of it in time"

    def _work(self) -> None:
        """Write what has come, from time to time."""
        try:
            while not self._ending.wait(EVERY):
                self._write()
            self._write()
            if self.failed is None and self._end is not None:
                self._writer.end(self._end)
                self.ended = self._end.why
        finally:
            self._writer.close()
            self._over.set()

    def _write(self) -> None:
        """Write what waits; a disk that refuses ends the recording."""
        count = len(self._queue)
        if self.failed is not None:
            return
        if self._refused is not None:
            self._fail(self._refused)
            return
        if not count:
            return
        batch = [self._queue.popleft() for _ in range(count)]
        try:
            self._writer.write([read for read, _ in batch])
        except RecordingError as error:
            self._fail(error)
            return
        for read, size in batch:
            self._got += size
            self.samples += read.chunk.samples.shape[1]
            self._last_at, self._last_loss = read.at, read.loss

    def _fail(self, error: RecordingError) -> None:
        """End the recording; whoever reads is told at the next read."""
        self.failed, self.ended = error, str(error)
        self._queue.clear()
        self._writer.end(End(str(error), self._last_at, self._last_loss))

    def _sync(self) -> None:
        """Have the disk keep what was written: beside the writing, which goes on meanwhile."""
        while not self._over.wait(SYNC):
            try:
                self._writer.sync()
                self._writer.look()
            except OSError as error:
                why = error.strerror or str(error)
                self._refused = RecordingError(
                    f"{self._writer.folder} cannot be recorded into: {why}; what was written "
                    "before stands"
                )
                return
            except RecordingError as error:
                self._refused = error
                return
