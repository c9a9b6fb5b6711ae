"""From a recipe to a bundle: learn, evaluate, export, prove. Finished steps are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from bioxedge import recipes
from bioxedge.bridging.room import told
from bioxedge.bridging.world import joined
from bioxedge.building import (
    causal_price,
    data_report,
    kits,
    positions_report,
    report,
    saying,
    trained,
    unshippable,
)
from bioxedge.building.built import Built
from bioxedge.building.encoders import compute_of
from bioxedge.building.evaluation import evaluate
from bioxedge.building.feeding import opened, taken
from bioxedge.building.forecast import Forecast, forecast, reckoned
from bioxedge.building.kits import kit
from bioxedge.building.learnt import learn
from bioxedge.building.lock import locked
from bioxedge.building.missing import missing, nominal
from bioxedge.building.positions_report import Survey
from bioxedge.building.preparation import Prepared, prepare
from bioxedge.building.progress import Steps
from bioxedge.building.readyhead import ready_head
from bioxedge.building.rows import all_rows
from bioxedge.building.scored import with_rows
from bioxedge.building.seen import probed, see
from bioxedge.building.shipping import Shipped, ship
from bioxedge.building.spending import spent
from bioxedge.building.store import Store
from bioxedge.building.times import timed
from bioxedge.datasets.choosing import choose
from bioxedge.models.chain import Chain

__all__ = ["Built", "Forecast", "Survey", "build", "check", "kit", "survey"]


def build(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    changes: Sequence[str] = (),
    beside: str = "",
    rows: str = "",
) -> Built | None:
    """Build a bundle; steps already done for the same inputs are not repeated.

    Under ``torchrun`` all processes work on one build.

    Parameters
    ----------
    recipe : path
        A TOML file; see :mod:`bioxedge.recipes`.
    out : path
        Gets ``bundle/``, ``report/`` (of further tasks in a folder each), ``trained/`` and
        ``steps/`` (what is kept of finished steps).
    data : path, optional
        Holds the recipe's recordings; ``BIOXEDGE_SHARED``'s ``data`` if left out.
    seed : int, optional
        In place of the recipe's.
    console : Console, optional
        Where progress is shown; standard error if left out.
    compute : mapping, optional
        In place of what the recipe says of ``device`` and ``precision``.
    changes : sequence of str
        ``key=value`` each, in place of what the recipe says.
    beside : str
        ``reference`` also learns from the same windows cut from whole recordings, for figures
        beside these (:mod:`bioxedge.building.causal_price`); the bundle is the causal one.
    rows : str, optional
        ``all`` also trains what a bridge is compared with (:mod:`bioxedge.building.rows`).

    Returns
    -------
    Built or None
        None in all processes but the first.

    Raises
    ------
    BioxedgeError
        The recipe, the recordings, a checkpoint or the export do not hold.
    """
    causal = unshippable.check(_read(recipe, seed, compute, changes)[0], beside, Path(out))
    with started(recipe, out, data, seed, console, compute, changes) as work:
        prepared, other = work.prepare(), None
        if beside:
            whole = unshippable.prepare_beside(work.recipe, prepared, work.root, work.store)
        learnt = learn(work.recipe, prepared, work.store, work.base, work.models)
        if beside:
            wanted = msgspec.structs.replace(unshippable.reference_of(work.recipe), others=())
            other = unshippable.learn_beside(
                learnt, wanted, whole, work.store, work.base, work.models
            )
        if not work.store.world.first:
            return None
        steps, store, out = work.steps, work.store.alone(), Path(out)
        more = all_rows(learnt, store) if rows == "all" else []
        with steps.running("Evaluated on people never seen"):
            found = with_rows(learnt, evaluate(learnt), more)
            others = {
                name: with_rows(own, evaluate(own), [row.of(name) for row in more])
                for name, own in learnt.others.items()
            }
            price = None if other is None else causal_price.price(found, other)
        shipped: Shipped | None = None
        kept: list[Path] = []
        if causal:
            with steps.running("Exported, and proven on golden windows"), told(out / "bundle"):
                further = {name: one.scores for name, one in others.items()}
                shipped = ship(learnt, found.scores, out / "bundle", further)
                kept = trained.save(learnt, found.scores, out / "trained", further)
        found = spent(learnt, found, store, timed(learnt, store, shipped, more))
        with told(out / "report"):
            pictures = report.write(learnt, found, out / "report")
            for name, one in others.items():
                pictures += report.write(learnt.others[name], one, out / "report" / name)
            causal_price.write(work.recipe, price, out / "report")
            if shipped is not None:
                proofs = json.dumps(shipped.to_dict(), indent=2)
                (out / "report" / "bundle.json").write_text(proofs)
        built = Built(shipped, learnt, found, pictures, kept, price, others)
        saying.say(built, steps.console)
        return built


def check(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    changes: Sequence[str] = (),
) -> Forecast:
    """Check all that can be checked before a sample is read, and reckon what a build takes.

    Parameters and errors are as for `build`; nothing is written. What nobody has brought yet is no
    error here: it is named, with where to get it, and published sets are reckoned by their usual
    size.

    Returns
    -------
    Forecast
    """
    wanted, base = _read(recipe, seed, compute, changes)
    steps = Steps(console)
    root = None if data is None else Path(data)
    lacking = missing(wanted, base, root)
    models = opened(wanted, base, lacking.sides)
    chains = kits.whole(wanted, models)
    if wanted.ready is not None and not lacking.head:
        ready_head(wanted, wanted.ready, base, chains["target"])
    chosen, left = ([], []) if lacking.data else choose(wanted, root)
    windows, unknown = nominal(wanted) if lacking.data else reckoned(wanted, chosen)
    reckon = forecast(wanted, chains, windows, unknown)
    found = replace(reckon, missing=lacking.lines)
    steps.console.print(f"[bold]{wanted.name}[/] would go to {out}", highlight=False)
    for role in () if lacking.data else recipes.ROLES:
        own = [one for one in chosen if role in one.roles]
        people = len({one.person for one in own})
        steps.console.print(
            f"  may serve for {role:<4}: {len(own)} recordings of {people} people", highlight=False
        )
    for one in left:
        steps.console.print(f"  left out: {one.name}: {one.why}", highlight=False, soft_wrap=True)
    for line in (*(f"  missing: {line}" for line in found.missing), *taken(wanted, models)):
        steps.console.print(line, highlight=False, soft_wrap=True)
    for line in filter(None, (found.size(), found.line())):
        steps.console.print(line, highlight=False, soft_wrap=True)
    return found


def survey(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    on_device: Mapping[str, Any] | None = None,
    changes: Sequence[str] = (),
) -> Survey | None:
    """Score every place that a recipe's bridge can have, and count what each costs.

    Parameters, errors and the processes that get None are as for `build`; ``out`` gets
    ``report/positions.json``, ``report/positions.png`` and ``steps/``. ``on_device`` holds what
    :func:`bioxedge.building.kits.device` takes: what a window takes there is predicted, too, and
    ``report/front.png`` drawn; a RecipeError follows where no place meets the budget.
    """
    changes = (*changes, 'bridge.source_cut="auto"')  # every cut is looked at
    with started(recipe, out, data, seed, console, compute, changes) as work:
        device = kits.device(work.recipe, work.models, **on_device) if on_device else None
        seen = see(work.recipe, work.prepare(), work.store, work.base, work.models)
        positions = probed(seen, work.store)
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
    out: Path

    def prepare(self) -> Prepared:
        """Cut windows, deal people out, set the classes; and say so before anything is trained."""
        found = prepare(self.recipe, self.root, self.store)
        if not self.store.world.first:
            return found
        facts = data_report.facts(self.recipe, found)
        with told(self.out / "report"):
            data_report.write(facts, self.out / "report")
        for each in data_report.tables(self.recipe, facts):
            self.steps.console.print(each)
        for line in data_report.clocks(found.windows.clocks):
            self.steps.console.print(line, highlight=False, soft_wrap=True)
        counts = {
            "source": len(found.windows.source),
            "target": len(found.windows.target),
            "pair": len(found.of("pair")),
        }
        chains = kits.whole(self.recipe, self.models)
        line = forecast(self.recipe, chains, counts).line()
        self.steps.console.print(line, highlight=False, soft_wrap=True)
        return found


def _read(
    recipe: str | Path,
    seed: int | None,
    compute: Mapping[str, str] | None,
    changes: Sequence[str],
) -> tuple[recipes.Recipe, Path]:
    """Read a recipe and what is said in its place; give it and what files are relative to."""
    wanted = recipes.read(recipe, changes)
    if seed is not None:
        wanted = msgspec.structs.replace(wanted, seed=seed)
    if compute:
        changed = msgspec.structs.replace(wanted.compute, **compute)
        wanted = msgspec.structs.replace(wanted, compute=changed)
    compute_of(wanted).check()
    return wanted, Path(recipe).parent


@contextmanager
def started(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None,
    seed: int | None,
    console: Console | None,
    compute: Mapping[str, str] | None,
    changes: Sequence[str] = (),
) -> Iterator[_Work]:
    """Read a recipe and open its models, alone in the folder; see `build`."""
    wanted, base = _read(recipe, seed, compute, changes)
    out, root = Path(out), None if data is None else Path(data)
    with joined() as world, ExitStack() as stack:
        # All that can be wrong without reading a sample is found before anything is written.
        models = opened(wanted, base)
        if wanted.ready is not None:
            ready_head(wanted, wanted.ready, base, kits.whole(wanted, models)["target"])
        choose(wanted, root)
        if world.first:
            stack.enter_context(locked(out))
        steps = Steps(console if world.first else Console(quiet=True))
        steps.console.print(f"[bold]{wanted.name}[/] → {out}", highlight=False)
        for line in taken(wanted, models):
            steps.console.print(line, highlight=False, soft_wrap=True)
        store = Store(out / "steps", steps, world)
        yield _Work(wanted, base, models, store, steps, root, out)
