"""When the run loop looks at a source: late looks are late windows."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_bundle import make_bundle, pulse

from bioxedge.runtime import JsonLinesSink, Stream, loop
from bioxedge.runtime.hostclock import SimulatedClock
from bioxedge.runtime.sources.base import Managed
from bioxedge.runtime.waiting import CLOSE, POLL, Waiting
from bioxedge.signals import Chunk


class Board(Managed):
    """Gives samples in packets, a while after they were taken, on a simulated clock."""

    name, waits, loss = "board", True, 0

    def __init__(self, bundle, clock, jitter):
        self.channels, self.rate = bundle.manifest.input.names, bundle.manifest.input.rate
        self._samples = pulse(1, 64 * 40, self.rate)
        self._late = np.random.default_rng(1).uniform(0, jitter, self._samples.shape[1] // 8)
        self._clock, self._given, self.looks = clock, 0, 0

    def start(self):
        self._began = self._clock.monotonic_ns()

    def read(self):
        self.looks += 1
        now, first = self._clock.monotonic_ns(), self._given
        if first >= self._samples.shape[1]:
            return None
        due = self._began + round(((first + 8) / self.rate + self._late[first // 8]) * 1e9)
        end = first + 8 if now >= due else first
        self._given = end
        return Chunk(self._samples[:, first:end], first, self.rate, arrived=due, acquired=due)


def delays(tmp_path, jitter):
    """Milliseconds from a window's arrival to its answer, and how often was looked."""
    clock = SimulatedClock()
    bundle = make_bundle(tmp_path / "b")
    board, found = Board(bundle, clock, jitter), []

    class Sink(JsonLinesSink):
        def emit(self, record):
            if hasattr(record, "latency"):
                found.append(1e3 * record.latency)

    stream = Stream(bundle, clock=clock)
    loop.run(board, stream, [Sink(tmp_path / "lines")], clock=clock)
    return found, board.looks


def test_windows_that_come_at_a_steady_pace_are_not_waited_for(tmp_path):
    found, looks = delays(tmp_path, 0.0)
    assert len(found) > 30 and max(found) <= 1e3 * POLL
    assert max(found[3:]) <= 1e3 * CLOSE + 1e-6
    assert looks < 1.3 * 40 / POLL  # at a price that hardly shows


def test_windows_that_come_when_they_like_are_no_later_than_before(tmp_path):
    found, looks = delays(tmp_path, 0.08)
    assert len(found) > 30 and max(found) <= 1e3 * POLL + 1e-6
    assert looks < 1.3 * 40 / POLL


def test_nothing_is_expected_before_there_is_a_pace():
    waiting = Waiting()
    assert waiting.seconds(0) == POLL
    waiting.completed(10**9)
    assert waiting.seconds(2 * 10**9) == POLL
    waiting.completed(2 * 10**9)
    looks = [waiting.seconds(ms * 10**6) for ms in (2500, 2987, 2995, 3005, 3015)]
    assert looks == pytest.approx([POLL, 0.003, CLOSE, CLOSE, POLL])
