"""Everything that is learnt for one bundle: teacher, source encoder, cuts, bridge.

Data flow: recordings → paired windows → people in three groups → the source encoder from
unlabelled windows (head and pair people), the teacher from labelled ones (head people) → frozen
features of both, once → cuts → bridge (pair people, no labels) → answers on test people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import temperature
from bioxedge.bridging.features import extract, tokens_at
from bioxedge.bridging.head import Head
from bioxedge.bridging.positions import Positions, select_positions
from bioxedge.bridging.train import Training, train_bridge
from bioxedge.building.encoders import encoder, teacher_head
from bioxedge.building.prepare import Prepared, seed_of
from bioxedge.building.store import Store, Values, key_of
from bioxedge.errors import DatasetError, RecipeError
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, section


@dataclass(frozen=True)
class Learnt:
    """All trained parts, frozen, and what they were trained from.

    Attributes
    ----------
    recipe : Recipe
    prepared : Prepared
    source, target : Chain
        Whole; cut them at ``source_cut`` and ``target_cut``.
    head : Head
    bridge : PrototypeBridge
    source_cut, target_cut : int
    positions : Positions or None
        None where the recipe names both cuts.
    pooled : dict of str to list of Tensor
        Pooled source features at every cut, of ``pair`` and labelled ``test`` windows.
    teacher_test : Tensor
        The teacher's logits on the labelled test windows' target signal.
    teacher_pair : Tensor
        What the bridge was aligned with [n, tokens, features].
    temperature : float
        What the bridged logits are divided by in the bundle.
    """

    recipe: Recipe
    prepared: Prepared
    source: Chain
    target: Chain
    head: Head
    bridge: PrototypeBridge
    source_cut: int
    target_cut: int
    positions: Positions | None
    pooled: dict[str, list[Tensor]]
    teacher_test: Tensor
    teacher_pair: Tensor
    temperature: float = 1.0

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]

    @torch.inference_mode()
    def answers(self, bridge: PrototypeBridge, group: str) -> Tensor:
        """Logits of a bridge on a group's windows."""
        features = self.pooled[group][self.source_cut].split(256)
        return torch.cat([self.head(self.tail(bridge(part))) for part in features])


def learn(recipe: Recipe, prepared: Prepared, store: Store, base: Path) -> Learnt:
    """Train everything a bundle needs.

    Parameters
    ----------
    recipe : Recipe
    prepared : Prepared
    store : Store
        Where finished steps are kept and found.
    base : Path
        The recipe's directory; checkpoints are relative to it.

    Raises
    ------
    DatasetError
        No labelled window of the test people.
    RecipeError
        A cut that a model does not have.
    """
    if len(prepared.of("test", labelled=True)) == 0:
        raise DatasetError(
            f"no window of the test people {', '.join(prepared.people.test)} is labelled"
        )
    _require_cuts(recipe)
    source, source_key = encoder(recipe, prepared, store, base, "source")
    target, chain_key = encoder(recipe, prepared, store, base, "target")
    head, target_key = teacher_head(recipe, prepared, store, target, chain_key)
    pooled = _features(prepared, store, source, source_key, "source")
    seen = _features(prepared, store, target, chain_key, "target")
    key = key_of(source_key, target_key, prepared.key)
    pair = prepared.of("pair")
    with torch.inference_mode():
        pseudo = head.of_pooled(seen["pair"][-1]).argmax(1).numpy()
        teacher_test = head.of_pooled(seen["test"][-1]).clone()
    positions, source_cut, target_cut = _cuts(
        recipe, store, key, pooled["pair"], seen["pair"], pseudo, prepared.windows.person[pair]
    )
    paired = torch.from_numpy(prepared.windows.target[pair])
    straight = recipe.bridge.target_cut == "head"
    wanted = seen["pair"][-1][:, None] if straight else tokens_at(target, len(target), paired)
    features = pooled["pair"][source_cut]
    bridge = new_bridge(recipe, features, target, target_cut, paired, wanted)

    def make(report: Any, state: Path) -> Values:
        train_bridge(
            bridge,
            target[target_cut:],
            features,
            wanted,
            training_of(recipe),
            seed=seed_of(recipe, "bridge"),
            state=state,
            report=report,
        )
        return {"bridge": bridge.state_dict()}

    values = store.step(
        "bridge",
        f"The bridge, from source cut {source_cut} to target cut {target_cut}, without labels",
        key_of(key, section(recipe.bridge), recipe.seed, source_cut, target_cut),
        make,
    )
    bridge.load_state_dict(values["bridge"])
    bridge.requires_grad_(False).eval()
    learnt = Learnt(
        recipe=recipe,
        prepared=prepared,
        source=source,
        target=target,
        head=head,
        bridge=bridge,
        source_cut=source_cut,
        target_cut=target_cut,
        positions=positions,
        pooled=pooled,
        teacher_test=teacher_test,
        teacher_pair=wanted,
    )
    with torch.inference_mode():
        sure = temperature(learnt.answers(bridge, "pair"), head.of_pooled(seen["pair"][-1]))
    return replace(learnt, temperature=sure)


