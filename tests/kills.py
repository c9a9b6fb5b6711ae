"""Kill -9 whoever writes, again and again, and look at what is left. A program of its own.

``python tests/kills.py WHAT FOLDER KILLS SEED`` prints what it found as JSON; WHAT is ``jsonl``,
``rotated``, ``long`` or ``recording``. Each victim is a fork, so that a kill costs milliseconds
and no import; it counts what it has finished in memory that outlives it.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bioxedge import recording
from bioxedge.runtime.events import Event
from bioxedge.runtime.sinks.base import RunInfo
from bioxedge.runtime.sinks.jsonl import JsonLinesSink
from bioxedge.signals import Channel, Recording

RUN = RunInfo(labels=("rest", "stress"), bundle="b", source="kills", rate=64.0)
# What a line is made of; a line of predictions has 500 to 1500 bytes.
TEXT = "x" * 1500
# Longer than a page, so that a kill can tear it and opening has something to mend.
LONG = "x" * 9000


class Count:
    """A number in memory that is shared with forks."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 8)

    def set(self, value: int) -> None:
        """Write it."""
        self._map[:8] = struct.pack("q", value)

    def get(self) -> int:
        """Read it."""
        return int(struct.unpack("q", self._map[:8])[0])


def kill(victim: Callable[[], None], done: Count, delay: float, at_line: int | None = None) -> bool:
    """Fork, run the victim and kill it ``delay`` seconds after it has finished something.

    With ``at_line`` it kills itself as that line of our own code is reached, counted from 0;
    gives whether it lived to its end.
    """
    begun = done.get()
    pid = os.fork()
    if not pid:
        try:
            if at_line is not None:
                sys.settrace(_trace(at_line))
            victim()
        finally:
            os._exit(0)
    if at_line is None:
        limit = time.monotonic() + 10
        while done.get() == begun and time.monotonic() < limit:
            time.sleep(0.0002)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == 0


def _trace(at_line: int):
    """Count lines of bioxedge, and die at one of them."""
    left = at_line

    def step(frame, event, _):
        nonlocal left
        if "bioxedge/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return step

    return step


# -- JSON lines ---------------------------------------------------------------------------


def write_lines(
    path: Path, done: Count, rotate: str | None, lines: int | None = None, text: str = TEXT
) -> None:
    """Append numbered events, on from the last one that is there."""
    sink = JsonLinesSink(path, rotate=rotate)
    sink.open(RUN)
    number = done.get()
    end = None if lines is None else number + lines
    while number != end:
        sink.emit(Event("gap", text[: number % (len(text) + 1)], facts={"number": number}))
        number += 1
        done.set(number)
    sink.close()


def lines_of(folder: Path, *, mended: bool) -> tuple[list[int], int]:
    """Read the numbers of all files in order, and how many files end in half a line.

    Every line but a last one without its end must be whole; ``mended``, that one, too.
    """

    def order(path: Path) -> int:
        middle = path.name.removeprefix("x").removesuffix("jsonl").strip(".")
        return int(middle) if middle else 10**9

    numbers, torn = [], 0
    for path in sorted(folder.glob("x*jsonl"), key=order):
        *whole, last = path.read_bytes().split(b"\n")
        torn += bool(last)
        assert not (mended and last), f"{path} ends in {last[:80]!r}"
        about = [json.loads(line) for line in whole]
        assert not about or about[0]["kind"] == "run"
        numbers += [one["number"] for one in about if one["kind"] == "event"]
    return numbers, torn


def check_lines(folder: Path, done: Count) -> int:
    """Hold what is there against what was finished; give how many lines are torn."""
    numbers, torn = lines_of(folder, mended=False)
    assert numbers == list(range(len(numbers))), "a line is missing or out of order"
    assert len(numbers) - done.get() in (0, 1), f"{done.get()} written, {len(numbers)} there"
    done.set(len(numbers))  # a kill between the write and the count
    return torn


