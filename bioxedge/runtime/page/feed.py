"""What every client of the event stream reads: one bounded list of messages, encoded once.

A client has no queue of its own, only a place in the list. One that is too slow is told that it
missed something; nothing grows.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from bioxedge.runtime.sinks.jsonl import line

# Records that a client may resume from, and their bytes.
RECORDS, BYTES = 1024, 4 << 20
# Batches of signal that a client may be behind: a few seconds for several runs.
BATCHES = 64


class Feed:
    """Messages in order, and who waits for them.

    Attributes
    ----------
    epoch : str
        Made anew with every feed: an id from another one cannot be resumed from.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._changed = threading.Condition()
        self._records: deque[tuple[int, bytes]] = deque()
        self._batches: deque[tuple[int, bytes]] = deque(maxlen=BATCHES)
        self._serial = self._bytes = self._forgotten = 0
        self._looking = 0
        self._closed = False

    @property
    def looking(self) -> int:
        """How many clients want the signal."""
        return self._looking

    @property
    def last(self) -> int:
        """The place behind the last message."""
        return self._serial

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._closed

    def record(self, kind: str, about: dict[str, object]) -> None:
        """Add a message that can be resumed from."""
        text = line(about)
        with self._changed:
            self._serial += 1
            raw = f"event: {kind}\nid: {self.epoch}-{self._serial}\ndata: {text}\n".encode()
            self._records.append((self._serial, raw))
            self._bytes += len(raw)
            while len(self._records) > RECORDS or self._bytes > BYTES:
                self._forgotten, old = self._records.popleft()
                self._bytes -= len(old)
            self._changed.notify_all()

    def batch(self, kind: str, about: dict[str, object]) -> None:
        """Add a message for those who look; it cannot be resumed from."""
        with self._changed:
            self._serial += 1
            self._batches.append((self._serial, message(kind, about)))
            self._changed.notify_all()

    def place(self, last_id: str) -> tuple[int, bytes]:
        """Give where a client goes on, by the last id that it has seen; and what to tell it.

        Text that is no id of ours is as good as an id that is too old.
        """
        if not last_id:
            return self._serial, b""
        epoch, _, serial = last_id.partition("-")
        known = epoch == self.epoch and serial.isdecimal() and len(serial) < 20
        place = int(serial) if known else 0
        with self._changed:
            if known and self._forgotten <= place <= self._serial:
                return place, b""
            why = "what came between was forgotten" if known else "this is another run's stream"
        return 0, message("missed", {"message": f"{why}: see /state"})

    def after(self, place: int, *, signal: bool, timeout: float) -> tuple[int, bytes | None]:
        """Wait for messages behind a place.

        Returns
        -------
        place : int
            Behind what is given.
        raw : bytes or None
            Empty where nothing came in time; None where nothing will come any more.
        """
        with self._changed:
            found = self._behind(place, signal)
            if not found and not self._closed:
                self._changed.wait(timeout)
                found = self._behind(place, signal)
            if not found and self._closed:
                return place, None
            if found:
                place = found[-1][0]
            return place, b"".join(raw for _, raw in found)

    def _behind(self, place: int, signal: bool) -> list[tuple[int, bytes]]:
        found = []
        for messages in (self._records, self._batches) if signal else (self._records,):
            for one in reversed(messages):
                if one[0] <= place:
                    break
                found.append(one)
        return sorted(found)

    @contextmanager
    def look(self) -> Iterator[None]:
        """Count somebody who wants the signal."""
        with self._changed:
            self._looking += 1
        try:
            yield
        finally:
            with self._changed:
                self._looking -= 1
                if not self._looking:
                    self._batches.clear()

    def close(self) -> None:
        """Tell everybody that nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def message(kind: str, about: dict[str, object]) -> bytes:
    """Give a message of server-sent events without an id."""
    return f"event: {kind}\ndata: {line(about)}\n".encode()
