"""Everything that is learnt for one bundle: teacher, source encoder, cuts, bridge.

Data flow: recordings → paired windows → people in three groups → the source encoder from
unlabelled windows (head and pair people), the teacher from labelled ones (head people) → frozen
features of both, once → cuts → bridge (pair people, no labels) → answers on test people.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge import models
from bioxedge.bridging.augment import Targets, stretch
from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.features import extract, tokens_at
from bioxedge.bridging.head import Head, train_head
from bioxedge.bridging.positions import Positions, select_positions
from bioxedge.bridging.pretrain import pretrain
from bioxedge.bridging.split import People, split_people
from bioxedge.bridging.train import Training, train_bridge
from bioxedge.building.store import Store, Values, digest_of, key_of
from bioxedge.datasets import bidmc, folder, simulated
from bioxedge.datasets.pair import Pair
from bioxedge.datasets.windowed import PairedWindows, streamed_rate, windowed
from bioxedge.errors import DatasetError, ModelError, RecipeError
from bioxedge.models import checkpoint
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Side, section


@dataclass(frozen=True)
class Prepared:
    """Windows, who is in which part, and the classes.

    Attributes
    ----------
    windows : PairedWindows
    people : People
    bounds : ndarray of float64, shape [classes − 1], optional
        Where bands meet; from the head people's windows alone.
    labels : ndarray of int64, shape [n]
        −1 where there is none.
    key : str
        Hash of all of it.
    """

    windows: PairedWindows
    people: People
    bounds: npt.NDArray[np.float64] | None
    labels: npt.NDArray[np.int64]
    key: str

    def of(self, *groups: str, labelled: bool = False) -> npt.NDArray[np.intp]:
        """Indices of the windows of some groups (``head``, ``pair``, ``test``)."""
        names = [name for group in groups for name in getattr(self.people, group)]
        chosen = np.isin(self.windows.person, names)
        return np.flatnonzero(chosen & (self.labels >= 0) if labelled else chosen)


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

    @property
    def tail(self) -> Chain:
        """``target[j:]``."""
        return self.target[self.target_cut :]

    @torch.inference_mode()
    def answers(self, bridge: PrototypeBridge, group: str) -> Tensor:
        """Logits of a bridge on a group's windows."""
        features = self.pooled[group][self.source_cut].split(256)
        return torch.cat([self.head(self.tail(bridge(part))) for part in features])


def seed_of(recipe: Recipe, name: str) -> int:
    """Give each step its own seed, fixed by the recipe's."""
    return int.from_bytes(hashlib.sha256(f"{recipe.seed}/{name}".encode()).digest()[:4], "big")


def recordings(recipe: Recipe, data: Path | None) -> tuple[Callable[[], list[Pair]], str]:
    """Find the recordings: what reads them, and a hash of them.

    Raises
    ------
    DatasetError
        They are not where they are said to be.
    """
    wanted = recipe.data
    if wanted.dataset == "simulated":
        facts = section(wanted)
        return (
            lambda: simulated.wearers(
                count=wanted.wearers, minutes=wanted.minutes, seed=wanted.seed
            ),
            key_of(facts),
        )
    root = data
    if root is None and "BIOXEDGE_SHARED" in os.environ:
        root = Path(os.environ["BIOXEDGE_SHARED"]) / "data"
    if root is None:
        raise DatasetError(
            f"the recipe wants the recordings of {wanted.folder!r}: name the directory that "
            "holds it with --data (or BIOXEDGE_SHARED, for its data/)"
        )
    place = root / wanted.folder
    if not place.is_dir():
        raise DatasetError(
            f"{place} is not there: the recipe wants the recordings of {wanted.folder!r} in "
            "the directory that --data names"
        )
    read = bidmc.load if wanted.dataset == "bidmc" else folder.load
    return (lambda: read(place)), digest_of(place)


def prepare(recipe: Recipe, data: Path | None, store: Store) -> Prepared:
    """Cut windows, deal people out and set the classes.

    Raises
    ------
    DatasetError, RecipeError
        Recordings, people or labels that do not suffice.
    """
    load, digest = recordings(recipe, data)
    key = key_of(section(recipe.source, recipe.target, recipe.task), digest)

    def make(report: Any, _: Path) -> Values:
        found = windowed(load(), recipe)
        return {
            name: value.tolist() if value.dtype.kind == "U" else torch.from_numpy(value)
            for name, value in vars(found).items()
        }

    values = store.step("windows", "Recordings cut into paired windows", key, make)
    windows = PairedWindows(
        **{
            name: np.array(value) if isinstance(value, list) else value.numpy()
            for name, value in values.items()
        }
    )
    split = recipe.split
    mean = {
        str(person): float(np.nan_to_num(np.nanmean(windows.value[windows.person == person])))
        for person in np.unique(windows.person)
    }
    people = split_people(
        mean, folds=split.folds, fold=split.fold, head_share=split.head_share, seed=split.seed
    )
    bounds, labels = _classes(recipe, windows, people)
    return Prepared(windows, people, bounds, labels, key_of(key, section(split)))


