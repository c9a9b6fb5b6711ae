"""What a choice of positions costs: one pass of each model, against one per layer.

`training.py` runs and prints it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from hooked import per_layer
from published import BATCH, Direction

from bioxedge.bridging.positions import Positions, linear_cka, select_positions
from bioxedge.bridging.runner import Runner


def one_pass(direction: Direction, pairs: int, labels: np.ndarray) -> tuple[float, Positions]:
    """Choose positions from one pass of each model."""
    source, target = direction.source.chain(), direction.target.chain()
    windows = direction.source.windows(pairs, 1), direction.target.windows(pairs, 2)
    began = time.perf_counter()
    features = [
        [cut.numpy() for cut in Runner().features(chain, each).pooled]
        for chain, each in zip((source, target), windows, strict=True)
    ]
    chosen = select_positions(features[0], features[1], labels)
    return time.perf_counter() - began, chosen


def positions(direction: Direction, pairs: int) -> dict[str, Any]:
    """Compare both ways to choose positions, on the same pairs."""
    labels = np.arange(pairs) % 3
    warm = BATCH
    one_pass(direction, warm, labels[:warm])  # imports and first calls are not timed
    before, chosen = one_pass(direction, pairs, labels)
    reference, spare, theirs = per_layer(direction, pairs, labels)
    after, _ = one_pass(direction, pairs, labels)
    ours = (before + after) / 2  # the machine may have changed its pace meanwhile
    # Theirs has no cut 0: block k's output is our cut k + 1.
    off = np.abs(np.array(chosen.source_scores[1:]) - np.array(theirs.source_scores)).max()
    return {
        "direction": direction.name,
        "pairs": pairs,
        "seconds": {"one pass per layer": reference, "ours": ours},
        "faster": reference / ours,
        "faster_without_spare": (reference - spare) / ours,
        "scores_off": float(off),
    }


def alignments(rows: int = 4000, features: int = 512) -> dict[str, float]:
    """Time linear CKA over features, against the Gram form over rows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, rows, features))
    began = time.perf_counter()
    ours = linear_cka(x, y)
    middle = time.perf_counter()
    centred = [each - each.mean(0) for each in (x, y)]
    k, m = (each @ each.T for each in centred)
    gram = (k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m)
    end = time.perf_counter()
    return {
        "rows": rows,
        "ours": middle - began,
        "gram": end - middle,
        "off": float(abs(ours - gram)),
    }
