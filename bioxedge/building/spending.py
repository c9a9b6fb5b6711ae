"""What each row of a table took: parameters pretrained here, seconds, memory, and milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bioxedge.bridging.spent import Spent
from bioxedge.bridging.train import trained_parameters
from bioxedge.building.evaluation import ORACLE_ENCODER, TEACHER, Evaluation
from bioxedge.building.learnt import Learnt
from bioxedge.building.store import Store

UNTRAINED = ("untrained bridge", "random bridge")


def pretrained_of(learnt: Learnt, sides: tuple[str, ...] = ("source", "target")) -> int:
    """Count the parameters of encoders that were trained here, from unlabelled windows."""
    return sum(
        trained_parameters(getattr(learnt, side))
        for side in sides
        if getattr(learnt.recipe, side).model.checkpoint == "pretrain"
    )


def spent(
    learnt: Learnt, found: Evaluation, store: Store, times: Mapping[str, float] | None = None
) -> Evaluation:
    """Say of each row what it took, as far as the steps behind it say so.

    Parameters
    ----------
    learnt : Learnt
    found : Evaluation
        Rows that say it already are left as they are.
    store : Store
        With which all of it was learnt: it knows what its steps took.
    times : mapping, optional
        Milliseconds that a window takes, by method; ``bridge`` stands for all bridges.

    Returns
    -------
    Evaluation
    """
    times = {} if times is None else times
    both, none = pretrained_of(learnt), Spent()
    known: dict[str, Spent] = {
        TEACHER: spent_on(store, "head", pretrained_of(learnt, ("target",))),
        ORACLE_ENCODER: Spent(pretrained_of(learnt, ("source",))),
        **{name: Spent(both) for name in UNTRAINED},
    }
    bridge = spent_on(store, "bridge", both)
    scores = []
    for one in found.scores:
        own = one.spent
        if own == none:
            own = known.get(one.method, none)
            if own == none and one.method.startswith("bridge"):
                own = bridge
        of_bridge = one.method.startswith("bridge") or one.method in UNTRAINED
        time = times.get(one.method, times.get("bridge") if of_bridge else None)
        scores.append(replace(one, spent=replace(own, window=time)))
    return replace(found, scores=scores)


def spent_on(store: Store, step: str, pretrained: int) -> Spent:
    """Give what a step took, as far as it says so."""
    took = store.took.get(step)
    return Spent(pretrained) if took is None else Spent(pretrained, took.seconds, took.memory)
