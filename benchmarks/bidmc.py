"""Heart-rate band from ECG, taken to PPG: what the bridge keeps of its teacher, on real patients.

    python benchmarks/bidmc.py --out out/bidmc [--data ../shared/data] [--seeds 0 1 2]

Five-fold cross-fitting by patient: everyone is tested once, by parts that never saw them. For
each recipe, fold and seed: teacher on ECG, bridge on PPG, classic features of the PPG with a
linear model on the same pseudo-labels, a counter of pulses, both oracles on true labels, the
whole source encoder distilled (same pairs; by the bridge's loss, and by contrast), the bridge at
fixed positions, classic features with the bridge's own lesson, the untrained bridge, random ones
and the majority class.
Teacher and bridge also from the same windows cut from whole recordings, which is the price of being
causal. Of a recipe of several tasks each further one has a table of its own; where that is
breathing, a counter of breaths stands beside it.
Intervals are 95 % of 10,000 draws of patients with replacement, paired over methods. Finished steps
are kept in --out; a run that was stopped goes on from there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from asking import RECIPES, asking, ended
from crossfit import COMPARED, Fold, crossed, figures, fold_of
from results import about, beside_distillation
from rich.console import Console
from rich.table import Table

from bioxedge import classic, recipes
from bioxedge.building import unshippable
from bioxedge.building.evaluation import evaluate
from bioxedge.building.feeding import opened
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.preparation import prepare
from bioxedge.building.progress import Steps
from bioxedge.building.rows import Row, all_rows, fixed
from bioxedge.building.store import Store
from bioxedge.errors import RecipeError

NAMES = ("bidmc_ecg_to_ppg", "bidmc_openecg_to_ppg")
COUNTER, BREATHS = "pulse counter", "breath counter"
BREATHING = (0.1, 0.6)  # Hz: 6 to 36 breaths a minute


def counted(learnt: Learnt) -> np.ndarray:
    """Count the pulses of the test windows: the band that their rate lies in. Nothing is learnt."""
    prepared = learnt.prepared
    assert prepared.bounds is not None  # the task's rule is bands of the heart rate
    at = classic.names("ppg", ("PPG",)).index("PPG rate (bpm)")
    sensor = learnt.recipe.source.sensor
    if learnt.recipe.source.breathing:  # then the rate is none of the features that are kept
        rows = torch.from_numpy(prepared.rows("source", "test"))
        windows = prepared.windows.source[rows].double().numpy()
        rate = classic.describe(windows, sensor.rate, sensor.modality)[:, at]
    else:
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


def one(recipe: recipes.Recipe, data: Path | None, store: Store, more: bool) -> dict[str, Fold]:
    """Learn one recipe, fold and seed; give everybody's answers, task by task."""
    learnt = learn(recipe, prepare(recipe, data, store), store, RECIPES)
    rows = all_rows(learnt, store) if more else [fixed(learnt, store)]
    told = {"": asked(learnt, store, rows)}
    for name, own in learnt.others.items():
        told[name] = asked(own, store, [row.of(name) for row in rows])
    # The same windows cut from whole recordings: the bridge stands where the causal one does.
    whole = unshippable.prepare_beside(recipe, learnt.prepared, data, store)
    wanted, models = unshippable.reference_of(recipe), opened(recipe, RECIPES)
    other = unshippable.learn_beside(learnt, wanted, whole, store, RECIPES, models)
    for name, own in {"": other, **other.others}.items():
        answers = evaluate(own).answers
        told[name].reference = {row: answers[row] for row in COMPARED if row in answers}
    return told


def asked(learnt: Learnt, store: Store, rows: list[Row]) -> Fold:
    """Give everybody's answers on the test windows of one task."""
    fold = fold_of(learnt, store, rows)
    # A bias is taken in some folds and not in others: the row is there in all of them.
    uncalibrated = learnt.answers(learnt.bridge, "test").softmax(1).double().numpy()
    fold.answers.pop("bridge, temperature alone", None)
    fold.put("bridge, uncalibrated", uncalibrated, like="bridge")
    breathing = learnt.recipe.task.channel == "RESP"
    labels = breathed(learnt) if breathing else counted(learnt)
    fold.put_labels(BREATHS if breathing else COUNTER, labels)
    return fold


def study(
    name: str,
    data: Path | None,
    seeds: list[int],
    out: Path,
    distillation: bool,
    changes: tuple[str, ...] = (),
) -> dict[str, dict[str, Any]]:
    """Cross-fit one recipe over folds and seeds; give the figures of each task by its name."""
    measured, plain = about(), recipes.read(RECIPES / f"{name}.toml", changes)
    if any(task.rule != "bands" for task in (plain.task, *plain.others)):
        raise RecipeError(f"{name} is not about bands of a rate, which is what a counter tells")
    store = Store(out / "steps", Steps(Console(stderr=True)))

    def both(seed: int, fold: int) -> dict[str, Fold]:
        split = msgspec.structs.replace(plain.split, fold=fold)
        recipe = msgspec.structs.replace(plain, seed=seed, split=split)
        return one(recipe, data, store, distillation)

    runs = crossed(name, seeds, plain.split.folds, both)
    return {
        task: {
            **measured,
            "recipe": f"{name}, {task}" if task else name,
            "changes": list(changes),
            **figures({seed: [run[task] for run in own] for seed, own in runs.items()}),
        }
        for task in ("", *(other.name for other in plain.others))
    }


def table(found: dict[str, Any]) -> Table:
    """Lay a study out for a terminal."""
    rows = Table(
        title=f"{found['recipe']}: {found['people']} patients, each tested once, "
        f"seeds {', '.join(map(str, found['seeds']))}",
        title_justify="left",
    )
    for name in ("row", "balanced accuracy", "95 % (patients)", "macro F1", "trained"):
        rows.add_column(name, justify="left" if name == "row" else "right")
    for name, facts in found["methods"].items():
        low, high = facts["interval"]
        rows.add_row(
            name,
            f"{facts['balanced_accuracy']:.3f}",
            f"{low:.3f}–{high:.3f}",
            f"{facts['macro_f1']:.3f}",
            f"{facts['parameters']:,}" if facts["parameters"] else "–",
        )
    beside = beside_distillation(found)
    rows.caption = "\n".join([*found["verdicts"], *([beside] if beside else [])])
    return rows


def main() -> int:
    """Study every recipe asked for; print the tables, keep the figures."""
    options = asking(__doc__, NAMES)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument(
        "--no-distillation", action="store_true", help="leave out the slowest comparison"
    )
    options.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    given = options.parse_args()
    for name in given.recipes:
        found = study(
            name, given.data, given.seeds, given.out, not given.no_distillation,
            tuple(given.changes),
        )  # fmt: skip
        for task, facts in found.items():
            file = given.out / f"{name}{f'-{task}' if task else ''}.json"
            file.write_text(json.dumps(facts, indent=2) + "\n")
            Console(width=110).print(table(facts))
    return 0


if __name__ == "__main__":
    ended(main)
