"""Pictures of a study: one for each axis, and one of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

from bioxedge.bridging.verdict import digits
from bioxedge.building.positions_report import SOURCE_COLOUR, TARGET_COLOUR
from bioxedge.building.study_figures import Figure
from bioxedge.building.study_found import Laid, Place, Studied

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

GREY, OTHER = "grey", "#5b8c5a"


def draw(found: Studied, folder: Path) -> list[Path]:
    """Draw every axis that has points, and all of them together.

    Parameters
    ----------
    found : Studied
    folder : Path
        Is there.

    Returns
    -------
    list of Path
        ``rank.png`` and so on, and ``overview.png``.
    """
    shown = [laid for laid in found.axes if known(laid) or _timed(laid)]
    paths = []
    for laid in shown:
        tall = 0.34 * len(laid.places) + 1.2 if laid.name == "rows" else 3.8
        figure, axis = plt.subplots(figsize=(6.4, tall), layout="constrained")
        _draw(axis, found, laid)
        figure.suptitle(_title(found), fontsize=9, color=GREY, x=0.01, ha="left")
        paths.append(folder / f"{laid.name}.png")
        figure.savefig(paths[-1], dpi=130)
        plt.close(figure)
    if shown:
        paths.append(_overview(found, shown, folder / "overview.png"))
    return paths


def known(laid: Laid) -> list[tuple[Place, Figure]]:
    """Give the places that came to something."""
    return [(one, one.figure) for one in laid.places if one.figure is not None]


def _timed(laid: Laid) -> bool:
    """Whether an axis is one of times."""
    return any(one.window is not None for one in laid.places)


def _overview(found: Studied, shown: list[Laid], path: Path) -> Path:
    """Draw all axes as small pictures."""
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    size = (4.6 * columns, 3.5 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, laid in zip(axes.flat, shown, strict=False):
        _draw(axis, found, laid, small=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    figure.suptitle(_title(found), fontsize=11, x=0.01, ha="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _title(found: Studied) -> str:
    """Say whose figures these are."""
    seeds = f"{len(found.seeds)} seed{'s' if len(found.seeds) > 1 else ''}"
    return (
        f"{found.recipe}: {found.people} people never seen, {seeds}; bars and bands: 95 % over "
        "people"
    )


def _draw(axis: Axes, found: Studied, laid: Laid, *, small: bool = False) -> None:
    """Draw one axis."""
    kinds: dict[str, Callable[..., None]] = {"rank": _map, "rows": _bars, "threads": _times}
    kinds.get(laid.name, _line)(axis, found, laid, small=small)
    axis.set_title(laid.title, fontsize=9, loc="left")


def _frame(axis: Axes, found: Studied) -> None:
    """Draw what frames a bridge: its teacher, a constant, and the recipe as it is."""
    if found.teacher is not None:
        axis.axhline(found.teacher.value, color=TARGET_COLOUR, linewidth=1.2, label="teacher")
    axis.axhline(found.constant.value, color=GREY, linewidth=1, linestyle=":", label="a constant")
    axis.set_ylabel(found.measure)
    axis.set_ylim(_limits(found))
    axis.spines[["top", "right"]].set_visible(False)


def _limits(found: Studied) -> tuple[float, float]:
    """Give one scale to all axes, so that a step on one compares with a step on another."""
    figures = [found.bridge, found.constant, *([found.teacher] if found.teacher else [])]
    figures += [each for laid in found.axes if not laid.scores for _, each in known(laid)]
    low = min(min((one.value, *(one.interval or ()))) for one in figures)
    high = max(max((one.value, *(one.interval or ()))) for one in figures)
    room = 0.04 * (high - low) + 0.005 * high
    return low - room, high + room


def _line(axis: Axes, found: Studied, laid: Laid, *, small: bool) -> None:
    """Draw places one after the other, evenly: their steps are not."""
    _frame(axis, found)
    places = known(laid)
    parts = {"": [one for one in places if not one[0].at.get("corrected")]}
    parts["clocks compared and corrected first"] = [
        one for one in places if one[0].at.get("corrected")
    ]
    words = [one.label for one, _ in parts[""]]
    for number, (name, own) in enumerate(parts.items()):
        if not own:
            continue
        # A point that could not be learnt leaves its place empty.
        at = np.array([words.index(one.label.removesuffix(", corrected")) for one, _ in own])
        values = np.array([figure.value for _, figure in own])
        low, high = (
            np.array([(figure.interval or (figure.value,) * 2)[end] for _, figure in own])
            for end in (0, 1)
        )
        colour = (SOURCE_COLOUR, OTHER)[number]
        axis.errorbar(
            at + 0.08 * number, values, [np.maximum(values - low, 0), np.maximum(high - values, 0)],
            color=colour, marker="o", markersize=4, capsize=2, linewidth=1.4,
            label="bridge" + (f", {name}" if name else ""),
            linestyle="none" if laid.name == "start" else "-",
        )  # fmt: skip
        for x, (_, figure) in zip(at, own, strict=True):
            axis.plot([x - 0.06] * len(figure.by_seed), figure.by_seed, ".", color=colour,
                      alpha=0.4, markersize=4)  # fmt: skip
        there = [figure.teacher for _, figure in own]
        if found.teacher is not None and any(value is not None for value in there):
            whole = found.teacher.value  # where all labels are there
            axis.plot(at, [whole if value is None else value for value in there],
                      color=TARGET_COLOUR, marker="s", markersize=3, linestyle="--",
                      label="its teacher")  # fmt: skip
    if len(words) < 4:
        axis.set_xlim(-0.5, len(words) - 0.5)
    axis.set_xticks(range(len(words)), [word.removesuffix(f" {laid.unit}") for word in words])
    if laid.unit and not laid.unit.startswith("%"):
        axis.set_xlabel(laid.unit)
    axis.legend(fontsize=7 if small else 8, framealpha=0.85, edgecolor="none")


def _map(axis: Axes, found: Studied, laid: Laid, *, small: bool) -> None:
    """Draw rank × prototypes as a map, with the recipe's own in a frame."""
    places = known(laid)
    ranks = sorted({one.at["rank"] for one, _ in places})
    counts = sorted({one.at["prototypes"] for one, _ in places})
    values = np.full((len(ranks), len(counts)), np.nan)
    for one, figure in places:
        values[ranks.index(one.at["rank"]), counts.index(one.at["prototypes"])] = figure.value
    colours = "Blues_r" if found.by_value else "Blues"
    axis.imshow(values, cmap=colours, origin="lower", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    widths = [f.interval[1] - f.interval[0] for _, f in places if f.interval]
    digit = digits(max(widths, default=0.0))
    for one, figure in places:
        i, j = ranks.index(one.at["rank"]), counts.index(one.at["prototypes"])
        dark = (figure.value > middle) != found.by_value
        text = f"{figure.value:.{min(digit + 1, 3)}f}"
        text += "" if small else f"\n{one.parameters:,} trained"
        axis.text(j, i, text, ha="center", va="center", fontsize=7 if small else 8,
                  color="white" if dark else "black")  # fmt: skip
        if one.at.get("own"):
            axis.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, linewidth=2,
                                     edgecolor=TARGET_COLOUR))  # fmt: skip
    axis.set_xticks(range(len(counts)), [str(count) for count in counts])
    axis.set_yticks(range(len(ranks)), [str(rank) for rank in ranks])
    axis.set(xlabel="prototypes", ylabel="rank")


