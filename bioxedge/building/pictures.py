"""What people would rather look at: confusions, a training, and what it is like to be worn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.train import Course
from bioxedge.bridging.values import ValueScore
from bioxedge.building.positions_report import SOURCE_COLOUR, TARGET_COLOUR

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_MOST = 6000  # points of a signal that a picture can show
_SHADES = ("#f2f2f2", "#ffe3cc", "#dcecf7", "#e3f1e3", "#efe3f1", "#fff6cc")


@dataclass(frozen=True)
class Worn:
    """One test person's session, as it would have been answered.

    Parameters
    ----------
    title : str
    signal, rate : ndarray of float64 [n], float
        The source sensor's first channel, raw.
    unit : str
        Of the signal.
    minutes : ndarray of float64, shape [windows]
        The end of each window, from the signal's start on.
    answers : ndarray of float64, shape [windows]
        The last label's probability, or the value.
    teacher : ndarray of float64 [windows], optional
        The same of the teacher.
    truth : ndarray of float64, shape [windows]
        Class numbers (−1 where unknown), or values (NaN).
    labels : tuple of str
        Empty for a value.
    said : str
        Name of what is answered.
    """

    title: str
    signal: Floats
    rate: float
    unit: str
    minutes: Floats
    answers: Floats
    teacher: Floats | None
    truth: Floats
    labels: tuple[str, ...]
    said: str


def wearing(worn: Worn, path: Path) -> None:
    """Draw a session: the signal, and below it the answers over the minutes, the truth shaded."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(9.2, 4.8), sharex=True, layout="constrained", height_ratios=(1, 1.6)
    )
    step = max(1, len(worn.signal) // _MOST)
    shown = worn.signal[: len(worn.signal) // step * step].reshape(-1, step)
    times = np.arange(len(shown)) * step / worn.rate / 60
    # Lowest and highest of each stretch: a decimated pulse would beat with the picture.
    with np.errstate(invalid="ignore"):
        upper.fill_between(
            times, shown.min(axis=1), shown.max(axis=1), color="#666666", linewidth=0.4
        )
    upper.set_ylabel(worn.unit)
    upper.set_title(worn.title, fontsize=10, loc="left")
    if worn.labels:
        for axis in (upper, lower):
            _shade(axis, worn)
        lower.set(ylim=(-0.03, 1.03), ylabel=f"P({worn.labels[-1]})")
    else:
        lower.plot(worn.minutes, worn.truth, color="black", linewidth=1, label="true")
        lower.set_ylabel(worn.said)
    gap = np.append(np.diff(worn.minutes) > 3 * _hop(worn), False)
    if worn.teacher is not None:
        lower.plot(
            worn.minutes, np.where(gap, np.nan, worn.teacher), color=TARGET_COLOUR,
            linewidth=1.1, alpha=0.8, label="teacher, on the other sensor",
        )  # fmt: skip
    lower.plot(
        worn.minutes, np.where(gap, np.nan, worn.answers), color=SOURCE_COLOUR, linewidth=1.6,
        label="bridge, on this one",
    )  # fmt: skip
    lower.set(xlabel="minutes worn", xlim=(0, max(float(times[-1]), float(worn.minutes[-1]))))
    lower.legend(frameon=False, ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    for axis in (upper, lower):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _hop(worn: Worn) -> float:
    """Minutes from one answer to the next."""
    return float(np.median(np.diff(worn.minutes))) if len(worn.minutes) > 1 else 0.0


def _shade(axis: Axes, worn: Worn) -> None:
    """Shade the true phases, and name each where it is first met."""
    edges = np.flatnonzero(np.diff(worn.truth)) + 1
    hop = _hop(worn)
    met: set[int] = set()
    for part in np.split(np.arange(len(worn.truth)), edges):
        label = int(worn.truth[part[0]])
        if label < 0:
            continue
        colour = _SHADES[label % len(_SHADES)]
        name = None if label in met else f"true: {worn.labels[label]}"
        met.add(label)
        axis.axvspan(
            worn.minutes[part[0]] - hop, worn.minutes[part[-1]], color=colour, zorder=0, label=name
        )


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
        axis.set_title(f"{one.method}: balanced accuracy {one.balanced_accuracy:.3f}", fontsize=10)
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
