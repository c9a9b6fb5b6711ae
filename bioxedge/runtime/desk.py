"""Where records are given out: to the tally, and to every sink that still works."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bioxedge.errors import SinkError
from bioxedge.runtime.events import Event
from bioxedge.runtime.prediction import Prediction
from bioxedge.runtime.sinks import runner
from bioxedge.runtime.sinks.base import RunInfo, Sink
from bioxedge.runtime.tally import Tally
from bioxedge.signals import Chunk


class Desk:
    """Gives every record to the tally and to every sink that still works."""

    def __init__(self, info: RunInfo, tally: Tally) -> None:
        self._info = info
        self._runners: list[runner.SinkRunner] = []
        self.tally = tally
        self.failures = tally.failures

    def open(self, sinks: Sequence[Sink], *, patience: float, hurry: Callable[[], bool]) -> None:
        """Open every sink; one that cannot be opened is an error at once."""
        for sink in sinks:
            made = runner.SinkRunner(sink, patience=patience, hurry=hurry)
            self._runners.append(made)
            made.start(self._info)

    def emit(self, record: Prediction | Event) -> None:
        """Pass one record on."""
        self.tally.add(record)
        for one in self._runners:
            one.emit(record)

    def signal(self, chunk: Chunk) -> None:
        """Pass samples on to the sinks that want them."""
        for one in self._runners:
            one.signal(chunk)

    def look(self) -> None:
        """Wake who wants samples; tell the sinks of one that failed, or has something to say.

        Raises
        ------
        SinkError
            None is left.
        """
        for one in list(self._runners):
            one.wake()
            for event in one.take_events():
                self.emit(event)
            failure = one.take_failure()
            if failure is None:
                continue
            self._runners.remove(one)
            self.failures.append(str(failure))
            if not self._runners:
                raise SinkError("; ".join(self.failures))
            self.emit(Event("sink_failed", str(failure), facts={"sink": one.name}))

    def close(self) -> None:
        """Let every sink finish what it was given, within a bound."""
        runner.close(self._runners)
        for one in self._runners:
            for event in one.take_events():  # said at the very end: nobody else takes it any more
                self.tally.add(event)
            if one.failed is not None:
                self.failures.append(str(one.failed))
            elif one.left_out:
                self.failures.append(
                    f"{one.name} was too slow: {one.left_out} records were left out of it"
                )
