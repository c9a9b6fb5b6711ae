"""Other circumstances for what was learnt: fewer pairs, fewer labels, clocks that lie.

Nothing here is a choice that a recipe could make: the same models see the same people, and one
thing of the data is worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from torch import Tensor

from bioxedge.bridging.features import Features
from bioxedge.bridging.loop import Report
from bioxedge.building.heading import teacher_head
from bioxedge.building.preparation import Prepared
from bioxedge.building.seen import Seen, adapt
from bioxedge.building.store import Store, key_of
from bioxedge.building.windowing import windows_of
from bioxedge.datasets.choosing import Chosen
from bioxedge.errors import DatasetError
from bioxedge.signals import Recording

Moments = npt.NDArray[np.intp]

_FEWEST = 2  # windows of a person that are left, however small the share
_TRIES = 200  # at labelled people who show every class


@dataclass(frozen=True)
class Varied(Prepared):
    """What was prepared, with other moments for some parts.

    Attributes
    ----------
    instead : dict of str to ndarray of int
        The moments of ``head``, ``pair`` or ``test``, in place of all that serve.
    """

    instead: dict[str, Moments] = field(default_factory=dict)

    def of(self, group: str) -> Moments:
        """Give the moments that serve for a part."""
        return self.instead[group] if group in self.instead else super().of(group)


def varied(prepared: Prepared, **instead: Moments) -> Varied:
    """Put other moments in the place of some parts'."""
    return Varied(**{**vars(prepared), "instead": getattr(prepared, "instead", {}) | instead})


def fewer_pairs(seen: Seen, share: float, seed: int) -> Seen:
    """Keep a share of the pairs: of every person one stretch, as if it had been recorded alone.

    Windows drawn one by one would overlap with those that are left out.

    Parameters
    ----------
    seen : Seen
    share : float
        Of each person's windows; two at least stay.
    seed : int
        Says where the stretches begin.
    """
    moments, rng = seen.prepared.of("pair"), np.random.default_rng(seed)
    person = seen.prepared.windows.person[moments]
    kept = []
    for name in np.unique(person):
        own = moments[person == name]
        count = min(max(round(share * len(own)), _FEWEST), len(own))
        first = int(rng.integers(len(own) - count + 1))
        kept.append(own[first : first + count])
    pairs = np.sort(np.concatenate(kept))
    key = key_of("seen", seen.key, "pairs", pairs.tolist())
    return replace(seen, prepared=varied(seen.prepared, pair=pairs), key=key)


def fewer_labelled(seen: Seen, count: int, seed: int, store: Store) -> Seen:
    """Train the teacher's head on fewer people; encoders, classes and pairs stay as they are.

    Parameters
    ----------
    seen : Seen
    count : int
        Of head people.
    seed : int
        Draws them.
    store : Store

    Raises
    ------
    DatasetError
        No draw of so many people shows every class.
    """
    recipe, prepared = seen.recipe, seen.prepared
    moments, rng = prepared.of("head"), np.random.default_rng(seed)
    person, known = prepared.windows.person[moments], prepared.labels[moments]
    names = np.unique(person)
    for _ in range(_TRIES):
        chosen = rng.permutation(names)[:count]
        own = moments[np.isin(person, chosen)]
        shown = np.unique(prepared.labels[own])
        if len(shown) == len(np.unique(known)):
            break
    else:
        raise DatasetError(f"no {count} of the {len(names)} labelled people show every class")
    fewer = varied(prepared, head=own)
    target = seen.encoders["target"]
    head, key = teacher_head(recipe, fewer, store, target, seen.adapted["target"])
    key = key_of("seen", seen.key, "labelled", key)
    return replace(seen, prepared=fewer, head=head, key=key)


