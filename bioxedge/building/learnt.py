"""Everything that is learnt for one bundle: teacher, source encoder, cuts, bridge.

Data flow: sessions → windows → people in three groups → the source encoder from unlabelled
windows (head and pair people), the teacher from labelled ones (head people) → frozen features of
both, once → cuts → bridge and its calibration (pair people, no labels) → answers on test people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration, calibrate, calibrate_value
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report
from bioxedge.bridging.positions import Positions
from bioxedge.bridging.train import Course, train_bridge
from bioxedge.building.aligning import bridge_facts, held_out, new_bridge, training_of, wanted_of
from bioxedge.building.heading import teacher_head
from bioxedge.building.preparation import Prepared, prepare_other, seed_of
from bioxedge.building.seen import Seen, see, select
from bioxedge.building.setting import facts, setting
from bioxedge.building.store import Store, Values, key_of
from bioxedge.models.chain import Chain
from bioxedge.recipes import Other, Recipe
from bioxedge.spec import FeaturesSpec


@dataclass(frozen=True)
class Learnt:
    """All trained parts, frozen, and what they were trained from.

    Attributes
    ----------
    seen : Seen
        Both models, the head, and their features.
    bridge : PrototypeBridge
    source_cut, target_cut : int
    positions : Positions or None
        None where the recipe names both cuts.
    teacher_pair : Tensor
        What the bridge was aligned with [n, tokens, features].
    course : Course
        How its training went.
    calibration : Calibration
        What is done to the bridged logits in the bundle.
    compute : dict
        With which setting the bridge was trained, and why (`bioxedge.building.setting`).
    others : dict of str to Learnt
        The same for each further task, by name: models, cuts and bridge are these, the recipe is
        that of the task by itself, what is known, head and calibration are its own.
    """

    seen: Seen
    bridge: PrototypeBridge
    source_cut: int
    target_cut: int
    positions: Positions | None
    teacher_pair: Tensor
    course: Course
    calibration: Calibration
    compute: dict[str, Any]
    others: dict[str, Learnt] = field(default_factory=dict)

    @property
    def features(self) -> FeaturesSpec | None:
        """What goes into the bridge, where that is not the encoder's features alone."""
        return self.seen.adapted["source"].spec(self.source_cut)

    @property
    def recipe(self) -> Recipe:
        """The choices behind it."""
        return self.seen.recipe

    @property
    def prepared(self) -> Prepared:
        """Windows, people and classes."""
        return self.seen.prepared

    @property
    def source(self) -> Chain:
        """The whole source encoder; cut it at ``source_cut``."""
        return self.seen.source

    @property
    def target(self) -> Chain:
        """The whole target model; cut it at ``target_cut``."""
        return self.seen.target

    @property
    def head(self) -> Head:
        """The task layer."""
        return self.seen.head

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]

    def answers(self, bridge: PrototypeBridge, group: str) -> Tensor:
        """Give a bridge's answers on a part's windows, uncalibrated."""
        features = self.seen.pooled("source", self.source_cut, group)
        return self.seen.runner.answers(bridge, self.tail, self.head, features)

    def bridged(self, moments: npt.NDArray[np.intp]) -> Tensor:
        """Give the trained bridge's answers on any moments at which the source was worn."""
        features = self.seen.adapted["source"].of(self.source_cut, moments)
        return self.seen.runner.answers(self.bridge, self.tail, self.head, features)

    def taught(self, moments: npt.NDArray[np.intp]) -> Tensor | None:
        """Give the teacher's answers on some moments, NaN where its sensor was not worn.

        None where it was worn at none of them.
        """
        rows = self.prepared.windows.target_row[moments]
        there = (rows >= 0) & self.prepared.settled["target"][moments]
        if not there.any():
            return None
        answers = torch.full((len(moments), self.recipe.task.answers), torch.nan)
        with torch.inference_mode():
            features = self.seen.adapted["target"].of(-1, moments[there])
            answers[torch.from_numpy(there)] = self.head.of_pooled(features)
        return answers


def learn(
    recipe: Recipe,
    prepared: Prepared,
    store: Store,
    base: Path,
    models: dict[str, Chain] | None = None,
) -> Learnt:
    """Train everything a bundle needs; parameters and errors as for `see`."""
    seen = see(recipe, prepared, store, base, models)
    found = aligned(seen, store, *select(seen, store))
    features = seen.pooled("source", found.source_cut, "pair")
    others = {one.name: _other(one, found, features, store) for one in recipe.others}
    return replace(found, others=others)


