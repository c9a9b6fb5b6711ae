"""The teacher's head: trained on the windows of labelled people, and held back as they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioxedge.bridging.augment import Targets, stretch
from bioxedge.bridging.head import Head, train_head, train_value_head
from bioxedge.bridging.loop import Report, Schedule, quiet
from bioxedge.bridging.penalty import PENALTIES, RANGE, Chosen, Judge, choose, sureness
from bioxedge.bridging.runner import Runner
from bioxedge.building.adapting import Adapted
from bioxedge.building.encoders import Encoder, compute_of
from bioxedge.building.preparation import Prepared, seed_of
from bioxedge.building.store import Store, Values, key_of
from bioxedge.recipes import Recipe, section


class _Given(TypedDict):
    """What both ways of training a head are told alike."""

    epochs: int
    batch: int
    learning_rate: float
    schedule: Schedule
    standardise: bool
    seed: int


def teacher_head(
    recipe: Recipe,
    prepared: Prepared,
    store: Store,
    target: Encoder,
    adapted: Adapted,
    task: str = "",
) -> tuple[Head, str]:
    """Train the teacher's head on the head people's labels; ``task`` names a further one."""
    seed, wanted = seed_of(recipe, "head"), recipe.head
    labelled = prepared.of("head")
    rows = torch.from_numpy(prepared.rows("target", "head"))
    targets = _targets(recipe, prepared, labelled)
    copies = _copies(recipe, prepared, store, target, rows, targets, seed)
    pooled = torch.cat([adapted.of(-1, labelled), *(seen for seen, _ in copies)])
    everyone = torch.arange(len(rows))
    plain = torch.ones(len(rows))
    factors = [plain, *(own for _, own in copies)]
    facts: dict[str, Any] = section(wanted)[0]
    if not wanted.penalty:
        del facts["penalty"]  # as heads were trained before there was one
    if wanted.penalty == "auto":
        facts["tried"] = [RANGE, *PENALTIES]
    key = key_of(
        "head", facts, target.seen_key, rows.tolist(), targets.values.tolist(),
        None if targets.bounds is None else targets.bounds.tolist(), targets.classes,
        targets.rate, seed, [] if adapted.plain else msgspec.to_builtins(adapted.spec(-1)),
    )  # fmt: skip
    given: _Given = {
        "epochs": wanted.epochs,
        "batch": wanted.batch,
        "learning_rate": wanted.learning_rate,
        "schedule": wanted.schedule,
        "standardise": wanted.standardise,
        "seed": seed,
    }
    people = np.tile(prepared.windows.person[labelled], len(factors))

    def make(report: Any, _: Path) -> Values:
        taught = _taught(recipe, targets, pooled, factors, everyone, seed, given)
        chosen = Chosen(0.0, 1.0, {})
        if wanted.penalty == "auto":
            chosen = choose(taught.train, taught.judge, pooled, people, report)
        penalty = chosen.penalty if wanted.penalty == "auto" else wanted.penalty
        trained = taught.train(torch.arange(len(pooled)), penalty, report)
        with torch.no_grad():
            for part in trained.linear.parameters():
                part.div_(chosen.temperature)
        return {"head": trained.state_dict(), "chosen": vars(chosen)}

    modality = recipe.target.sensor.modality.upper()
    title, step = f"The {modality} teacher's head, on labelled windows", "head"
    if task:
        title, step = f"{title}: {task}", f"head-{task}"
    values = store.step(step, title, key, make)
    if wanted.penalty == "auto":
        store.say(f"{title.replace(', on labelled windows', '')}: {_why(values)}")
    head = Head(pooled.shape[1], recipe.task.answers)
    head.load_state_dict(values["head"])
    return head.requires_grad_(False).eval(), key


@dataclass(frozen=True)
class _Taught:
    """Examples of a head's training, and how they are judged."""

    train: Callable[..., Head]
    judge: Judge


def _taught(
    recipe: Recipe,
    targets: Targets,
    pooled: Tensor,
    factors: list[Tensor],
    everyone: Tensor,
    seed: int,
    given: _Given,
) -> _Taught:
    """Put what a head is trained with to what trains and judges it on some of the examples."""
    if recipe.task.rule == "value":
        values = torch.cat([targets.played(everyone, own) for own in factors])
        width = values.std(correction=0).clamp_min(1e-6)

        def train_some(rows: Tensor, penalty: float, report: Report = quiet) -> Head:
            return train_value_head(
                pooled[rows], values[rows], penalty=penalty, report=report, **given
            )

        def wrong(answers: Tensor) -> tuple[float, float]:
            off = (answers[:, 0] - values) / width
            return float(functional.huber_loss(off, torch.zeros_like(off))), 1.0

        return _Taught(train_some, wrong)
    labels = torch.cat([targets.of(everyone, own) for own in factors])
    weights = _weights(recipe, targets, seed)

    def train(rows: Tensor, penalty: float, report: Report = quiet) -> Head:
        return train_head(
            pooled[rows], labels[rows], weights, penalty=penalty, report=report, **given
        )

    return _Taught(train, lambda answers: sureness(answers, labels, weights))


def _why(values: Values) -> str:
    """Say which penalty was chosen."""
    chosen = Chosen(**values["chosen"])
    if not chosen.losses:
        return "no penalty, for nobody can be left out of one person"
    least, none = chosen.losses[chosen.penalty], chosen.losses[0.0]
    return (
        f"penalty {chosen.penalty:g} and temperature {chosen.temperature:.2g}, with which head "
        f"people who were left out have a loss of {least:.3f} (without a penalty {none:.3f})"
    )


def _weights(recipe: Recipe, targets: Targets, seed: int) -> Tensor:
    """Give each class's weight in the loss, as the recipe wants it."""
    wanted = recipe.head.weights
    balanced = targets.weights(seed=seed)
    if wanted == "balanced":
        return balanced
    return torch.ones(targets.classes) if wanted == "none" else torch.tensor(wanted)


def _targets(recipe: Recipe, prepared: Prepared, seen: Any) -> Targets:
    """What the head people's windows teach."""
    bounds = prepared.bounds
    by_class = recipe.task.rule == "classes"
    values = prepared.labels[seen] if by_class else prepared.values[seen]
    return Targets(
        values=torch.from_numpy(values).float(),
        classes=recipe.task.answers,
        bounds=None if bounds is None else torch.from_numpy(bounds).float(),
        rate=recipe.task.rate,
    )


def _copies(
    recipe: Recipe,
    prepared: Prepared,
    store: Store,
    target: Encoder,
    rows: Tensor,
    targets: Targets,
    seed: int,
) -> list[tuple[Tensor, Tensor]]:
    """Give features and factors of copies that are played at other rates, labels with them."""
    count = recipe.head.copies if targets.rate else 0
    if not count:
        return []
    generator = torch.Generator().manual_seed(seed)
    windows = prepared.windows.target[rows]
    played, factors = [], []
    for _ in range(count):
        factors.append(targets.factors(len(rows), generator))
        played.append(stretch(windows, factors[-1], generator))
    runner = Runner(compute_of(recipe))

    def see(report: Any, _: Path) -> Values:
        found = runner.features(target.chain, torch.cat(played), report=report)
        return {"pooled": found.pooled[-1]}

    seen: Tensor = store.step(
        "copies",
        "Target features of labelled windows played at other rates",
        key_of("copies", target.seen_key, rows.tolist(), count, seed),
        see,
    )["pooled"]
    return list(zip(seen.split(len(rows)), factors, strict=True))
