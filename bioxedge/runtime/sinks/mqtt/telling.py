"""What the other sinks are told of a broker: that it is away and why, that it is back."""

from __future__ import annotations

import threading
import time
from collections import deque

from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks.mqtt.reasons import Away

_MOST = 64  # events that wait to be fetched


class Telling:
    """Gathers events in one thread for another; each reason why the broker is away once.

    Parameters
    ----------
    sink : str
        The name of the sink that has something to say.
    """

    def __init__(self, sink: str) -> None:
        self._sink = sink
        self._guard = threading.Lock()
        self._said: deque[Event] = deque(maxlen=_MOST)
        self._since: float | None = None
        self._why = ""

    def say(self, message: str, **facts: object) -> None:
        """Have the other sinks told."""
        with self._guard:
            self._said.append(Event("output", message, facts={"sink": self._sink, **facts}))

    def take(self) -> list[Event]:
        """Give what there is to tell, once."""
        with self._guard:
            said = list(self._said)
            self._said.clear()
            return said

    def away(self, away: Away, folder: object, waiting: int) -> None:
        """Tell of a connection that ended or could not be had."""
        if self._since is None:
            self._since = time.monotonic()
        if str(away) != self._why:
            self._why = str(away)
            self.say(f"{away}; messages wait in {folder}", waiting=waiting, away=True)

    def back(self, address: str, waiting: int) -> None:
        """Tell that the broker is there, if it was told to be away."""
        if self._since is None:
            return
        seconds = time.monotonic() - self._since
        self._since, self._why = None, ""
        self.say(
            f"{address} is back after {seconds:.1f} s: {waiting} messages waited",
            waiting=waiting,
            seconds=seconds,
            away=False,
        )
