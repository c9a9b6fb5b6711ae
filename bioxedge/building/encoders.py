"""The two frozen encoders and the teacher's head: loaded, or trained from the windows at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioxedge import models
from bioxedge.bridging.augment import Targets, stretch
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.features import Features
from bioxedge.bridging.head import Head, train_head, train_value_head
from bioxedge.bridging.loop import Report, Schedule, quiet
from bioxedge.bridging.penalty import PENALTIES, RANGE, Chosen, Judge, choose, sureness
from bioxedge.bridging.pretrain import LOWEST, pretrain
from bioxedge.bridging.runner import Runner
from bioxedge.building.adapting import Adapted
from bioxedge.building.feeding import options_of
from bioxedge.building.preparation import Prepared, seed_of
from bioxedge.building.store import Store, Values, key_of
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Side, section


@dataclass(frozen=True)
class Encoder:
    """One frozen model, and what it made of every window of its sensor.

    Attributes
    ----------
    chain : Chain
        Whole.
    features : Features
        Pooled, at every cut up to the highest that is needed; one row for each window, whoever
        it is of.
    key : str
        Of the model alone.
    seen_key : str
        Of the model, the windows and the precision.
    """

    chain: Chain
    features: Features
    key: str
    seen_key: str


class _Given(TypedDict):
    """What both ways of training a head are told alike."""

    epochs: int
    batch: int
    learning_rate: float
    schedule: Schedule
    standardise: bool
    seed: int


def compute_of(recipe: Recipe) -> Compute:
    """Read from a recipe on what it is computed; what it leaves open is as plain as can be."""
    wanted = recipe.compute
    precision = "fp32" if wanted.precision == "auto" else wanted.precision
    return Compute(wanted.device, precision, wanted.compiled is True, wanted.packed is True)


def encoder(
    recipe: Recipe, prepared: Prepared, store: Store, opened: dict[str, Chain], side: str
) -> Encoder:
    """Take a side's published encoder, or pretrain one, and pass all windows through it once."""
    about: Side = getattr(recipe, side)
    if side in opened:
        chain = opened[side]
        key = key_of("encoder", about.model.name, chain.sha256, options_of(about), chain.code)
    else:
        chain, key = _pretrained(recipe, prepared, store, about, side)
    windows: Tensor = getattr(prepared.windows, side)
    last = recipe.bridge.source_cut if side == "source" else "auto"
    runner = Runner(compute_of(recipe), store.world)
    # A pass that stops early is another one: it holds fewer cuts.
    until = last if isinstance(last, int) else len(chain)
    seen_key = key_of("features", key, prepared.windows.key, side, runner.compute.precision)

    def fill(report: Any, folder: Path) -> Features:
        return runner.features(chain, windows, last=until, folder=folder, report=report)

    features = store.folder(
        f"{side}-features",
        f"{side.capitalize()} features of all windows, cuts 0 to {until} in one pass",
        key_of("features", seen_key, until),
        fill,
    )
    return Encoder(chain, features, key, seen_key)


def _pretrained(
    recipe: Recipe, prepared: Prepared, store: Store, about: Side, side: str
) -> tuple[Chain, str]:
    """Pretrain an encoder on unlabelled windows of its sensor."""
    wanted, seed = about.model, seed_of(recipe, side)
    # The test people's windows stay out, unlabelled as they would be.
    windows: Tensor = getattr(prepared.windows, side)
    rows = prepared.unlabelled(side)
    # Keyed by the windows themselves: recipes that share a sensor share its encoder.
    facts = section(wanted)[0]
    for unused in ("licence", "non_commercial", "sha256"):
        facts.pop(unused, None)
    if facts["lowest"] == LOWEST:
        del facts["lowest"]  # as before there was one
    torch.manual_seed(seed)
    chain = models.create(wanted.name, **options_of(about))
    # Of a model of one's own its code decides, too.
    content = _content(windows, rows)
    key = key_of("encoder", facts, streamed_rate(about), content, seed, chain.code)

    def make(report: Any, state: Path) -> Values:
        pretrain(
            chain,
            windows,
            rows=torch.from_numpy(rows),
            rate=streamed_rate(about),
            epochs=wanted.epochs,
            batch=wanted.batch,
            learning_rate=wanted.learning_rate,
            lowest=wanted.lowest,
            seed=seed,
            state=state,
            report=report,
        )
        return {"chain": chain.state_dict()}

    modality = about.sensor.modality.upper()
    title = f"The {modality} encoder ({wanted.name}), from unlabelled windows"
    chain.load_state_dict(store.step(side, title, key, make)["chain"])
    return chain.freeze(), key


def _content(windows: Tensor, rows: Any) -> str:
    """Hash some windows, a few at a time."""
    digest = hashlib.sha256()
    for part in np.array_split(rows, max(1, len(rows) // 1024)):
        digest.update(windows[torch.from_numpy(part)].numpy().tobytes())
    return digest.hexdigest()


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