def _features(
    prepared: Prepared, store: Store, chain: Chain, key: str, side: str
) -> dict[str, list[Tensor]]:
    """Pooled features at every cut, of the pair windows and the labelled test windows."""
    pair, test = prepared.of("pair"), prepared.of("test", labelled=True)
    windows = getattr(prepared.windows, side)

    def make(report: Any, _: Path) -> Values:
        both = torch.from_numpy(windows[np.concatenate([pair, test])])
        return {"pooled": extract(chain, both, report=report).pooled}

    cuts = store.step(
        f"{side}-features",
        f"The {side} model's features at every cut, from one pass",
        key_of(key, prepared.key, side),
        make,
    )["pooled"]
    return {"pair": [cut[: len(pair)] for cut in cuts], "test": [cut[len(pair) :] for cut in cuts]}


def training_of(recipe: Recipe) -> Training:
    """Read the bridge's training from a recipe."""
    wanted = recipe.bridge
    return Training(
        loss=wanted.loss,
        over=wanted.over,
        epochs=wanted.epochs,
        batch=wanted.batch,
        learning_rate=wanted.learning_rate,
    )


def new_bridge(
    recipe: Recipe,
    source: Tensor,
    target: Chain,
    target_cut: int,
    windows: Tensor,
    last: Tensor,
    *,
    b_std: float | None = None,
) -> PrototypeBridge:
    """Make an untrained bridge as the recipe wants it.

    Parameters
    ----------
    recipe : Recipe
    source : Tensor of shape [n, in_features]
        The pairs' pooled source features, for the standardisation.
    target : Chain
    target_cut : int
    windows : Tensor of shape [n, channels, samples]
        The pairs' target windows, for real prototypes.
    last : Tensor of shape [n, tokens, features]
        What is imitated; one token where the bridge leads straight to the head.
    b_std : float, optional
        Deviation that B starts with, if not what the place of the bridge asks for.
    """
    wanted = recipe.bridge
    seed = seed_of(recipe, "bridge")
    straight = wanted.target_cut == "head"
    cut = target.cut(target_cut, windows.shape[2])
    prototypes: int | Tensor = wanted.prototypes
    if wanted.start == "real":
        generator = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(windows), generator=generator)[: 4 * wanted.prototypes]
        tokens = last[some] if straight else tokens_at(target, target_cut, windows[some])
        tokens = tokens.reshape(-1, cut.features)
        chosen = torch.randperm(len(tokens), generator=generator)[: wanted.prototypes]
        prototypes = tokens[chosen]
    if b_std is None:
        # The cosine has no bounded gradient at zero; a tail in between keeps it smooth.
        b_std = 1e-3 if target_cut == len(target) else 0.0
    return PrototypeBridge(
        source.shape[1],
        cut.features,
        1 if straight else cut.tokens,
        wanted.rank,
        prototypes,
        standardise=(source.mean(0), source.std(0)) if wanted.standardise else None,
        b_std=b_std,
        seed=seed,
    )


def _require_cuts(recipe: Recipe) -> None:
    """Refuse cuts that do not exist before anything is trained.

    A file from outside brings its own number of blocks; its cuts are held to it once loaded.
    """
    for side in ("source", "target"):
        model = getattr(recipe, side).model
        if model.checkpoint in ("pretrain", "pip:openecg"):
            blocks = models.create(model.name, **model.config).config.blocks
            name = f"{side}_cut"
            _require_cut(name, getattr(recipe.bridge, name), blocks)


def _require_cut(name: str, cut: int | str, last: int) -> None:
    """Hold a recipe's cut to the model's last one."""
    if isinstance(cut, int) and not 0 <= cut <= last:
        raise RecipeError(
            f"there is no cut {cut}: the model has cuts 0 to {last} - at `$.bridge.{name}`"
        )


def _cuts(
    recipe: Recipe,
    store: Store,
    key: str,
    source: list[Tensor],
    target: list[Tensor],
    pseudo: npt.NDArray[np.int64],
    people: npt.NDArray[np.str_],
) -> tuple[Positions | None, int, int]:
    """Take the recipe's cuts, or choose them from the pairs' features, by person."""
    wanted = recipe.bridge
    last = len(target) - 1
    _require_cut("source_cut", wanted.source_cut, len(source) - 1)
    _require_cut("target_cut", wanted.target_cut, last)
    if "auto" not in (wanted.source_cut, wanted.target_cut):
        assert isinstance(wanted.source_cut, int)
        return None, wanted.source_cut, last if wanted.target_cut == "head" else wanted.target_cut

    # A source cut that the recipe names is the only candidate; target cuts are held to it.
    given = None if wanted.source_cut == "auto" else wanted.source_cut
    candidates = source if given is None else [source[given]]
    folds = min(5, len(np.unique(people)))

    def make(report: Any, _: Path) -> Values:
        chosen = select_positions(
            [cut.numpy() for cut in candidates],
            [cut.numpy() for cut in target],
            pseudo,
            groups=people if folds >= 2 else None,
            folds=folds if folds >= 2 else 5,
        )
        values: Values = msgspec.to_builtins(chosen)
        return values

    values = store.step(
        "positions",
        "Where to build the bridge: two-stage choice of both cuts",
        key_of(key, given),
        make,
    )
    positions = msgspec.convert(values, Positions)
    source_cut = positions.source_cut if given is None else given
    if wanted.target_cut == "head":
        return positions, source_cut, last
    target_cut = positions.target_cut if wanted.target_cut == "auto" else wanted.target_cut
    return positions, source_cut, target_cut
