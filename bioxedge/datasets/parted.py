"""One person's sessions, parted: where too few people were recorded to be dealt out whole.

A split by time block gives every stretch of a recording to one part; each is cut as a fresh stream,
so that no window and no filter of a part saw a sample of another. A split of windows at random is
what some published experiments did: windows that overlap fall into different parts, and a test
knows what was trained on. It is here to reproduce their figures, and every bundle says so.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from bioxedge.datasets.alignment import Places, on_line, shifted
from bioxedge.datasets.session import Part, Session
from bioxedge.recipes import Split
from bioxedge.signals import Recording

_ROUNDING = 1e-6  # of a block: what clocks that count from 1970 are written to


def parted(
    session: Session, split: Split, skip: float = 0.0, timed: Collection[str] = ()
) -> list[Session]:
    """Part a session as a split says; each piece counts as a person of its own.

    Parameters
    ----------
    session : Session
    split : Split
    skip : float
        Seconds at the beginning of each recording that serve for nothing.
    timed : collection of str
        Names of the recordings that blocks are counted by: from where all of them have begun to
        where the first of them ends; all of the session's if left out.

    Returns
    -------
    list of Session
        The session alone where people are dealt out whole.

    Notes
    -----
    Seconds go by a recording's own clock where it says when samples were taken, and by its
    nominal rate otherwise. The first block has what came before in one recording alone, the last
    what came after.
    """
    if skip:
        session = _skipped(session, skip)
    if split.block:
        return _blocks(session, split.block, timed)
    if split.as_published:
        return _draws(session, split)
    return [session]


def _blocks(session: Session, block: float, timed: Collection[str]) -> list[Session]:
    """Cut all recordings of a session at the same moments; what is left over goes to the last."""
    used = [part for part in session.parts if not timed or part.name in timed]
    spans = [_span(part.read()) for part in used]
    begin = max((first for first, _ in spans), default=0.0)
    whole = max(min((last for _, last in spans), default=0.0) - begin, 0.0)
    count = max(1, math.floor(whole / block + _ROUNDING))
    found = []
    for number in range(count):
        start, last = number * block, number == count - 1
        end = whole if last else start + block
        name = f"{session.name} {start:g}-{end:g} s"
        edges = (begin + start if number else -math.inf, math.inf if last else begin + end)
        parts = tuple(_stretch(part, *edges, end - start) for part in session.parts)
        person = name if name.startswith(session.person) else f"{session.person} {name}"
        found.append(replace(session, name=name, person=person, parts=_of(parts, person)))
    return found


def _span(whole: Recording) -> tuple[float, float]:
    """Say from when to when a recording lasts."""
    first, last = Places(whole).at(np.array([whole.t0, whole.t0 + whole.seconds]))
    return float(first), float(last)


def _skipped(session: Session, skip: float) -> Session:
    """Leave out the beginning of all recordings."""

    def later(part: Part) -> Part:
        def read() -> Recording:
            whole = part.read()
            return _cut(whole, _span(whole)[0] + skip, math.inf)

        seconds = None if part.seconds is None else max(part.seconds - skip, 0.0)
        return replace(part, read=read, seconds=seconds)

    # Windows are kept by the session's name: what is left out must stand in it.
    name = f"{session.name} from {skip:g} s"
    return replace(session, name=name, parts=tuple(map(later, session.parts)))


def _of(parts: tuple[Part, ...], person: str) -> tuple[Part, ...]:
    """Say of recordings that they are of somebody."""

    def renamed(part: Part) -> Part:
        return replace(part, read=lambda: replace(part.read(), person=person))

    return tuple(renamed(part) for part in parts)


def _stretch(part: Part, start: float, end: float, seconds: float) -> Part:
    """Take a stretch of one recording, between two moments; its clock goes on."""
    altered = f"{part.altered} from {start:.6f} to {end:.6f}"  # the same name, cut elsewhere
    return replace(
        part, read=lambda: _cut(part.read(), start, end), seconds=seconds, altered=altered
    )


def _cut(whole: Recording, start: float, end: float) -> Recording:
    """Take what a recording has between two moments."""
    first, last = _at(whole, start), _at(whole, end)
    return replace(shifted(whole, first), samples=whole.samples[:, first:last])


def _at(whole: Recording, moment: float) -> int:
    """Count the samples that a recording has before a moment."""
    count: int = whole.samples.shape[1]
    if math.isinf(moment):
        return count if moment > 0 else 0
    time = float(on_line(whole, np.array([moment]))[0])
    return min(max(round((time - whole.t0) * whole.rate), 0), count)


def _draws(session: Session, split: Split) -> list[Session]:
    """Deal a session's windows out at random, to as many draws as the shares need."""
    count = split.draws
    found = []
    for number in range(count):
        person = f"{session.person} draw {number + 1} of {count}"
        name = f"{session.name} draw {number + 1} of {count}, seed {split.seed}"

        def keeps(start: float, number: int = number) -> bool:
            text = f"{split.seed}/{session.name}/{round(1000 * start)}"
            digest = hashlib.sha256(text.encode()).digest()
            return int.from_bytes(digest[:8], "big") % count == number

        parts = _of(session.parts, person)
        found.append(replace(session, name=name, person=person, parts=parts, keeps=keeps))
    return found
