"""Rows that cost a training of their own: what else could be done with the same pairs.

Each is a kept step. A student's answers are calibrated as a bridge's are, on the same pairs, so
that none is better for that alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.baselines import Aligned, Look, Student, distil, last_tokens
from bioxedge.bridging.bridge import PrototypeBridge, TokenMean
from bioxedge.bridging.calibrate import calibrate, calibrate_value
from bioxedge.bridging.features import taken
from bioxedge.bridging.loop import Report
from bioxedge.bridging.runner import BATCH
from bioxedge.bridging.spent import Spent
from bioxedge.bridging.train import Training, trained_parameters
from bioxedge.building.adapting import Given
from bioxedge.building.aligning import bridge_facts, new_bridge, training_of
from bioxedge.building.learnt import Learnt, aligned, further
from bioxedge.building.preparation import seed_of
from bioxedge.building.seen import adapt, select
from bioxedge.building.spending import pretrained_of, spent_on
from bioxedge.building.store import Store, Values, key_of
from bioxedge.models.chain import Chain
from bioxedge.spec import FeaturesSpec

Floats = npt.NDArray[np.float64]

DISTILLATION, CONTRAST = "distillation", "contrastive distillation"
DISTILLATION_WORN = "distillation, with what goes into the bridge"
FIXED, NO_BASELINE = "bridge at fixed positions", "bridge, no baseline"
CLASSIC_BRIDGED = "classic features, bridged"


@dataclass(frozen=True)
class Row:
    """One method's answers on the test windows.

    Attributes
    ----------
    method : str
    answers : list of ndarray
        Probabilities [n, classes] or values [n]; several where the row is the mean of several.
    parameters : int
        Trained for it, on average.
    spent : Spent
    others : dict of str to list of ndarray
        What the same says of each further task, by name, on that task's test windows.
    """

    method: str
    answers: list[Floats]
    parameters: int
    spent: Spent
    others: dict[str, list[Floats]] = field(default_factory=dict)

    def of(self, task: str) -> Row:
        """Give the row that a further task's table has."""
        return replace(self, answers=self.others[task], others={})


def all_rows(learnt: Learnt, store: Store) -> list[Row]:
    """Train what a bridge is compared with, or find what was trained before.

    Parameters
    ----------
    learnt : Learnt
        Its bridge is not trained again.
    store : Store
        Keeps each row's answers.

    Returns
    -------
    list of Row
        ``distillation`` (the whole source encoder, by the bridge's loss) and ``contrastive
        distillation`` (the same, by InfoNCE between pooled features), where the target has
        nothing beside its encoder; where the source has classic features or a baseline,
        distillation with them; ``bridge at fixed positions`` (the mean over a grid of places
        that nobody chose); ``classic features, bridged`` (the same lesson without an encoder) and,
        where the recipe has one, the bridge without the wearer's baseline.
    """
    found, own = [], store.took.get("bridge")
    if learnt.recipe.target.plain or learnt.recipe.bridge.target_cut == "head":
        found.append(distilled(learnt, store))
        if not learnt.recipe.source.plain:
            found.append(distilled_worn(learnt, store))
    found += [contrasted(learnt, store), fixed(learnt, store)]
    if learnt.prepared.windows.classic.shape[1]:
        found.append(classic_bridged(learnt, store))
    if learnt.recipe.source.own is not None:
        found.append(without_baseline(learnt, store))
    if own is not None:  # other bridges were trained since
        store.took["bridge"] = own
    return found


def distilled(learnt: Learnt, store: Store) -> Row:
    """Distil the whole source encoder: same pairs, same loss, a bridge of the same form behind."""
    return _student_row(
        learnt, store, "distillation", DISTILLATION, lambda: student(learnt), learnt.teacher_pair,
        training_of(learnt.recipe, learnt.head),
    )  # fmt: skip


def distilled_worn(learnt: Learnt, store: Store) -> Row:
    """Distil the same, with the classic features and the baseline that go into the bridge.

    What the baseline holds is made of the encoder's features, and they move while it is trained:
    it is worn anew, by each of the pairs' people, before every epoch.
    """
    prepared = learnt.prepared
    pair = torch.from_numpy(prepared.of("pair"))

    def look(encoder: Chain) -> Tensor:
        return torch.from_numpy(worn(learnt, encoder, "pair").beside)[pair]

    return _student_row(
        learnt, store, "distillation-worn", DISTILLATION_WORN, lambda: student_worn(learnt),
        learnt.teacher_pair, training_of(learnt.recipe, learnt.head), look,
    )  # fmt: skip