def _bars(axis: Axes, found: Studied, laid: Laid, *, small: bool) -> None:
    """Draw a bar for each method."""
    places = known(laid)[::-1]
    for number, (one, figure) in enumerate(places):
        low, high = figure.interval or (figure.value,) * 2
        colour = TARGET_COLOUR if one.label == "teacher" else GREY
        colour = SOURCE_COLOUR if one.label == "bridge" else colour
        axis.barh(number, figure.value, color=colour, alpha=0.8, height=0.65)
        axis.plot([low, high], [number, number], color="black", linewidth=1)
    axis.set_yticks(range(len(places)), [one.label for one, _ in places])
    axis.tick_params(axis="y", labelsize=5.5 if small else 8)
    axis.axvline(found.constant.value, color="black", linestyle=":", linewidth=1)
    axis.set_xlabel(found.measure)
    axis.spines[["top", "right"]].set_visible(False)


def _times(axis: Axes, _: Studied, laid: Laid, *, small: bool) -> None:
    """Draw times beside each other, each as a share of what one thread takes."""
    first = laid.places[0]
    for number, one in enumerate(laid.places):
        pairs = ((one.seconds, first.seconds, "s"), (one.window, first.window, "ms"))
        for at, (value, base, unit) in enumerate(pairs):
            if not value or not base:
                continue
            x = at + 0.35 * (number - 0.5)
            colour = (SOURCE_COLOUR, OTHER)[number % 2]
            axis.bar(x, value / base, width=0.32, color=colour, label=None if at else one.label)
            axis.text(x, value / base, f"{value:.3g} {unit}", ha="center", va="bottom",
                      fontsize=7 if small else 8)  # fmt: skip
    axis.set_xticks((0, 1), ("training the bridge", "one window"))
    axis.set_ylabel("time, one thread = 1")
    axis.set_ylim(0, 1.3 * max(axis.get_ylim()[1], 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
