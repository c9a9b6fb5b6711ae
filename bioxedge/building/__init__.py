"""From a recipe to a bundle: learn, evaluate, export, prove. Finished steps are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from bioxedge import recipes
from bioxedge.bridging.evaluate import Score
from bioxedge.building import report
from bioxedge.building.learn import Learnt, learn
from bioxedge.building.prepare import prepare, recordings
from bioxedge.building.progress import Steps
from bioxedge.building.ship import ship
from bioxedge.building.store import Store
from bioxedge.bundle import Bundle
from bioxedge.runtime import Report

__all__ = ["Built", "build"]


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes
    ----------
    bundle : Bundle
    learnt : Learnt
    scores : list of Score
    proof : Report
        The device's own code on the golden windows.
    pictures : list of Path
    """

    bundle: Bundle
    learnt: Learnt
    scores: list[Score]
    proof: Report
    pictures: list[Path]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "bundle": str(self.bundle.path),
            "source_cut": self.learnt.source_cut,
            "target_cut": self.learnt.target_cut,
            "scores": [score.to_dict() for score in self.scores],
            "proof": self.proof.to_dict(),
            "pictures": [str(path) for path in self.pictures],
        }


def build(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
) -> Built:
    """Build a bundle; steps already done for the same inputs are not repeated.

    Parameters
    ----------
    recipe : path
        A TOML file; see :mod:`bioxedge.recipes`.
    out : path
        Gets ``bundle/``, ``report/`` and ``steps/`` (what is kept of finished steps).
    data : path, optional
        Holds the recipe's recordings; ``BIOXEDGE_SHARED``'s ``data`` if left out.
    seed : int, optional
        In place of the recipe's.
    console : Console, optional
        Where progress is shown; standard error if left out.

    Raises
    ------
    BioxedgeError
        The recipe, the recordings, a checkpoint or the export do not hold.
    """
    recipe, out = Path(recipe), Path(out)
    wanted = recipes.read(recipe)
    if seed is not None:
        wanted = msgspec.structs.replace(wanted, seed=seed)
    root = None if data is None else Path(data)
    steps = Steps(console)
    steps.console.print(f"[bold]{wanted.name}[/] → {out}", highlight=False)
    read, _ = recordings(wanted, root)
    store = Store(out / "steps", steps)
    learnt = learn(wanted, prepare(wanted, root, store), store, recipe.parent)
    with steps.running("Evaluated on people never seen"):
        scores = report.evaluate(learnt)
    with steps.running("Exported, and proven on golden windows"):
        bundle, proof = ship(learnt, read(), scores, out / "bundle")
    pictures = report.write(learnt, scores, out / "report")
    steps.console.print(report.table(scores, wanted.name))
    for line in proof.lines():
        steps.console.print(line, highlight=False)
    for path in (bundle.path, *pictures):
        steps.console.print(f"  {path}", highlight=False)
    return Built(bundle, learnt, scores, proof, pictures)
