"""What can go wrong between a sensor and this process, and when: written down or drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioxedge.errors import SourceError


@dataclass(frozen=True)
class Kind:
    """One way to fail.

    Attributes
    ----------
    about : str
        One line for people.
    size : str
        What the size means and its unit; empty where there is none.
    sizes, seconds : (float, float)
        Where a random one lies (drawn evenly in the logarithm).
    spoils : bool
        Whether rows come with wrong values; else rows are missing, late or told wrongly.
    """

    about: str
    size: str = ""
    sizes: tuple[float, float] = (1.0, 1.0)
    seconds: tuple[float, float] = (0.0, 0.0)
    spoils: bool = False


KINDS: dict[str, Kind] = {
    "loss": Kind("rows are lost; the board goes on at once", "rows", (1, 3000)),
    "silence": Kind("nothing comes and what was sent is lost", seconds=(0.5, 60)),
    "stall": Kind("rows come late and at once, none is lost", seconds=(0.3, 20)),
    "pause": Kind("this process does not read for a while", seconds=(0.3, 20)),
    "duplicate": Kind("a packet comes again", "times", (1, 2)),
    "swap": Kind("two packets come in the wrong order"),
    "garble": Kind("a packet's counter is garbage"),
    "disconnect": Kind("the board goes, and is out of reach for a while", seconds=(0.5, 60)),
    "rate": Kind("the sensor's rate is off", "percent", (0.05, 2.5)),
    "clock": Kind("the wall clock is set", "seconds", (0.5, 3.5e6)),
    "nan": Kind("values that are none", seconds=(0.02, 30), spoils=True),
    "rail": Kind("a channel sits at its rail", seconds=(5, 60), spoils=True),
    "flat": Kind("a channel stands still", seconds=(5, 60), spoils=True),
    "contact": Kind("a channel has lost contact: hum and noise", seconds=(5, 60), spoils=True),
    "unit": Kind("a channel comes in another unit", "gain", (1e3, 1e6), (5, 60), spoils=True),
}
"""Every kind of fault, by name."""

TRANSPORT = tuple(name for name, kind in KINDS.items() if not kind.spoils)
"""Kinds that leave the values alone."""

# Percent by which a sensor's rate wanders about its own.
_WANDER = 0.02
# Where the drawn sign may be either.
_SIGNED = ("rate", "clock")


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    kind : str
        A name in :data:`KINDS`.
    at : float
        Seconds after the first start, on the host's monotonic clock.
    size : float, optional
        What the kind says: rows, times, percent, seconds of the wall clock, gain.
    seconds : float, optional
        How long it lasts; a rate that lasts 0 stays.
    channel : int, optional
        The row of the samples that is spoiled; all of them if left out.

    Raises
    ------
    SourceError
        A kind that is not there, or figures that no clock or board could have.
    """

    kind: str
    at: float
    size: float = 1.0
    seconds: float = 0.0
    channel: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.kind not in KINDS:
            raise SourceError(f"there is no fault {self.kind!r}: there are {', '.join(KINDS)}")
        if not (math.isfinite(self.at) and self.at >= 0 and math.isfinite(self.size)):
            raise SourceError(
                f"a {self.kind} of size {self.size} at {self.at} s: both must be finite, "
                "the time 0 or later"
            )
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise SourceError(f"a {self.kind} of {self.seconds} s: it must be 0 s or longer")
        if self.kind in ("loss", "duplicate") and self.size < 1:
            raise SourceError(f"a {self.kind} of {self.size:g}: it must be 1 or more")
        if self.kind == "rate" and abs(self.size) >= 50:
            raise SourceError(f"a rate that is {self.size:g} % off: it must be less than 50 %")

    @property
    def spoils(self) -> bool:
        """Whether rows come with wrong values."""
        return KINDS[self.kind].spoils


_FAULT = re.compile(
    r"(?P<kind>[a-z]+)(?P<parts>(:[-+]?[0-9.e+]+(s|%|x)?)*)(/(?P<channel>\d+))?(@(?P<at>[0-9.e+]+)s?)?"
)


def parse(text: str, *, spacing: float = 60.0) -> list[Fault]:
    """Read faults from text.

    ``KIND[:SIZE][:SECONDSs][/CHANNEL][@TIMEs]``, separated by commas: ``loss:64@120s``,
    ``stall:5s``, ``rate:-2%:600s``, ``unit:1000x:30s/0``, ``clock:-3600s``. A fault without a
    time comes ``spacing`` seconds after the one before.

    Raises
    ------
    SourceError
        Text that says something else.
    """
    found: list[Fault] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _FAULT.fullmatch(part)
        if match is None:
            raise SourceError(
                f"{part!r} is no fault: write KIND[:SIZE][:SECONDSs][/CHANNEL][@TIMEs], such as "
                "loss:64@120s"
            )
        kind, size, seconds = match["kind"], 1.0, 0.0
        for number in match["parts"].split(":")[1:]:
            value = _number(number.rstrip("s%x"), part)
            if number.endswith("s") and kind != "clock":
                seconds = value
            else:
                size = value
        before = found[-1].at + found[-1].seconds if found else 0.0
        at = before + spacing if match["at"] is None else _number(match["at"], part)
        channel = None if match["channel"] is None else int(match["channel"])
        found.append(Fault(kind, at, size, seconds, channel))
    return sorted(found, key=lambda fault: fault.at)


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SourceError(f"{text!r} in {where!r} is no number: write one such as 2.5") from error


def draw(
    count: int,
    seconds: float,
    *,
    channels: int,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
    quiet: float = 30.0,
    rate: float = 250.0,
) -> list[Fault]:
    """Draw faults at random; the same ones for the same arguments.

    Kinds take turns in a random order, so that each comes equally often. Times are random, so
    some overlap. A sensor is off its rate from the beginning and wanders by a little afterwards,
    as an oscillator does.

    Parameters
    ----------
    count : int
    seconds : float
        Over how much time they are spread.
    channels : int
        How many there are to spoil; one or all of them are.
    seed : int, optional
    kinds : sequence of str, optional
    quiet : float, optional
        Seconds without a fault at the beginning.
    rate : float, optional
        Nominal rate in Hz; bounds a loss to a minute.

    Raises
    ------
    SourceError
        A kind that is not there.
    """
    odd = [kind for kind in kinds if kind not in KINDS]
    if odd:
        raise SourceError(f"there is no fault {odd[0]!r}: there are {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, count])
    order: list[str] = []
    while len(order) < count:
        order.extend(rng.permutation(list(kinds)).tolist())
    times = np.sort(rng.uniform(quiet, max(seconds, quiet), count))
    found: list[Fault] = []
    off: float | None = None
    for kind, at in zip(order, times.tolist(), strict=False):
        about = KINDS[kind]
        low, high = about.sizes
        size = _even(rng, low, min(high, 60 * rate) if kind == "loss" else high)
        if about.size in ("rows", "times"):
            size = float(round(size))
        if kind in _SIGNED and rng.random() < 0.5:
            size = -size
        if kind == "rate":
            at = 0.0 if off is None else at
            off = size if off is None else off
            size = off + rng.uniform(-_WANDER, _WANDER)
        which = int(rng.integers(-1, channels)) if about.spoils else -1
        found.append(
            Fault(kind, at, size, _even(rng, *about.seconds), None if which < 0 else which)
        )
    return sorted(found, key=lambda fault: fault.at)


def _even(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly in the logarithm; 0 where there is nothing to draw."""
    if high <= 0:
        return 0.0
    return math.exp(rng.uniform(math.log(low), math.log(high)))
