"""What two frozen models make of all windows, and where a bridge between them belongs.

Both models pass over the windows once; everything later reads their features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bioxedge.bridging.head import Head
from bioxedge.bridging.positions import Positions, select_positions
from bioxedge.bridging.runner import Runner
from bioxedge.building.adapting import Adapted, baseline_of, spread_of, usual
from bioxedge.building.encoders import Encoder, compute_of, encoder
from bioxedge.building.feeding import opened
from bioxedge.building.heading import teacher_head
from bioxedge.building.preparation import Prepared
from bioxedge.building.provenance import weights_sha256
from bioxedge.building.readyhead import ready_head
from bioxedge.building.spanning import over_span
from bioxedge.building.store import Store, Values, key_of
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe, Side

_BINS = 5  # into which a value's pairs are parted where a place is chosen by classes


@dataclass(frozen=True)
class Seen:
    """Both frozen models, the teacher's head, and what they made of the windows.

    Attributes
    ----------
    recipe : Recipe
    prepared : Prepared
    encoders : dict of str to Encoder
        ``source`` and ``target``.
    adapted : dict of str to Adapted
        Their features as bridge and head take them.
    head : Head
    key : str
        Hash of all of it.
    """

    recipe: Recipe
    prepared: Prepared
    encoders: dict[str, Encoder]
    adapted: dict[str, Adapted]
    head: Head
    key: str

    @property
    def source(self) -> Chain:
        """The whole source encoder."""
        return self.encoders["source"].chain

    @property
    def target(self) -> Chain:
        """The whole target model."""
        return self.encoders["target"].chain

    @property
    def runner(self) -> Runner:
        """What passes windows through them."""
        return Runner(compute_of(self.recipe))

    def pooled(self, side: str, cut: int, group: str) -> Tensor:
        """Give the pooled features of a part's windows at a cut, shape [n, features].

        The source's as the bridge takes them, the target's last ones as the head does. Those that
        a bridge imitates are means over the span that the recipe says.
        """
        moments = self.prepared.of(group)
        if side == "source" or cut % len(self.encoders[side].features.pooled) == len(self.target):
            found = self.adapted[side].of(cut, moments)
        else:
            rows = torch.from_numpy(self.prepared.rows(side, group))
            found = self.encoders[side].features.pooled[cut][rows]
        span, windows = self.recipe.bridge.span, self.prepared.windows
        if side == "target" and group == "pair" and span:
            return over_span(found, windows.session[moments], windows.start[moments], span)
        return found

    @property
    def cuts(self) -> int:
        """The highest source cut whose features are there."""
        return len(self.encoders["source"].features.pooled) - 1

    @torch.inference_mode()
    def teacher(self, group: str) -> Tensor:
        """The teacher's answers on a part's windows: logits, or the value.

        Of pairs over the recipe's span, as everything that learns from them has it.
        """
        return self.head.of_pooled(self.pooled("target", -1, group)).clone()

    def people(self, group: str) -> npt.NDArray[np.str_]:
        """Who each window of a part is of."""
        return self.prepared.windows.person[self.prepared.of(group)]


def see(
    recipe: Recipe,
    prepared: Prepared,
    store: Store,
    base: Path,
    models: dict[str, Chain] | None = None,
) -> Seen:
    """Get both encoders and the teacher's head, and pass all windows through once.

    Parameters
    ----------
    recipe : Recipe
    prepared : Prepared
    store : Store
        Where finished steps are kept and found.
    base : Path
        The recipe's directory; checkpoints are relative to it.
    models : dict of str to Chain, optional
        What :func:`bioxedge.building.feeding.opened` gave for this recipe.

    Raises
    ------
    RecipeError
        Choices that the models do not have.
    ModelError
        A ready head that does not fit, or a training that ran away.
    """
    models = opened(recipe, base) if models is None else models
    encoders = {
        side: encoder(recipe, prepared, store, models, side) for side in ("source", "target")
    }
    target = encoders["target"]
    adapted = {side: adapt(recipe, prepared, found, side) for side, found in encoders.items()}
    if recipe.ready is None:
        head, head_key = teacher_head(recipe, prepared, store, target, adapted["target"])
    else:
        head = ready_head(recipe, recipe.ready, base, target.chain)
        head_key = weights_sha256(head)
    pairs = prepared.of("pair").tolist()
    made = [_made(recipe, side) for side in ("source", "target")]
    if recipe.bridge.span:
        made.append(recipe.bridge.span)
    key = key_of("seen", encoders["source"].seen_key, target.seen_key, head_key, pairs, *made)
    return Seen(recipe, prepared, encoders, adapted, head, key)


def adapt(recipe: Recipe, prepared: Prepared, found: Encoder, side: str) -> Adapted:
    """Put classic features and baselines to an encoder's features; of the test people none decides.

    What stands for a classic feature that is not possible is the middle of the others'.
    """
    windows, people = prepared.windows, prepared.people
    rows = windows.classic if side == "source" else windows.target_classic
    others = np.isin(windows.person, [*people.head, *people.pair])
    spread = spread_of(rows[others]) if _told_in_spread(recipe, side) else None
    return Adapted(recipe, windows, side, found.features.pooled, usual(rows[others]), spread)


def _told_in_spread(recipe: Recipe, side: str) -> bool:
    """Whether a side's classic features are told in their own deviations; never on the device."""
    about: Side = getattr(recipe, side)
    return side == "target" and bool(about.classic) and about.own is None