def worn(learnt: Learnt, encoder: Chain, *groups: str) -> Given:
    """Pass an encoder's features through the baselines of some people, as they were worn.

    Parameters
    ----------
    learnt : Learnt
    encoder : Chain
        The whole source encoder, in whatever state its weights are.
    groups : str
        ``pair``, ``test``: whose.

    Returns
    -------
    Given
        For every moment; NaN for the others'.
    """
    prepared = learnt.prepared
    windows, there = prepared.windows, learnt.seen.adapted["source"]
    people = {name for group in groups for name in getattr(prepared.people, group)}
    moments = np.isin(windows.person, sorted(people)) & (windows.source_row >= 0)
    rows, pool = torch.from_numpy(np.unique(windows.source_row[moments])), TokenMean()
    with torch.no_grad():
        found = torch.cat(
            [pool(encoder(taken(windows.source, part))) for part in rows.split(BATCH)]
        )
    pooled = torch.full((int(windows.source_row.max()) + 1, found.shape[1]), torch.nan)
    pooled[rows] = found
    return replace(there, pooled=[pooled], people=people, _kept={}).at(0)


def contrasted(learnt: Learnt, store: Store) -> Row:
    """Train the whole source encoder by contrast with the teacher's pooled feature."""
    wanted = learnt.seen.pooled("target", -1, "pair")[:, None]
    training = replace(
        training_of(learnt.recipe, learnt.head), loss="infonce", over="mean", at="last"
    )
    return _student_row(
        learnt, store, "contrast", CONTRAST, lambda: contrast_student(learnt), wanted, training
    )


def student(learnt: Learnt) -> Student:
    """Make what is distilled, untrained behind its pretrained encoder."""
    return _student(learnt, _last_pooled(learnt), None)


def student_worn(learnt: Learnt) -> Student:
    """Make what is distilled with what goes into the bridge beside the encoder's features."""
    features = worn(learnt, learnt.source, "pair").features
    pooled = features[torch.from_numpy(learnt.prepared.of("pair"))]
    return _student(learnt, pooled, spec_of(learnt))


def spec_of(learnt: Learnt) -> FeaturesSpec:
    """State what goes into a bridge behind the whole source encoder."""
    count = learnt.source.cut(learnt.source.last, learnt.recipe.source.length).features
    found = learnt.features
    assert found is not None
    return msgspec.structs.replace(found, encoder=count)


def _student(learnt: Learnt, pooled: Tensor, features: FeaturesSpec | None) -> Student:
    """Make a student whose bridge starts as the recipe's does."""
    like = new_bridge(learnt.seen, learnt.source_cut, learnt.target_cut)
    wanted = learnt.recipe.bridge
    bridge = PrototypeBridge(
        pooled.shape[1],
        like.out_features,
        like.tokens,
        wanted.rank,
        like.prototypes.detach().clone(),
        standardise=(pooled.mean(0), pooled.std(0)) if wanted.standardise else None,
        b_std=1e-3 if like.B.any() else 0.0,
        seed=seed_of(learnt.recipe, "bridge"),
    )
    return Student(learnt.source, bridge, learnt.tail, features)


def contrast_student(learnt: Learnt) -> Aligned:
    """Make what is trained by contrast."""
    source = learnt.source
    features = source.cut(source.last, learnt.recipe.source.length).features
    seed = seed_of(learnt.recipe, "contrast")
    return Aligned(source, features, learnt.head.linear.in_features, seed=seed)


def _last_pooled(learnt: Learnt) -> Tensor:
    """Give the pairs' pooled features of the source's last block, without what stands beside."""
    seen, rows = learnt.seen, torch.from_numpy(learnt.prepared.rows("source", "pair"))
    if seen.cuts == len(learnt.source):
        return seen.encoders["source"].features.pooled[-1][rows]
    windows = learnt.prepared.windows.source
    return seen.runner.features(learnt.source, windows, rows=rows).pooled[-1]


def _student_row(
    learnt: Learnt,
    store: Store,
    step: str,
    method: str,
    make_student: Callable[[], Student | Aligned],
    wanted: Tensor,
    training: Training,
    look: Look | None = None,
) -> Row:
    """Train a student and give its answers, calibrated; of further tasks, too."""
    prepared, recipe, windows = learnt.prepared, learnt.recipe, learnt.prepared.windows.source
    pair, seed = torch.from_numpy(prepared.rows("source", "pair")), seed_of(recipe, step)
    tasks = {"": learnt, **learnt.others}
    moments = {"pair": prepared.of("pair")}
    moments |= {f"test {name}": own.prepared.of("test") for name, own in tasks.items()}

    def make(report: Report, state: Path) -> Values:
        trained = make_student()
        distil(
            trained, windows, wanted, training, seed=seed, rows=pair, look=look, state=state,
            report=report,
        )  # fmt: skip
        if isinstance(trained, Aligned):
            trained.rescale(last_tokens(trained, windows, pair), wanted)
        found: Values = {"parameters": trained.trained_parameters}
        beside = None if look is None else worn(learnt, trained.source, "pair", "test").beside
        with torch.inference_mode():
            for name, own in moments.items():
                rows = torch.from_numpy(prepared.windows.source_row[own])
                given = None if beside is None else torch.from_numpy(beside[own])
                # What any task's head reads: the student knows of none of them.
                tokens = last_tokens(trained, windows, rows, given)
                found[name] = learnt.head.pool(tokens).clone()
        return found

    about, places = bridge_facts(recipe), [learnt.source_cut, learnt.target_cut]
    tested = [own.tolist() for own in moments.values()]
    key = key_of(step, learnt.seen.key, about, places, seed, tested)
    values = store.step(step, f"The whole source encoder: {method}", key, make)
    answers = {}
    for name, own in tasks.items():
        fit = calibrate_value if own.recipe.task.rule == "value" else calibrate
        with torch.inference_mode():
            said = {part: own.head.of_pooled(values[part]) for part in ("pair", f"test {name}")}
        calibration = fit(said["pair"], own.seen.teacher("pair"), own.seen.people("pair"))
        answers[name] = [as_answers(own, calibration.apply(said[f"test {name}"]))]
    spent = spent_on(store, step, pretrained_of(learnt))
    return Row(method, answers.pop(""), int(values["parameters"]), spent, answers)


