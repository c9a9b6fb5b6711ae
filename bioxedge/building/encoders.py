"""The two frozen encoders and the teacher's head: loaded, or trained from the windows at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging.augment import Targets, stretch
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.features import extract
from bioxedge.bridging.head import Head, train_head
from bioxedge.bridging.pretrain import pretrain
from bioxedge.building.feeding import options_of
from bioxedge.building.prepare import Prepared, seed_of
from bioxedge.building.store import Store, Values, key_of
from bioxedge.datasets.windowed import streamed_rate
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Side, section


def compute_of(recipe: Recipe) -> Compute:
    """Read from a recipe on what it is computed; what it leaves open is as plain as can be."""
    wanted = recipe.compute
    precision = "fp32" if wanted.precision == "auto" else wanted.precision
    return Compute(wanted.device, precision, wanted.compiled is True, wanted.packed is True)


def encoder(
    recipe: Recipe, prepared: Prepared, store: Store, opened: dict[str, Chain], side: str
) -> tuple[Chain, str]:
    """Take a side's published encoder, or pretrain one on unlabelled windows of its sensor."""
    about: Side = getattr(recipe, side)
    wanted = about.model
    if side in opened:
        chain = opened[side]
        return chain, key_of(wanted.name, chain.sha256, options_of(about))
    seed = seed_of(recipe, side)
    # The test people's windows stay out, unlabelled as they would be.
    windows = getattr(prepared.windows, side)[prepared.of("head", "pair")]
    # Keyed by the windows themselves: recipes that share a sensor share its encoder.
    content = hashlib.sha256(windows.tobytes()).hexdigest()
    key = key_of(side, section(wanted), streamed_rate(about), content, seed)
    torch.manual_seed(seed)
    chain = models.create(wanted.name, **options_of(about))

    def make(report: Any, state: Path) -> Values:
        pretrain(
            chain,
            torch.from_numpy(windows),
            rate=streamed_rate(about),
            epochs=wanted.epochs,
            batch=wanted.batch,
            learning_rate=wanted.learning_rate,
            seed=seed,
            state=state,
            report=report,
        )
        return {"chain": chain.state_dict()}

    modality = about.sensor.modality.upper()
    title = f"The {modality} encoder ({wanted.name}), from unlabelled windows"
    chain.load_state_dict(store.step(side, title, key, make)["chain"])
    return chain.freeze(), key


def teacher_head(
    recipe: Recipe, prepared: Prepared, store: Store, target: Chain, target_key: str
) -> tuple[Head, str]:
    """Train the teacher's head on the head people's labels."""
    seed = seed_of(recipe, "head")
    labelled = prepared.of("head", labelled=True)
    targets = _targets(recipe, prepared, labelled)
    windows = torch.from_numpy(prepared.windows.target[labelled])
    key = key_of("head", section(recipe.head, recipe.task), target_key, prepared.key, seed)
    copies, labels = _copies(windows, targets, recipe.head.copies, seed)
    content = hashlib.sha256(copies.numpy().tobytes()).hexdigest()

    def see(report: Any, _: Path) -> Values:
        found = extract(target, copies, report=report, compute=compute_of(recipe))
        return {"pooled": found.pooled[-1]}

    # A step of its own: without copies it is the same for every seed.
    seen = store.step(
        "head-features",
        "Target features of the labelled windows",
        key_of(target_key, content, compute_of(recipe).precision),
        see,
    )

    def make(report: Any, _: Path) -> Values:
        trained = train_head(
            seen["pooled"],
            labels,
            targets.weights(seed=seed),
            epochs=recipe.head.epochs,
            learning_rate=recipe.head.learning_rate,
            seed=seed,
            report=report,
        )
        return {"head": trained.state_dict()}

    modality = recipe.target.sensor.modality.upper()
    values = store.step("head", f"The {modality} teacher's head, on labelled windows", key, make)
    head = Head(target.cut(target.last, recipe.target.length).features, targets.classes)
    head.load_state_dict(values["head"])
    return head.requires_grad_(False).eval(), key


def _targets(recipe: Recipe, prepared: Prepared, seen: npt.NDArray[np.intp]) -> Targets:
    """What the head people's windows teach."""
    bounds = prepared.bounds
    values = prepared.labels[seen] if bounds is None else prepared.windows.value[seen]
    return Targets(
        values=torch.from_numpy(values).float(),
        classes=len(recipe.task.labels),
        bounds=None if bounds is None else torch.from_numpy(bounds).float(),
        rate=recipe.task.rate,
    )


def _copies(windows: Tensor, targets: Targets, copies: int, seed: int) -> tuple[Tensor, Tensor]:
    """Windows and, where their labels can follow, copies played at other rates."""
    everyone = torch.arange(len(windows))
    plain = torch.ones(len(windows))
    found, labels = [windows], [targets.of(everyone, plain)]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(copies if targets.rate else 0):
        factors = targets.factors(len(windows), generator)
        found.append(stretch(windows, factors, generator))
        labels.append(targets.of(everyone, factors))
    return torch.cat(found), torch.cat(labels)