def aligned(
    seen: Seen, store: Store, positions: Positions | None, source_cut: int, target_cut: int
) -> Learnt:
    """Train a bridge between two places, and calibrate it.

    Parameters
    ----------
    seen : Seen
    store : Store
        Where the finished step is kept and found.
    positions : Positions or None
        How the places were chosen; None where they were named.
    source_cut, target_cut : int
    """
    recipe, prepared = seen.recipe, seen.prepared
    features = seen.pooled("source", source_cut, "pair")
    wanted = wanted_of(seen, store, target_cut)
    out = held_out(recipe, prepared)
    bridge = new_bridge(seen, source_cut, target_cut)

    def make(report: Report, state: Path) -> Values:
        kept = state.with_suffix(".compute")
        training, trained = training_of(recipe, seen.head), len(features)
        trained -= 0 if out is None else len(out)
        chosen = setting(seen, bridge, target_cut, features, wanted, training, trained, store, kept)
        course = train_bridge(
            bridge,
            seen.target[target_cut:],
            features,
            wanted,
            training,
            seed=seed_of(recipe, "bridge"),
            held_out=out,
            state=state,
            report=report,
            compute=chosen.compute,
            world=store.world,
        )
        if store.world.first:
            kept.unlink(missing_ok=True)
        return {"bridge": bridge.state_dict(), "course": vars(course), "compute": facts(chosen)}

    about = bridge_facts(recipe)
    for chosen in ("source_cut", "target_cut", "seed"):
        del about[chosen]  # what they came to stands in their place
    seeds = [seed_of(recipe, name) for name in ("bridge", "held-out")]
    straight = recipe.bridge.target_cut == "head"
    asked = recipe.compute.precision  # auto may train in bf16, what was asked for must hold
    values = store.step(
        "bridge",
        f"The bridge, from source cut {source_cut} to target cut {target_cut}, without labels",
        key_of("bridge", seen.key, about, seeds, source_cut, target_cut, straight, asked),
        make,
        shared=True,
    )
    bridge.load_state_dict(values["bridge"])
    bridge.requires_grad_(False).eval()
    return Learnt(
        seen=seen,
        bridge=bridge,
        source_cut=source_cut,
        target_cut=target_cut,
        positions=positions,
        teacher_pair=wanted,
        course=Course(**values["course"]),
        calibration=_calibrated(seen, bridge, target_cut, features),
        compute=values["compute"],
    )


def _other(task: Other, first: Learnt, features: Tensor, store: Store) -> Learnt:
    """Learn a further task on the same teacher, through the bridge that is there.

    The bridge was aligned without a label: it knows of none of them.
    """
    seen, alone = first.seen, first.recipe.of(task)
    prepared = prepare_other(alone, seen.prepared, store)
    target, adapted = seen.encoders["target"], seen.adapted["target"]
    head, key = teacher_head(alone, prepared, store, target, adapted, task.name)
    own = replace(
        seen, recipe=alone, prepared=prepared, head=head, key=key_of("seen", seen.key, key)
    )
    calibration = _calibrated(own, first.bridge, first.target_cut, features)
    return replace(first, seen=own, positions=None, calibration=calibration)


def further(one: Learnt, others: Mapping[str, Learnt]) -> dict[str, Learnt]:
    """Read further tasks through another bridge, each calibrated anew.

    Parameters
    ----------
    one : Learnt
        The other bridge, and the features that go into it.
    others : mapping of str to Learnt
        Further tasks by name, with whatever bridge.
    """
    found = {}
    for name, own in others.items():
        seen = replace(own.seen, adapted=one.seen.adapted)
        features = one.seen.pooled("source", one.source_cut, "pair")
        found[name] = replace(
            own,
            seen=seen,
            bridge=one.bridge,
            source_cut=one.source_cut,
            target_cut=one.target_cut,
            calibration=_calibrated(seen, one.bridge, one.target_cut, features),
        )
    return found


def _calibrated(
    seen: Seen, bridge: PrototypeBridge, target_cut: int, features: Tensor
) -> Calibration:
    """Calibrate bridged answers on the pairs to those of the teacher."""
    bridged = seen.runner.answers(bridge, seen.target[target_cut:], seen.head, features)
    fit = calibrate_value if seen.recipe.task.rule == "value" else calibrate
    return fit(bridged, seen.teacher("pair"), seen.people("pair"))
