"""The two frozen encoders and the teacher's head: loaded, or trained from the windows at hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging.compute import Compute
from bioxedge.bridging.features import Features
from bioxedge.bridging.pretrain import LOWEST, pretrain
from bioxedge.bridging.runner import Runner
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
