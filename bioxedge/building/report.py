"""What a build found: a table to read, figures as JSON, and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from rich.table import Table

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.evaluate import Score, score
from bioxedge.bridging.train import trained_parameters
from bioxedge.building.learn import Learnt, new_bridge

mpl.use("Agg")
from matplotlib import pyplot as plt

SOURCE_COLOUR, TARGET_COLOUR = "#0072b2", "#d55e00"  # Okabe and Ito: safe for all eyes


def evaluate(learnt: Learnt) -> list[Score]:
    """Score teacher, bridge and what must lose to it, on the labelled windows of test people.

    Returns
    -------
    list of Score
        ``teacher``, ``bridge``, ``untrained bridge`` (B = 0: one answer for everything),
        ``random bridge`` (B drawn at random) and ``majority``.
    """
    prepared = learnt.prepared
    truth = prepared.labels[prepared.of("test", labelled=True)]
    taught = prepared.labels[prepared.of("head", labelled=True)]
    classes = len(learnt.recipe.task.labels)
    found = {
        "teacher": (learnt.teacher_test, trained_teacher(learnt)),
        "bridge": (learnt.answers(learnt.bridge, "test"), trained_parameters(learnt.bridge)),
        "untrained bridge": (learnt.answers(untrained(learnt, 0.0), "test"), 0),
        "random bridge": (learnt.answers(untrained(learnt, 1.0), "test"), 0),
    }
    scores = [
        score(name, truth, logits.argmax(1).numpy(), classes, parameters)
        for name, (logits, parameters) in found.items()
    ]
    majority = np.full_like(truth, np.bincount(taught, minlength=classes).argmax())
    return [*scores, score("majority", truth, majority, classes, 0)]


def trained_teacher(learnt: Learnt) -> int:
    """Parameters that were trained for the teacher."""
    count = trained_parameters(learnt.head)
    if learnt.recipe.target.model.checkpoint == "pretrain":
        count += trained_parameters(learnt.target)
    return count


def untrained(learnt: Learnt, b_std: float) -> PrototypeBridge:
    """Make the bridge as it stood before training, with B at N(0, b_std²)."""
    pair = learnt.prepared.of("pair")
    return new_bridge(
        learnt.recipe,
        learnt.pooled["pair"][learnt.source_cut],
        learnt.target,
        learnt.target_cut,
        torch.from_numpy(learnt.prepared.windows.target[pair]),
        learnt.teacher_pair,
        b_std=b_std,
    )


def table(scores: list[Score], title: str) -> Table:
    """Lay the scores out for a terminal."""
    rows = Table(title=title, title_justify="left")
    rows.add_column("on people never seen")
    for name in ("balanced accuracy", "macro F1", "trained parameters"):
        rows.add_column(name, justify="right")
    for one in scores:
        rows.add_row(
            one.method,
            f"{one.balanced_accuracy:.3f}",
            f"{one.macro_f1:.3f}",
            f"{one.parameters:,}" if one.parameters else "–",
            style="bold" if one.method == "bridge" else None,
        )
    return rows


def write(learnt: Learnt, scores: list[Score], folder: Path) -> list[Path]:
    """Write ``report.json`` and the pictures; give the pictures' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    positions = learnt.positions
    facts = {
        "name": learnt.recipe.name,
        "seed": learnt.recipe.seed,
        "source_cut": learnt.source_cut,
        "target_cut": learnt.target_cut,
        "people": vars(learnt.prepared.people),
        "bounds": None if learnt.prepared.bounds is None else learnt.prepared.bounds.tolist(),
        "scores": [one.to_dict() for one in scores],
        "source_scores": positions and list(positions.source_scores),
        "target_scores": positions and list(positions.target_scores),
    }
    (folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    pictures = [folder / "confusion.png"]
    _confusions(scores, learnt.recipe.task.labels, pictures[0])
    if positions is not None:
        pictures.append(folder / "positions.png")
        _positions(learnt, pictures[1])
    return pictures


def _confusions(scores: list[Score], labels: tuple[str, ...], path: Path) -> None:
    """Draw the teacher's and the bridge's confusion matrices side by side."""
    shown = [one for one in scores if one.method in ("teacher", "bridge")]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 4), layout="constrained")
    for axis, one in zip(axes, shown, strict=True):
        share = one.confusion / one.confusion.sum(axis=1, keepdims=True).clip(1)
        axis.imshow(share, vmin=0, vmax=1, cmap="Blues")
        for (i, j), value in np.ndenumerate(share):
            axis.text(
                j, i, f"{value:.0%}\n{one.confusion[i, j]}", ha="center", va="center",
                color="white" if value > 0.6 else "black",
            )  # fmt: skip
        axis.set_xticks(range(len(labels)), labels)
        axis.set_yticks(range(len(labels)), labels)
        axis.set(xlabel="answered", ylabel="true")
        axis.set_title(f"{one.method}: balanced accuracy {one.balanced_accuracy:.3f}", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _positions(learnt: Learnt, path: Path) -> None:
    """Draw the two stages: source score by cut, CKA by cut, the chosen ones marked."""
    assert learnt.positions is not None
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
    for axis, scores, cut, colour, title, label in (
        (axes[0], learnt.positions.source_scores, learnt.source_cut, SOURCE_COLOUR,
         f"source: {learnt.source.name}", "macro F1 of a linear probe\n(folds by person)"),
        (axes[1], learnt.positions.target_scores, learnt.target_cut, TARGET_COLOUR,
         f"target: {learnt.target.name}", "linear CKA with the source cut"),
    ):  # fmt: skip
        cuts = np.arange(len(scores))
        axis.bar(cuts, scores, color=colour, alpha=0.45)
        if len(scores) > cut:
            axis.bar(cut, scores[cut], color=colour)
        axis.set(xlabel="cut", ylabel=label, xticks=cuts)
        axis.set_title(f"{title}, cut {cut} chosen", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
