"""Several runs in one process, each supervised alone: one that fails does not stop another.

Every run has a thread of its own. One that fails is told in a line and started again after a
while, with sinks made anew; the sensor, and every other run, goes on.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bioxedge.errors import BioxedgeError, SourceError
from bioxedge.runtime import loop
from bioxedge.runtime.loop import Late
from bioxedge.runtime.sinks.base import BaseSink, RunInfo
from bioxedge.runtime.stream import Stream
from bioxedge.runtime.systemd import Beats, Watchdog
from bioxedge.runtime.tally import Tally
from bioxedge.runtime.tee import View

FIRST, LONGEST = 1.0, 60.0
"""Seconds until a failed run is started again: the first time, and at most."""

WELL = 60.0
"""Seconds after which a run that goes on is well again."""

LOOK = 0.02
"""Seconds between two looks at a sensor that nobody else may be reading."""

ENDING = 30.0
"""Seconds that all runs have to end in order."""

Say = Callable[[str], None]


@dataclass
class Job:
    """One run of a site.

    Attributes
    ----------
    name : str
    source : View
    stream : Stream
        Whose engine was made before anything streams.
    sinks : callable
        Makes the sinks, anew for each start.
    info : RunInfo
    late : {"all", "latest"}
    seconds : float or None
        Of signal, then it ends.
    tally : Tally
        Of the present start, or the last.
    outputs : list of BaseSink
        The sinks of the present start.
    failures : int
        How often it failed.
    error : str
        Why it is not running; empty where it is, or ended well.
    """

    name: str
    source: View
    stream: Stream
    sinks: Callable[[], list[BaseSink]]
    info: RunInfo
    late: Late = "latest"
    seconds: float | None = None
    tally: Tally = field(default_factory=Tally)
    outputs: list[BaseSink] = field(default_factory=list)
    failures: int = 0
    error: str = ""


class Site:
    """Runs jobs until they end or it is told to stop.

    Parameters
    ----------
    jobs : sequence of Job
        Names distinct.
    say : callable
        Told each failure, in one line.
    watchdog : Watchdog, optional
    first, longest : float, optional
        Seconds until a failed run is started again.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        say: Say,
        *,
        watchdog: Watchdog | None = None,
        first: float = FIRST,
        longest: float = LONGEST,
    ) -> None:
        self.jobs = list(jobs)
        self._say = say
        self._delays = first, longest
        self._stop = threading.Event()
        self._watchdog = watchdog or Watchdog()
        self._beats = Beats(self._watchdog)
        self._random = random.Random()
        live = {id(job.source.tee): job.source.tee for job in jobs if not job.source.waits}
        for tee in live.values():  # it may end between a look and the start of a run
            tee.once = True
        # A run that fails at once must not be the only one on its sensor, which would end with it.
        self._held = {key: threading.Event() for key in live}
        self._keepers = [
            threading.Thread(
                target=self._hold, args=(tee.view(name="site"), self._held[key]), daemon=True
            )
            for key, tee in live.items()
        ]
        self._threads = [
            threading.Thread(target=self._keep, args=(job,), name=f"run {job.name}", daemon=True)
            for job in self.jobs
        ]

    def run(self) -> None:
        """Run all of them; a signal's exception, raised here, ends them in order and goes on."""
        beats = {job.name: self._beats.of(job.name) for job in self.jobs}
        self._beat = beats
        try:
            for thread in (*self._threads, *self._keepers):
                thread.start()
            while any(thread.is_alive() for thread in self._threads):
                self._beats.look()
                for thread in self._threads:
                    if thread.is_alive():
                        thread.join(0.2)
                        break
        finally:
            self._watchdog.stopping()
            self.stop()

    def stop(self) -> None:
        """End all runs in order, within :data:`ENDING` seconds."""
        self._stop.set()
        limit = time.monotonic() + ENDING
        for keeper in self._keepers:
            if keeper.ident is not None:
                keeper.join(max(limit - time.monotonic(), 0.0))
        for job, thread in zip(self.jobs, self._threads, strict=True):
            if thread.ident is None:
                continue
            thread.join(max(limit - time.monotonic(), 0.0))
            if thread.is_alive():
                job.error = f"did not end within {ENDING:g} s: is a sink or its board blocked?"

    def _hold(self, view: View, held: threading.Event) -> None:
        """Keep a sensor streaming, and recorded, while those who run on it are down."""
        while not self._stop.is_set() and any(thread.is_alive() for thread in self._threads):
            try:
                try:
                    view.start()
                finally:
                    held.set()  # or it does not start, which the runs on it say
                while not self._stop.is_set() and any(one.is_alive() for one in self._threads):
                    chunk = view.read()
                    view.take_events()
                    if chunk is None:
                        return
                    if not chunk.samples.shape[1]:
                        self._stop.wait(LOOK)
            except SourceError:  # the runs on it say so
                self._stop.wait(self._delays[0])
            finally:
                view.close()

    def _keep(self, job: Job) -> None:
        """Run one job, again and again where it fails."""
        delay, held = self._delays[0], self._held.get(id(job.source.tee))
        try:
            while held is not None and not held.wait(LOOK):
                if self._stop.is_set():
                    return
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    self._once(job)
                    return
                except BioxedgeError as error:
                    job.error = str(error)
                except Exception as error:  # of a source or a model of somebody's own
                    job.error = f"{type(error).__name__}: {error}"
                job.failures += 1
                if self._stop.is_set():
                    return
                if job.source.over or job.source.waits:  # it would be begun from the front
                    self._say(f"{job.name} failed: {job.error}")
                    return
                if time.monotonic() - began > WELL:
                    delay = self._delays[0]
                wait = delay * (1 - self._random.random() / 2)
                self._say(f"{job.name} failed: {job.error}; it is started again in {wait:.0f} s")
                self._wait(job, wait)
                if job.source.over:
                    return
                delay = min(delay * 2, self._delays[1])
        finally:
            self._beats.leave(job.name)

    def _once(self, job: Job) -> None:
        """Run one job until it ends."""
        job.tally = Tally()
        job.stream.reset()
        job.outputs = job.sinks()
        loop.run(
            job.source,
            job.stream,
            job.outputs,
            info=job.info,
            seconds=job.seconds,
            late=job.late,
            tally=job.tally,
            stop=self._stop,
            watchdog=self._beat[job.name],
        )
        job.error = ""

    def _wait(self, job: Job, seconds: float) -> None:
        """Wait, and be known to be alive."""
        limit = time.monotonic() + seconds
        while not self._stop.is_set() and (left := limit - time.monotonic()) > 0:
            self._beats.note(job.name, ready=True)
            self._stop.wait(min(left, 1.0))
