"""What people would rather look at: confusions, errors, a training, a sensor that is worn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.train import Course
from bioxedge.bridging.values import ValueScore
from bioxedge.bridging.verdict import digits
from bioxedge.building.positions_report import SOURCE_COLOUR, TARGET_COLOUR
from bioxedge.building.wearing import Worn, wearing

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["Worn", "confusions", "scatter", "training", "wearing"]

Floats = npt.NDArray[np.float64]


def confusions(scores: Sequence[Score], labels: tuple[str, ...], path: Path) -> None:
    """Draw the teacher's and the bridge's confusion matrices side by side."""
    shown = [one for one in scores if one.method in ("teacher", "bridge")]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(4.2 * len(shown), 4), layout="constrained", squeeze=False
    )
    for axis, one in zip(axes[0], shown, strict=True):
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
        reached = f"{one.balanced_accuracy:.3f}"
        if one.interval is not None:
            low, high = one.interval
            places = digits(high - low)
            reached = f"{one.balanced_accuracy:.{places}f} ({low:.{places}f}–{high:.{places}f})"
        axis.set_title(f"{one.method}: balanced accuracy {reached}", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def scatter(score: ValueScore, truth: Floats, answers: Floats, said: str, path: Path) -> None:
    """Draw answered values over true ones."""
    figure, axis = plt.subplots(figsize=(4.4, 4.2), layout="constrained")
    axis.scatter(truth, answers, s=6, alpha=0.4, color=SOURCE_COLOUR, linewidths=0)
    ends = [min(truth.min(), answers.min()), max(truth.max(), answers.max())]
    axis.plot(ends, ends, color="grey", linewidth=1)
    axis.set(xlabel=f"true, {said}", ylabel=f"answered, {said}")
    axis.set_title(
        f"{score.method}: mean error {score.mean_error:.3g}, r {score.correlation:.2f}", fontsize=10
    )
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def training(course: Course, loss: str, path: Path) -> None:
    """Draw how the training of the bridge went, and where it stopped."""
    figure, axis = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
    epochs = np.arange(1, len(course.losses) + 1)
    axis.plot(epochs, course.losses, color=SOURCE_COLOUR, label="pairs that train")
    if course.held_out and course.best is not None:
        axis.plot(epochs, course.held_out, color=TARGET_COLOUR, label="held-out pairs")
        axis.axvline(course.best + 1, color="grey", linestyle=":", label="kept")
    axis.set(xlabel="epoch", ylabel=f"{loss} loss")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
