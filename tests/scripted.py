"""A scripted board at BrainFlow's boundary, on clocks that run as fast as they are told.

A script is what a driver would push: rows, each with the moment at which it reaches the host. The
board stands where ``BoardShim`` stands, so everything above it is the product.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from bioxedge.errors import SourceError
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources import boards
from bioxedge.runtime.sources.brainflow import BrainFlowSource


class FieldClock(SimulatedClock):
    """Clocks of a host in the field.

    Parameters
    ----------
    polls : iterable of float
        Seconds that the reader really sleeps, one after another, whatever it asked for.
    steps : sequence of (float, float)
        When the wall clock is set, in seconds from now, and by how much.
    """

    def __init__(
        self, polls: Iterable[float] = (0.005,), steps: Sequence[tuple[float, float]] = ()
    ) -> None:
        super().__init__()
        self._polls: Iterator[float] = cycle(polls)
        self.begin = self.monotonic_ns() / 1e9
        self._steps = sorted(steps)
        self._done = 0

    def sleep(self, seconds: float) -> None:
        super().sleep(next(self._polls))
        while self._done < len(self._steps) and self._steps[self._done][0] <= self.seconds:
            self.step(self._steps[self._done][1])
            self._done += 1

    @property
    def seconds(self) -> float:
        """Seconds since this clock was made."""
        return self.monotonic_ns() / 1e9 - self.begin

    def wall(self, at: np.ndarray) -> np.ndarray:
        """Unix time at moments of the past, in seconds since this clock was made."""
        now = np.asarray(at, float)
        later = sum(((now < when) * by for when, by in self._steps[: self._done]), np.zeros(()))
        return self.time() - self.seconds + now - later


@dataclass
class Script:
    """Rows as a driver pushes them.

    Attributes
    ----------
    index : ndarray of int
        Which sample each row truly is.
    number : ndarray of float
        What its counter says.
    at : ndarray of float
        Seconds after the start at which it reaches the host; never falling.
    values : ndarray of float, optional
        One value a row; the true index where left out.
    stamp : ndarray of float, optional
        Seconds after the start that its stamp is made of; ``at`` where left out.
    ready : ndarray of float, optional
        Seconds after the start from which it can be drained; ``at`` where left out. A board that
        parses at ``at`` and is read later is one thing, a radio that is late another.
    """

    index: np.ndarray
    number: np.ndarray
    at: np.ndarray
    values: np.ndarray | None = None
    stamp: np.ndarray | None = None
    shapes: dict[int, np.ndarray] = field(default_factory=dict)


class ScriptedBoard:
    """What BrainFlow's ``BoardShim`` does, from a script."""

    def __init__(self, script: Script, layout: boards.Layout, clock: FieldClock) -> None:
        self.script, self.layout, self.clock = script, layout, clock
        self.calls: list[str] = []
        self.rows = np.array(list(layout.channels.values()))
        self.given = 0
        self.began = 0.0

    def prepare_session(self) -> None:
        self.calls.append("prepare_session")

    def config_board(self, command: str) -> str:
        self.calls.append(f"config_board {command}")
        return ""

    def start_stream(self, ring: int) -> None:
        self.calls.append("start_stream")
        self.began = self.clock.seconds
        self.given = 0

    def stop_stream(self) -> None:
        self.calls.append("stop_stream")

    def release_session(self) -> None:
        self.calls.append("release_session")

    def get_board_data(self, *, preset: int) -> np.ndarray:
        assert preset == self.layout.preset_id
        script, now = self.script, self.clock.seconds - self.began
        end = int(np.searchsorted(script.at, now + 1e-9, side="right"))
        if end <= self.given:
            return np.zeros((self.layout.width, 0))
        part = slice(self.given, end)
        self.given = end
        table = np.zeros((self.layout.width, part.stop - part.start))
        values = script.index if script.values is None else script.values
        table[self.rows] = values[part] + self.rows[:, None] / 64
        for row, shape in script.shapes.items():
            table[row] = shape[part]
        stamps = script.at if script.stamp is None else script.stamp
        table[self.layout.counter] = script.number[part]
        table[self.layout.stamp] = self.clock.wall(stamps[part] + self.began)
        return table

    @property
    def over(self) -> bool:
        """Whether every row was given."""
        return self.given >= len(self.script.at)


class ScriptedSource(BrainFlowSource):
    """The product's source on a scripted board; it ends some time after the last row."""

    def __init__(
        self,
        script: Script,
        *,
        board: str,
        preset: str = "default",
        channels: tuple[str, ...] | None = None,
        clock: FieldClock,
        tail: float = 1.0,
        **options,
    ) -> None:
        layout = boards.layout(board, preset)
        self.scripted = ScriptedBoard(script, layout, clock)
        names = tuple(layout.channels)[:1] if channels is None else channels
        super().__init__(
            board,
            channels=names,
            rate=layout.rate,
            preset=preset,
            clock=clock,
            factory=lambda number, params: self.scripted,
            stall=options.pop("stall", 1e9),
            **options,
        )
        self._tail, self._over = tail, None

    def read(self):
        chunk = super().read()
        if self.scripted.over and not chunk.samples.shape[1]:
            now = self._host.seconds
            self._over = now if self._over is None else self._over
            if now - self._over > self._tail:
                return None
        return chunk


def drive(source, clock, *, every=None):
    """Read a source to its end as the run loop does; give all chunks that hold samples."""
    chunks = []
    with source:
        while True:
            chunk = source.read()
            if chunk is None:
                break
            if chunk.samples.shape[1]:
                chunks.append(chunk)
            else:
                clock.sleep(0.005)
            if every is not None:
                every(chunk)
    return chunks


def truth(chunks) -> tuple[np.ndarray, np.ndarray]:
    """Indices and first channel's values of all samples."""
    index = np.concatenate([np.arange(c.first, c.end) for c in chunks])
    return index, np.concatenate([c.samples[0] for c in chunks])


__all__ = ["FieldClock", "Script", "ScriptedBoard", "ScriptedSource", "SourceError", "drive"]
