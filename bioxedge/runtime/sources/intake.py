"""Arrays that somebody pushes: checked, and numbered by what comes with them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioxedge.errors import SignalError
from bioxedge.runtime.sources.counters import Floats, Pattern
from bioxedge.runtime.sources.stamping import Stamping

MOST = 2**24  # values in one push
_PART = 0.5  # seconds of a long packet that are numbered at once
_AGAIN = 8  # packets, or samples, by which a counter may go back before it has come round
_TURNS = (2**8, 2**16, 2**32, 2**53)
COUNTED = Pattern(None, stamps="unknown")
BLIND = Pattern(None, blind=True, stamps="unknown")


class Packet(NamedTuple):
    """What was pushed at once, numbered.

    Attributes
    ----------
    samples : ndarray of float64, shape [channels, n]
    numbers : ndarray of float64, shape [n]
    arrived : int
        Monotonic nanoseconds.
    counts : bool
        Whether the numbers show a loss.
    said : tuple of str
        What was odd about it.
    """

    samples: Floats
    numbers: Floats
    arrived: int
    counts: bool
    said: tuple[str, ...] = ()


class Intake:
    """Checks and numbers what is pushed.

    Parameters
    ----------
    channels : int
    rate : float
        Nominal rate in Hz.
    pattern : Pattern, optional
        How the counter goes, where it comes round.
    """

    def __init__(self, channels: int, rate: float, pattern: Pattern | None = None) -> None:
        self._channels, self._pattern = channels, pattern
        self._rate, self._stamping = rate, Stamping(rate)
        self._kind: str | None = None
        self._count = math.nan  # the counter of the packet or sample before
        self._next = 0  # number of the next sample
        self._size = 0  # samples in a packet

    def take(
        self,
        samples: npt.ArrayLike,
        stamps: npt.ArrayLike | None,
        counter: npt.ArrayLike | None,
        arrived: int,
    ) -> list[Packet]:
        """Number what was pushed at once: one packet, or several where each sample has a stamp.

        Raises
        ------
        SignalError
            An array of another shape, or no numbers; stamps or counter that do not fit to it, or
            that come when none came before. Nothing was taken then.
        """
        values = self._samples(samples)
        n = values.shape[1]
        kind = "stamps" if stamps is not None else "a counter" if counter is not None else "neither"
        if stamps is not None and counter is not None:
            raise SignalError("push takes stamps or a counter, got both: the counter is better")
        if self._kind not in (None, kind):
            raise SignalError(
                f"this stream was pushed with {self._kind} so far, now with {kind}: use one of "
                "them throughout, or reset"
            )
        if stamps is not None:
            when = _along(stamps, n, "stamps")
            self._kind = kind
            if np.ndim(stamps):
                # A long packet's own first stamps tell what the later ones are held to.
                step = max(round(_PART * self._rate), 1)
                parts = [slice(at, at + step) for at in range(0, max(n, 1), step)]
                return [self._stamped(values[:, one], when[one], arrived) for one in parts]
            return [self._stamped(values, when, arrived)]
        if counter is not None:
            each = _along(counter, n, "counter")
            whole = np.ndim(counter) == 0
            last = float(np.asarray(counter)) if whole else each[-1] if n else 0.0
            if not np.isfinite(last) or last < 0:
                raise SignalError(f"a counter is a number from 0 on, got {last}")
            self._kind = kind
            return [self._counted(values, each, last if whole else None, arrived)]
        self._kind = kind
        numbers = self._next + np.arange(n, dtype=np.float64)
        self._next += n
        return [Packet(values, numbers, arrived, False)]

    def _samples(self, samples: npt.ArrayLike) -> Floats:
        """Copy samples into float64 [channels, n]."""
        try:
            given = np.asarray(samples)
            if given.dtype.kind not in "fiub":
                raise ValueError
            values = np.array(given, dtype=np.float64, order="C")
        except (ValueError, TypeError):
            raise SignalError(
                "push takes a Chunk or an array of numbers [channels, n]; got "
                f"{type(samples).__name__}"
            ) from None
        if values.ndim == 1 and self._channels == 1:
            values = values[None]
        if values.ndim != 2 or values.shape[0] != self._channels:
            raise SignalError(
                f"samples are [channels, n] with {self._channels} channels, got shape "
                f"{list(values.shape)}"
            )
        if values.size > MOST:
            raise SignalError(f"{values.size} values at once: push at most {MOST}")
        return values

    def _stamped(self, values: Floats, stamps: Floats, arrived: int) -> Packet:
        stamping = self._stamping
        steps, counted = stamping.steps, stamping.counts
        numbers, _ = stamping.take(stamps, arrived / 1e9)
        said: tuple[str, ...] = ()
        if stamping.steps != steps:
            said = ("the sender's clock was set, or its stamps do not go on: the line begins anew",)
        # Numbers that were made while nothing counted show no loss, whatever is known since.
        return Packet(values, numbers, arrived, counted and stamping.counts, said)

    def _counted(
        self, values: Floats, counter: Floats, number: float | None, arrived: int
    ) -> Packet:
        """Number by a counter: one for each sample, or a ``number`` for the packet."""
        n, whole = values.shape[1], number is not None
        if self._pattern is not None:
            numbers = counter if number is None else np.full(n, number)
            return Packet(values, numbers, arrived, True)
        if not n and not whole:
            return Packet(values, np.empty(0), arrived, True)
        if not whole:
            # A sample whose number is none stays one, to be told by those around it.
            known = np.where(np.isfinite(counter), counter, np.nan)
            numbers = np.empty(n)
            for at, each in enumerate(known.tolist()):
                gone = 1 if math.isnan(each) else _gone(self._count, each)
                numbers[at] = math.nan if math.isnan(each) else self._next + gone - 1
                self._next += gone
                self._count = self._count + 1 if math.isnan(each) else each
            return Packet(values, numbers, arrived, True)
        assert number is not None
        gone = _gone(self._count, number)
        if gone <= 0:
            said = f"packet {number:.0f} came again, or late: left out"
            return Packet(values[:, :0], np.empty(0), arrived, True, (said,))
        self._next += (gone - 1) * (self._size or n)
        numbers = self._next + np.arange(n, dtype=np.float64)
        self._next += n
        # An empty packet is one that came: its number counts, its size says nothing of others.
        self._count, self._size = number, n or self._size
        return Packet(values, numbers, arrived, True)

    def pattern(self, counts: bool) -> Pattern:
        """Say how the numbers go."""
        if self._kind == "a counter" and self._pattern is not None:
            return self._pattern
        return COUNTED if counts else BLIND


def _along(given: npt.ArrayLike, n: int, what: str) -> Floats:
    """One value a sample; NaN for those without one, where one is given for the packet's last."""
    try:
        values = np.array(given, dtype=np.float64)
    except (ValueError, TypeError):
        raise SignalError(f"{what} are numbers, got {type(given).__name__}") from None
    if values.ndim == 0:
        if not np.isfinite(values):
            raise SignalError(f"{what}: one for the packet must be finite, got {float(values)}")
        out = np.full(n, math.nan)
        if n:
            out[-1] = values
        return out
    if values.shape != (n,):
        raise SignalError(
            f"{what}: one a sample or one for all, got shape {list(values.shape)} for {n} samples"
        )
    return values


def _gone(before: float, number: float) -> int:
    """By how much a counter went on, where it comes round at a power of two of bytes."""
    if math.isnan(before):
        return 1
    gone = int(number - before)
    if gone >= -_AGAIN and not (gone < 0 and before + 1 in _TURNS):
        return gone
    turn = next(turn for turn in _TURNS if turn > max(before, number) or turn == _TURNS[-1])
    return gone % turn
