"""What a step took: seconds of the clock and memory at most, kept beside what it made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bioxedge.atomic import write_file
from bioxedge.spec import Struct

_SELF = Path("/proc/self")
_RESET = "5"  # what makes Linux forget how much memory a process held at most


class Took(Struct, frozen=True):
    """What a step took.

    ``seconds`` are of the clock on the machine that did it, over all runs that were stopped by
    hand; what a killed run did is not known. ``memory`` is the most MiB that the process held
    meanwhile, libraries and mapped windows with them; None where the system does not say.
    """

    seconds: float
    memory: float | None = None
    done: bool = True


@contextmanager
def measured(path: Path | None, state: Path) -> Iterator[None]:
    """Measure what is done within, and write it down, also where it is stopped.

    Parameters
    ----------
    path : Path or None
        Where it is kept; None where another process measures.
    state : Path
        Where an unfinished run keeps how far it came: one that is there goes on, and what it took
        counts; one that was stopped without is done anew.
    """
    if path is None:
        yield
        return
    earlier = read(path) if state.exists() else None
    _forget_most()
    began = time.monotonic()
    done = False
    try:
        yield
        done = True
    finally:
        seconds, most = time.monotonic() - began, _most()
        if earlier is not None and not earlier.done:
            seconds += earlier.seconds
            most = most and max(most, earlier.memory or 0.0)
        if done or state.exists():
            facts = msgspec.to_builtins(Took(round(seconds, 3), most, done))
            with suppress(OSError):  # a full disk is told by the step itself
                write_file(path, json.dumps(facts).encode() + b"\n")


def read(path: Path) -> Took | None:
    """Read what was written down; None where there is nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Took)
    except (OSError, msgspec.DecodeError):
        return None


def _forget_most() -> None:
    """Let the most that this process ever held count from now on; Linux only."""
    with suppress(OSError):
        (_SELF / "clear_refs").write_text(_RESET)


def _most() -> float | None:
    """Give the most MiB that this process held since."""
    try:
        for line in (_SELF / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    return None
