"""Whether more of the wrist's sensors help: classic features, linear models, the wearer's baseline.

    python benchmarks/wrist.py --data SESSIONS [--draws 30]

SESSIONS/stress_predict is what `bioxedge import` made of the set (docs/tasks/stress.md). In each
draw 8 people teach skin conductance, 7 are paired without labels, 5 are tested; windows of 60 s
every 15 s, each feature standardised by the person's own past (8 min at least). Prints balanced
accuracy: the mean over draws and its standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from results import about

from bioxedge import classic, recording
from bioxedge.bridging.evaluate import score
from bioxedge.building import beside
from bioxedge.errors import BioxedgeError
from bioxedge.spec import BaselineSpec
from bioxedge.wearer import Baseline

Floats = npt.NDArray[np.float64]
WINDOW, HOP, SETTLE = 60.0, 15.0, 32
SENSORS = {"eda": "eda", "bvp": "ppg", "temp": "temperature", "acc": "acceleration"}
TEACH, PAIR = 8, 7


def described(person: Path) -> tuple[dict[str, Floats], npt.NDArray[np.int64]]:
    """Give a person's features by sensor, on one grid of windows, and their labels (−1: none)."""
    parts = {name: recording.load(person / name) for name in SENSORS}
    labels = recording.load(person / "labels")
    begin = max(one.t0 for one in parts.values())
    end = min(one.t0 + one.seconds for one in parts.values())
    starts = np.arange(begin, end - WINDOW, HOP)
    found = {}
    for name, one in parts.items():
        samples, places = round(WINDOW * one.rate), np.round((starts - one.t0) * one.rate)
        windows = [one.samples[:, int(at) : int(at) + samples] for at in places]
        found[name] = classic.describe(
            np.stack([classic.held(each) for each in windows]), one.rate, SENSORS[name]
        )
    known = np.full(len(starts), -1)
    for number, start in enumerate(starts):
        at = round((start - labels.t0) * labels.rate)
        own = labels.samples[0, max(at, 0) : max(at + round(WINDOW * labels.rate), 0)]
        if len(own) and np.isfinite(own).mean() >= 0.8 and np.ptp(own[np.isfinite(own)]) == 0:
            known[number] = int(own[np.isfinite(own)][0])
    return {name: standardised(rows) for name, rows in found.items()}, known


def standardised(rows: Floats) -> Floats:
    """Tell features as distances from the past; NaN where too little of it was seen."""
    baseline, found = (
        Baseline(BaselineSpec(settle=SETTLE), rows.shape[1]),
        np.full(rows.shape, np.nan),
    )
    for number, row in enumerate(rows):
        scale = baseline.scale()
        if baseline.settled:
            moved = np.where(np.isfinite(row), row, scale.mean) - scale.mean
            found[number] = np.clip(moved * scale.inverse, -8, 8)
        baseline.push(row)
    return found


def main() -> int:
    """Draw people, fit and test; print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--draws", type=int, default=30)
    options.add_argument("--out", type=Path, help="a JSON file")
    given = options.parse_args()
    people = sorted(path for path in (given.data / "stress_predict").iterdir() if path.is_dir())
    found = [described(person) for person in people]
    others = [name for name in SENSORS if name not in ("eda", "bvp")]
    sets = [
        ("bvp", *more) for count in range(len(others) + 1) for more in combinations(others, count)
    ]
    reached: dict[tuple[str, ...], list[tuple[float, float]]] = {each: [] for each in sets}
    teacher = []
    rng = np.random.default_rng(0)

    def of(
        group: npt.NDArray[np.int64], names: tuple[str, ...], labelled: bool
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        rows, labels = [], []
        for number in group:
            features, known = found[number]
            whole = np.concatenate([features[name] for name in names], axis=1)
            there = np.isfinite(np.concatenate(list(features.values()), axis=1)).all(axis=1)
            there &= (known >= 0) | (not labelled)
            rows.append(whole[there])
            labels.append(known[there])
        return np.concatenate(rows), np.concatenate(labels)

    def accuracy(
        train: Floats, labels: npt.NDArray[np.int64], test: Floats, truth: npt.NDArray[np.int64]
    ) -> float:
        answers, _ = beside.linear(train, labels, test, 2)
        return score("", truth, answers.argmax(1), 2, 0).balanced_accuracy

    for _ in range(given.draws):
        order = rng.permutation(len(people))
        head, pair, test = order[:TEACH], order[TEACH : TEACH + PAIR], order[TEACH + PAIR :]
        taught, known = of(head, ("eda",), True)
        conductance, truth = of(test, ("eda",), True)
        teacher.append(accuracy(taught, known, conductance, truth))
        pseudo = beside.linear(taught, known, of(pair, ("eda",), False)[0], 2)[0].argmax(1)
        for names in sets:
            tested, truth = of(test, names, True)
            own, own_known = of(order[: TEACH + PAIR], names, True)
            reached[names].append(
                (
                    accuracy(of(pair, names, False)[0], pseudo, tested, truth),
                    accuracy(own, own_known, tested, truth),
                )
            )
    rows = {"teacher, eda": [(one, float("nan")) for one in teacher]}
    rows |= {" + ".join(names): got for names, got in reached.items()}
    kept = {}
    print(f"{'features':<24} {'pseudo-labels':>16} {'true labels':>16}")
    for name, got in rows.items():
        values = np.array(got)
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        cells = [
            f"{m:.3f} ± {e:.3f}" if np.isfinite(m) else "" for m, e in zip(mean, error, strict=True)
        ]
        print(f"{name:<24} {cells[0]:>16} {cells[1]:>16}")
        kept[name] = {"mean": mean.tolist(), "error": error.tolist()}
    if given.out:
        given.out.write_text(json.dumps({**about(), "draws": given.draws, "rows": kept}, indent=2))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BioxedgeError as error:
        sys.exit(f"error: {error}")