def apart(seen: Seen, lag: float, ppm: float, store: Store, *, told: bool = False) -> Seen:
    """Let the clock of the pair people's target lie: its windows are cut where it says.

    Parameters
    ----------
    seen : Seen
    lag : float
        Seconds by which the target's clock is late at the start of a recording.
    ppm : float
        By how much it runs slow from there, in parts per million.
    store : Store
    told : bool
        Whether the clocks are compared and corrected first, as ``[align]`` can.

    Raises
    ------
    DatasetError
        The lag is longer than what both sensors recorded.
    """
    recipe, prepared = seen.recipe, seen.prepared
    if told:
        align = msgspec.structs.replace(recipe.align, estimate=True, correct=True)
        recipe = msgspec.structs.replace(recipe, align=align)
    own = np.array([one.person in prepared.people.pair for one in prepared.windows.sessions])
    chosen = [
        _shifted(one, lag, ppm)
        for one, pair in zip(prepared.windows.sessions, own, strict=True)
        if pair and one.source is not None and one.target is not None
    ]
    moved = windows_of(recipe, chosen, (), store)
    windows = prepared.windows
    rows = np.full(len(windows), -1, np.int64)
    for number, one in enumerate(chosen):
        mine = np.flatnonzero(windows.name == one.name)
        theirs = np.flatnonzero(moved.session == number)
        if not np.array_equal(windows.start[mine], moved.start[theirs]):
            raise DatasetError(f"{one.name} was cut at other moments: begin with an empty --out")
        rows[mine] = moved.target_row[theirs]
    beside = windows.target_classic.copy()
    for number, one in enumerate(chosen):
        beside[windows.name == one.name] = moved.target_classic[moved.session == number]
    other = replace(
        windows, key=moved.key, target=moved.target, target_row=rows, target_classic=beside
    )
    pairs = prepared.of("pair")
    pairs = pairs[rows[pairs] >= 0]
    if not len(pairs):
        raise DatasetError(f"at a lag of {lag:g} s no pair is left: the recordings are shorter")
    # Teacher and tested people keep what they have.
    parts = {"head": prepared.of("head"), "test": prepared.of("test"), "pair": pairs}
    fewer = varied(replace(prepared, windows=other), **parts)
    encoder = replace(
        seen.encoders["target"], features=_features(seen, moved.target, moved.key, store),
        seen_key=key_of("features", seen.encoders["target"].key, moved.key, "target"),
    )  # fmt: skip
    adapted = seen.adapted | {"target": adapt(seen.recipe, fewer, encoder, "target")}
    key = key_of("seen", seen.key, "apart", moved.key, pairs.tolist())
    encoders = seen.encoders | {"target": encoder}
    return replace(seen, prepared=fewer, encoders=encoders, adapted=adapted, key=key)


def _features(seen: Seen, windows: Tensor, key: str, store: Store) -> Features:
    """Pass shifted target windows through the target once."""

    def fill(report: Report, folder: Path) -> Features:
        return seen.runner.features(seen.target, windows, folder=folder, report=report)

    title = "Target features of windows that a lying clock cut"
    return store.folder(
        "target-features", title, key_of("features", seen.encoders["target"].key, key), fill
    )


def _shifted(one: Chosen, lag: float, ppm: float) -> Chosen:
    """Give a session whose target's clock lies."""
    assert one.target is not None
    read = one.target.read
    altered = f"clock late by {lag:g} s and {ppm:g} ppm" if lag or ppm else ""
    return replace(
        one, target=replace(one.target, read=lambda: late(read(), lag, ppm), altered=altered)
    )


def late(recording: Recording, lag: float, ppm: float) -> Recording:
    """Give a recording whose clock says every moment later than it was.

    Parameters
    ----------
    recording : Recording
        Its samples stay what and where they are.
    lag : float
        In seconds, at its first sample.
    ppm : float
        By how much that grows: parts per million of the time since then.
    """
    facts, drift = dict(recording.facts), ppm * 1e-6
    if not lag and not ppm:
        return recording
    anchors = facts.get("anchors")
    if anchors:
        lies = np.array(anchors, np.float64)
        lies[:, 1:] += lag + drift * (lies[:, 1:] - lies[0, 1:])
        facts["anchors"] = lies.tolist()
    if drift:  # beyond its anchors a recording goes on at its rate
        real = float(facts.get("real_rate") or recording.rate)
        facts["real_rate"] = real / (1 + drift)
    return replace(recording, t0=recording.t0 + lag, facts=facts)


def people_of(seen: Seen, group: str) -> Sequence[str]:
    """Name who is in a part, in order."""
    found: list[str] = np.unique(seen.prepared.windows.person[seen.prepared.of(group)]).tolist()
    return found
