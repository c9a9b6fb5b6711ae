"""Other ways to train a bridge than the published one, beside it, on people never seen.

    python benchmarks/forms.py --out out/forms --data SESSIONS [--recipes …] [--seeds 0 1 2]

The published bridge ends inside the target, its tail frozen, and is compared at the last block.
Beside it: compared where it ends; compared at every cut from there on (the mean of the distances;
between inner activations `centred_cosine`, at the last block the recipe's loss); with the target's
last block trained, too, which makes it a part of the bundle's own; both; and straight to the head.
The tail's last block may have more parameters than the bridge: `trained` counts them. Here the
target has neither classic features nor a baseline, for a tail knows its encoder's features alone,
and the bridge ends half way through it; its source cut is the recipe's choice. Five-fold
cross-fitting by person as in `tasks.py`; SESSIONS as there (of BIDMC the folder as published).
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import torch
from asking import RECIPES, asking, ended
from crossfit import DRAWS, Fold, crossed, figures
from results import about
from rich.console import Console
from torch import Tensor, nn

from bioxedge.bridging.calibrate import calibrate
from bioxedge.bridging.draws import bootstrap, middle
from bioxedge.bridging.loop import fit
from bioxedge.bridging.spent import Spent
from bioxedge.bridging.train import Alignment, trained_parameters
from bioxedge.building import started
from bioxedge.building.aligning import new_bridge, training_of
from bioxedge.building.evaluation import CONSTANT, constant
from bioxedge.building.learnt import Learnt, aligned, learn
from bioxedge.building.preparation import seed_of
from bioxedge.building.seen import Seen

NAMES = ("stress_predict", "eegmat", "challenge2015", "bidmc_ecg_to_ppg")
FOLDS = 5
PLAIN = ("target.classic=false", "target.baseline=false", 'bridge.target_cut="head"')
PUBLISHED, HEAD, CUT = "bridge", "bridge, straight to the head", "bridge, compared at its cut"
FORMS = {
    "bridge, compared at several cuts": (True, False),
    "bridge, last block trained": (False, True),
    "bridge, several cuts, last block trained": (True, True),
}
"""Whether every cut is compared, and whether the target's last block is trained."""


class Form(nn.Module):
    """A bridge and what follows it in the target, which may be trained in part."""

    def __init__(self, seen: Seen, source_cut: int, target_cut: int, tuned: bool) -> None:
        super().__init__()
        self.bridge = new_bridge(seen, source_cut, target_cut)
        self.tail = copy.deepcopy(seen.target[target_cut:]).requires_grad_(False).eval()
        if tuned:
            self.tail.blocks[-1].requires_grad_(True)

    def activations(self, features: Tensor) -> Iterator[Tensor]:
        """Give what is at every cut from the bridge's on."""
        return iter(self.tail.activations(self.bridge(features)))


def formed(seen: Seen, source_cut: int, target_cut: int, several: bool, tuned: bool) -> Form:
    """Train a bridge in another form, on the same pairs in the same order."""
    recipe = seen.recipe
    form, last = Form(seen, source_cut, target_cut, tuned), len(seen.target)
    features = seen.pooled("source", source_cut, "pair")
    everything, own = torch.arange(len(features)), training_of(recipe, seen.head)
    inner = replace(own, loss="centred_cosine", head=None)
    compared = {
        cut: Alignment(
            seen.pooled("target", cut, "pair")[:, None],
            own if cut == last else inner,
            everything,
            torch.device("cpu"),
        )
        for cut in (range(target_cut, last + 1) if several else [last])
    }

    def loss(indices: Tensor, _: torch.Generator) -> Tensor:
        there = enumerate(form.activations(features[indices]), target_cut)
        each = [compared[cut](tokens, indices) for cut, tokens in there if cut in compared]
        return torch.stack(each).mean()

    fit(
        form,
        loss,
        len(features),
        epochs=own.epochs,
        batch=own.batch,
        rate=own.learning_rate,
        seed=seed_of(recipe, "bridge"),
        schedule=own.schedule,
    )
    return form.requires_grad_(False).eval()


def put(fold: Fold, name: str, seen: Seen, source_cut: int, form: Form, size: int) -> None:
    """Put a form's answers on test people to a fold, calibrated as a bridge's are."""
    given = {}
    for group in ("pair", "test"):
        *_, tokens = form.activations(seen.pooled("source", source_cut, group))
        given[group] = seen.head(tokens)
    calibration = calibrate(given["pair"], seen.teacher("pair"), seen.people("pair"))
    fold.answers[name] = [calibration.apply(given["test"]).softmax(1).double().numpy()]
    fold.parameters[name], fold.spent[name] = size, Spent()


