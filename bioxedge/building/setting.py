"""With which setting a recipe's bridge is trained: its own, or the fastest measured here.

The choice is written down before the training starts. One that was stopped goes on with it, to
the same bits; a finished one is not done again because another machine would choose otherwise.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from bioxedge.atomic import write_file
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.costs import costs
from bioxedge.bridging.fastest import Fastest, fastest, name_of, settings
from bioxedge.bridging.train import Training
from bioxedge.building.seen import Seen
from bioxedge.building.store import Store


def setting(
    seen: Seen,
    bridge: PrototypeBridge,
    target_cut: int,
    features: Tensor,
    teacher: Tensor,
    training: Training,
    trained: int,
    store: Store,
    kept: Path,
) -> Fastest:
    """Take the setting that was chosen before, or choose one now; all processes take the same.

    Parameters
    ----------
    seen : Seen
    bridge : PrototypeBridge
        Untrained, and left so.
    target_cut : int
    features, teacher : Tensor
        Of the pairs, as :func:`bioxedge.bridging.train.train_bridge` takes them.
    training : Training
    trained : int
        Pairs that are trained on.
    store : Store
        Where it is said, and who else works.
    kept : Path
        Where the choice is kept until the training is finished.
    """
    wanted, world = seen.recipe.compute, store.world
    quick, slow = settings(
        wanted.device,
        wanted.precision,
        None if wanted.compiled == "auto" else wanted.compiled,
        None if wanted.packed == "auto" else wanted.packed,
    )
    before: Fastest | None = world.told(_read(kept))
    if before is not None and before.compute in (*quick, *slow):
        store.say(f"goes on as it began: {before.line()}")
        return before
    whole = costs(seen.target, seen.recipe.target.length)
    # All measure together, as they will train together; several do not compile for a trial.
    found: Fastest = world.told(
        fastest(
            quick,
            slow if world.size == 1 else [],
            bridge,
            seen.target[target_cut:],
            features,
            teacher,
            training,
            macs=whole[-1].macs - whole[target_cut].macs,
            steps=training.epochs * -(-trained // training.batch),
            rows=-(-training.batch // world.size),
        )
    )
    if found.seconds:
        store.say(found.line())
    if world.first:
        write_file(kept, msgspec.json.encode(asdict(found)))
    return found


def facts(chosen: Fastest) -> dict[str, Any]:
    """Give a choice as plain values, for the step and the report."""
    return {"setting": name_of(chosen.compute), "seconds": chosen.seconds, "why": chosen.why}


def _read(kept: Path) -> Fastest | None:
    """Read a choice; None where there is none or it cannot be read: it is made anew then."""
    try:
        return msgspec.json.decode(kept.read_bytes(), type=Fastest)
    except (OSError, msgspec.MsgspecError):
        return None
