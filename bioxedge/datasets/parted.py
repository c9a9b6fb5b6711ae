"""One person's sessions, parted: where too few people were recorded to be dealt out whole.

A split by time block gives every stretch of a recording to one part; each is cut as a fresh stream,
so that no window and no filter of a part saw a sample of another. A split of windows at random is
what some published experiments did: windows that overlap fall into different parts, and a test
knows what was trained on. It is here to reproduce their figures, and every bundle says so.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np

from bioxedge.datasets.alignment import Places, anchored, on_line, shifted
from bioxedge.datasets.session import Part, Session
from bioxedge.recipes import Split
from bioxedge.signals import Recording


def parted(session: Session, split: Split, skip: float = 0.0) -> list[Session]:
    """Part a session as a split says; each piece counts as a person of its own.

    Parameters
    ----------
    session : Session
    split : Split
    skip : float
        Seconds at the beginning that serve for nothing.

    Returns
    -------
    list of Session
        The session alone where people are dealt out whole.

    Notes
    -----
    Seconds are counted from each recording's first sample, by its own clock where it says when
    samples were taken, at its nominal rate otherwise.
    """
    if skip:
        session = _skipped(session, skip)
    if split.block:
        return _blocks(session, split.block)
    if split.as_published:
        return _draws(session, split)
    return [session]


def _blocks(session: Session, block: float) -> list[Session]:
    """Cut all recordings of a session into stretches; what is left over goes to the last."""
    whole = min(map(_seconds, session.parts), default=0.0)
    count = max(1, math.floor(whole / block))
    found = []
    for number in range(count):
        start = number * block
        end = whole if number == count - 1 else start + block
        name = f"{session.name} {start:g}-{end:g} s"
        parts = tuple(_stretch(part, start, end) for part in session.parts)
        person = name if name.startswith(session.person) else f"{session.person} {name}"
        found.append(replace(session, name=name, person=person, parts=_of(parts, person)))
    return found


def _seconds(part: Part) -> float:
    """Say how long a recording is; it is read where nobody knows."""
    return part.read().seconds if part.seconds is None else part.seconds


def _skipped(session: Session, skip: float) -> Session:
    """Leave out the beginning of all recordings."""
    parts = tuple(
        _stretch(part, min(skip, _seconds(part)), _seconds(part)) for part in session.parts
    )
    # Windows are kept by the session's name: what is left out must stand in it.
    return replace(session, name=f"{session.name} from {skip:g} s", parts=parts)


def _of(parts: tuple[Part, ...], person: str) -> tuple[Part, ...]:
    """Say of recordings that they are of somebody."""

    def renamed(part: Part) -> Part:
        return replace(part, read=lambda: replace(part.read(), person=person))

    return tuple(renamed(part) for part in parts)


def _stretch(part: Part, start: float, end: float) -> Part:
    """Take a stretch of one recording; its clock goes on."""

    def read() -> Recording:
        whole = part.read()
        first = _at(whole, start)
        # To the last sample, wherever its clock puts that.
        last = whole.samples.shape[1] if end >= whole.seconds else _at(whole, end)
        stretch = shifted(whole, first)
        return replace(stretch, samples=whole.samples[:, first:last])

    return replace(part, read=read, seconds=end - start)


def _at(whole: Recording, seconds: float) -> int:
    """Count the samples of a recording's first seconds, by its own clock if it has one."""
    if anchored(whole):
        begin = Places(whole).at(np.array([whole.t0]))
        seconds = float(on_line(whole, begin + seconds)[0]) - whole.t0
    count: int = whole.samples.shape[1]
    return min(max(round(seconds * whole.rate), 0), count)


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
