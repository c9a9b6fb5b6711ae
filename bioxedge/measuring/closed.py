"""The closed loop: the engine alone, the next window as soon as the last one is answered.

This is what other benchmarks time, and what variants are compared by. It hides stalls: whatever
holds a window up holds the next one's start up, too. What a wearer waits for is in the open loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioxedge.measuring.tasks import Closed, Cold, Memory, Task

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine

WARMUP = 10
"""Windows before those that are timed."""


def closed(task: Task, began: int) -> Closed:
    """Start as ``bioxedge run`` does, then time windows.

    Parameters
    ----------
    task : Task
    began : int
        Monotonic nanoseconds at this process's first line.
    """
    cold, bundle, engine = start(task, began)
    first = resident()
    import onnxruntime

    windows = bundle.golden.windows
    for index in range(WARMUP):
        engine.run(windows[index % len(windows)])
    clock, spent = time.perf_counter_ns, time.process_time()
    took: list[int] = []
    wall = time.monotonic()
    for index in range(task.windows):
        window = windows[index % len(windows)]
        before = clock()
        engine.run(window)
        took.append(clock() - before)
    wall = time.monotonic() - wall
    return Closed(
        ms=[round(ns / 1e6, 5) for ns in took],
        warmup=WARMUP,
        provider=engine.provider,
        cold=cold,
        memory=memory(first),
        cpu_seconds=time.process_time() - spent,
        seconds=wall,
        onnxruntime=onnxruntime.__version__,
    )


def soak(task: Task, say: Callable[[Any], None]) -> Closed:
    """Go on for so many seconds; say each second's times, so that none is lost to Ctrl-C."""
    bundle, engine = made(task)
    import onnxruntime

    windows = bundle.golden.windows
    clock = time.perf_counter_ns
    began = second = time.monotonic()
    spent, count, took = time.process_time(), 0, []
    while True:
        before = clock()
        engine.run(windows[count % len(windows)])
        took.append(round((clock() - before) / 1e6, 4))
        count += 1
        now = time.monotonic()
        if now - second >= 1.0:
            say({"t": time.time(), "ms": took})
            second, took = now, []
        if now - began >= task.seconds:
            break
    zero = Cold(interpreter=0, imports=0, bundle=0, session=0, window=0, total=0)
    return Closed(
        ms=[], warmup=0, provider=engine.provider, cold=zero, memory=memory(0),
        cpu_seconds=time.process_time() - spent, seconds=now - began,
        onnxruntime=onnxruntime.__version__,
    )  # fmt: skip


def start(task: Task, began: int) -> tuple[Cold, Bundle, Engine]:
    """Do all that ``bioxedge run`` does up to its first answer, step by step."""
    import bioxedge.cli  # noqa: F401  what the command imports before it knows its verb
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine, Stream, Tally, loop, make_sink  # noqa: F401
    from bioxedge.signals import Chunk

    imported = time.monotonic_ns()
    bundle = Bundle.open(task.bundle)
    opened = time.monotonic_ns()
    engine = Engine(bundle, task.variant, task.threads, [task.provider])
    ready = time.monotonic_ns()
    stream = Stream(bundle, engine=engine)
    piece = bundle.golden.raw[0]
    for due in stream.take(Chunk(piece, 0, bundle.manifest.input.rate)):
        if stream.answer(due).asked:
            break
    else:  # no golden window of the first piece is one that a device would ask about
        engine.run(bundle.golden.windows[0])
    moments = (task.spawned, began, imported, opened, ready, time.monotonic_ns())
    steps = [(b - a) / 1e6 for a, b in pairwise(moments)]
    total = (moments[-1] - moments[0]) / 1e6
    names = ("interpreter", "imports", "bundle", "session", "window")
    return Cold(**dict(zip(names, steps, strict=True)), total=total), bundle, engine


def made(task: Task) -> tuple[Bundle, Engine]:
    """Open the bundle, and make the engine that a task asks for."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine

    bundle = Bundle.open(task.bundle)
    return bundle, Engine(bundle, task.variant, task.threads, [task.provider])


def resident() -> int:
    """Resident bytes of this process, now."""
    return _status("VmRSS")


def memory(first: int) -> Memory:
    """Resident bytes now and at most; ``first`` is what was seen before."""
    return Memory(first=first, rest=resident(), peak=_status("VmHWM"))


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return 0
