"""What each part of two models costs on this machine, in the engine that will run them here.

All parts take turns, again and again, so that a slow moment falls on all of them. Within a turn a
part runs a few times in a row and the first is not counted: it finds the caches full of the
others, which within a whole model happens to large weights only, and those fit no cache anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

from bioxedge import __version__
from bioxedge.errors import BundleError
from bioxedge.kit import Kit
from bioxedge.measuring.machine import NOW, bits, machine, reading
from bioxedge.profilefile import Measured, Memory, Profile, Setting, Timing
from bioxedge.runtime.session import Session, cores

REPEATS = 42
TURN = 3
"""Runs in a row that count."""

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
        Runs of each part that count; rounded up to whole turns of :data:`TURN`.
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
    rounds = -(-repeats // TURN)
    total = len(settings) * rounds
    heard = [reading()]
    process = _resident()
    runs, working = [], None
    for at, setting in enumerate(settings):
        sessions, took = _opened(kit, setting)
        working = working or took

        def told(done: int, before: int = at * rounds) -> None:
            report(before + done, total)

        times = _rounds(sessions, rounds, told, clock)
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
    sessions: dict[str, Session], rounds: int, told: Callable[[int], None], clock: Clock
) -> dict[str, list[float]]:
    """Let all parts take turns; give the seconds of each run that counts."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(rounds):
        for name, session in sessions.items():
            session.again()
            for _ in range(TURN):
                began = clock()
                session.again()
                found[name].append(clock() - began)
        told(number + 1)
    return found


def _timing(seconds: list[float]) -> Timing:
    """Median and quartiles, in milliseconds."""
    low, middle, high = 1e3 * np.quantile(seconds, (0.25, 0.5, 0.75))
    return Timing(median=float(middle), low=float(low), high=float(high), repeats=len(seconds))


def _resident() -> int:
    """Give the resident bytes of this process; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    import resource

    return pages * resource.getpagesize()
