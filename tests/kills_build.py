"""Kill -9 a whole build, once or more in each of its steps, and let it go on. A program of its own.

``python tests/kills_build.py FOLDER KILLS SEED`` prints what it found as JSON: KILLS deaths in
every step, at lines of our own code drawn by SEED. Each victim is a fork of a process that has
imported everything and computed nothing.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import sklearn.linear_model  # noqa: F401 - for victims
import torch
from rich.console import Console
from test_recompute import WHOLE

from bioxedge.bridging import features, loop
from bioxedge.building import build
from bioxedge.building.progress import Steps
from bioxedge.exporting.onnx import to_onnx

START = "start"
MADE_EACH_TIME = ("Evaluated", "Exported")
"""Steps that are never kept; all others are done once, however often a build is killed."""
TOOK = re.compile(rb'"(seconds|memory_mib|window_ms)": [^,}\n]*')


class Lines:
    """Counts lines of bioxedge from a step's begin on; ends the process at one of them.

    Without a line to end at it writes down how many each step has, to whatever ``counts`` names.
    """

    def __init__(self, step: str = "", at: int | None = None, counts: Path | None = None) -> None:
        self.step, self.at, self.counts = step, at, counts
        self.now, self.seen = "", Counter()

    def enter(self, title: str) -> None:
        """Note that a step begins, or was found."""
        self.now = title
        if self.at is None or title == self.step:
            sys.settrace(self.trace)
            frame = sys._getframe(1)
            while frame is not None:  # who called must be traced, too: it has lines left
                if "bioxedge/" in frame.f_code.co_filename:
                    frame.f_trace = self.trace
                frame = frame.f_back

    def trace(self, frame, event: str, _):
        """Count a line, as ``sys.settrace`` tells it."""
        if "bioxedge/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            if self.at is not None and self.seen[""] >= self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.seen["" if self.at is not None else self.now] += 1
        return self.trace


@contextmanager
def watched(lines: Lines) -> Iterator[None]:
    """Tell when a step of a build begins or is found."""
    running, found = Steps.running, Steps.found

    @contextmanager
    def entered(self: Steps, title: str):
        lines.enter(title)
        with running(self, title) as told:
            yield told

    def already(self: Steps, title: str) -> None:
        lines.enter(title)
        found(self, title)

    Steps.running, Steps.found = entered, already
    lines.enter(START)
    try:
        yield
    finally:
        sys.settrace(None)
        Steps.running, Steps.found = running, found


def built(recipe: Path, out: Path, said: Path, lines: Lines | None = None) -> int:
    """Build in a fork; give how it ended. What was said is in a file, as far as it came."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            with said.open("w") as file:
                console = Console(file=file, width=400)
                with watched(lines or Lines(at=0)):
                    build(recipe, out, console=console)
            if lines is not None and lines.counts is not None:
                lines.counts.write_text(json.dumps(lines.seen))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(out: Path) -> dict[str, bytes]:
    """Give everything that a build leaves, but for the lock; of itself it knows where it lies.

    How long something took, here and now, is no part of what came out.
    """
    return {
        str(path.relative_to(out)): TOOK.sub(b"", path.read_bytes().replace(bytes(out), b"OUT"))
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and path.name != "lock"
        and not path.match("*.took")
        and not path.name.startswith("times-")
    }


def ticks(said: Path) -> dict[str, bool]:
    """Give each step that a build ended, and whether it had to be done."""
    lines = [line.strip() for line in said.read_text().splitlines()]
    ended = [line.removeprefix("✓ ").rpartition(" (") for line in lines if line.startswith("✓ ")]
    return {title: how != "already done)" for title, _, how in ended}


def warm() -> None:
    """Import what a build imports while it runs: a victim would take seconds for it."""
    to_onnx(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval(), 1, 4)


def main(folder: str, kills: str, seed: str) -> None:
    """Kill builds, and print what was found."""
    warm()
    there, chance = Path(folder), random.Random(int(seed))
    recipe = there / "recipe.toml"
    recipe.write_text(WHOLE)
    loop._SAVE_EVERY = features._FLUSH_EVERY = 0.0
    import_module("bioxedge.building.forecast")._TIMED = 0.01
    counts, whole, said = there / "lines.json", there / "whole", there / "said.txt"
    assert built(recipe, whole, said, Lines(counts=counts)) == 0, said.read_text()
    wanted, steps = content(whole), json.loads(counts.read_text())
    out, died, done = there / "killed", Counter(), Counter()
    for step, length in steps.items():
        for _ in range(int(kills)):
            ended = built(recipe, out, said, Lines(step, chance.randrange(length)))
            assert ended in (0, -signal.SIGKILL), said.read_text()
            died[step] += ended != 0
            done += Counter(title for title, did in ticks(said).items() if did)
            assert "damaged" not in said.read_text()
    assert built(recipe, out, said) == 0, said.read_text()
    done += Counter(title for title, did in ticks(said).items() if did)
    found = content(out)
    print(json.dumps({
        "died": died,
        "again": [one for one, n in done.items() if n > 1 and not one.startswith(MADE_EACH_TIME)],
        "odd": sorted(set(found) ^ set(wanted)),
        "other": [name for name in found if name in wanted and found[name] != wanted[name]],
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
