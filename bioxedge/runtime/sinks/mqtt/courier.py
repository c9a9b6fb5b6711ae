"""The thread that carries a spool's messages to a broker, and starts again whenever it is away."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from bioxedge.runtime.sinks.mqtt import homeassistant
from bioxedge.runtime.sinks.mqtt.link import Link
from bioxedge.runtime.sinks.mqtt.reasons import Away
from bioxedge.runtime.sinks.mqtt.settings import Settings
from bioxedge.runtime.sinks.mqtt.spool import Spool
from bioxedge.runtime.sinks.mqtt.telling import Telling
from bioxedge.runtime.sinks.mqtt.topics import Topics
from bioxedge.runtime.sinks.mqtt.waking import Wake

LONGEST = 30.0
"""Seconds between two attempts, at most."""
_SHORTEST = 0.5
_TICK = 0.5  # seconds after which the thread looks around when nothing happens
_SILENCE = 60.0  # seconds without an acknowledgement, after which a connection is of no use
_SHORT = 15.0  # seconds below which a connection did not last
_GOODBYE = 1.0  # seconds for the last word
_REFUSED_FOR_NOW = (128, 131, 151)  # reason codes of a message that may be taken later
_SPREAD = 2.0  # seconds over which a fleet answers Home Assistant's birth
_BIRTHS = 10.0  # seconds between two answers to it


class Courier:
    """Carries messages, in order, each at least once; what is retained in its latest form.

    Parameters
    ----------
    settings : Settings
    topics : Topics
    kinds : sequence of str
        The topic of each kind of message in the spool.
    spool : Spool
    left_out : callable
        Makes the payload that says how many messages were left out: takes the last one's number
        and the count.
    telling : Telling
        Is told what happens.

    Attributes
    ----------
    first : threading.Event
        Set once the first attempt has ended, well or not.
    refused : Away or None
        How it ended, where it did not end well.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        kinds: tuple[str, ...],
        spool: Spool,
        left_out: Callable[[int, int], bytes],
        telling: Telling,
    ) -> None:
        self._settings, self._topics, self._kinds = settings, topics, kinds
        self._spool, self._left_out = spool, left_out
        self._telling = telling
        self.first = threading.Event()
        self.refused: Away | None = None
        self._guard = threading.Lock()
        self._retained: dict[str, bytes] = {}
        self._due: OrderedDict[str, None] = OrderedDict()
        self._end: float | None = None  # when to give up sending at the end
        self._asleep = threading.Event()  # set to end a wait between two attempts
        self._wake = Wake()
        self._listens = settings.homeassistant is not None
        self._birth, self._last_birth = float("inf"), -float("inf")
        self._refusals: set[int] = set()
        self._too_long = self._pause = 0
        self._heard_at = self._begun = 0.0
        self._shorts = 0  # connections in a row that did not last
        self._link: Link | None = None
        self._sent = -1
        self._moving: OrderedDict[int, tuple[str, int, int]] = OrderedDict()
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)

    # -- for the sink's thread ----------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def retain(self, topic: str, payload: bytes) -> None:
        """Have a topic say this from now on, also after the broker was away."""
        with self._guard:
            self._retained[topic] = payload
            self._due[topic] = None
        self.nudge()

    def nudge(self) -> None:
        """Tell the thread that there is something to carry."""
        self._wake.ring()

    def close(self, patience: float) -> bool:
        """Send what waits while the broker takes it, and say goodbye; whether the thread ended."""
        self._end = time.monotonic() + patience
        self._asleep.set()
        self.nudge()
        if self._thread.is_alive():
            self._thread.join(patience + 2 * _GOODBYE)
        if self._thread.is_alive():
            return False
        self._wake.close()
        return True

    # -- the thread ---------------------------------------------------------------------

    def _work(self) -> None:
        failures = 0
        while self._end is None:
            begun = time.monotonic()
            try:
                self._carry()
            except Away as away:
                self._away(away)
            except Exception as error:  # whatever a broker sends: it is told, and tried again
                what = f"{type(error).__name__}: {error}"
                self._away(Away(f"{self._settings.address} sent what cannot be read ({what})"))
            finally:
                if self._link is not None:
                    self._link.close(politely=self._end is not None)
                    self._link = None
            self.first.set()
            self._spool.sync()
            failures = 0 if time.monotonic() - begun > LONGEST else failures + 1
            # A whole fleet loses its broker at once, and must not come back at once.
            longest = min(LONGEST, _SHORTEST * 2 ** min(failures, 10))
            self._asleep.wait(random.uniform(longest / 4, longest))

    def _away(self, away: Away) -> None:
        short = self._begun and time.monotonic() - self._begun < _SHORT
        self._shorts = self._shorts + 1 if short else 0
        if self._shorts >= 3 and not away.fatal and not away.unwanted:
            # Few brokers say it: mosquitto 2.0 just ends the older connection.
            away = Away(
                f"{self._settings.address} ends each connection soon after it began: does another "
                f"device use our client id {self._topics.client_id}? give each its own --client-id"
            )
        self.refused = away
        if away.unwanted:
            self._listens = False
        if self._end is None:
            self._telling.away(away, self._spool.folder, len(self._spool))

    def _carry(self) -> None:
        """Connect, and carry until the connection or the run ends."""
        settings = self._settings
        self._moving.clear()
        self._sent = -1
        self._pause = 0
        self._begun = 0.0
        self._heard_at = time.monotonic()
        self._link = link = Link(
            settings, self._topics.client_id, self._topics["status"], self._acked, self._heard
        )
        link.open(self._wake.descriptor, lambda: self._end is None)
        with self._guard:
            self._due = OrderedDict.fromkeys(self._retained)
        if self._listens:
            link.subscribe(f"{settings.homeassistant}/status")
        self.refused = None
        self._begun = time.monotonic()
        self._telling.back(settings.address, len(self._spool))
        self.first.set()
        while not self._ended():
            self._fill(link)
            link.step(_TICK, self._wake.descriptor)
            self._wake.heard()
            self._spool.sync_if_due()
            if not self._moving:
                self._heard_at = time.monotonic()
            elif time.monotonic() - self._heard_at > _SILENCE:
                raise Away(f"{settings.address} has acknowledged nothing for {_SILENCE:.0f} s")
            if self._pause:
                raise Away(f"{settings.address} takes no messages now (code {self._pause})")
            if time.monotonic() >= self._birth:
                self._birth = float("inf")
                with self._guard:
                    self._due.update(OrderedDict.fromkeys(self._retained))
        self._goodbye(link)

    def _ended(self) -> bool:
        """Whether the run is over and nothing is left to send, or no time to send it."""
        if self._end is None:
            return False
        if time.monotonic() >= self._end:
            return True
        idle = not self._moving and not self._due and not self._spool.missing[0]
        return idle and not self._spool.pending(self._sent, 1)

    def _fill(self, link: Link) -> None:
        """Send what waits, as long as little enough is on its way."""
        with self._guard:
            moving = {topic for topic, _, _ in self._moving.values()}
            due = [topic for topic in self._due if topic not in moving]
            payloads = [(topic, self._retained[topic]) for topic in due]
            for topic in due:
                del self._due[topic]
        for topic, payload in payloads:
            self._moving[link.publish(topic, payload, retain=True)] = (topic, -1, 0)
        missing, number = self._spool.missing
        if missing and not any(count > 0 for _, _, count in self._moving.values()):
            payload = self._left_out(number, missing)
            handle = link.publish(self._topics["event"], payload)
            self._moving[handle] = ("", -1, missing)
        room = link.window - len(self._moving)
        if room <= 0:
            return
        for record in self._spool.pending(self._sent, room):
            self._sent = record.number
            topic = self._topics[self._kinds[record.kind % len(self._kinds)]]
            if link.most is not None and len(record.payload) + len(topic) + 64 > link.most:
                self._refuse_long(record.number, len(record.payload), link.most)
                continue
            self._moving[link.publish(topic, record.payload)] = ("", record.number, 0)

    def _acked(self, handle: int, code: int) -> None:
        """Take a message as done with, and all that is older and was acknowledged before it."""
        moving = self._moving.get(handle)
        if moving is None:
            return
        self._heard_at = time.monotonic()
        topic, number, missing = moving
        if code in _REFUSED_FOR_NOW:
            self._pause = code  # it stays on its way: sent again over the next connection
            return
        if code >= 128 and code not in self._refusals:
            self._refusals.add(code)
            what = topic or self._topics["…"]
            self._telling.say(
                f"the broker refuses messages to {what} with code {code}: may this user publish "
                "there? they are left out",
                code=code,
            )
        if missing:
            self._spool.told(missing)
        if number < 0:
            del self._moving[handle]
            return
        self._moving[handle] = ("", number, -1)  # done; older ones may not be
        self._take_out()

    def _take_out(self) -> None:
        """Let go of what is done, up to the first message that is not."""
        for one, (_, other, state) in list(self._moving.items()):
            if other < 0:
                continue
            if state != -1:
                break
            del self._moving[one]
            self._spool.acknowledge(other)

    def _refuse_long(self, number: int, length: int, most: int) -> None:
        """Leave out a message that the broker would end the connection for."""
        if not self._too_long:
            self._telling.say(
                f"a message of {length} bytes is left out: the broker takes {most} at most",
                bytes=length,
            )
        self._too_long += 1
        self._moving[-1 - number] = ("", number, -1)  # no handle of paho's is negative
        self._take_out()

    def _heard(self, topic: str, payload: bytes) -> None:
        """Heed Home Assistant's birth, and nothing else."""
        if payload != homeassistant.BIRTH or topic != f"{self._settings.homeassistant}/status":
            return
        now = time.monotonic()
        if self._birth == float("inf") and now - self._last_birth >= _BIRTHS:
            self._last_birth = now
            self._birth = now + random.uniform(0.0, _SPREAD)

    def _goodbye(self, link: Link) -> None:
        """Say that this device goes, rather than have the broker find out."""
        self._moving.clear()
        topic = self._topics["status"]
        with contextlib.suppress(Away):
            self._moving[link.publish(topic, b"offline", retain=True)] = (topic, -1, 0)
            limit = time.monotonic() + _GOODBYE
            while self._moving and time.monotonic() < limit:
                link.step(0.1, self._wake.descriptor)
                self._wake.heard()
