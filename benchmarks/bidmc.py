"""Heart-rate band from ECG, taken to PPG: what the bridge keeps of its teacher, on real patients.

    python benchmarks/bidmc.py --out out/bidmc [--data ../shared/data] [--seeds 0 1 2]

Five-fold cross-fitting by patient: everyone is tested once, by parts that never saw them. For
each recipe, fold and seed: teacher on ECG, bridge on PPG, classic features of the PPG with a
linear model on the same pseudo-labels, a counter of pulses, both oracles on true labels, the
whole source encoder distilled (same pairs; by the bridge's loss, and by contrast), the untrained
bridge, a random one and the majority class.
Of a recipe of several tasks each further one has a table of its own, without distillation; where
that is breathing, a counter of breaths stands beside it.
Intervals are 95 % of 2000 draws of patients with replacement, paired over methods. Finished steps
are kept in --out; a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from results import about
from rich.console import Console
from rich.table import Table

from bioxedge import classic, recipes
from bioxedge.bridging.evaluate import bootstrap, middle, score
from bioxedge.bridging.verdict import verdicts
from bioxedge.building.evaluation import evaluate
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.preparation import prepare
from bioxedge.building.progress import Steps
from bioxedge.building.rows import DISTILLATION, contrasted, distilled
from bioxedge.building.store import Store
from bioxedge.errors import BioxedgeError

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent / "export" / "recipes"
NAMES = ("bidmc_ecg_to_ppg", "bidmc_openecg_to_ppg")
CHOICES = (*NAMES, "bidmc_two_tasks")
COUNTER, BREATHS = "pulse counter", "breath counter"
BREATHING = (0.1, 0.6)  # Hz: 6 to 36 breaths a minute


def counted(learnt: Learnt) -> np.ndarray:
    """Count the pulses of the test windows: the band that their rate lies in. Nothing is learnt."""
    prepared = learnt.prepared
    assert prepared.bounds is not None  # the task's rule is bands of the heart rate
    at = classic.names("ppg", ("PPG",)).index("PPG rate (bpm)")
    rate = prepared.windows.classic[prepared.of("test"), at]
    middle_of_all = float(np.mean(prepared.bounds))  # where no rate can be counted
    return np.digitize(np.where(np.isfinite(rate), rate, middle_of_all), prepared.bounds)


def breathed(learnt: Learnt) -> np.ndarray:
    """Take the strongest slow rhythm of each test window for its breathing; nothing is learnt."""
    prepared = learnt.prepared
    assert prepared.bounds is not None
    rows = torch.from_numpy(prepared.rows("source", "test"))
    windows = prepared.windows.source[rows][:, 0].double().numpy()
    rate = learnt.recipe.source.sensor.rate
    size = 8 * windows.shape[1]  # finer than the window's own steps
    power = np.abs(np.fft.rfft(windows * np.hanning(windows.shape[1]), size))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    slow = (BREATHING[0] <= frequency) & (frequency <= BREATHING[1])
    return np.digitize(60 * frequency[slow][power[:, slow].argmax(axis=1)], prepared.bounds)


def one(
    recipe: recipes.Recipe, data: Path | None, store: Store, distillation: bool
) -> dict[str, dict[str, Any]]:
    """Learn one recipe, fold and seed; give everybody's answers, task by task."""
    learnt = learn(recipe, prepare(recipe, data, store), store, RECIPES)
    told = {"": asked(learnt, store, distillation)}
    return told | {name: asked(own, store, False) for name, own in learnt.others.items()}


def asked(learnt: Learnt, store: Store, distillation: bool) -> dict[str, Any]:
    """Give everybody's answers on the test windows of one task."""
    found = evaluate(learnt)
    answers = {name: given.argmax(1) for name, given in found.answers.items()}
    parameters = {each.method: each.parameters for each in found.scores}
    # A bias is taken in some folds and not in others: the row is there in all of them.
    uncalibrated = learnt.answers(learnt.bridge, "test").argmax(1).numpy()
    answers.pop("bridge, temperature alone", None)
    answers["bridge, uncalibrated"] = uncalibrated
    parameters["bridge, uncalibrated"] = parameters["bridge"]
    breathing = learnt.recipe.task.channel == "RESP"
    counter = BREATHS if breathing else COUNTER
    answers[counter] = breathed(learnt) if breathing else counted(learnt)
    parameters[counter] = 0
    for row in [distilled(learnt, store), contrasted(learnt, store)] if distillation else []:
        answers[row.method], parameters[row.method] = row.answers[0].argmax(1), row.parameters
    return {
        "truth": found.truth,
        "people": found.people,
        "answers": answers,
        "parameters": parameters,
        "cuts": [learnt.source_cut, learnt.target_cut],
        "classes": len(learnt.recipe.task.labels),
    }


