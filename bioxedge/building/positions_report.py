"""Every place that a bridge can have: how well it scores, what it costs. Tables and a picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from rich.table import Table

from bioxedge.bridging.costs import CostMap, cost_map
from bioxedge.bridging.positions import Positions, alignments
from bioxedge.building import budget_report
from bioxedge.building.budget import Device, Weighed
from bioxedge.building.seen import Seen

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SOURCE_COLOUR, TARGET_COLOUR = "#0072b2", "#d55e00"  # Okabe and Ito: safe for all eyes


@dataclass(frozen=True)
class Survey:
    """What is known of every pair of cuts.

    Attributes
    ----------
    name : str
        The recipe's.
    source, target : str
        The models.
    positions : Positions
        Scores and choices.
    source_features : list of int
        Features at each source cut.
    target_cuts : list of (tokens, features)
    costs : CostMap
    weighed : Weighed or None
        What every place takes on a device, where there is a profile of it.
    """

    name: str
    source: str
    target: str
    positions: Positions
    source_features: list[int]
    target_cuts: list[tuple[int, int]]
    costs: CostMap
    weighed: Weighed | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        positions = self.positions
        return {
            "name": self.name,
            "source": {
                "model": self.source,
                "cut": positions.source_cut,
                "macro_f1": list(positions.source_scores),
                "macro_f1_by_fold": [list(row) for row in positions.source_folds],
                "macro_f1_standardised": list(positions.standardised_scores),
                "remark": positions.remark,
                "features": self.source_features,
            },
            "target": {
                "model": self.target,
                "cut": positions.target_cut,
                "cka": list(positions.target_scores),
                "tokens_and_features": [list(cut) for cut in self.target_cuts],
            },
            "parameters": self.costs.parameters.tolist(),
            "macs": self.costs.macs.tolist(),
            "trained_parameters": self.costs.trained.tolist(),
            **({} if self.weighed is None else {"on_device": self.weighed.to_dict()}),
        }


def survey_of(seen: Seen, positions: Positions, device: Device | None = None) -> Survey:
    """Count what every place costs, here and on a device, and put it beside its scores."""
    recipe = seen.recipe
    samples = recipe.source.length, recipe.target.length
    counted = cost_map(
        seen.source,
        samples[0],
        seen.target,
        samples[1],
        rank=recipe.bridge.rank,
        prototypes=recipe.bridge.prototypes,
    )
    cuts = [seen.target.cut(j, samples[1]) for j in range(len(seen.target) + 1)]
    return Survey(
        name=recipe.name,
        source=seen.source.name,
        target=seen.target.name,
        positions=positions,
        source_features=[
            seen.source.cut(i, samples[0]).features for i in range(len(seen.source) + 1)
        ],
        target_cuts=[(cut.tokens, cut.features) for cut in cuts],
        costs=counted,
        weighed=None
        if device is None
        else device.weigh(
            positions.source_scores,
            alignments(
                [seen.pooled("source", cut, "pair").numpy() for cut in range(seen.cuts + 1)],
                [seen.pooled("target", cut, "pair").numpy() for cut in range(len(seen.target) + 1)],
            ),
        ),
    )


def tables(survey: Survey) -> list[Table]:
    """Lay both sides out for a terminal, each against the other's chosen cut; then the front."""
    chosen, costs = survey.positions, survey.costs
    i, j = chosen.source_cut, chosen.target_cut
    source = Table(title=f"source: {survey.source}", title_justify="left")
    target = Table(title=f"target: {survey.target}", title_justify="left")
    for name in (
        "cut", "macro F1 (by person)", "standardised", "features", "parameters", "MACs (M)",
    ):  # fmt: skip
        source.add_column(name, justify="right")
    for name in ("cut", "CKA", "tokens × features", "trained", "parameters", "MACs (M)"):
        target.add_column(name, justify="right")
    for cut, score in enumerate(chosen.source_scores):
        source.add_row(
            str(cut),
            f"{score:.3f}",
            f"{chosen.standardised_scores[cut]:.3f}" if chosen.standardised_scores else "–",
            str(survey.source_features[cut]),
            f"{costs.parameters[cut, j]:,}",
            f"{costs.macs[cut, j] / 1e6:,.1f}",
            style="bold" if cut == i else None,
        )
    for cut, score in enumerate(chosen.target_scores):
        tokens, features = survey.target_cuts[cut]
        target.add_row(
            str(cut),
            f"{score:.3f}",
            f"{tokens} × {features}",
            f"{costs.trained[i, cut]:,}",
            f"{costs.parameters[i, cut]:,}",
            f"{costs.macs[i, cut] / 1e6:,.1f}",
            style="bold" if cut == j else None,
        )
    source.caption = f"with target cut {j}; the best by the two-stage rule is bold"
    if chosen.remark:
        source.caption += f".\n{chosen.remark[0].upper()}{chosen.remark[1:]}."
    target.caption = f"with source cut {i}"
    if survey.weighed is None:
        return [source, target]
    return [source, target, budget_report.table(survey.weighed, chosen, costs)]


