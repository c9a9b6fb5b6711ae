"""What features of breathing tell: halves of the breathing rate, from a PPG and from an ECG.

    python benchmarks/breathing.py --data DIR --out out/breathing

DIR holds `bidmc/` (BIDMC PPG and Respiration 1.0.0, CSV). Windows of 30 s of the recipe of two
tasks, labels from the monitor's breathing rate above or below its median, a linear model on true
labels, twenty draws of a third of the patients who are tested: balanced accuracy, its mean and its
standard error over draws, by the eight features of breathing, by the sensor's own twelve, by both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from asking import RECIPES, asking, ended
from results import about
from rich.console import Console

from bioxedge import recipes
from bioxedge.bridging.evaluate import score
from bioxedge.building.beside import linear
from bioxedge.building.preparation import Prepared, prepare, prepare_other
from bioxedge.building.progress import Steps
from bioxedge.building.store import Store

RECIPE = RECIPES / "bidmc_two_tasks.toml"
DRAWS = 20
Floats = npt.NDArray[np.float64]


def described(classic: bool | str, data: Path | None, store: Store) -> tuple[Prepared, Any]:
    """Prepare the recipe's windows with one of the two sets of features on both sides."""
    plain = recipes.read(RECIPE)
    sides = {
        name: msgspec.structs.replace(getattr(plain, name), classic=classic)
        for name in ("source", "target")
    }
    recipe = msgspec.structs.replace(plain, **sides)
    prepared = prepare(recipe, data, store)
    return prepare_other(recipe.of(recipe.others[0]), prepared, store), prepared.windows


def told(
    features: Floats, labels: npt.NDArray[np.int64], people: npt.NDArray[np.str_]
) -> tuple[float, float]:
    """Give the mean balanced accuracy over draws of people, and its standard error."""
    names, found = np.unique(people), []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(names)
        test = np.isin(people, order[: len(names) // 3])
        answers, _ = linear(features[~test], labels[~test], features[test], 2)
        found.append(score("", labels[test], answers.argmax(1), 2, 0).balanced_accuracy)
    return float(np.mean(found)), float(np.std(found) / np.sqrt(DRAWS))


def main() -> int:
    """Compare the sets of features on both sensors."""
    given = asking(__doc__).parse_args()
    store = Store(given.out / "steps", Steps(Console(stderr=True)))
    prepared, breathing = described("breathing", given.data, store)
    _, own = described(True, given.data, store)
    known = np.isfinite(prepared.values) & (breathing.source_row >= 0) & (breathing.target_row >= 0)
    rate, people = prepared.values[known], breathing.person[known]
    labels = (rate > np.median(rate)).astype(np.int64)
    figures: dict[str, dict[str, tuple[float, float]]] = {}
    for sensor, column in (("PPG", "classic"), ("ECG", "target_classic")):
        eight, twelve = (getattr(each, column)[known] for each in (breathing, own))
        sets = {"breathing": eight, "own": twelve, "both": np.concatenate([eight, twelve], axis=1)}
        figures[sensor] = {name: told(each, labels, people) for name, each in sets.items()}
        for name, (mean, off) in figures[sensor].items():
            print(f"{sensor} {name:10s} {mean:.3f} ± {off:.3f}")
    found = {
        **about(), "people": len(np.unique(people)), "windows": len(rate), "figures": figures,
    }  # fmt: skip
    (given.out / "breathing.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    ended(main)
