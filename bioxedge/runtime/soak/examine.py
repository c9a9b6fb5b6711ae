"""Holds what a run said, window by window, against what really was.

Every window that a run gives is cut again from the true samples, with NaN exactly where a fault
removed them, started at the same sample, and compared to the last bit.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from bioxedge.bundle import Bundle
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.soak.truth import Truth
from bioxedge.signals import Chunk
from bioxedge.windows import Window

Category = Literal[
    "equal", "settled", "flagged", "abstained", "unknown", "absent", "partly", "wrong"
]
CATEGORIES: tuple[Category, ...] = get_args(Category)
# What is left of a spoiled stretch in a filter, as a share of a window's deviation, that passes
# for settled: the same part in a thousand that a filter's warm-up leaves, and some room.
SETTLED = 0.01
# A label over a window of which more than this was spoiled is a lie.
SPOILED = 0.5
# Events that say why a window is not there.
_REASONS = {"gap", "restart", "missing", "reconnect", "stall", "late", "garbled", "sink_failed"}
_EXAMPLES = 20


def digest(samples: npt.NDArray[np.float32]) -> bytes:
    """Give a window's fingerprint."""
    return hashlib.blake2b(np.ascontiguousarray(samples).data, digest_size=16).digest()


class Reference:
    """Windows cut from the truth, from one anchor on."""

    def __init__(
        self, bundle: Bundle, samples: Callable[[int, int], npt.NDArray[np.float64]], anchor: int
    ) -> None:
        self._cutter = bundle.windows()
        self._samples, self._rate = samples, bundle.manifest.input.rate
        self._pushed = anchor
        self._ready: deque[Window] = deque()

    def find(self, start: float, known: int) -> Window | None:
        """Give the window that starts there (seconds), from samples before ``known``."""
        while self._ready and float(self._ready[0].start) / self._rate < start:
            self._ready.popleft()
        while not self._ready and self._pushed < known:
            end = min(known, self._pushed + max(round(4 * self._rate), 1))
            samples = self._samples(self._pushed, end)
            self._ready.extend(self._cutter.push(Chunk(samples, self._pushed, self._rate)))
            self._pushed = end
            while self._ready and float(self._ready[0].start) / self._rate < start:
                self._ready.popleft()
        if self._ready and float(self._ready[0].start) / self._rate == start:
            return self._ready[0]
        return None


@dataclass
class Found:
    """What was found, so far.

    Attributes
    ----------
    windows : Counter
        Expected windows, one each hop of the time, by category.
    by_kind : dict of str to Counter
        The same for the windows that a kind of fault touched; a window that several touched
        counts with each.
    needless : Counter
        Windows that no fault touched and that are not equal.
    causes : Counter
        Why windows are wrong.
    events : Counter
        What the run said, by kind.
    examples : list of dict
        The first wrong ones.
    """

    windows: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    needless: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)