def kill_lines(
    folder: Path, kills: int, seed: int, rotate: str | None, text: str = TEXT
) -> dict[str, int]:
    """Kill a writer of lines at random moments; look after each."""
    chance, done, torn = random.Random(seed), Count(), 0
    path = folder / "x.jsonl"
    for _ in range(kills):
        kill(lambda: write_lines(path, done, rotate, text=text), done, chance.uniform(0, 0.008))
        torn += check_lines(folder, done)
    write_lines(path, done, rotate, lines=1)  # opens after the last kill, and mends
    numbers, _ = lines_of(folder, mended=rotate is None)
    return {
        "kills": kills,
        "lines": len(numbers),
        "torn": torn,
        "longest": len(text),
        "files": len(list(folder.glob("x*jsonl"))),
    }


def kill_at_every_line_of_a_sink(folder: Path, rotate: str | None) -> dict[str, int]:
    """Let a writer that opens and writes 15 lines die at every line of our code in turn."""
    done, at, kills, torn = Count(), 0, 0, 0
    path = folder / "x.jsonl"
    while not kill(lambda: write_lines(path, done, rotate, lines=15), done, 0, at):
        torn += check_lines(folder, done)
        kills += 1
        at += 1 + at // 15  # dense where it opens, thinner in the writing that repeats
    return {"kills": kills, "torn": torn}


# -- recordings ---------------------------------------------------------------------------


def taken(number: int) -> Recording:
    """Give a recording in which everything says its number."""
    samples = np.full((2, 500 + 37 * (number % 50)), float(number))
    channels = (Channel("a"), Channel("b"))
    return Recording(samples, 64.0, channels, "ppg", f"p{number}", float(number))


def save_for_ever(folder: Path, done: Count) -> None:
    """Replace a recording by the next one, and again."""
    while True:
        number = done.get() + 1
        recording.save(taken(number), folder)
        done.set(number)


def check_recording(folder: Path, done: Count) -> bool:
    """Load; it is the last one that was finished or the next. Give whether a save was torn."""
    found = recording.load(folder)
    number = int(found.t0)
    assert number - done.get() in (0, 1), f"{done.get()} saved, {number} there"
    assert found.person == f"p{number}"
    assert np.array_equal(found.samples, taken(number).samples)
    done.set(number)
    return len(list(folder.iterdir())) > 2


def kill_saves(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill a writer of recordings at random moments; look after each."""
    chance, done, torn = random.Random(seed), Count(), 0
    recording.save(taken(0), folder)
    for _ in range(kills):
        kill(lambda: save_for_ever(folder, done), done, chance.uniform(0, 0.008))
        torn += check_recording(folder, done)
    recording.save(taken(0), folder)
    assert len(list(folder.iterdir())) == 2
    return {"kills": kills, "saves": done.get(), "torn": torn}


def kill_at_every_line_of_save(folder: Path) -> dict[str, int]:
    """Let one save die at every line of our code in turn."""
    done, at, torn = Count(), 0, 0
    recording.save(taken(0), folder)
    while not kill(lambda: recording.save(taken(done.get() + 1), folder), done, 0, at):
        torn += check_recording(folder, done)
        at += 1
    return {"kills": at, "torn": torn}


def main(what: str, folder: str, kills: str, seed: str) -> None:
    """Do what is asked."""
    there = Path(folder)
    if what == "recording":
        found = kill_saves(there / "random", int(kills), int(seed))
        every = kill_at_every_line_of_save(there / "every")
    else:
        rotate = "12kB" if what == "rotated" else None
        for name in ("random", "every"):
            (there / name).mkdir(parents=True)
        text = LONG if what == "long" else TEXT
        found = kill_lines(there / "random", int(kills), int(seed), rotate, text)
        every = {} if what == "long" else kill_at_every_line_of_a_sink(there / "every", rotate)
    print(json.dumps({"random": found, "every": every}))


if __name__ == "__main__":
    main(*sys.argv[1:])
