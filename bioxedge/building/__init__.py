"""From a recipe to a bundle: learn, evaluate, export, prove. Finished steps are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from bioxedge import recipes
from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.world import joined
from bioxedge.building import kits, positions_report, report, trained
from bioxedge.building.encoders import compute_of
from bioxedge.building.feeding import opened
from bioxedge.building.kits import kit
from bioxedge.building.learn import Learnt, learn
from bioxedge.building.look import look, probe
from bioxedge.building.positions_report import Survey
from bioxedge.building.prepare import Prepared, prepare, recordings
from bioxedge.building.progress import Steps
from bioxedge.building.ship import Shipped, ship
from bioxedge.building.store import Store
from bioxedge.bundle import Bundle
from bioxedge.datasets.pair import Pair
from bioxedge.models.chain import Chain
from bioxedge.runtime import Report

__all__ = ["Built", "Survey", "build", "kit", "survey"]


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes
    ----------
    shipped : Shipped
        The bundle, its proofs, the variants that were refused, and sizes by part.
    learnt : Learnt
    scores : list of Score
    pictures : list of Path
    trained : list of Path
        What `bioxedge export` reads: bridge, head, and encoders that were pretrained.
    """

    shipped: Shipped
    learnt: Learnt
    scores: list[Score]
    pictures: list[Path]
    trained: list[Path]

    @property
    def bundle(self) -> Bundle:
        """What a device takes."""
        return self.shipped.bundle

    @property
    def proof(self) -> Report:
        """The device's own code on the golden windows."""
        return self.shipped.proof

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return self.shipped.to_dict() | {
            "source_cut": self.learnt.source_cut,
            "target_cut": self.learnt.target_cut,
            "calibration": vars(self.learnt.calibration),
            "scores": [score.to_dict() for score in self.scores],
            "proof": self.proof.to_dict(),
            "pictures": [str(path) for path in self.pictures],
            "trained": [str(path) for path in self.trained],
        }


def build(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
) -> Built | None:
    """Build a bundle; steps already done for the same inputs are not repeated.

    Under ``torchrun`` all processes work on one build.

    Parameters
    ----------
    recipe : path
        A TOML file; see :mod:`bioxedge.recipes`.
    out : path
        Gets ``bundle/``, ``report/``, ``trained/`` and ``steps/`` (what is kept of finished
        steps).
    data : path, optional
        Holds the recipe's recordings; ``BIOXEDGE_SHARED``'s ``data`` if left out.
    seed : int, optional
        In place of the recipe's.
    console : Console, optional
        Where progress is shown; standard error if left out.
    compute : mapping, optional
        In place of what the recipe says of ``device`` and ``precision``.

    Returns
    -------
    Built or None
        None in all processes but the first.

    Raises
    ------
    BioxedgeError
        The recipe, the recordings, a checkpoint or the export do not hold.
    """
    with started(recipe, out, data, seed, console, compute) as work:
        learnt = learn(work.recipe, work.prepare(), work.store, work.base, work.models)
        if not work.store.world.first:
            return None
        steps, out = work.steps, Path(out)
        with steps.running("Evaluated on people never seen"):
            scores = report.evaluate(learnt)
        with steps.running("Exported, and proven on golden windows"):
            shipped = ship(learnt, work.read(), scores, out / "bundle")
            kept = trained.save(learnt, scores, out / "trained")
        pictures = report.write(learnt, scores, out / "report")
        (out / "report" / "bundle.json").write_text(json.dumps(shipped.to_dict(), indent=2))
        steps.console.print(report.table(scores, work.recipe.name))
        said = learnt.calibration.line(work.recipe.task.labels)
        steps.console.print(said, highlight=False, soft_wrap=True)
        for line in shipped.lines():
            steps.console.print(line, highlight=False, soft_wrap=True)
        for path in (shipped.bundle.path, *pictures, *kept):
            steps.console.print(f"  {path}", highlight=False)
        return Built(shipped, learnt, scores, pictures, kept)


def survey(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    on_device: Mapping[str, Any] | None = None,
) -> Survey | None:
    """Score every place that a recipe's bridge can have, and count what each costs.

    Parameters, errors and the processes that get None are as for `build`; ``out`` gets
    ``report/positions.json``, ``report/positions.png`` and ``steps/``. ``on_device`` holds what
    :func:`bioxedge.building.kits.device` takes: what a window takes there is predicted, too, and
    ``report/front.png`` drawn; a RecipeError follows where no place meets the budget.
    """
    with started(recipe, out, data, seed, console, compute) as work:
        device = kits.device(work.recipe, work.models, **on_device) if on_device else None
        seen = look(work.recipe, work.prepare(), work.store, work.base, work.models)
        positions = probe(seen, work.store)
        if not work.store.world.first:
            return None
        with work.steps.running("What every place costs"):
            found = positions_report.survey_of(seen, positions, device)
        paths = positions_report.write(found, Path(out) / "report")
        for each in positions_report.tables(found):
            work.steps.console.print(each)
        for path in paths:
            work.steps.console.print(f"  {path}", highlight=False)
        if found.weighed is not None:
            found.weighed.refuse()
        return found


@dataclass(frozen=True)
class _Work:
    """What every verb starts from."""

    recipe: recipes.Recipe
    base: Path
    models: dict[str, Chain]
    store: Store
    steps: Steps
    root: Path | None
    read: Callable[[], list[Pair]]

    def prepare(self) -> Prepared:
        """Cut windows, deal people out, set the classes."""
        return prepare(self.recipe, self.root, self.store)


@contextmanager
def started(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None,
    seed: int | None,
    console: Console | None,
    compute: Mapping[str, str] | None,
) -> Iterator[_Work]:
    """Read a recipe, open its models, find its recordings; see `build`."""
    recipe, out = Path(recipe), Path(out)
    wanted = recipes.read(recipe)
    if seed is not None:
        wanted = msgspec.structs.replace(wanted, seed=seed)
    if compute:
        changed = msgspec.structs.replace(wanted.compute, **compute)
        wanted = msgspec.structs.replace(wanted, compute=changed)
    compute_of(wanted).check()
    with joined() as world:
        steps = Steps(console if world.first else Console(quiet=True))
        steps.console.print(f"[bold]{wanted.name}[/] → {out}", highlight=False)
        root = None if data is None else Path(data)
        read, _ = recordings(wanted, root)
        models = opened(wanted, recipe.parent)
        store = Store(out / "steps", steps, world)
        yield _Work(wanted, recipe.parent, models, store, steps, root, read)
