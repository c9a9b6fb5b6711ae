"""A Cyton, with or without its Daisy, on a pseudo-terminal: what BrainFlow's own driver talks to.

It speaks the protocol that OpenBCI publishes: one-letter commands in, answers that end in
``$$$``, and while it streams 250 packets a second of 33 bytes: 0xA0, a counter, eight channels
of 24 bits (big-endian, signed), six auxiliary bytes, 0xC0. With a Daisy the even packets are
channels 9 to 16 and the odd ones channels 1 to 8, so that a row takes two.

The samples tell the truth about themselves: each value says which tick of this board's own
quartz it was taken at and on which channel (:func:`when`), across losses, restarts and
unplugging. Where a sample belongs is then read off the sample, never told to what is tested.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

RATE = 250  # packets a second
PATIENCE = 10 * RATE  # packets that wait for whoever streams
UV = 4.5 / (2**23 - 1) / 24 * 1e6  # microvolts of one count at gain 24 (the data sheet's)
TURN = 2**13  # values repeat after so many rows: 32 s, 65 s with a Daisy
_BANNER = "OpenBCI V3 8-16 channel\nADS1299 Device ID: 0x3E\nFirmware: v3.1.2\n"
_DEAD = "Failure: Communications timeout - Device failed to poll Host$$$"


def count(row: int, channel: int) -> bytes:
    """Write a row and a channel (1 to 16) as 24 bits: negative on even channels, never 0xA0."""
    code = row % TURN * 16 + channel - 1
    return bytes([code >> 14 | (0 if channel % 2 else 0xE0), code >> 7 & 0x7F, code & 0x7F])


def when(values: np.ndarray, channel: int) -> np.ndarray:
    """Read from microvolts at which row they were sent; NaN where they are NaN.

    Anything that is not exactly a value of that channel is an AssertionError.
    """
    counts = np.rint(values / UV)
    there = np.isfinite(values)
    assert np.allclose(counts[there] * UV, values[there], rtol=1e-12, atol=0)
    whole = counts[there].astype(np.int64) % 2**24
    high, middle, low = whole >> 16, whole >> 8 & 0xFF, whole & 0xFF
    high = high - (0 if channel % 2 else 0xE0)
    assert np.all((high >= 0) & (high < 8) & (middle < 0x80) & (low < 0x80))
    code = high << 14 | middle << 7 | low
    assert np.all(code % 16 == channel - 1)
    rows = np.full(values.shape, np.nan)
    rows[there] = code // 16
    return rows


class Cyton:
    """The board, its dongle and the cable, running in a thread until it is closed.

    Parameters
    ----------
    port : Path
        Where the serial port is to appear (a link to the pseudo-terminal).
    daisy : bool, optional
        With eight channels more.
    lost : iterable of int, optional
        Packets that get lost on the air, counted from each start of the stream.
    damage : mapping of int to function, optional
        What the cable makes of a packet: bytes to bytes.

    Attributes
    ----------
    heard : list of (str, float)
        Every command, and at what time of this board's quartz, in seconds, it came.
    sent : int
        Packets that left the board since it last began to stream.
    """

    def __init__(
        self,
        port: Path,
        *,
        daisy: bool = False,
        lost: Iterable[int] = (),
        damage: Mapping[int, Callable[[bytes], bytes]] | None = None,
    ) -> None:
        self.port, self.daisy = port, daisy
        self.lost, self.damage = frozenset(lost), dict(damage or {})
        self.heard: list[tuple[str, float]] = []
        self.streaming = False
        self.powered = self.reachable = True
        self.sent = 0
        self._began = time.monotonic()
        self._base = 0
        self._half = b""  # of a command that has begun
        self._ends: tuple[int, int] | None = None
        self._listened = False  # whether the stream was begun on this line
        self._waiting: deque[bytes] = deque()  # what the line had no room for
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self.plug_in()
        self._thread = threading.Thread(target=self._run, name="cyton")
        self._thread.start()

    # -- what a test does to it --------------------------------------------------------------

    def plug_in(self) -> None:
        """Put the dongle into the socket: the port appears."""
        with self._lock:
            self._listened = False
            self._waiting.clear()
            self._ends = master, slave = os.openpty()  # our slave keeps the line up by itself
            tty.setraw(slave)
            os.set_blocking(master, False)
            self.port.symlink_to(os.ttyname(slave))

    def unplug(self) -> None:
        """Pull the dongle: the port is gone, whoever has it open; the board itself goes on."""
        with self._lock:
            ends, self._ends = self._ends, None
            self.port.unlink(missing_ok=True)
            for end in ends or ():
                os.close(end)

    def power(self, on: bool) -> None:
        """Switch the board; the dongle stays. It comes back idle, as the real one does."""
        with self._lock:
            self.powered, self.streaming = on, False

    def close(self) -> None:
        """End the thread and take the port away."""
        self._stop.set()
        self._thread.join()
        self.unplug()

    def __enter__(self) -> Cyton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def commands(self) -> list[str]:
        """What it was told so far, in order."""
        with self._lock:
            return [command for command, _ in self.heard]

    @property
    def now(self) -> float:
        """Seconds of its quartz."""
        return time.monotonic() - self._began

    # -- what it does ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._listen()
                self._send_due()
            time.sleep(0.004)

    def _listen(self) -> None:
        if self._ends is None or not select.select([self._ends[0]], [], [], 0)[0]:
            return
        self._half += os.read(self._ends[0], 1024)
        while self._half:
            size = 1
            if self._half[:1] == b"x":
                size = self._half.find(b"X") + 1
            elif self._half[:1] in b"~/":
                size = 2
            if not 0 < size <= len(self._half):
                return
            command, self._half = self._half[:size].decode("latin-1"), self._half[size:]
            self.heard.append((command, self.now))
            if answer := self._obey(command):
                self._write(answer.encode())

    def _obey(self, command: str) -> str:
        if not (self.powered and self.reachable):
            return _DEAD
        if command == "b":
            self.streaming, self.sent, self._listened = True, 0, True
            self._base = int(self.now * RATE) // 2 * 2 + 2
            return ""
        if command in "sv":
            self.streaming = False
            return _BANNER + "$$$" if command == "v" else ""
        if command == "C":
            return "16$$$" if self.daisy else "no daisy to attach!8$$$"
        answers = {
            "d": "updating channel settings to default$$$",
            "c": "daisy removed$$$",
            "~": f"Success: Sample rate is {RATE}Hz$$$",
            "x": "Success: Channel set$$$",
        }
        return answers.get(command[0], "")

    def _send_due(self) -> None:
        self._write()
        while self.streaming and (self._base + self.sent + 1) / RATE <= self.now:
            number, self.sent = self.sent, self.sent + 1
            if number not in self.lost and self.reachable:
                packet = self._packet(number)
                self._write(self.damage.get(number, bytes)(packet))

    def _packet(self, number: int) -> bytes:
        tick = self._base + number
        row, first = tick, 1
        if self.daisy:
            row, first = tick // 2, 1 if number % 2 else 9
        channels = b"".join(count(row, first + i) for i in range(8))
        return bytes([0xA0, number % 256]) + channels + bytes(6) + b"\xc0"

    def _write(self, data: bytes = b"") -> None:
        if self._ends is None:
            return
        if data:
            self._waiting.append(data)
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                wrote = os.write(self._ends[0], self._waiting[0])
                rest = self._waiting.popleft()[wrote:]
                if rest:
                    self._waiting.appendleft(rest)
        # A machine that holds up this thread or the driver's for a second makes more due at once
        # than a line holds; a real board would not have sent it at once. Where nobody began the
        # stream on this line nobody reads, and a line forgets.
        while len(self._waiting) > (PATIENCE if self._listened else 0):
            self._waiting.pop()
