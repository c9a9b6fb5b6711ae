"""Kill -9 whoever records, again and again, and look at what is left. A program of its own.

``python tests/kills_record.py FOLDER KILLS SEED`` prints what it found as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
from kills import Count, kill

from bioxedge import recorded, recording
from bioxedge.errors import RecordingError
from bioxedge.runtime import record, recordlog
from bioxedge.runtime.events import Event
from bioxedge.runtime.sources.base import Managed
from bioxedge.signals import Chunk

RATE, CHANNELS = 20000.0, 32  # a read is longer than a page, so that a kill can tear it
GOES_ON = 8  # takes in a folder


class Counting(Managed):
    """A sensor whose samples say their number; it counts those that it gave."""

    name, channels, rate = "counting", tuple(f"c{i}" for i in range(CHANNELS)), RATE

    def __init__(self, done, least=0.0, most=2**40):
        self.done, self.least, self.most, self.loss = done, least, most, 0

    def start(self):
        self.began, self.at = time.monotonic(), 0

    def read(self):
        if self.at >= self.most:
            return None
        end = max(int((time.monotonic() - self.began) * RATE), self.at + 1)
        numbers = np.arange(self.at, end, dtype=float)
        chunk = Chunk(
            np.tile(numbers, (CHANNELS, 1)), self.at, RATE, time.time(), time.monotonic_ns()
        )
        self.at = end
        self.done.set(end)
        return chunk

    def take_events(self):
        return [Event("gap", "x" * (self.at % 3000), 0.0)] if self.at % 3 == 0 else []


def write(folder, done, every=None, reads=2**40):
    """Record, until killed or for so many reads; threads are traced like the main one."""
    if every is not None:
        recordlog.EVERY = every
    if sys.gettrace() is not None:
        threading.settrace(sys.gettrace())
    done.set(0)
    with record.Recorded(Counting(done), folder, keep_free=0) as source:
        while reads > 0:
            source.read()
            source.take_events()
            if done.get() % 7 == 0:
                source.mark("seven")
            reads -= 1
            time.sleep(0.002)


def check(folder, done, before):
    """Hold what is there against what was given; gives samples lost and whether a frame is torn.

    ``before`` are the takes that were there already: not a sample of them may be gone.
    """
    stream = folder / "source"
    if not recorded.streams(folder):
        assert not before, "a recording vanished"
        return 0, False
    try:
        reader = recorded.Reader(stream)
    except RecordingError:
        assert not before, "a recording cannot be opened"
        assert all(part.stat().st_size < 200 for part in stream.glob("part-*"))
        return 0, False
    found = []
    for take in reader.takes:
        reads = [one for one in take.reads() if isinstance(one, recorded.Read)]
        assert not take.lost
        numbers = np.concatenate([one.chunk.samples[-1] for one in reads] or [np.empty(0)])
        assert np.array_equal(numbers, np.arange(len(numbers))), "a sample is missing or moved"
        found.append(len(numbers))
    assert found[: len(before)] == before, "what was written before changed"
    assert len(found) - len(before) in (0, 1)
    mine = found[-1] if len(found) > len(before) else 0
    lost = done.get() - mine
    assert 0 <= lost <= RATE, f"{done.get()} given, {mine} there"
    torn = bool(reader.takes[-1].torn)
    before[:] = found
    if sum(found):
        assert np.isfinite(recording.load(stream).samples).any()
    return lost, torn


def kill_recorders(folder, kills, seed):
    """Kill a recorder at random moments; look after each."""
    chance, done, torn, lost = random.Random(seed), Count(), 0, []
    before: list[int] = []
    for number in range(kills):
        if number % GOES_ON == 0:
            before = []
        there = folder / f"s{number // GOES_ON}"
        every = 0.005 if number % 2 else None  # as it is, and as often as it hurts
        kill(lambda: write(there, done, every), done, chance.uniform(0, 0.05 if every else 0.25))  # noqa: B023
        some, half = check(there, done, before)
        lost.append(some / RATE)
        torn += half
    return {"kills": kills, "torn": torn, "longest_lost": round(max(lost), 3)}


def kill_at_every_line(folder):
    """Let a recorder that opens, writes and ends die at every line of our code in turn."""
    done, at, kills, lives = Count(), 0, 0, 0
    while not lives:
        there = folder / f"s{kills}"
        lives = kill(lambda: write(there, done, 0.002, 12), done, 0, at)  # noqa: B023
        check(there, done, [])
        kills += 1
        at += 1 + at // 12
    return {"kills": kills}


def main(folder, kills, seed):
    """Do what is asked."""
    there = Path(folder)
    found = kill_recorders(there / "random", int(kills), int(seed))
    print(json.dumps({"random": found, "every": kill_at_every_line(there / "every")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
