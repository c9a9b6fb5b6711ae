"""What one process is asked to measure, and what it answers; and how it is started.

Every figure comes from a process of its own, so that none inherits another's memory, threads or
luck with addresses. The asking process only waits, and looks at the machine once a second.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from bioxedge.errors import BundleError

# What a process's first moment is taken at, before anything is imported.
CODE = "import time; began = time.monotonic_ns(); from bioxedge.measuring.child import main; main(began)"  # noqa: E501

STAGES = ("drain", "stages", "engine", "decision", "sink")
"""What a window's latency is made of, in order."""

Kind = Literal["prove", "closed", "open", "parts", "soak"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure.

    Attributes
    ----------
    kind : {"prove", "closed", "open", "parts", "soak"}
    bundle : str
        Its directory.
    variant, threads, provider
        Which cell of the sweep.
    windows : int
        To be timed, after the warm-up.
    hop : float
        Seconds from one window to the next (open loop).
    seconds : float
        How long to go on (soak).
    spawned : int
        Monotonic nanoseconds at which the process was started.
    """

    kind: Kind
    bundle: str
    variant: str
    threads: int
    provider: str
    windows: int = 0
    hop: float = 0.0
    seconds: float = 0.0
    spawned: int = 0


class Cold(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from a process's start to its first answer, and what they went into.

    ``interpreter`` ends with the first line of Python, ``imports`` with everything that
    ``bioxedge run`` imports, ``bundle`` with all files read and checked, ``session`` with a model
    that is ready, ``window`` with the first answer. Files are in the page cache where they were
    read before.
    """

    interpreter: float
    imports: float
    bundle: float
    session: float
    window: float
    total: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident bytes: after the first answer, after all of them, and the most there ever was."""

    first: int
    rest: int
    peak: int


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """That a variant gives the golden answers here; ``why`` not, where it does not."""

    passed: bool
    difference: float | None = None
    agreement: float | None = None
    why: str | None = None


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """One process's closed loop: the engine alone, window after window, in milliseconds."""

    ms: list[float]
    warmup: int
    provider: str
    cold: Cold
    memory: Memory
    cpu_seconds: float
    seconds: float
    onnxruntime: str


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """One process's open loop, in milliseconds, a figure for each window.

    Attributes
    ----------
    latency : list of float
        From the moment at which a window's last sample was due to its line in the sink.
    age : list of float
        From there to the prediction, which is what a prediction says of itself.
    stages : dict of str to list of float
        What latency is made of: ``drain`` (until the loop has read the sample), ``stages``,
        ``engine``, ``decision`` and ``sink``.
    gc_ms : list of float
        Pauses of Python's collector.
    unasked : int
        Windows that the model was not asked about, in no figure here.
    preempted : int
        How often the kernel took the processor away.
    """

    hop: float
    latency: list[float]
    age: list[float]
    stages: dict[str, list[float]]
    warmup: int
    unasked: int
    provider: str
    memory: Memory
    cpu_seconds: float
    seconds: float
    gc_ms: list[float]
    preempted: int


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds a window inside the engine, by part, from ONNX Runtime's own profile.

    Attributes
    ----------
    ms : dict of str to float
        ``source``, ``bridge``, ``tail``, ``head``; empty where the names do not tell.
    by_position : float
        Share of that time in nodes that the runtime made up, told by where they ran.
    windows : int
    why : str or None
        Why there is nothing.
    """

    ms: dict[str, float]
    by_position: float
    windows: int
    why: str | None = None


Answer = TypeVar("Answer", Proven, Closed, Opened, Parts)


class ChildError(BundleError):
    """A process that measured did not come to its end."""


def ask(task: Task, answer: type[Answer], *, line: Callable[[Any], None] | None = None) -> Answer:
    """Measure something in a process of its own.

    Parameters
    ----------
    task : Task
    answer : type
        What it gives.
    line : callable, optional
        Is given what a long measurement says meanwhile.

    Raises
    ------
    ChildError
        It failed; says how in one line.
    """
    words = msgspec.structs.replace(task, spawned=time.monotonic_ns())
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        # A group of its own: Ctrl-C is for whoever asks, who then ends it.
        child = subprocess.Popen(
            [sys.executable, "-c", CODE, msgspec.json.encode(words).decode()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            last = _listen(child, line)
            code = child.wait()
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            if child.stdout is not None:
                child.stdout.close()
        errors.seek(0)
        said = errors.read()
    if last is None or "answer" not in last:
        why = (last or {}).get("error") or _end(code, said)
        raise ChildError(f"{task.variant} on {task.provider}, {task.threads} threads: {why}")
    return msgspec.convert(last["answer"], answer)


def _listen(
    child: subprocess.Popen[str], line: Callable[[Any], None] | None
) -> dict[str, Any] | None:
    """Read what it says, line by line; give the last word."""
    last = None
    for text in child.stdout or ():
        try:
            last = json.loads(text)
        except ValueError:  # a library printed something
            continue
        if line is not None and isinstance(last, dict) and "now" in last:
            line(last["now"])
    return last if isinstance(last, dict) else None


def _end(code: int, said: str) -> str:
    """Say how a process ended that gave no answer."""
    how = f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    lines = said.strip().splitlines()
    return f"{how}: {lines[-1][:300]}" if lines else how