def put_learnt(fold: Fold, name: str, one: Learnt) -> None:
    """Put a bridge's answers on test people to a fold."""
    given = one.calibration.apply(one.answers(one.bridge, "test"))
    fold.answers[name] = [given.softmax(1).double().numpy()]
    fold.parameters[name], fold.spent[name] = trained_parameters(one.bridge), Spent()


def one(name: str, seed: int, fold: int, given: argparse.Namespace) -> Fold:
    """Train every form on one fold; give everybody's answers."""
    recipe, out = RECIPES / f"{name}.toml", given.out / name
    changes = (*PLAIN, f"split.fold={fold}", f"split.folds={FOLDS}")
    with started(recipe, out, given.data, seed, Console(stderr=True), None, changes) as work:
        head = learn(work.recipe, work.prepare(), work.store, work.base, work.models)
        seen, source_cut, middle_cut = head.seen, head.source_cut, len(head.target) // 2
        place = msgspec.structs.replace(work.recipe.bridge, target_cut=middle_cut)
        inside = replace(seen, recipe=msgspec.structs.replace(work.recipe, bridge=place))
        published = aligned(inside, work.store, None, source_cut, middle_cut)
        near = msgspec.structs.replace(place, at="cut", loss="centred_cosine")
        close = replace(seen, recipe=msgspec.structs.replace(work.recipe, bridge=near))
        at_cut = aligned(close, work.store, None, source_cut, middle_cut)
        prepared = head.prepared
        test = prepared.of("test")
        found = Fold(prepared.labels[test], prepared.windows.person[test], {}, {}, {})
        found.cuts = [source_cut, middle_cut]
        with torch.inference_mode():
            found.put("teacher", seen.teacher("test").softmax(1).double().numpy())
            put_learnt(found, PUBLISHED, published)
            put_learnt(found, HEAD, head)
            put_learnt(found, CUT, at_cut)
        for form, (several, tuned) in FORMS.items():
            made = formed(inside, source_cut, middle_cut, several, tuned)
            size = trained_parameters(made.bridge)
            size += trained_parameters(made.tail.blocks[-1]) if tuned else 0
            with torch.inference_mode():
                put(found, form, inside, source_cut, made, size)
        found.put(CONSTANT, constant(head, len(test)))
        return found


def ahead(runs: dict[int, list[Fold]]) -> dict[str, list[float]]:
    """Say how far each form is ahead of the published one: the difference, and its 95 %."""
    folds = next(iter(runs.values()))
    truth = np.concatenate([fold.truth for fold in folds])
    people = np.concatenate([fold.people for fold in folds])
    names = [PUBLISHED, HEAD, CUT, *FORMS]
    columns = [
        np.concatenate([fold.answers[name][0].argmax(1) for fold in own])
        for name in names
        for own in runs.values()
    ]
    drawn = bootstrap(truth, columns, people, draws=DRAWS).reshape(DRAWS, len(names), -1).mean(2)
    count = len(np.unique(people))
    return {
        name: list(middle(drawn[:, number] - drawn[:, 0], count))
        for number, name in enumerate(names)
        if number
    }


def study(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Cross-fit one recipe over folds and seeds."""
    measured = about()
    runs = crossed(name, given.seeds, FOLDS, lambda seed, fold: one(name, seed, fold, given))
    made = figures(runs)
    for form, between in ahead(runs).items():
        row = made["methods"][form]
        row["ahead"] = row["balanced_accuracy"] - made["methods"][PUBLISHED]["balanced_accuracy"]
        row["ahead_interval"] = between
    return {**measured, "recipe": name, "changes": list(PLAIN), **made}


def main() -> int:
    """Study every recipe asked for; print the tables, keep the figures."""
    options = asking(__doc__, NAMES, sessions=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = options.parse_args()
    for name in given.recipes:
        found = study(name, given)
        (given.out / f"forms_{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        for method, row in found["methods"].items():
            low, high = row.get("ahead_interval", (0, 0))
            print(
                f"{name} {method:45s} {row['balanced_accuracy']:.3f} {row['parameters']:7,d} "
                f"{row.get('ahead', 0):+.3f} ({low:+.3f} to {high:+.3f})"
            )
    return 0


if __name__ == "__main__":
    ended(main)
