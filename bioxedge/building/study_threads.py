"""One thread against two: what training the bridge takes, and one window through its graph."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from bioxedge.bridging.loop import Report
from bioxedge.building.learnt import Learnt, aligned
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store, Values, key_of
from bioxedge.building.study_figures import Truth
from bioxedge.building.study_found import Laid, Place
from bioxedge.building.times import BRIDGE, times
from bioxedge.runtime.host import cores, identity

THREADS = (1, 2)
_MOST, _ENOUGH = 6, 20.0  # trainings, and seconds of them after which no further one is begun


def laid(bases: Sequence[Learnt], _: Sequence[Truth], store: Store) -> Laid:
    """Train the bridge of the first seed again on so many threads, and time its graph."""
    found = Laid("threads", "threads, on this machine", "threads")
    if cores() < max(THREADS):
        found.why_not = f"this process may use {cores()} core"
        return found
    base = bases[0]
    for count in THREADS:
        place = Place({"threads": count}, f"{count} thread{'s' if count > 1 else ''}")
        place.seconds = seconds(base, store, count)
        place.window = times(base, store, (BRIDGE,), threads=count)[BRIDGE]
        found.places.append(place)
    one, two = found.places
    assert one.seconds and two.seconds and one.window and two.window
    found.lines.append(
        f"Two threads against one: training the bridge {one.seconds / two.seconds:.2f} times as "
        f"fast, a window {one.window / two.window:.2f} times; the answers are the same but for "
        "rounding"
    )
    return found


def _trained(base: Learnt) -> float:
    """Train the bridge in a place of its own, where nothing is found that was trained before."""
    with tempfile.TemporaryDirectory() as folder:
        apart = Store(Path(folder), Steps(Console(quiet=True)))
        aligned(base.seen, apart, base.positions, base.source_cut, base.target_cut)
        return apart.took["bridge"].seconds


def seconds(base: Learnt, store: Store, threads: int) -> float:
    """Give what training the bridge takes on so many threads, or took when it was timed."""

    def make(_: Report, __: Path) -> Values:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            took: list[float] = []
            # The first one starts threads, and a short one is soon done again.
            while len(took) < _MOST and (len(took) < 2 or sum(took) < _ENOUGH):
                took.append(_trained(base))
            return {"seconds": float(np.median(took[1:]))}
        finally:
            torch.set_num_threads(before)

    key = key_of(
        "times", "bridge", base.seen.key, base.source_cut, base.target_cut, threads, identity()
    )
    title = f"The bridge, on {threads} thread{'s' if threads > 1 else ''}"
    return float(store.step("times", title, key, make)["seconds"])