def _classes(
    recipe: Recipe, windows: PairedWindows, people: People
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.int64]]:
    """Turn the reference into classes; bands from the head people alone."""
    classes = len(recipe.task.labels)
    known = np.isfinite(windows.value)
    if recipe.task.rule == "classes":
        labels = np.where(known, np.nan_to_num(windows.value), -1).astype(np.int64)
        if labels.max(initial=-1) >= classes or (windows.value[known] < 0).any():
            raise RecipeError(
                f"the reference holds class {int(labels.max())}, the recipe names {classes} "
                "labels - at `$.task.labels`"
            )
        return None, labels
    own = windows.value[known & np.isin(windows.person, people.head)]
    if len(own) == 0:
        raise DatasetError(
            f"no window of {', '.join(people.head)} has a known {recipe.task.channel}: bands "
            "cannot be set without it"
        )
    bounds = np.quantile(own, np.arange(1, classes) / classes)
    labels = np.where(known, np.digitize(np.nan_to_num(windows.value), bounds), -1)
    return bounds, labels.astype(np.int64)


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
    """
    source, source_key = _chain(recipe, prepared, store, base, "source")
    target, chain_key = _chain(recipe, prepared, store, base, "target")
    head, target_key = _head(recipe, prepared, store, target, chain_key)
    pair, test = prepared.of("pair"), prepared.of("test", labelled=True)
    if len(test) == 0:
        raise DatasetError(
            f"no window of the test people {', '.join(prepared.people.test)} is labelled"
        )
    windows = prepared.windows
    pooled: dict[str, list[Tensor]] = {}
    seen: dict[str, list[Tensor]] = {}
    for side, chain, key, into in (
        ("source", source, source_key, pooled),
        ("target", target, chain_key, seen),
    ):
        cut = getattr(windows, side)

        def make(
            report: Any, _: Path, chain: Chain = chain, cut: npt.NDArray[np.float32] = cut
        ) -> Values:
            both = torch.from_numpy(cut[np.concatenate([pair, test])])
            return {"pooled": extract(chain, both, report=report).pooled}

        values = store.step(
            f"{side}-features",
            f"The {side} model's features at every cut, from one pass",
            key_of(key, prepared.key, side),
            make,
        )
        into["pair"] = [cut_features[: len(pair)] for cut_features in values["pooled"]]
        into["test"] = [cut_features[len(pair) :] for cut_features in values["pooled"]]
    keys = key_of(source_key, target_key, prepared.key)
    with torch.inference_mode():
        pseudo = head.of_pooled(seen["pair"][-1]).argmax(1).numpy()
        teacher_test = head.of_pooled(seen["test"][-1]).clone()
    positions, source_cut, target_cut = _cuts(
        recipe, store, keys, pooled["pair"], seen["pair"], pseudo, windows.person[pair]
    )
    straight = recipe.bridge.target_cut == "head"
    paired = torch.from_numpy(windows.target[pair])
    wanted = seen["pair"][-1][:, None] if straight else tokens_at(target, len(target), paired)
    bridge = new_bridge(recipe, pooled["pair"][source_cut], target, target_cut, paired, wanted)

    def align(report: Any, state: Path) -> Values:
        train_bridge(
            bridge,
            target[target_cut:],
            pooled["pair"][source_cut],
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
        key_of(keys, section(recipe.bridge), recipe.seed, source_cut, target_cut),
        align,
    )
    bridge.load_state_dict(values["bridge"])
    bridge.requires_grad_(False).eval()
    return Learnt(
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


def _chain(
    recipe: Recipe, prepared: Prepared, store: Store, base: Path, side: str
) -> tuple[Chain, str]:
    """Load a side's encoder, or pretrain it on unlabelled windows of its sensor."""
    about: Side = getattr(recipe, side)
    wanted = about.model
    if wanted.checkpoint != "pretrain":
        return _loaded(about, base)
    seed = seed_of(recipe, side)
    # The test people's windows stay out, unlabelled as they would be.
    windows = getattr(prepared.windows, side)[prepared.of("head", "pair")]
    # Keyed by the windows themselves: recipes that share a sensor share its encoder.
    content = hashlib.sha256(windows.tobytes()).hexdigest()
    key = key_of(side, section(wanted), streamed_rate(about), content, seed)
    torch.manual_seed(seed)
    chain = models.create(wanted.name, **wanted.config)

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


def _head(
    recipe: Recipe, prepared: Prepared, store: Store, target: Chain, target_key: str
) -> tuple[Head, str]:
    """Train the teacher's head on the head people's labels."""
    seed = seed_of(recipe, "head")
    seen = prepared.of("head", labelled=True)
    targets = _targets(recipe, prepared, seen)
    windows = torch.from_numpy(prepared.windows.target[seen])
    key = key_of("head", section(recipe.head, recipe.task), target_key, prepared.key, seed)

    def make(report: Any, _: Path) -> Values:
        copies, labels = _copies(windows, targets, recipe.head.copies, seed)
        trained = train_head(
            extract(target, copies, report=report).pooled[-1],
            labels,
            targets.weights(seed=seed),
            epochs=recipe.head.epochs,
            learning_rate=recipe.head.learning_rate,
            seed=seed,
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


def _loaded(side: Side, base: Path) -> tuple[Chain, str]:
    """Load a published model and hold its file to the recipe's hash."""
    wanted = side.model
    if wanted.checkpoint == "pip:openecg":
        chain = models.load(wanted.name, wanted.checkpoint)
    else:
        path = base / wanted.checkpoint
        found = checkpoint.sha256(path)
        if found != wanted.sha256:
            raise ModelError(
                f"{path} has sha256 {found}, the recipe says {wanted.sha256}: get the file that "
                "the recipe was written for, or correct the recipe if you trust this one"
            )
        chain = models.load(wanted.name, path, **wanted.config)
    return chain.freeze(), key_of(wanted.name, chain.sha256)


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
    for name, cut, cuts in (
        ("source_cut", wanted.source_cut, len(source)),
        ("target_cut", wanted.target_cut, len(target)),
    ):
        if isinstance(cut, int) and not 0 <= cut < cuts:
            raise RecipeError(
                f"there is no cut {cut}: the model has cuts 0 to {cuts - 1} - at `$.bridge.{name}`"
            )
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