def study(
    name: str, data: Path | None, seeds: list[int], out: Path, distillation: bool
) -> dict[str, dict[str, Any]]:
    """Cross-fit one recipe over folds and seeds; give the figures of each task by its name."""
    console = Console(stderr=True)
    plain = recipes.read(RECIPES / f"{name}.toml")
    store = Store(out / "steps", Steps(console))
    runs: dict[int, list[dict[str, dict[str, Any]]]] = {}
    for seed in seeds:
        for fold in range(plain.split.folds):
            console.print(f"[bold]{name}[/], seed {seed}, fold {fold + 1} of {plain.split.folds}")
            split = msgspec.structs.replace(plain.split, fold=fold)
            recipe = msgspec.structs.replace(plain, seed=seed, split=split)
            runs.setdefault(seed, []).append(one(recipe, data, store, distillation))
    return {
        task: figures(
            f"{name}, {task}" if task else name,
            {seed: [run[task] for run in own] for seed, own in runs.items()},
            distillation and not task,
        )
        for task in runs[seeds[0]][0]
    }


def figures(name: str, runs: dict[int, list[dict[str, Any]]], distillation: bool) -> dict[str, Any]:
    """Put folds together and seeds beside each other: scores with intervals over patients."""
    seeds = list(runs)
    first = runs[seeds[0]]
    classes, chance = first[0]["classes"], 1 / first[0]["classes"]
    methods = tuple(first[0]["answers"])
    truth = np.concatenate([run["truth"] for run in first])
    people = np.concatenate([run["people"] for run in first])
    columns = [
        np.concatenate([run["answers"][method] for run in runs[seed]])
        for method in methods
        for seed in seeds
    ]
    drawn = bootstrap(truth, columns, people, draws=2000).reshape(2000, len(methods), len(seeds))
    drawn = drawn.mean(axis=2)
    each = [score("", truth, column, classes, 0) for column in columns]
    scores = np.array([(one.balanced_accuracy, one.macro_f1) for one in each])
    scores = scores.reshape(len(methods), len(seeds), 2)
    at = methods.index
    margins = (drawn - chance)[:, at("bridge")] / (drawn - chance)[:, at("teacher")]
    mean = scores[..., 0].mean(axis=1)
    sizes, patients = first[0]["parameters"], len(np.unique(people))
    found: dict[str, Any] = {
        **about(),
        "recipe": name,
        "seeds": seeds,
        "patients": patients,
        "windows": len(truth),
        "methods": {
            method: {
                "balanced_accuracy": float(mean[i]),
                "interval": middle(drawn[:, i], patients),
                "by_seed": scores[i, :, 0].tolist(),
                "macro_f1": float(scores[i, :, 1].mean()),
                "parameters": sizes.get(method, 0),
            }
            for i, method in enumerate(methods)
        },
        "kept": float((mean[at("bridge")] - chance) / (mean[at("teacher")] - chance)),
        "kept_interval": middle(margins, patients),
        "verdicts": verdicts(methods, mean.tolist(), drawn, patients),
        "cuts": [[run["cuts"] for run in runs[seed]] for seed in seeds],
    }
    if distillation:
        found["bridge_minus_distillation"] = float(mean[at("bridge")] - mean[at(DISTILLATION)])
        found["bridge_minus_distillation_interval"] = middle(
            drawn[:, at("bridge")] - drawn[:, at(DISTILLATION)], patients
        )
        found["share_of_parameters"] = sizes["bridge"] / sizes[DISTILLATION]
    return found


def table(found: dict[str, Any]) -> Table:
    """Lay a study out for a terminal."""
    rows = Table(
        title=f"{found['recipe']}: {found['patients']} patients, each tested once, "
        f"seeds {', '.join(map(str, found['seeds']))}",
        title_justify="left",
    )
    for name in ("method", "balanced accuracy", "95 % (patients)", "macro F1", "trained"):
        rows.add_column(name, justify="left" if name == "method" else "right")
    for method, facts in found["methods"].items():
        low, high = facts["interval"]
        rows.add_row(
            method,
            f"{facts['balanced_accuracy']:.3f}",
            f"{low:.3f}–{high:.3f}",
            f"{facts['macro_f1']:.3f}",
            f"{facts['parameters']:,}" if facts["parameters"] else "–",
        )
    low, high = found["kept_interval"]
    rows.caption = (
        f"kept of the teacher's margin over chance: {found['kept']:.2f} ({low:.2f}–{high:.2f})"
    )
    if "share_of_parameters" in found:
        near, far = found["bridge_minus_distillation_interval"]
        rows.caption += (
            f"; bridge − distillation: {found['bridge_minus_distillation']:+.3f} ({near:+.3f} to "
            f"{far:+.3f}) with {found['share_of_parameters']:.1%} of its parameters"
        )
    for line in found["verdicts"]:
        rows.caption += f"\n{line}"
    return rows


def main() -> int:
    """Study every recipe asked for; print the tables, keep the figures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--data", type=Path, help="default: BIOXEDGE_SHARED's data")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--recipes", nargs="+", default=NAMES, choices=CHOICES)
    options.add_argument(
        "--no-distillation", action="store_true", help="leave out the slowest comparison"
    )
    given = options.parse_args()
    for name in given.recipes:
        found = study(name, given.data, given.seeds, given.out, not given.no_distillation)
        for task, facts in found.items():
            file = given.out / f"{name}{f'-{task}' if task else ''}.json"
            file.write_text(json.dumps(facts, indent=2) + "\n")
            Console(width=110).print(table(facts))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; finished steps are kept")
