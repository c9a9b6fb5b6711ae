"""What the samples of several processes come to."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from bioxedge.measuring.numbers import jitter, numbers, spread
from bioxedge.measuring.readings import Watched
from bioxedge.measuring.results import Cell, Energy, Open, Report
from bioxedge.measuring.tasks import STAGES

LEAST = 3.0  # seconds of a closed loop from which on energy says something
UNASKED = 0.1  # share of windows without an answer from which on an open loop is not one


def sum_up(cell: Cell, energy: Energy) -> None:
    """Fill in a cell's figures from its processes."""
    runs = [run.result for run in cell.runs]
    if not runs:
        return
    medians = [statistics.median(run.ms) for run in runs]
    cell.ms = numbers([ms for run in runs for ms in run.ms])
    cell.median, cell.spread = statistics.median(medians), spread(medians)
    cell.cold = sorted((run.cold for run in runs), key=lambda one: one.total)[len(runs) // 2]
    cell.memory = max((run.memory for run in runs), key=lambda one: one.peak)
    cell.invalid = one_a_kind([why for run in cell.runs for why in run.watched.invalid])
    found = [
        joules(run.watched, energy, run.result.seconds, len(run.result.ms))
        for run in cell.runs
        if run.result.seconds >= max(LEAST, 0.7 * run.watched.seconds)
    ]
    known = [one for one in found if one is not None]
    cell.joules = statistics.median(known) if known else None


def sum_up_open(loop: Open) -> None:
    """Fill in an open loop's figures from its processes."""
    runs = [run.result for run in loop.runs]
    latency = [ms for run in runs for ms in run.latency]
    loop.latency, loop.age = numbers(latency), numbers([ms for run in runs for ms in run.age])
    found = {name: numbers([ms for run in runs for ms in run.stages[name]]) for name in STAGES}
    loop.stages = {name: one for name, one in found.items() if one is not None}
    jitters = [value for value in (jitter(run.latency) for run in runs) if value is not None]
    loop.jitter = statistics.median(jitters) if jitters else None
    loop.misses = sum(ms > 1e3 * loop.hop for ms in latency)
    if loop.latency is not None and loop.latency.p99 is not None:
        loop.tail = round(loop.latency.p99 / loop.latency.p50, 3)
    loop.invalid = one_a_kind([why for run in loop.runs for why in run.watched.invalid])
    unasked = sum(run.unasked for run in runs)
    if unasked > UNASKED * (unasked + len(latency)):
        loop.invalid.append(f"the model was not asked about {unasked} windows")


def one_a_kind(reasons: Sequence[str]) -> list[str]:
    """Give the first reason of each kind (what stands before its colon)."""
    found: dict[str, str] = {}
    for why in reasons:
        found.setdefault(why.partition(":")[0], why)
    return list(found.values())


def joules(watched: Watched, energy: Energy, seconds: float, windows: int) -> float | None:
    """Energy of one window, idle subtracted; None where there is no meter."""
    if watched.watts is None or energy.idle_watts is None or not windows:
        return None
    return round((watched.watts - energy.idle_watts) * seconds / windows, 6)


def hops(report: Report) -> Iterator[str]:
    """Say how the open loop's hop compares with the bundle's, where it is another."""
    loop, real = report.open, report.bundle.hop
    if loop is not None and not loop.hop_is_real:
        minutes = report.options.windows * real / 60
        yield (
            f"a window every {loop.hop:g} s, not every {real:g} s as the bundle has it: a machine "
            f"that rests longer between windows is slower to wake; --hop {real:g} takes "
            f"{minutes:.0f} minutes"
        )
