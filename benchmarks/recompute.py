"""What is done again after an edit, and what that takes: all that comes before a bundle is written.

    python benchmarks/recompute.py --markdown    # a minute on two cores

The edits are those of ``tests/test_recompute.py``, which holds what is done again. Simulated
people, tiny models: on models that take hours the same steps are done again, and are the hours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors as small as these wait for threads
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table
from test_recompute import ALL, EDITS, OWN, WHOLE, Done, done, linked, published

from bioxedge.recording import load, save

BF16 = [("[bridge]", '[compute]\nprecision = "bf16"\n\n[bridge]')]
ORDER = (
    "windows", "values", "source", "source-features", "target", "target-features", "copies",
    "head", "positions", "target-tokens", "bridge",
)  # fmt: skip
Row = tuple[str, set[str], set[str], float]


def row(name: str, on: Done, there: set[str], *edits: tuple[str, str]) -> Row:
    """Learn again after some edits; give what ran of all that is there, and how long it took."""
    began = time.perf_counter()
    ran = on.again(*edits)
    return name, ran, there, time.perf_counter() - began


def edited(folder: Path) -> list[Row]:
    """Edit a recipe whose models are pretrained, and one whose models were trained before."""
    began = time.perf_counter()
    whole, found, ran = done(WHOLE, folder / "whole")
    rows: list[Row] = [("all, for the first time", ran, ALL, time.perf_counter() - began)]
    rows += [row(name, whole, ALL, *edits) for name, (edits, _) in EDITS.items()]
    rows.append(row("precision bf16 after fp32", whole, ALL, *BF16))
    ready = published(found, whole.recipe, folder / "ready")
    there = ALL - {"source", "target"}
    fold = EDITS["the fold"][0]
    return [*rows, row("the fold, with published models", ready, there, *fold)]


def recorded(folder: Path) -> list[Row]:
    """Change a recording that a link leads to, and a file of labels."""
    own = linked(folder)
    place = own.data / "own" / "wearer-01" / "source"
    before = load(place.resolve())
    noise = np.random.default_rng(0).normal(size=before.samples.shape)
    save(replace(before, samples=noise), place.resolve())
    rows = [row("a recording that a link leads to", own, OWN)]
    save(before, place.resolve())
    place = place.parent / "labels"
    before = load(place)
    track = before.samples.copy()
    track[before.rows(("class",))[0], :30] = np.nan
    save(replace(before, samples=track), place)
    rows.append(row("one person's labels", own, OWN))
    save(before, place)
    renamed = [('["rest", "stress"]', '["calm", "stress"]')]
    return [*rows, row("a class's name, classes being read", own, OWN, *renamed)]


def main() -> None:
    """Edit, learn again, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--markdown", action="store_true", help="Print a table for a document.")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("whole", "ready", "own"):
            (folder / name).mkdir()
        rows = edited(folder) + recorded(folder / "own")
    lines = [
        (name, ", ".join(one for one in ORDER if one in ran) or "nothing",
         f"{len(there - ran)} of {len(there)}", f"{seconds:.1f}")
        for name, ran, there, seconds in rows
    ]  # fmt: skip
    head = ("what was edited", "done again", "found", "seconds")
    if asked.markdown:
        print("\n".join(f"| {' | '.join(line)} |" for line in (head, ("---",) * 4, *lines)))
        return
    table = Table(*head[:2])
    for name in head[2:]:
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    main()
