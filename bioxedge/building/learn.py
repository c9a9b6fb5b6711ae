"""Everything that is learnt for one bundle: teacher, source encoder, cuts, bridge.

Data flow: recordings → paired windows → people in three groups → the source encoder from
unlabelled windows (head and pair people), the teacher from labelled ones (head people) → frozen
features of both, once → cuts → bridge and its calibration (pair people, no labels) → answers on
test people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import Calibration, calibrate
from bioxedge.bridging.features import Features, extract, tokens_of
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report
from bioxedge.bridging.positions import Positions
from bioxedge.bridging.train import Course, Training, train_bridge
from bioxedge.building.encoders import compute_of
from bioxedge.building.look import Seen, choose, look
from bioxedge.building.prepare import Prepared, seed_of
from bioxedge.building.setting import facts, setting
from bioxedge.building.store import Store, Values, key_of
from bioxedge.errors import RecipeError
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, section


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
    def pooled(self) -> dict[str, list[Tensor]]:
        """Pooled source features at every cut."""
        return self.seen.pooled

    @property
    def teacher_test(self) -> Tensor:
        """The teacher's logits on the labelled test windows' target signal."""
        return self.seen.teacher("test")

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]

    def answers(self, bridge: PrototypeBridge, group: str) -> Tensor:
        """Logits of a bridge on a group's windows, uncalibrated."""
        return answers(self.seen, bridge, self.source_cut, self.target_cut, group)


def learn(
    recipe: Recipe,
    prepared: Prepared,
    store: Store,
    base: Path,
    models: dict[str, Chain] | None = None,
) -> Learnt:
    """Train everything a bundle needs; parameters and errors as for `look`."""
    seen = look(recipe, prepared, store, base, models)
    positions, source_cut, target_cut = choose(seen, store)
    features = seen.pooled["pair"][source_cut]
    wanted = _wanted(seen, store, target_cut)
    held_out = _held_out(recipe, prepared)
    bridge = new_bridge(seen, source_cut, target_cut)

    def make(report: Report, state: Path) -> Values:
        kept = state.with_suffix(".compute")
        training, trained = training_of(recipe), len(features)
        trained -= 0 if held_out is None else len(held_out)
        chosen = setting(seen, bridge, target_cut, features, wanted, training, trained, store, kept)
        course = train_bridge(
            bridge,
            seen.target[target_cut:],
            features,
            wanted,
            training,
            seed=seed_of(recipe, "bridge"),
            held_out=held_out,
            state=state,
            report=report,
            compute=chosen.compute,
            world=store.world,
        )
        if store.world.first:
            kept.unlink(missing_ok=True)
        return {"bridge": bridge.state_dict(), "course": vars(course), "compute": facts(chosen)}

    values = store.step(
        "bridge",
        f"The bridge, from source cut {source_cut} to target cut {target_cut}, without labels",
        key_of(seen.key, section(recipe.bridge), recipe.seed, source_cut, target_cut),
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
        calibration=_calibration(seen, bridge, source_cut, target_cut),
        compute=values["compute"],
    )


def _calibration(
    seen: Seen, bridge: PrototypeBridge, source_cut: int, target_cut: int
) -> Calibration:
    """Calibrate a trained bridge to its teacher on the pairs."""
    bridged = answers(seen, bridge, source_cut, target_cut, "pair")
    prepared = seen.prepared
    return calibrate(bridged, seen.teacher("pair"), prepared.windows.person[prepared.of("pair")])


@torch.inference_mode()
def answers(
    seen: Seen, bridge: PrototypeBridge, source_cut: int, target_cut: int, group: str
) -> Tensor:
    """Logits of a bridge between two cuts on a group's windows, uncalibrated."""
    tail = seen.target[target_cut:]
    features = seen.pooled[group][source_cut].split(256)
    return torch.cat([seen.head(tail(bridge(part))) for part in features])


