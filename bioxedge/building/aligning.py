"""What a bridge is aligned with, on whom, and how it starts: as the recipe says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.features import Features
from bioxedge.bridging.loop import Report
from bioxedge.bridging.losses import ANSWERS
from bioxedge.bridging.runner import Runner
from bioxedge.bridging.train import Training
from bioxedge.building.encoders import compute_of
from bioxedge.building.preparation import Prepared, seed_of
from bioxedge.building.seen import Seen
from bioxedge.building.store import Store, key_of
from bioxedge.errors import RecipeError
from bioxedge.recipes import Recipe, section


def wanted_of(seen: Seen, store: Store, target_cut: int) -> Tensor:
    """Give what the bridge must imitate [n, tokens, features]: means, or all tokens."""
    wanted = seen.recipe.bridge
    cut = target_cut if wanted.at == "cut" else len(seen.target)
    if wanted.over == "mean" or wanted.target_cut == "head":
        return seen.pooled("target", cut, "pair")[:, None]
    runner = Runner(compute_of(seen.recipe), store.world)
    rows = seen.prepared.rows("target", "pair")

    def fill(report: Report, folder: Path) -> Features:
        return runner.features(
            seen.target,
            seen.prepared.windows.target,
            rows=torch.from_numpy(rows),
            last=cut,
            tokens=[cut],
            folder=folder,
            report=report,
        )

    title = f"Target tokens of the pair windows at cut {cut}"
    key = key_of("tokens", seen.encoders["target"].seen_key, cut, rows.tolist())
    return store.folder("target-tokens", title, key, fill).tokens[cut]


def held_out(recipe: Recipe, prepared: Prepared) -> Tensor | None:
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


def bridge_facts(recipe: Recipe) -> dict[str, Any]:
    """Give what a step that learns from pairs depends on, beside what was seen.

    What is imitated of the pairs is part of what was seen, and of its key.
    """
    about: dict[str, Any] = section(recipe.bridge)[0]
    del about["span"]
    return about


def training_of(recipe: Recipe, head: nn.Module) -> Training:
    """Read the bridge's training from a recipe; the head is the teacher's."""
    wanted = recipe.bridge
    return Training(
        loss=wanted.loss,
        over=wanted.over,
        at=wanted.at,
        epochs=wanted.epochs,
        batch=wanted.batch,
        learning_rate=wanted.learning_rate,
        patience=wanted.patience,
        schedule=wanted.schedule,
        head=head if wanted.loss == ANSWERS else None,
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
    source = seen.pooled("source", source_cut, "pair")
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
    # Straight to the head it gives what the head takes: perhaps more than the last block's.
    gives = seen.head.linear.in_features if straight else cut.features
    return PrototypeBridge(
        source.shape[1],
        gives,
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
    rows = torch.from_numpy(seen.prepared.rows("target", "pair"))
    some = torch.randperm(len(rows), generator=generator)[: 4 * count]
    chosen = torch.randperm(len(some) * tokens, generator=generator)[:count]
    if tokens == 1:
        return seen.pooled("target", target_cut, "pair")[some[chosen]]
    windows = seen.prepared.windows.target
    return seen.runner.tokens(
        seen.target, target_cut, windows, rows[some[chosen // tokens]], chosen % tokens
    )