class Examiner:
    """Takes a run's records in order and puts each expected window into a category.

    ``equal``: bitwise the fault-free window. ``settled``: bitwise what the sensor gave, and
    within :data:`SETTLED` of the fault-free one (a filter remembers a spoiled stretch).
    ``flagged``: says that samples are missing. ``abstained``: no label, with a reason.
    ``unknown``: not equal, and the source says that it cannot know. ``absent``: not given, and
    an event says why. ``partly``: labelled, though some of it, at most :data:`SPOILED`, is
    spoiled. ``wrong``: none of these.

    Parameters
    ----------
    bundle : Bundle
    truth : Truth
    """

    def __init__(self, bundle: Bundle, truth: Truth) -> None:
        self._bundle, self._truth = bundle, truth
        about = bundle.manifest
        self._rate = about.input.rate
        position = _position(bundle)
        self._lead = position(0)  # from a stream's first sample to its first window
        self._hop = position(about.window.hop) - self._lead
        self._length = position(about.window.length) - self._lead
        self._reference: Reference | None = None
        self._clean: Reference | None = None
        self._given: dict[int, tuple[Category, str]] = {}
        self._events: deque[tuple[float, float, Event]] = deque()
        self._next = 0  # the first expected window that is not settled yet
        self._zero: Fraction | None = None
        self.heard = 0.0  # the end of the last window that was given, in samples
        self.digests: deque[bytes] = deque()
        self.found = Found()

    def take(self, records: list[Prediction | Event], known: int) -> None:
        """Examine records; the run had all samples before ``known`` and no other."""
        if self._zero is None and self._truth.placements:
            self._zero = self._truth.placements[0].claimed + self._lead
        for record in records:
            if isinstance(record, Event):
                self._hear(record)
            else:
                self._examine(record, known)
                self.heard = max(self.heard, record.t_end * self._rate)

    def settle(self, until: float) -> None:
        """Put the expected windows that end before ``until`` (samples) into their categories."""
        if self._zero is None:
            return
        while (start := self._zero + self._next * self._hop) + self._length <= until:
            self._count(self._next, float(start))
            self._next += 1
        behind = float(self._zero + self._next * self._hop) - self._reach()
        while self._events and self._events[0][1] < behind:
            self._events.popleft()
        self._truth.forget(math.floor(behind))

    @property
    def hop(self) -> float:
        """Samples from one window to the next."""
        return float(self._hop)

    @property
    def margin(self) -> float:
        """Samples after a window's end after which nothing more is said of it."""
        return float(2 * self._length + 4 * self._hop + self._lead) + 4 * self._rate

    def _reach(self) -> float:
        return float(self._length + self._lead + 2 * self._hop) + 4 * self._rate

    def _hear(self, event: Event) -> None:
        """Keep an event and the samples that it explains."""
        self.found.events[event.kind] += 1
        if event.kind not in _REASONS or event.t is None:
            return
        at, samples = event.t * self._rate, float(event.facts.get("samples", 0) or 0)
        self._events.append((at - samples, at + samples, event))

    def _examine(self, said: Prediction, known: int) -> None:
        """Compare one window with the truth."""
        assert self._zero is not None
        asked = self.digests.popleft() if said.asked else None
        expected = self._find(said.t_start, known)
        category, why = self._judge(said, asked, expected)
        away = (said.t_start * self._rate - float(self._zero)) / float(self._hop)
        number = math.floor(away + 0.5 + 1e-9)  # halves all go the same way: no two to one place
        before = self._given.get(number)
        if before is None or CATEGORIES.index(before[0]) < CATEGORIES.index(category):
            self._given[number] = (category, why)

    def _find(self, start: float, known: int) -> Window | None:
        """Find the window in the truth, started where the run started."""
        for _ in range(2):
            if self._reference is not None:
                window = self._reference.find(start, known)
                if window is not None:
                    return window
            anchor = round(start * self._rate - float(self._lead))
            self._reference = Reference(self._bundle, self._truth.delivered, anchor)
            self._clean = Reference(self._bundle, self._truth.present, anchor)
        return None

    def _judge(
        self, said: Prediction, asked: bytes | None, expected: Window | None
    ) -> tuple[Category, str]:
        """Put a window that was given into a category."""
        flagged = said.gap > 0 or (said.loss or 0) > 0
        if said.said is None:
            return ("abstained", "") if said.reason else ("wrong", "no label and no reason")
        same = expected is not None and asked == digest(expected.samples)
        if not same:
            if flagged:
                return "flagged", "other samples"
            if said.loss is None:
                return "unknown", ""
            return "wrong", "other samples" if expected else "no such window"
        assert expected is not None
        if expected.filled != said.gap:
            return "wrong", f"another gap: {expected.filled} samples, it says {said.gap}"
        share = self._truth.spoiled(expected.start, expected.end)
        if share > SPOILED:
            return "wrong", f"labelled though spoiled: {share:.0%} of it"
        if flagged:
            return "flagged", ""
        if share:
            return "partly", f"{share:.0%} of it is spoiled"
        return self._echo(expected)

    def _echo(self, expected: Window) -> tuple[Category, str]:
        """Look for what a spoiled stretch left in the filters."""
        if not self._truth.spoils or self._clean is None:
            return "equal", ""
        clean = self._clean.find(float(expected.start) / self._rate, self._truth.known)
        if clean is None or clean.samples.tobytes() == expected.samples.tobytes():
            return "equal", ""
        spread = np.maximum(clean.samples.std(axis=1, keepdims=True), 1e-30)
        off = float((np.abs(clean.samples - expected.samples) / spread).max())
        if off <= SETTLED:
            return "settled", f"off by {off:.1e} of its deviation"
        return "wrong", f"a filter still remembers: off by {off:.2g} of its deviation"

    def _count(self, number: int, start: float) -> None:
        """Settle one expected window."""
        end = start + float(self._length)
        near = start - float(self._lead + self._hop), end + float(self._hop)
        category, why = self._given.pop(number, ("absent", ""))
        if category == "absent" and not any(
            begin <= near[1] and last >= near[0] for begin, last, _ in self._events
        ):
            category, why = "wrong", "absent, and nothing says why"
        self.found.windows[category] += 1
        kinds = self._truth.kinds(*near)
        for kind in kinds:
            self.found.by_kind.setdefault(kind, Counter())[category] += 1
        if category != "equal" and not kinds:
            self.found.needless[category] += 1
        if category == "wrong":
            self.found.causes[why.partition(":")[0]] += 1
            if len(self.found.examples) < _EXAMPLES:
                self.found.examples.append(
                    {"start": start / self._rate, "why": why, "faults": sorted(kinds)}
                )


def _position(bundle: Bundle) -> Callable[[int], Fraction]:
    """Where a streamed sample stands among the inputs since a start."""
    from bioxedge.dsp import Stages

    about = bundle.manifest
    return Stages(about.stream.stages, about.input).position
