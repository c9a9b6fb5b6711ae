"""What a bridge is worth on people never seen, on tasks that need a model, beside the other ways.

    bioxedge import …                   # as the head of each recipe says, into SESSIONS
    python benchmarks/tasks.py --out out/tasks --data SESSIONS [--seeds 0 1 2] [--recipes …]

Five-fold cross-fitting by person: everyone is tested once, by parts that never saw them. For each
recipe, fold and seed every row of a build's table, and those that cost a training of their own
(distillation, contrastive distillation, fixed positions, no baseline). Intervals are 95 % of 2000
draws of people with replacement, paired over rows. Finished steps are kept in --out; a run that was
stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from results import about
from rich.console import Console

from bioxedge.bridging.evaluate import bootstrap, middle, score
from bioxedge.bridging.verdict import verdicts
from bioxedge.building import started
from bioxedge.building.evaluation import evaluate
from bioxedge.building.learnt import learn
from bioxedge.building.rows import all_rows
from bioxedge.errors import BioxedgeError

RECIPES = Path(__file__).resolve().parent.parent / "export" / "recipes"
NAMES = ("stress_predict", "eegmat", "challenge2015")
FOLDS, DRAWS = 5, 2000


def one(name: str, seed: int, fold: int, given: argparse.Namespace) -> dict[str, Any]:
    """Learn one recipe, fold and seed; give everybody's answers on the test windows."""
    recipe, data, out = RECIPES / f"{name}.toml", given.data, given.out
    changes = (*given.changes, f"split.fold={fold}", f"split.folds={FOLDS}")
    console = Console(stderr=True)
    with started(recipe, out / name, data, seed, console, None, changes) as work:
        learnt = learn(work.recipe, work.prepare(), work.store, work.base, work.models)
        found = evaluate(learnt)
        answers = {method: [given.argmax(1)] for method, given in found.answers.items()}
        sizes = {each.method: each.parameters for each in found.scores}
        for row in () if given.quick else all_rows(learnt, work.store):
            answers[row.method] = [given.argmax(1) for given in row.answers]
            sizes[row.method] = row.parameters
        return {
            "truth": found.truth,
            "people": found.people,
            "answers": answers,
            "sizes": sizes,
            "cut": learnt.source_cut,
            "taken": learnt.calibration.taken,
            "classes": len(work.recipe.task.labels),
        }


def study(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Cross-fit one recipe over folds and seeds."""
    console, seeds = Console(stderr=True), given.seeds
    runs = {}
    for seed in seeds:
        for fold in range(FOLDS):
            console.print(f"[bold]{name}[/], seed {seed}, fold {fold + 1} of {FOLDS}")
            runs[seed, fold] = one(name, seed, fold, given)
    # A row that a fold lacks (a bias that was not needed) is no row of all.
    methods = [
        method
        for method in runs[seeds[0], 0]["answers"]
        if all(method in run["answers"] for run in runs.values())
    ]
    truth = np.concatenate([runs[seeds[0], fold]["truth"] for fold in range(FOLDS)])
    people = np.concatenate([runs[seeds[0], fold]["people"] for fold in range(FOLDS)])
    columns, owner = [], []
    for method in methods:
        for seed in seeds:
            copies = len(runs[seed, 0]["answers"][method])
            for copy in range(copies):
                columns.append(
                    np.concatenate(
                        [runs[seed, fold]["answers"][method][copy] for fold in range(FOLDS)]
                    )
                )
                owner.append((method, seed))
    drawn = bootstrap(truth, columns, people, draws=DRAWS)
    classes, count = runs[seeds[0], 0]["classes"], len(np.unique(people))
    figures: dict[str, Any] = {}
    means = np.empty((len(drawn), len(methods)))
    for number, method in enumerate(methods):
        own = [k for k, (named, _) in enumerate(owner) if named == method]
        scores = [score(method, truth, columns[k], classes, 0) for k in own]
        means[:, number] = drawn[:, own].mean(axis=1)
        by_seed = [
            float(
                np.mean(
                    [
                        scored.balanced_accuracy
                        for k, scored in zip(own, scores, strict=True)
                        if owner[k][1] == seed
                    ]
                )
            )
            for seed in seeds
        ]
        figures[method] = {
            "balanced_accuracy": float(np.mean([each.balanced_accuracy for each in scores])),
            "macro_f1": float(np.mean([each.macro_f1 for each in scores])),
            "by_seed": by_seed,
            "interval": list(middle(means[:, number], count)),
            "parameters": round(
                float(np.mean([run["sizes"].get(method, 0) for run in runs.values()]))
            ),
        }
    reached = [figures[method]["balanced_accuracy"] for method in methods]
    at = methods.index
    found: dict[str, Any] = {
        **about(),
        "recipe": name,
        "changes": list(given.changes),
        "seeds": seeds,
        "people": count,
        "windows": len(truth),
        "methods": figures,
        "cuts": [run["cut"] for run in runs.values()],
        "calibration": [run["taken"] for run in runs.values()],
        "verdicts": verdicts(methods, reached, means, count),
    }
    if "distillation" in methods:
        off = means[:, at("bridge")] - means[:, at("distillation")]
        found["bridge_minus_distillation"] = reached[at("bridge")] - reached[at("distillation")]
        found["bridge_minus_distillation_interval"] = list(middle(off, count))
        found["share_of_parameters"] = (
            figures["bridge"]["parameters"] / figures["distillation"]["parameters"]
        )
    return found


def main() -> int:
    """Study every recipe asked for; print the tables, keep the figures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True, help="what the imports wrote")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--recipes", nargs="+", default=NAMES, help="of export/recipes")
    options.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--quick", action="store_true", help="only the rows of a build's table")
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
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; finished steps are kept")
