"""What the sample clock has to say: events, and the count of what is missing."""

from __future__ import annotations

from collections import deque

from bioxedge.runtime.events import KEPT, Event, Kind
from bioxedge.runtime.order import GARBLED, STALE, Arrangement


class Journal:
    """Keeps events until they are taken.

    Parameters
    ----------
    rate : float
        Nominal rate in Hz, by which samples are told in seconds of stream time.

    Attributes
    ----------
    missing : int
        Samples missing so far, those with a garbled number among them.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.missing = 0
        self._events: deque[Event] = deque(maxlen=KEPT)

    def take(self) -> list[Event]:
        """Give what happened since the last call, and forget it."""
        events = list(self._events)
        self._events.clear()
        return events

    def tell(self, kind: Kind, message: str, at: int, **facts: object) -> None:
        """Note an event at a sample."""
        self._events.append(Event(kind, message, at / self._rate, facts))

    def counter(self, said: str | None, at: int) -> None:
        """Note what became known of the counter, if anything did."""
        if said is not None:
            self.tell("counter", said, at)

    def gap(self, samples: int, witness: str, at: int, *, sure: bool) -> None:
        """Count missing samples and say who saw it."""
        self.missing += samples
        seconds = samples / self._rate
        about = "" if sure else "about "
        self.tell(
            "gap",
            f"{about}{samples} samples missing ({seconds:.2f} s) by {witness}",
            at,
            samples=samples,
            seconds=seconds,
            witness=witness,
            sure=sure,
        )

    def odd(self, found: Arrangement, at: int) -> None:
        """Say what was odd about rows, and count those that are missing for it."""
        count = found.states.count
        self.missing += count(GARBLED)
        odd: tuple[tuple[Kind, int, str], ...] = (
            ("duplicate", found.doubled, "came twice and left out"),
            ("swap", found.swapped, "put back in order"),
            ("stale", count(STALE), "with old values in some channels, which count as missing"),
            ("garbled", count(GARBLED), "with a number that makes no sense, counted as missing"),
            ("garbled", found.dropped, "with a number that makes no sense, and no place: left out"),
        )
        for kind, samples, what in odd:
            if samples:
                rows = "1 row" if samples == 1 else f"{samples} rows"
                self.tell(kind, f"{rows} {what}", at, samples=samples)

    def unshown(self, seconds: float, at: int) -> None:
        """Say that time passed which the counter does not show."""
        self.tell(
            "contradiction",
            f"{seconds:.1f} s passed that the counter does not show: it is believed, and the data "
            "are late",
            at,
            seconds=seconds,
        )

    def unpassed(self, jump: int | None, seconds: float, at: int) -> None:
        """Say that the counter shows what time does not; None where it shows nothing."""
        said = "does not go on" if jump is None else f"jumps by {jump} samples"
        self.tell(
            "contradiction",
            f"the counter {said} while {seconds:.2f} s are missing: time is believed",
            at,
            samples=jump,
            seconds=seconds,
        )
