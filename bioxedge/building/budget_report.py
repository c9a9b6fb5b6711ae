"""What fits a device, to read and to look at: the front of worth against time, and the map."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich.table import Table

from bioxedge.bridging.costs import CostMap
from bioxedge.bridging.positions import Positions
from bioxedge.building.budget import Weighed

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

FRONT_COLOUR, BUDGET_COLOUR = "#0072b2", "#d55e00"  # Okabe and Ito: safe for all eyes


def table(weighed: Weighed, positions: Positions, costs: CostMap) -> Table:
    """Lay the front out for a terminal; the best within the budget is bold."""
    about = weighed.profile
    rows = Table(
        title=f"on {about.board} ({weighed.run.setting}, ONNX Runtime {about.onnxruntime})",
        title_justify="left",
    )
    for name in ("source", "target", "macro F1", "CKA", "ms", "MB", "parameters", "MMAC"):
        rows.add_column(name, justify="right")
    best = weighed.best
    for pair in weighed.front:
        i, j = pair
        over = weighed.budget is not None and weighed.milliseconds[pair] > weighed.budget
        rows.add_row(
            str(i),
            str(j),
            f"{weighed.f1[i]:.3f} ± {_error(positions.source_folds[i]):.3f}",
            f"{weighed.cka[pair]:.3f}",
            f"{weighed.milliseconds[pair]:,.3g}",
            f"{weighed.memory[pair] / 1e6:,.0f}",
            f"{costs.parameters[pair]:,}",
            f"{costs.macs[pair] / 1e6:,.1f}",
            style="bold" if pair == best else "dim" if over else None,
        )
    rows.caption = caption(weighed)
    return rows


def caption(weighed: Weighed) -> str:
    """Say what the front is, what was chosen, and what speaks against the figures."""
    said = (
        "cuts that no others beat in worth (F1 by person ± standard error, then CKA) and in "
        "predicted time"
    )
    best = weighed.best
    if weighed.budget is not None and best is not None:
        said += f"; within {weighed.budget:g} ms the best is {best[0]} with {best[1]} (bold)"
    elif weighed.budget is not None:
        said += f"; nothing meets {weighed.budget:g} ms"
    if weighed.profile.throttled:
        said += f"; measured while the board said: {', '.join(weighed.profile.throttled)}"
    return said


def picture(weighed: Weighed, name: str, path: Path) -> Path:
    """Draw worth against time with the front, and the map of predicted times."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    _scatter(axes[0], weighed)
    _map(axes[1], weighed)
    figure.suptitle(f"{name} on {weighed.profile.board} ({weighed.run.setting})", fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _scatter(axis: Axes, weighed: Weighed) -> None:
    """One point for every pair of cuts, coloured by CKA; the front is a line."""
    times = weighed.milliseconds
    worth = np.broadcast_to(weighed.f1[:, None], times.shape)
    points = axis.scatter(
        times.ravel(), worth.ravel(), c=weighed.cka.ravel(), cmap="Greys", vmin=0, vmax=1, s=22,
        edgecolor="grey", linewidth=0.4,
    )  # fmt: skip
    axis.figure.colorbar(points, ax=axis, label="linear CKA of the two cuts")
    line = weighed.front
    axis.step(
        [times[pair] for pair in line], [worth[pair] for pair in line],
        where="post", color=FRONT_COLOUR, marker="o", markersize=5, label="front",
    )  # fmt: skip
    if weighed.budget is not None:
        axis.axvline(weighed.budget, color=BUDGET_COLOUR, linestyle="--", label="budget")
    if weighed.best is not None:
        axis.plot(
            times[weighed.best], worth[weighed.best], marker="s", markersize=11,
            fillstyle="none", color=BUDGET_COLOUR, mew=2, linestyle="", label="chosen",
        )  # fmt: skip
    axis.set(xlabel="predicted milliseconds a window", ylabel="macro F1 of a linear probe")
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _map(axis: Axes, weighed: Weighed) -> None:
    """Predicted milliseconds of every pair of cuts, darker for more."""
    values = weighed.milliseconds
    image = axis.imshow(values, cmap="Greys", origin="lower", aspect="auto")
    for i, j in weighed.front:
        axis.plot(j, i, marker="o", markersize=5, color=FRONT_COLOUR)
    if weighed.best is not None:
        i, j = weighed.best
        axis.plot(j, i, marker="s", markersize=11, fillstyle="none", color=BUDGET_COLOUR, mew=2)
    axis.set(
        xlabel="target cut", ylabel="source cut",
        xticks=range(values.shape[1]), yticks=range(values.shape[0]),
    )  # fmt: skip
    axis.set_title("predicted milliseconds a window", fontsize=10)
    axis.figure.colorbar(image, ax=axis)


def _error(folds: tuple[float, ...]) -> float:
    """Standard error of the mean over folds; 0 of a single one."""
    return float(np.std(folds, ddof=1) / np.sqrt(len(folds))) if len(folds) > 1 else 0.0
