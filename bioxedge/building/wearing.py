"""The picture of a sensor as it is worn: its signal, and what is answered as time goes on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from bioxedge.building.positions_report import SOURCE_COLOUR, TARGET_COLOUR

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_MOST = 6000  # points of a signal that a picture can show
_SHADES = ("#edf1f4", "#fbe0e4", "#e2f1e4", "#ece4f5", "#fbf3cf", "#dff1f2")
_SECONDS = 8.0  # of a signal, looked at closely
_MOST_LOOKS = 3
_BREAK = 3  # hops without an answer
_LONG = 180.0  # minutes, from which on hours are told
_MEAN = 0.5  # minutes of answers in a running mean, or a twentieth to a sixtieth of all of them
_ROOM = 0.07  # of the width, for the name of a phase


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
    """Draw a session: some seconds of the signal, all of it, and the answers as time went on.

    True phases are shaded. Answers are drawn as they were given, pale, and as a running mean.
    """
    looks = _looks(worn)
    figure = plt.figure(figsize=(9.2, 6.4), layout="constrained")
    figure.suptitle(worn.title, fontsize=11, x=0.01, ha="left")
    grid = figure.add_gridspec(3, 1, height_ratios=(0.7, 0.9, 2))
    row = grid[0].subgridspec(1, len(looks), wspace=0.03)
    closely = [figure.add_subplot(row[number]) for number in range(len(looks))]
    for axis, (at, label) in zip(closely, looks, strict=True):
        _look(axis, worn, at, label)
    upper, lower = figure.add_subplot(grid[1]), figure.add_subplot(grid[2])
    name, unit = ("hours", 60.0) if worn.minutes[-1] > _LONG else ("minutes", 1.0)
    _whole(upper, worn, unit)
    for at, _ in looks:
        upper.plot(
            at / unit, 1.06, "v", transform=upper.get_xaxis_transform(), color="#444444",
            markersize=4, clip_on=False,
        )  # fmt: skip
    if worn.labels:
        _shade((upper, lower), worn, unit)
        lower.set(ylim=(-0.03, 1.03), ylabel=f"P({worn.labels[-1]})")
        lower.axhline(0.5, color="#999999", linewidth=0.6, linestyle=":")
    else:
        _line(lower, worn, worn.truth, unit, "black", "true")
        lower.set_ylabel(worn.said)
    if worn.teacher is not None:
        _line(lower, worn, worn.teacher, unit, TARGET_COLOUR, "teacher, on the other sensor")
    _line(lower, worn, worn.answers, unit, SOURCE_COLOUR, "bridge, on this one")
    ends = len(worn.signal) / worn.rate / 60, float(worn.minutes[-1])
    upper.set(xlim=(0, max(ends) / unit), xticklabels=[])
    lower.set(xlim=(0, max(ends) / unit), xlabel=f"{name} worn")
    figure.legend(
        *lower.get_legend_handles_labels(), frameon=False, ncols=4, fontsize=8,
        loc="outside lower center",
    )  # fmt: skip
    figure.align_ylabels((upper, lower))
    # The row on top ends where the others do: a layout of its own would begin at the edge.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    box = upper.get_position()
    share = box.width / len(closely)
    for number, axis in enumerate(closely):
        own = axis.get_position()
        left = box.x0 + number * share
        between = 0.012 * (number < len(closely) - 1)
        axis.set_position((left, own.y0, share - between, own.height))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _parts(worn: Worn) -> list[tuple[int, int]]:
    """Give stretches ``[begin, end)`` of answers without a break."""
    breaks = np.flatnonzero(np.diff(worn.minutes) > _BREAK * _hop(worn)) + 1
    ends = [0, *breaks.tolist(), len(worn.minutes)]
    return list(pairwise(ends))


def _phases(worn: Worn) -> list[tuple[int, int, int]]:
    """Give stretches ``(begin, end, label)`` of one known label, without a break."""
    found = []
    for begin, end in _parts(worn):
        truth = worn.truth[begin:end]
        edges = [0, *(np.flatnonzero(np.diff(truth)) + 1).tolist(), end - begin]
        found += [
            (begin + low, begin + high, int(truth[low]))
            for low, high in pairwise(edges)
            if truth[low] >= 0
        ]
    return found


def _looks(worn: Worn) -> list[tuple[float, int | None]]:
    """Choose what to look at closely: the middle of each label's longest phase, in minutes."""
    if not worn.labels:
        known = np.where(np.isfinite(worn.truth), worn.truth, np.nan)
        known = known if np.isfinite(known).any() else worn.answers
        ends = (int(np.nanargmin(known)), int(np.nanargmax(known)))
        return [(float(worn.minutes[end]), None) for end in ends]
    longest: dict[int, tuple[int, int]] = {}
    for begin, end, label in _phases(worn):
        if end - begin > np.subtract(*longest.get(label, (0, 0))[::-1]):
            longest[label] = begin, end
    some: list[tuple[float, int | None]] = [
        (float(worn.minutes[sum(longest[label]) // 2]), label)
        for label in sorted(longest)[:_MOST_LOOKS]
    ]
    return some or [(float(worn.minutes[len(worn.minutes) // 2]), None)]


def _look(axis: Axes, worn: Worn, at: float, label: int | None) -> None:
    """Draw the last seconds before an answer, as they were measured."""
    end = min(round(at * 60 * worn.rate), len(worn.signal))
    begin = max(end - round(_SECONDS * worn.rate), 0)
    axis.set_facecolor(_SHADES[0 if label is None else label % len(_SHADES)])
    axis.plot(np.arange(end - begin) / worn.rate, worn.signal[begin:end], color="#333333", lw=1)
    axis.set(xlim=(0, _SECONDS), xticks=[], yticks=[])
    answered = worn.answers[int(np.argmin(np.abs(worn.minutes - at)))]
    what = f"P = {answered:.2f}" if worn.labels else f"{answered:.3g}"
    true = "" if label is None else f" of {worn.labels[label]}"
    axis.set_title(f"{_SECONDS:g} s{true} at {at:.1f} min: {what}", fontsize=8)
    axis.spines[:].set_visible(False)


def _whole(axis: Axes, worn: Worn, unit: float) -> None:
    """Draw all of a signal, between bounds that a lost electrode does not set."""
    step = max(1, len(worn.signal) // _MOST)
    shown = worn.signal[: len(worn.signal) // step * step].reshape(-1, step)
    times = np.arange(len(shown)) * step / worn.rate / 60 / unit
    # Lowest and highest of each stretch: a decimated pulse would beat with the picture.
    low, high = shown.min(axis=1), shown.max(axis=1)
    axis.fill_between(times, low, high, color="#666666", linewidth=0.4)
    if np.isfinite(low).any():
        bottom, top = np.nanpercentile(low, 3), np.nanpercentile(high, 97)
        if top > bottom:
            more = 0.6 * (top - bottom)
            axis.set_ylim(
                max(bottom - more, np.nanmin(low) - 0.1 * more),
                min(top + more, np.nanmax(high) + 0.1 * more),
            )
    axis.set_ylabel(worn.unit)
    axis.locator_params(axis="y", nbins=3)
    axis.spines[["top", "right"]].set_visible(False)


def _line(axis: Axes, worn: Worn, values: Floats, unit: float, colour: str, name: str) -> None:
    """Draw answers over time, broken where there are none, and their running mean."""
    hop = _hop(worn)
    whole = worn.minutes[-1] - worn.minutes[0]
    span = max(min(_MEAN, whole / 20), whole / 60)
    width = max(round(span / hop) // 2 * 2 + 1, 1) if hop else 1
    label = f"{name}, mean of {_length(width * hop)}" if width > 1 else name
    for begin, end in _parts(worn):
        times, part = worn.minutes[begin:end] / unit, values[begin:end]
        axis.plot(times, part, color=colour, linewidth=0.6, alpha=0.3)
        kernel = np.ones(min(width, end - begin))
        known = np.isfinite(part)
        count = np.convolve(known, kernel, "same")
        total = np.convolve(np.where(known, part, 0.0), kernel, "same")
        mean = np.divide(total, count, out=np.full(len(part), np.nan), where=known & (count > 0))
        axis.plot(times, mean, color=colour, linewidth=1.6, label=label)
        label = "_"  # named once
    axis.spines[["top", "right"]].set_visible(False)


def _length(minutes: float) -> str:
    """Write a length of time."""
    return f"{minutes * 60:.0f} s" if minutes < 2 else f"{minutes:.0f} min"


def _hop(worn: Worn) -> float:
    """Minutes from one answer to the next."""
    return float(np.median(np.diff(worn.minutes))) if len(worn.minutes) > 1 else 0.0


def _shade(axes: tuple[Axes, Axes], worn: Worn, unit: float) -> None:
    """Shade the true phases; name each where there is room, and in the legend where not."""
    _, lower = axes
    hop = _hop(worn)
    whole = len(worn.signal) / worn.rate / 60
    phases = [
        (worn.minutes[begin] - hop, worn.minutes[end - 1], label)
        for begin, end, label in _phases(worn)
    ]
    roomy = {label for low, high, label in phases if high - low > _ROOM * whole}
    met: set[int] = set()
    for low, high, label in phases:
        name = "_" if label in met | roomy else f"true: {worn.labels[label]}"
        met.add(label)
        colour = _SHADES[label % len(_SHADES)]
        for axis in axes:
            span = axis.axvspan(low / unit, high / unit, color=colour, zorder=0, linewidth=0)
        span.set_label(name)
        if high - low > _ROOM * whole:
            lower.text(
                (low + high) / 2 / unit, 1.01, worn.labels[label], ha="center", va="bottom",
                fontsize=8, color="#444444", transform=lower.get_xaxis_transform(),
            )  # fmt: skip