def _made(recipe: Recipe, side: str) -> Any:
    """Say what of a side's features is not its encoder's."""
    about: Side = getattr(recipe, side)
    if about.plain:
        return None
    made = [about.classic, msgspec.to_builtins(baseline_of(recipe, side))]
    return [*made, "in deviations"] if _told_in_spread(recipe, side) else made


def select(seen: Seen, store: Store) -> tuple[Positions | None, int, int]:
    """Take the recipe's cuts, or choose them from the pairs' features, by person."""
    wanted = seen.recipe.bridge
    last = len(seen.target)
    if isinstance(wanted.source_cut, int) and wanted.target_cut != "auto":
        return None, wanted.source_cut, last if wanted.target_cut == "head" else wanted.target_cut

    # A source cut that the recipe names is the only candidate; target cuts are held to it.
    given = None if wanted.source_cut == "auto" else wanted.source_cut
    positions = probed(seen, store, given)
    source_cut = positions.source_cut if given is None else given
    if positions.remark and given is None:
        store.say(positions.remark)
    if wanted.target_cut == "head":
        return positions, source_cut, last
    target_cut = positions.target_cut if wanted.target_cut == "auto" else wanted.target_cut
    return positions, source_cut, target_cut


def probed(seen: Seen, store: Store, given: int | None = None) -> Positions:
    """Score every cut by the two-stage rule; only ``given`` of the source, if that is named."""
    people = seen.people("pair")
    cuts = range(seen.cuts + 1) if given is None else [given]
    folds = min(5, len(np.unique(people)))

    def make(report: Any, _: Path) -> Values:
        chosen = select_positions(
            [seen.pooled("source", cut, "pair").numpy() for cut in cuts],
            [seen.pooled("target", cut, "pair").numpy() for cut in range(len(seen.target) + 1)],
            pseudo_labels(seen),
            groups=people if folds >= 2 else None,
            folds=folds if folds >= 2 else 5,
        )
        values: Values = msgspec.to_builtins(chosen)
        return values

    values = store.step(
        "positions",
        "Where to build the bridge: two-stage choice of both cuts",
        key_of("positions", seen.key, given),
        make,
    )
    return msgspec.convert(values, Positions)


def pseudo_labels(seen: Seen) -> npt.NDArray[np.int64]:
    """Give the teacher's labels of the pairs; for a value its fifths."""
    answers = seen.teacher("pair").numpy()
    if seen.recipe.task.rule != "value":
        labels: npt.NDArray[np.int64] = answers.argmax(1)
        return labels
    edges = np.quantile(answers[:, 0], np.arange(1, _BINS) / _BINS)
    fifths: npt.NDArray[np.int64] = np.digitize(answers[:, 0], edges).astype(np.int64)
    return fifths
