"""Samples in, predictions out: what a device does with a bundle."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError, SignalError
from bioxedge.quality import Judge, Verdict
from bioxedge.quality.measures import block_of
from bioxedge.runtime.adapting import Adapting, Keeper
from bioxedge.runtime.due import Due, told
from bioxedge.runtime.engine import Engine, Floats
from bioxedge.runtime.events import KEPT, Event
from bioxedge.runtime.hostclock import SYSTEM, HostClock
from bioxedge.runtime.notes import said
from bioxedge.runtime.prediction import Prediction, Quality
from bioxedge.runtime.sources.feed import Feed
from bioxedge.runtime.telling import Teller
from bioxedge.signals import Chunk
from bioxedge.windows import Window

__all__ = ["Due", "Prediction", "Stream"]


class Stream:
    """Takes chunks and gives predictions.

    Parameters
    ----------
    bundle : Bundle
    engine : Engine, optional
        Made from the bundle where it is left out.
    clock : HostClock, optional
    wearer : Keeper, optional
        Knows the wearer's baseline from before and keeps it (:mod:`bioxedge.runtime.wearers`).
        Without one every stream begins with a stranger.

    Attributes
    ----------
    bundle : Bundle

    Examples
    --------
    ::

        stream = Stream(Bundle.open("ppg-alarm"))
        for prediction in stream.push(chunk):
            print(prediction.said or prediction.reason)
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        engine: Engine | None = None,
        clock: HostClock = SYSTEM,
        wearer: Keeper | None = None,
    ) -> None:
        self.bundle = bundle
        self.engine = Engine(bundle) if engine is None else engine
        self._clock = clock
        self._windows = bundle.windows()
        self._judge = bundle.judge()
        self._teller = Teller(bundle)
        about = bundle.manifest
        self._adapting = None if about.features is None else Adapting(about, wearer)
        self._value = about.output.value
        self._word = "label" if self._value is None else "value"
        self._rate = about.input.rate
        self._hop = about.window.hop / self._windows.rate
        self._least = 0.0 if about.quality is None else about.quality.min_real
        self._clear()

    def _clear(self) -> None:
        """Stand before the first sample."""
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._run = self._blind_until = 0
        self._answered = self._abstaining = False
        self._spoiled: str | None = None  # what was wrong with the window before
        self._bad_until = 0  # absolute sample one past the last bad window
        self._settled = 0  # the run whose start was looked at
        channels = len(self.bundle.manifest.input.channels)
        self._feed, self._chunked = Feed(channels, self._rate, clock=self._clock), False

    @property
    def gaps(self) -> dict[str, int]:
        """Samples ``filled`` and ``lost``, and ``restarts``, since the start."""
        return self._windows.gaps

    @property
    def hop(self) -> float:
        """Seconds of signal from one window to the next."""
        return self._hop

    def reset(self) -> None:
        """Forget everything, as if new; what its keeper knows of the wearer it knows again."""
        self._windows.reset()
        if self._judge is not None:
            self._judge.reset()
        self._teller.reset()
        if self._adapting is not None:
            self._adapting.reset()
        self._clear()

    def take_events(self) -> list[Event]:
        """Give what happened since the last call, and forget it; the last 4,096 at most."""
        events = [*self._feed.take_events(), *self._events]
        self._events.clear()
        return events

    def push(
        self,
        samples: Chunk | npt.ArrayLike,
        *,
        stamps: npt.ArrayLike | None = None,
        counter: npt.ArrayLike | None = None,
    ) -> list[Prediction]:
        """Take samples; give a prediction for each window that they complete.

        Parameters
        ----------
        samples : Chunk, or array of shape [channels, n], or [n] for one channel
            One stream takes one or the other. An array's place is told by what comes with it.
        stamps : float or array of shape [n], optional
            Seconds on the sender's own clock, of each sample or of the last.
        counter : int or array of shape [n], optional
            Rises by one a sample, or by one a packet. Without either, losses are not known.

        Raises
        ------
        SignalError
            What does not fit, or was pushed before: the stream is left as it was. Or values that
            float32 cannot hold; or, at first, a signal that the bundle cannot be for.
        BundleError
            The model failed, or answered with something that is no probability, or no value.
        """
        if isinstance(samples, Chunk):
            if self._feed.begun or stamps is not None or counter is not None:
                raise SignalError("a chunk goes with no stamps, counter or arrays: reset before")
            self._chunked = True
            return [self.answer(due) for due in self.take(samples)]
        if self._chunked:
            raise SignalError("this stream took chunks so far, now an array: reset before")
        now = self._clock.monotonic_ns()
        for packet in self._feed.intake.take(samples, stamps, counter, now):
            self._feed.put(packet)
        return self._pushed()

    def flush(self) -> list[Prediction]:
        """Give what waits for the arrays after it: no more will come."""
        self._feed.flush()
        return self._pushed()

    def _pushed(self) -> list[Prediction]:
        chunks = self._feed.chunks()
        return [self.answer(due) for chunk in chunks for due in self.take(chunk)]

    def take(self, chunk: Chunk) -> list[Due]:
        """Take a chunk; give the windows that it completes, to be answered or left out.

        Raises
        ------
        SignalError
            Another rate or number of channels, or samples that were pushed before: the stream
            is left as it was.
        """
        # Values beyond float32 are refused with the answer, by name, instead of by a warning.
        with np.errstate(over="ignore"):
            windows = self._windows.push(chunk)
            if self._judge is not None:
                self._judge.push(chunk)
            if not chunk.loss_known:
                self._blind_until = chunk.end
            due = self._judged(windows, chunk)
        self._events += [said(note, self._rate) for note in self._windows.take_notes()]
        return due

    def _judged(self, windows: list[Window], chunk: Chunk) -> list[Due]:
        """Judge windows; after bad ones, begin afresh in the first good one.

        Filters remember what the judge condemned, long after the last bad sample: a good window
        right behind it would not be what training saw.
        """
        judge = self._judge
        if judge is None:
            return [self._due(window, None, chunk) for window in windows]
        due: list[Due] = []
        waiting = deque(windows)
        while waiting:
            window = waiting.popleft()
            verdict = judge.verdict(window.start, window.end)
            why = self._before(window, judge) if verdict.reason is None else None
            if verdict.reason is not None:
                self._bad_until = math.ceil(window.end)
            self._spoiled = verdict.reason
            if why is None:
                due.append(self._due(window, verdict, chunk))
                continue
            # Behind the bad window, and what a good one may still hold of the stretch before it.
            span = float(window.end - window.start)
            at = math.ceil(float(window.start) + judge.tolerated * span)
            at = min(max(at, self._bad_until), math.ceil(window.end))
            self._windows.rewind(at, why)
            again = replace(chunk, samples=judge.recent(at), first=at)
            waiting = deque(self._windows.push(again))
        return due

    def _before(self, window: Window, judge: Judge) -> str | None:
        """Say what the filters saw before a good window that they should not have seen.

        That is the window before it, or what they settled on at a start, which is in no window.
        """
        if not self._windows.remembers:
            return None
        if self._spoiled is not None:
            return self._spoiled
        first, self._settled = window.run != self._settled, window.run
        lead = math.ceil(window.start) - window.origin
        if not first or lead < block_of(self._rate):
            return None
        length = math.ceil(window.end) - math.ceil(window.start)
        return judge.verdict(window.origin, window.start, window=length).reason

    def _due(self, window: Window, verdict: Verdict | None, chunk: Chunk) -> Due:
        """Put beside a window what is known of it now."""
        arrived = chunk.arrived or self._clock.monotonic_ns()
        stretch = None if self._adapting is None else self._adapting.stretch(window)
        raw = None
        if stretch is not None and self._judge is not None:
            raw = self._judge.raw(*stretch)
        known = window.start >= self._blind_until
        return told(window, verdict, chunk, arrived, known=known, raw=raw)

    def answer(self, due: Due) -> Prediction:
        """Ask the model about one window, unless it is worth no question.

        Raises
        ------
        SignalError, BundleError
            See :meth:`push`.
        """
        window = due.window
        if window.run != self._run:
            self._run = window.run
            self._teller.reset()
        t_start, t_end = float(window.start) / self._rate, float(window.end) / self._rate
        real = 1.0 - window.filled / (math.ceil(window.end) - math.ceil(window.start))
        reason = self._unworthy(due, real)
        answer = None
        if reason is None:
            answer, reason = self._ask(due, t_start)
            self._answered = True
        others = self._teller.tell(answer, reason)
        main = others.pop("")
        self._note_abstention(main.reason, t_end)
        now = self._clock.monotonic_ns()
        return Prediction(
            label=main.label,
            probabilities=main.probabilities,
            t_start=t_start,
            t_end=t_end,
            t0=due.t0,
            due=due.arrived,
            latency=(now - due.arrived) / 1e9,
            age=(now - due.acquired) / 1e9,
            rate=due.rate if math.isfinite(due.rate) else None,
            quality=Quality(real, due.verdict),
            gap=window.filled,
            loss=window.filled if due.loss_known else None,
            reason=main.reason,
            value=main.value,
            answer=main.answer,
            quantity=main.quantity,
            others=others,
        )

    def _unworthy(self, due: Due, real: float) -> str | None:
        """Say why the model is not even asked; None where it is."""
        if real < self._least:
            return f"too little is real: {real:.0%} of the window, {self._least:.0%} are needed"
        if due.verdict is None or self._judge is None:
            return None
        if not self._answered:
            misfit = self._judge.misfit(due.verdict)
            if misfit is not None:
                raise SignalError(misfit)
        return due.verdict.reason

    def _ask(self, due: Due, t_start: float) -> tuple[Floats, str | None]:
        """Run the model on one window; give its numbers, those of all tasks.

        With it comes why it is not to be told: what is learnt of a wearer is learnt all the same.
        """
        samples, adapting = due.window.samples, self._adapting
        beside = None if adapting is None else adapting.beside(due.raw)
        if not np.isfinite(samples).all():
            raise SignalError(
                f"the window at {t_start:.2f} s holds values beyond float32: the sensor sends "
                "another unit than the bundle expects, or garbage"
            )
        # An engine of somebody's own need know nothing of what stands beside windows.
        run = self.engine.run
        answer = run(samples) if beside is None else run(samples, beside)
        if not np.isfinite(answer).all():
            what = "probabilities" if self._value is None else f"value of {self._value.name}"
            raise BundleError(
                f"the model answered {answer.tolist()} for the window at {t_start:.2f} s: these "
                f"are no {what}; check the bundle with bioxedge verify"
            )
        if adapting is None:
            return answer, None
        waiting = adapting.waiting
        adapting.learn(self.engine.features)
        return answer, waiting

    def _note_abstention(self, reason: str | None, t: float) -> None:
        """Say when labels, or values, cease and when they come again: those of the first task."""
        if reason is not None and not self._abstaining:
            said = f"no {self._word}: {reason}"
            self._events.append(Event("abstention_begins", said, t, {"reason": reason}))
        elif reason is None and self._abstaining:
            self._events.append(Event("abstention_ends", f"{self._word}s again", t))
        self._abstaining = reason is not None
