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

from bioxedge.bridging.features import Features, extract
from bioxedge.bridging.head import Head
from bioxedge.bridging.loop import Report
from bioxedge.bridging.positions import Positions, select_positions
from bioxedge.building.encoders import compute_of, encoder, teacher_head
from bioxedge.building.feeding import opened
from bioxedge.building.prepare import Prepared
from bioxedge.building.store import Store, Values, key_of
from bioxedge.errors import DatasetError
from bioxedge.models.chain import Chain
from bioxedge.recipes import Recipe


@dataclass(frozen=True)
class Seen:
    """Both frozen models, the teacher's head, and what they made of the windows.

    Attributes
    ----------
    recipe : Recipe
    prepared : Prepared
    source, target : Chain
        Whole.
    head : Head
    pooled, target_pooled : dict of str to list of Tensor
        Pooled features at every cut of the source and of the target, of ``pair`` windows and
        labelled ``test`` windows.
    tokens : dict of int to Tensor
        The target's tokens of the pair windows at the cuts that the recipe names for the loss.
    key : str
        Hash of all of it.
    target_key : str
        Hash of the target model alone.
    """

    recipe: Recipe
    prepared: Prepared
    source: Chain
    target: Chain
    head: Head
    pooled: dict[str, list[Tensor]]
    target_pooled: dict[str, list[Tensor]]
    tokens: dict[int, Tensor]
    key: str
    target_key: str

    @torch.inference_mode()
    def teacher(self, group: str) -> Tensor:
        """The teacher's logits on a group's windows."""
        return self.head.of_pooled(self.target_pooled[group][-1]).clone()


def look(
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
    DatasetError
        No labelled window of the test people.
    RecipeError
        Choices that the models do not have.
    """
    if len(prepared.of("test", labelled=True)) == 0:
        raise DatasetError(
            f"no window of the test people {', '.join(prepared.people.test)} is labelled"
        )
    models = opened(recipe, base) if models is None else models
    source, source_key = encoder(recipe, prepared, store, models, "source")
    target, target_key = encoder(recipe, prepared, store, models, "target")
    head, head_key = teacher_head(recipe, prepared, store, target, target_key)
    mine = _features(recipe, prepared, store, source, source_key, "source")
    theirs = _features(recipe, prepared, store, target, target_key, "target")
    return Seen(
        recipe=recipe,
        prepared=prepared,
        source=source,
        target=target,
        head=head,
        pooled={group: found.pooled for group, found in mine.items()},
        target_pooled={group: found.pooled for group, found in theirs.items()},
        tokens=theirs["pair"].tokens,
        key=key_of(source_key, head_key, prepared.key, recipe.compute.precision),
        target_key=key_of(target_key, prepared.key, compute_of(recipe).precision),
    )


def _features(
    recipe: Recipe, prepared: Prepared, store: Store, chain: Chain, key: str, side: str
) -> dict[str, Features]:
    """Pass the pair windows and the labelled test windows through a model, once."""
    windows = torch.from_numpy(getattr(prepared.windows, side))
    tokens = _compared(recipe, len(chain)) if side == "target" else []
    groups = {
        "pair": (prepared.of("pair"), tokens),
        "test": (prepared.of("test", labelled=True), []),
    }
    found = {}
    for group, (rows, cuts) in groups.items():

        def fill(
            report: Report,
            folder: Path,
            rows: npt.NDArray[np.intp] = rows,
            cuts: list[int] = cuts,
        ) -> Features:
            return extract(
                chain,
                windows,
                rows=torch.from_numpy(rows),
                tokens=cuts,
                folder=folder,
                report=report,
                compute=compute_of(recipe),
                world=store.world,
            )

        found[group] = store.folder(
            f"{side}-{group}",
            f"{side.capitalize()} features of the {group} windows, all cuts in one pass",
            key_of(key, prepared.key, side, group, cuts, compute_of(recipe).precision),
            fill,
        )
    return found


def _compared(recipe: Recipe, last: int) -> list[int]:
    """Name the target cuts whose tokens the loss reads, as far as the recipe tells."""
    wanted = recipe.bridge
    if wanted.over == "mean" or wanted.target_cut == "head":
        return []
    if wanted.at == "last":
        return [last]
    return [wanted.target_cut] if isinstance(wanted.target_cut, int) else []


def choose(seen: Seen, store: Store) -> tuple[Positions | None, int, int]:
    """Take the recipe's cuts, or choose them from the pairs' features, by person."""
    wanted = seen.recipe.bridge
    last = len(seen.target)
    if "auto" not in (wanted.source_cut, wanted.target_cut):
        assert isinstance(wanted.source_cut, int)
        return None, wanted.source_cut, last if wanted.target_cut == "head" else wanted.target_cut

    # A source cut that the recipe names is the only candidate; target cuts are held to it.
    given = None if wanted.source_cut == "auto" else wanted.source_cut
    positions = probe(seen, store, given)
    source_cut = positions.source_cut if given is None else given
    if wanted.target_cut == "head":
        return positions, source_cut, last
    target_cut = positions.target_cut if wanted.target_cut == "auto" else wanted.target_cut
    return positions, source_cut, target_cut


def probe(seen: Seen, store: Store, given: int | None = None) -> Positions:
    """Score every cut by the two-stage rule; only ``given`` of the source, if that is named."""
    source, target = seen.pooled["pair"], seen.target_pooled["pair"]
    people = seen.prepared.windows.person[seen.prepared.of("pair")]
    candidates = source if given is None else [source[given]]
    folds = min(5, len(np.unique(people)))

    def make(report: Any, _: Path) -> Values:
        chosen = select_positions(
            [cut.numpy() for cut in candidates],
            [cut.numpy() for cut in target],
            seen.teacher("pair").argmax(1).numpy(),
            groups=people if folds >= 2 else None,
            folds=folds if folds >= 2 else 5,
        )
        values: Values = msgspec.to_builtins(chosen)
        return values

    values = store.step(
        "positions",
        "Where to build the bridge: two-stage choice of both cuts",
        key_of(seen.key, given),
        make,
    )
    return msgspec.convert(values, Positions)