def fixed(learnt: Learnt, store: Store) -> Row:
    """Train bridges on a grid of places, a quarter, half and three quarters into each model."""
    seen = learnt.seen
    ends = (
        [len(seen.target)] if learnt.recipe.bridge.target_cut == "head"
        else places(len(seen.target))
    )  # fmt: skip
    grid = [(i, j) for i in places(seen.cuts) for j in ends]
    answers: dict[str, list[Floats]] = {}
    sizes, seconds = [], 0.0
    memory: float | None = None
    for source_cut, target_cut in grid:
        one = aligned(seen, store, None, source_cut, target_cut)
        for name, said in _said(one, learnt).items():
            answers.setdefault(name, []).append(said)
        sizes.append(trained_parameters(one.bridge))
        if (took := store.took.get("bridge")) is not None:
            seconds += took.seconds / len(grid)
            memory = max(memory or 0.0, took.memory or 0.0) or None
    spent = Spent(pretrained_of(learnt), seconds or None, memory)
    return Row(FIXED, answers.pop(""), round(float(np.mean(sizes))), spent, answers)


def without_baseline(learnt: Learnt, store: Store) -> Row:
    """Train the bridge on features that no wearer's past has scaled, on the same windows."""
    recipe, seen = learnt.recipe, learnt.seen
    plain = msgspec.structs.replace(recipe.source, baseline=False)
    changed = msgspec.structs.replace(recipe, source=plain)
    source = adapt(changed, learnt.prepared, seen.encoders["source"], "source")
    other = replace(
        seen, recipe=changed, adapted=seen.adapted | {"source": source},
        key=key_of("seen", seen.key, "no baseline"),
    )  # fmt: skip
    one = aligned(other, store, *select(other, store))
    answers = {name: [said] for name, said in _said(one, learnt).items()}
    spent = spent_on(store, "bridge", pretrained_of(one))
    size = trained_parameters(one.bridge)
    return Row(NO_BASELINE, answers.pop(""), size, spent, answers)


def classic_bridged(learnt: Learnt, store: Store) -> Row:
    """Train the bridge on classic features alone: its lesson and its calibration, no encoder.

    Its place, loss, span, baseline and epochs are the bridge's; what the bridge is ahead of this
    row is what the source's encoder is worth.
    """
    recipe, seen = learnt.recipe, learnt.seen
    alone = msgspec.structs.replace(recipe.source, classic=recipe.source.classic or True)
    changed = msgspec.structs.replace(recipe, source=alone)
    source = adapt(changed, learnt.prepared, seen.encoders["source"], "source")
    source.pooled = [found[:, :0] for found in source.pooled]
    other = replace(
        seen, recipe=changed, adapted=seen.adapted | {"source": source},
        key=key_of("seen", seen.key, "no encoder"),
    )  # fmt: skip
    one = aligned(other, store, None, learnt.source_cut, learnt.target_cut)
    answers = {name: [said] for name, said in _said(one, learnt).items()}
    spent = spent_on(store, "bridge", pretrained_of(one, ("target",)))
    size = trained_parameters(one.bridge)
    return Row(CLASSIC_BRIDGED, answers.pop(""), size, spent, answers)


def _said(one: Learnt, learnt: Learnt) -> dict[str, Floats]:
    """Give what another bridge says of every task on its test windows, the first without a name."""
    found = {}
    for name, own in {"": one, **further(one, learnt.others)}.items():
        found[name] = as_answers(own, own.calibration.apply(own.answers(own.bridge, "test")))
    return found


def places(last: int) -> list[int]:
    """Give the cuts a quarter, half and three quarters into a model; fewer where they coincide."""
    return sorted({round(last * part / 4) for part in (1, 2, 3)})


def as_answers(learnt: Learnt, given: Tensor) -> Floats:
    """Give probabilities [n, classes], or values [n]."""
    by_value = learnt.recipe.task.rule == "value"
    found: Floats = (given[:, 0] if by_value else given.softmax(1)).double().numpy()
    return found