def _wanted(seen: Seen, store: Store, target_cut: int) -> Tensor:
    """Give what the bridge must imitate [n, tokens, features]: means, or all tokens."""
    wanted = seen.recipe.bridge
    cut = target_cut if wanted.at == "cut" else len(seen.target)
    if wanted.over == "mean" or wanted.target_cut == "head":
        return seen.target_pooled["pair"][cut][:, None]
    if cut in seen.tokens:
        return seen.tokens[cut]

    # A cut that was chosen just now: its tokens were not kept in the pass over all cuts.
    def fill(report: Report, folder: Path) -> Features:
        return extract(
            seen.target[:cut],
            torch.from_numpy(seen.prepared.windows.target),
            rows=torch.from_numpy(seen.prepared.of("pair")),
            tokens=[cut],
            folder=folder,
            report=report,
            compute=compute_of(seen.recipe),
            world=store.world,
        )

    title = f"Target tokens of the pair windows at cut {cut}"
    return store.folder("target-tokens", title, key_of(seen.target_key, cut), fill).tokens[cut]


def _held_out(recipe: Recipe, prepared: Prepared) -> Tensor | None:
    """Give the pairs of the people who are held out, as indices among all pairs."""
    wanted = recipe.bridge
    if not wanted.patience:
        return None
    people = np.array(prepared.people.pair)
    count = math.ceil(wanted.held_out * len(people))
    if count >= len(people):
        raise RecipeError(
            f"{count} of {len(people)} pair people would be held out, nobody is left to train "
            "on: record more people, or set patience = 0 - at `$.bridge.held_out`"
        )
    rng = np.random.default_rng(seed_of(recipe, "held-out"))
    chosen = rng.permutation(people)[:count]
    who = prepared.windows.person[prepared.of("pair")]
    return torch.from_numpy(np.flatnonzero(np.isin(who, chosen)))


def training_of(recipe: Recipe) -> Training:
    """Read the bridge's training from a recipe."""
    wanted = recipe.bridge
    return Training(
        loss=wanted.loss,
        over=wanted.over,
        at=wanted.at,
        epochs=wanted.epochs,
        batch=wanted.batch,
        learning_rate=wanted.learning_rate,
        patience=wanted.patience,
    )


def new_bridge(
    seen: Seen, source_cut: int, target_cut: int, *, b_std: float | None = None
) -> PrototypeBridge:
    """Make an untrained bridge as the recipe wants it.

    Parameters
    ----------
    seen : Seen
    source_cut, target_cut : int
    b_std : float, optional
        Deviation that B starts with, if not what the place of the bridge asks for.
    """
    wanted, target = seen.recipe.bridge, seen.target
    source = seen.pooled["pair"][source_cut]
    straight = wanted.target_cut == "head"
    cut = target.cut(target_cut, seen.recipe.target.length)
    tokens = 1 if straight else cut.tokens
    prototypes: int | Tensor = wanted.prototypes
    if wanted.start == "real":
        prototypes = _real_prototypes(seen, target_cut, tokens)
    if b_std is None:
        # The cosine has no bounded gradient at zero; a tail in between keeps it smooth.
        feeds_loss = target_cut == len(target) or wanted.at == "cut"
        b_std = 1e-3 if feeds_loss else 0.0
    return PrototypeBridge(
        source.shape[1],
        cut.features,
        tokens,
        wanted.rank,
        prototypes,
        standardise=(source.mean(0), source.std(0)) if wanted.standardise else None,
        b_std=b_std,
        seed=seed_of(seen.recipe, "bridge"),
    )


def _real_prototypes(seen: Seen, target_cut: int, tokens: int) -> Tensor:
    """Draw tokens of the target at the cut, from up to four windows for each prototype."""
    recipe = seen.recipe
    count = recipe.bridge.prototypes
    generator = torch.Generator().manual_seed(seed_of(recipe, "bridge"))
    rows = torch.from_numpy(seen.prepared.of("pair"))
    some = torch.randperm(len(rows), generator=generator)[: 4 * count]
    chosen = torch.randperm(len(some) * tokens, generator=generator)[:count]
    if tokens == 1:
        return seen.target_pooled["pair"][target_cut][some[chosen]]
    windows = torch.from_numpy(seen.prepared.windows.target)
    return tokens_of(
        seen.target, target_cut, windows, rows[some[chosen // tokens]], chosen % tokens
    )
