"""What a build found: a table to read, figures as JSON, and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.table import Table

from bioxedge.bridging.bridge import PrototypeBridge
from bioxedge.bridging.calibrate import ALONE, BOTH
from bioxedge.bridging.evaluate import Score, score
from bioxedge.bridging.train import trained_parameters
from bioxedge.building import positions_report
from bioxedge.building.learn import Learnt, new_bridge
from bioxedge.building.positions_report import SOURCE_COLOUR, TARGET_COLOUR, survey_of

mpl.use("Agg")
from matplotlib import pyplot as plt


def evaluate(learnt: Learnt) -> list[Score]:
    """Score teacher, bridge and what must lose to it, on the labelled windows of test people.

    Returns
    -------
    list of Score
        ``teacher``, ``bridge`` (calibrated, as it is shipped), ``bridge, temperature alone``
        (where a bias was taken), ``untrained bridge`` (B = 0: one answer for everything),
        ``random bridge`` (B drawn at random) and ``majority``.
    """
    prepared = learnt.prepared
    truth = prepared.labels[prepared.of("test", labelled=True)]
    taught = prepared.labels[prepared.of("head", labelled=True)]
    classes = len(learnt.recipe.task.labels)
    bridged, size = learnt.answers(learnt.bridge, "test"), trained_parameters(learnt.bridge)
    calibration = learnt.calibration
    found = {
        "teacher": (learnt.teacher_test, trained_teacher(learnt)),
        "bridge": (calibration.apply(bridged), size),
        # A temperature changes no answer, a bias does.
        **({f"bridge, {ALONE}": (bridged, size)} if calibration.taken == BOTH else {}),
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
    return new_bridge(learnt.seen, learnt.source_cut, learnt.target_cut, b_std=b_std)


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
        "course": vars(learnt.course),
        "compute": learnt.compute,
        "calibration": vars(learnt.calibration),
    }
    (folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    pictures = [folder / "confusion.png", folder / "training.png"]
    _confusions(scores, learnt.recipe.task.labels, pictures[0])
    _course(learnt, pictures[1])
    if positions is not None:
        taken = replace(positions, source_cut=learnt.source_cut, target_cut=learnt.target_cut)
        pictures.append(positions_report.write(survey_of(learnt.seen, taken), folder)[1])
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


def _course(learnt: Learnt, path: Path) -> None:
    """Draw how the training of the bridge went, and where it stopped."""
    course = learnt.course
    figure, axis = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
    epochs = np.arange(1, len(course.losses) + 1)
    axis.plot(epochs, course.losses, color=SOURCE_COLOUR, label="pairs that train")
    if course.held_out and course.best is not None:
        axis.plot(epochs, course.held_out, color=TARGET_COLOUR, label="held-out pairs")
        axis.axvline(course.best + 1, color="grey", linestyle=":", label="kept")
    axis.set(xlabel="epoch", ylabel=f"{learnt.recipe.bridge.loss} loss")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
