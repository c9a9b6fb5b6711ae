"""What a bridge is worth on people never seen, on tasks that need a model, beside the other ways.

    bioxedge import …                   # as the head of each recipe says, into SESSIONS
    python benchmarks/tasks.py --out out/tasks --data SESSIONS [--seeds 0 1 2] [--recipes …]

Five-fold cross-fitting by person: everyone is tested once, by parts that never saw them. For each
recipe, fold and seed every row of a build's table, and those that cost a training of their own
(distillation, contrastive distillation, fixed positions, classic features bridged, no baseline);
teacher and bridge also from the same windows cut from whole recordings, which is the price of being
causal. Intervals are 95 % of 10,000 draws of people with replacement, paired over rows. Finished
steps are kept in --out; a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from asking import RECIPES, asking, ended
from crossfit import COMPARED, Fold, crossed, figures, fold_of
from results import about
from rich.console import Console

from bioxedge.building import started, unshippable
from bioxedge.building.evaluation import evaluate
from bioxedge.building.learnt import learn
from bioxedge.building.rows import (
    all_rows,
    classic_bridged,
    contrasted,
    distilled,
    distilled_worn,
    fixed,
    without_baseline,
)

NAMES = ("stress_predict", "eegmat", "challenge2015")
FOLDS = 5
ROWS = {
    "distillation": distilled,
    "distillation-worn": distilled_worn,
    "contrast": contrasted,
    "fixed": fixed,
    "classic-bridged": classic_bridged,
    "no-baseline": without_baseline,
}


def one(name: str, seed: int, fold: int, given: argparse.Namespace) -> Fold:
    """Learn one recipe, fold and seed; give everybody's answers."""
    recipe, data, out = RECIPES / f"{name}.toml", given.data, given.out
    changes = (*given.changes, f"split.fold={fold}", f"split.folds={FOLDS}")
    console = Console(stderr=True)
    with started(recipe, out / name, data, seed, console, None, changes) as work:
        learnt = learn(work.recipe, work.prepare(), work.store, work.base, work.models)
        rows = [ROWS[name](learnt, work.store) for name in given.rows]
        rows = rows if given.quick else all_rows(learnt, work.store)
        found = fold_of(learnt, work.store, rows)
        if not given.quick:  # the bridge stands where the causal one does
            wanted = unshippable.reference_of(work.recipe)
            whole = unshippable.prepare_beside(work.recipe, learnt.prepared, work.root, work.store)
            other = unshippable.learn_beside(
                learnt, wanted, whole, work.store, work.base, work.models
            )
            answers = evaluate(other).answers
            found.reference = {name: answers[name] for name in COMPARED if name in answers}
        return found


def study(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Cross-fit one recipe over folds and seeds."""
    measured = about()
    runs = crossed(name, given.seeds, FOLDS, lambda seed, fold: one(name, seed, fold, given))
    return {
        **measured,
        "recipe": name,
        "changes": list(given.changes),
        **figures(runs),
    }


def main() -> int:
    """Study every recipe asked for; print the tables, keep the figures."""
    options = asking(__doc__, NAMES, sessions=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--quick", action="store_true", help="only the rows of a build's table")
    options.add_argument("--rows", nargs="+", default=[], choices=ROWS, help="and these, if quick")
    given = options.parse_args()
    for name in given.recipes:
        found = study(name, given)
        (given.out / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        for method, row in found["methods"].items():
            low, high = row["interval"]
            print(f"{method:45s} {row['balanced_accuracy']:.3f} ({low:.3f}-{high:.3f})")
        for line in found["verdicts"]:
            print(line)
    return 0


if __name__ == "__main__":
    ended(main)