def write(survey: Survey, folder: Path) -> list[Path]:
    """Write ``positions.json``, ``positions.png`` and, for a device, ``front.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    figures, picture = folder / "positions.json", folder / "positions.png"
    figures.write_text(json.dumps(survey.to_dict(), indent=2) + "\n", encoding="utf-8")
    chosen = survey.positions
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 7.2), layout="constrained")
    _scores(axes[0, 0], chosen.source_scores, chosen.source_cut, "source", survey.source)
    if chosen.standardised_scores:
        axes[0, 0].plot(
            range(len(chosen.standardised_scores)), chosen.standardised_scores, color="#333333",
            linestyle="none", marker="o", markersize=4,
        )  # fmt: skip
    _scores(axes[0, 1], chosen.target_scores, chosen.target_cut, "target", survey.target)
    at = (chosen.source_cut, chosen.target_cut)
    _map(figure, axes[1, 0], survey.costs.parameters, at, "parameters on the device")
    _map(figure, axes[1, 1], survey.costs.macs, at, "multiply-accumulates a window")
    figure.suptitle(survey.name, fontsize=11)
    figure.savefig(picture, dpi=120)
    plt.close(figure)
    if survey.weighed is None:
        return [figures, picture]
    return [
        figures,
        picture,
        budget_report.picture(survey.weighed, survey.name, folder / "front.png"),
    ]


def _scores(axis: Axes, scores: tuple[float, ...], cut: int, side: str, model: str) -> None:
    """Draw one stage of the choice: a bar for each cut, the chosen one dark."""
    source = side == "source"
    colour = SOURCE_COLOUR if source else TARGET_COLOUR
    cuts = np.arange(len(scores))
    axis.bar(cuts, scores, color=colour, alpha=0.45)
    if len(scores) > cut:
        axis.bar(cut, scores[cut], color=colour)
    label = (
        "macro F1 of a linear probe, by person\n(dots: on standardised features)"
        if source
        else "linear CKA with the source cut"
    )
    axis.set(xlabel="cut", ylabel=label, xticks=cuts)
    axis.set_title(f"{side}: {model}, cut {cut} chosen", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)


def _map(
    figure: Any, axis: Axes, values: npt.NDArray[np.int64], at: tuple[int, int], title: str
) -> None:
    """Draw what every pair of cuts costs, darker for more; the chosen place is marked."""
    image = axis.imshow(values, cmap="Greys", norm="log", origin="lower", aspect="auto")
    axis.plot(at[1], at[0], marker="s", markersize=9, fillstyle="none", color=TARGET_COLOUR, mew=2)
    axis.set(
        xlabel="target cut", ylabel="source cut",
        xticks=range(values.shape[1]), yticks=range(values.shape[0]),
    )  # fmt: skip
    axis.set_title(f"{title}: {_short(values[at])} at the chosen place", fontsize=10)
    figure.colorbar(image, ax=axis)


def _short(value: np.int64) -> str:
    """Write a large number so that it can be read."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)
