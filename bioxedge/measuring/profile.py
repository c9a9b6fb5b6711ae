"""What each part of two models costs on this machine, in the engine that will run them here.

Every part of a kit is run in turn, again and again: a slow moment falls on all of them, and
between two runs of a part the others pass through the caches, as they do in a whole model. What
a kit holds once for several blocks would make its round smaller than the models are; as many
bytes more are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from bioxedge import __version__
from bioxedge.errors import BundleError
from bioxedge.kit import Kit
from bioxedge.measuring.machine import NOW, bits, machine, reading
from bioxedge.profilefile import Measured, Memory, Profile, Setting, Timing
from bioxedge.runtime.session import Session, cores

REPEATS = 40
WARM = 3
"""Rounds that are run and not counted."""
SWEEP = 64 * 2**20
"""At most so many bytes are read between two parts: more than the caches of any board."""

Report = Callable[[int, int], None]
Clock = Callable[[], float]


def quiet(done: int, total: int) -> None:
    """Tell nobody."""


def profile(
    kit: Kit,
    *,
    threads: Sequence[int] = (1,),
    providers: Sequence[str] = ("cpu",),
    repeats: int = REPEATS,
    report: Report = quiet,
    clock: Clock = time.perf_counter,
) -> Profile:
    """Measure every part of a kit on this machine.

    Parameters
    ----------
    kit : Kit
    threads : sequence of int
    providers : sequence of str
        Short names, see :func:`bioxedge.runtime.session.available`.
    repeats : int
        Runs of each part that count.
    report : callable, optional
        Told how many of how many rounds are done.
    clock : callable, optional
        Gives seconds; ``time.thread_time`` where a busy machine runs one thread.

    Raises
    ------
    BundleError
        A part that the engine refuses, more threads than cores, or a provider that is not here.
    """
    if beyond := [count for count in threads if not 1 <= count <= cores()]:
        raise BundleError(
            f"{beyond[0]} threads were asked for, this process may use {cores()} cores: "
            f"ask for 1 to {cores()}"
        )
    settings = [Setting(provider=each, threads=count) for each in providers for count in threads]
    total = len(settings) * (repeats + WARM)
    heard = [reading()]
    process = _resident()
    runs, working = [], None
    for at, setting in enumerate(settings):
        sessions, took = _opened(kit, setting)
        working = working or took

        def told(done: int, before: int = at * (repeats + WARM)) -> None:
            report(before + done, total)

        times = _rounds(sessions, _left_out(kit), repeats, told, clock)
        runs.append(
            Measured(
                setting=setting,
                times={name: _timing(times[name]) for name in sessions},
            )
        )
        for session in sessions.values():
            session.close()
        heard.append(reading())
    assert working is not None
    weights = _weights(kit)
    return Profile(
        bioxedge=__version__,
        onnxruntime=onnxruntime.__version__,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=msgspec.to_builtins(machine()),
        kit=kit.manifest.digest,
        plan=kit.manifest.plan,
        parts=kit.manifest.parts,
        runs=tuple(runs),
        memory=Memory(process=process, weights=weights, working=working),
        throttled=tuple(
            sorted({said for each in heard for said in bits((each.throttled or 0) & NOW)})
        ),
    )


def _weights(kit: Kit) -> dict[str, int]:
    """Bytes of each part's weights in memory."""
    return {name: 4 * part.parameters for name, part in kit.manifest.files.items()}


def _left_out(kit: Kit) -> int:
    """Bytes of both models' weights that the kit does not repeat, for each of its parts."""
    weights, parts = _weights(kit), kit.manifest.parts
    whole = sum(weights[name] for name in (parts.stem, *parts.blocks, *parts.tail))
    return max(0, min(SWEEP, (whole - sum(weights.values())) // len(weights)))


def _opened(kit: Kit, setting: Setting) -> tuple[dict[str, Session], dict[str, int]]:
    """Load every part; give what each took beyond its weights, in resident bytes."""
    weights = _weights(kit)
    generator = np.random.default_rng(0)
    sessions, working = {}, {}
    for name, part in kit.manifest.files.items():
        raw = kit.model(name)
        before = _resident()
        session = Session(raw, threads=setting.threads, provider=setting.provider, name=part.file)
        if session.given.shape != part.input:
            raise BundleError(
                f"{part.file} takes {list(session.given.shape)}, the kit says "
                f"{list(part.input)}: make the kit again"
            )
        session.given[...] = generator.standard_normal(part.input, np.float32)
        session.again()
        working[name] = max(0, _resident() - before - weights[name])
        sessions[name] = session
    return sessions, working


def _rounds(
    sessions: dict[str, Session],
    sweep: int,
    repeats: int,
    told: Callable[[int], None],
    clock: Clock,
) -> dict[str, npt.NDArray[np.float64]]:
    """Run every part in turn; give the seconds of each run that counts."""
    memory = np.ones(sweep // 4, np.float32)
    found = {name: np.empty(repeats) for name in sessions}
    for number in range(-WARM, repeats):
        for name, session in sessions.items():
            memory.sum()
            session.given += 0.0  # in a whole model the part before has just written it
            began = clock()
            session.again()
            took = clock() - began
            if number >= 0:
                found[name][number] = took
        told(number + WARM + 1)
    return found


def _timing(seconds: npt.NDArray[np.float64]) -> Timing:
    """Median and quartiles, in milliseconds."""
    low, middle, high = np.quantile(1e3 * seconds, (0.25, 0.5, 0.75))
    return Timing(median=float(middle), low=float(low), high=float(high), repeats=len(seconds))


def _resident() -> int:
    """Give the resident bytes of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    import resource

    return pages * resource.getpagesize()
