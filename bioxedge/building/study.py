"""A study: how far what is kept depends on bridge, pairs, labels, clocks and threads.

All steps that a change does not touch are shared (``OUT/steps``), so that a study that was stopped
goes on where it was, and the same points cost nothing twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from rich.console import Console
from torch import Tensor

from bioxedge.atomic import write_file
from bioxedge.bridging.room import told
from bioxedge.bridging.train import trained_parameters
from bioxedge.building import started, study_axes, study_pictures, study_rows, study_threads
from bioxedge.building.evaluation import constant
from bioxedge.building.learnt import Learnt, learn
from bioxedge.building.progress import Steps
from bioxedge.building.rows import as_answers
from bioxedge.building.store import Store
from bioxedge.building.study_axes import Axis
from bioxedge.building.study_figures import Figure, Reached, Truth, figure, labels
from bioxedge.building.study_found import Laid, Place, Studied, said, tables
from bioxedge.errors import BioxedgeError, RecipeError, StorageError


def study(
    recipe: str | Path,
    out: str | Path,
    data: str | Path | None = None,
    seed: int | None = None,
    console: Console | None = None,
    compute: Mapping[str, str] | None = None,
    changes: Sequence[str] = (),
    axes: Sequence[str] = (),
    seeds: int = 3,
) -> Studied:
    """Vary one thing at a time, and say what people who were never seen get of it.

    Parameters
    ----------
    recipe, out, data, seed, console, compute, changes
        As for :func:`bioxedge.building.build`; ``out`` gets ``study/study.json``, a picture for
        each axis, ``study/overview.png``, and ``steps/``.
    axes : sequence of str
        Some of :data:`bioxedge.building.study_axes.NAMES`; all but ``rows`` if left out.
    seeds : int
        How many; from the recipe's on.

    Raises
    ------
    RecipeError
        An axis that there is not, or several processes.
    BioxedgeError
        As for a build; a point that cannot be learnt is no error, but says why.
    """
    names = tuple(dict.fromkeys(axes)) or tuple(n for n in study_axes.NAMES if n != "rows")
    study_axes.check(names)
    if seeds < 1:
        raise RecipeError(f"{seeds} seeds: a study takes at least 1")
    with started(recipe, out, data, seed, console, compute, changes) as work:
        if work.store.world.size > 1:
            raise RecipeError("a study runs in one process: leave torchrun away")
        prepared, bases = work.prepare(), []
        numbers = [work.recipe.seed + more for more in range(seeds)]
        for number in numbers:
            own = msgspec.structs.replace(work.recipe, seed=number, others=())
            work.steps.console.print(f"The recipe as it is, seed {number}", highlight=False)
            bases.append(learn(own, prepared, work.store, work.base, work.models))
        found = _begin(bases, numbers)
        folder = Path(out) / "study"
        _all(found, bases, names, work.store, work.steps, folder)
        with told(folder):
            pictures = study_pictures.draw(found, folder)
        found.pictures.extend(str(path) for path in pictures)
        _write(found, folder)
        for each in tables(found):
            work.steps.console.print(each)
        for path in (folder / "study.json", *pictures):
            work.steps.console.print(f"  {path}", highlight=False)
        return found


def _begin(bases: Sequence[Learnt], seeds: list[int]) -> Studied:
    """Score the recipe as it is."""
    recipe, truths = bases[0].recipe, [truth_of(one) for one in bases]
    by_value = truths[0].by_value

    def of(name: str) -> Figure:
        return figure(truths, [Reached([getattr(truth, name)]) for truth in truths])

    unit = f" [{recipe.task.unit}]" if by_value and recipe.task.unit else ""
    agreeing = ", with the teacher's answers" if bases[0].prepared.agreeing else ""
    return Studied(
        recipe=recipe.name,
        measure=("mean error" if by_value else "balanced accuracy") + unit + agreeing,
        by_value=by_value,
        seeds=seeds,
        people=len(np.unique(truths[0].people)),
        windows=len(truths[0].known),
        bridge=of("bridge"),
        teacher=None if truths[0].teacher is None else of("teacher"),
        constant=of("constant"),
    )


def truth_of(learnt: Learnt) -> Truth:
    """Give what a seed's answers are held to."""
    prepared, by_value = learnt.prepared, learnt.recipe.task.rule == "value"
    rows = prepared.of("test")
    taught = answered(learnt, learnt.seen.teacher("test")) if prepared.taught else None
    known = prepared.values[rows] if by_value else prepared.labels[rows]
    if prepared.agreeing:
        assert taught is not None
        known, taught = taught, None
    return Truth(
        known=known,
        people=prepared.windows.person[rows],
        teacher=taught,
        bridge=bridge_of(learnt).answers[0],
        constant=labels(constant(learnt, len(rows))),
        by_value=by_value,
    )


def bridge_of(learnt: Learnt) -> Reached:
    """Give what a bridge answers, calibrated."""
    given = learnt.calibration.apply(learnt.answers(learnt.bridge, "test"))
    return Reached(
        [answered(learnt, given)],
        trained_parameters(learnt.bridge),
        [[learnt.source_cut, learnt.target_cut]],
    )


def answered(learnt: Learnt, given: Tensor) -> npt.NDArray[Any]:
    """Turn logits into labels, or give values."""
    return labels(as_answers(learnt, given))


def _all(
    found: Studied,
    bases: Sequence[Learnt],
    names: Sequence[str],
    store: Store,
    steps: Steps,
    folder: Path,
) -> None:
    """Go through all axes; what is found is on disk after every point."""
    truths = [truth_of(one) for one in bases]
    planned = study_axes.axes([name for name in names if name in study_axes.LAID], bases[0])
    total, done, began = sum(len(axis.points) for axis in planned), 0, time.monotonic()
    for axis in planned:
        laid = Laid(axis.name, axis.title, axis.unit, why_not=axis.why_not)
        found.axes.append(laid)
        for point, place in _places(axis):
            laid.places.append(place)
            left = ""
            if done:
                minutes = (time.monotonic() - began) / done * (total - done) / 60
                left = f", about {minutes:.0f} min left" if minutes >= 1 else ""
            steps.console.print(
                f"[bold]{axis.name}[/] {place.label} ({done + 1} of {total}{left})",
                highlight=False,
            )
            try:
                reached = [_reach(point, base, store) for base in bases]
            except StorageError:
                raise
            except BioxedgeError as error:
                place.why_not = " ".join(str(error).split())
                steps.console.print(f"    left out: {error}", highlight=False, soft_wrap=True)
            else:
                _take(place, truths, reached)
            done += 1
            _write(found, folder)
        laid.lines.extend(said(found, laid))
    for name, others in (("threads", study_threads.laid), ("rows", study_rows.laid)):
        if name in names:
            steps.console.print(f"[bold]{name}[/]", highlight=False)
            found.axes.append(others(bases, truths, store))
            _write(found, folder)


def _places(axis: Axis) -> Iterator[tuple[study_axes.Point, Place]]:
    """Give an axis's points with places for what they come to."""
    for point in axis.points:
        yield point, Place(point.at, point.label)


def _reach(point: study_axes.Point, base: Learnt, store: Store) -> Reached:
    """Learn one point with one seed."""
    store.took.pop("bridge", None)
    learnt = point.learn(base, store)
    took = store.took.get("bridge")
    each = [bridge_of(one) for one in learnt]
    first = learnt[0]
    teacher = None
    if first.seen.head is not base.seen.head and base.prepared.taught:
        teacher = answered(first, first.seen.teacher("test"))
    return Reached(
        [one.answers[0] for one in each],
        each[0].parameters,
        [one.cuts[0] for one in each],
        None if took is None else took.seconds,
        None if took is None else took.memory,
        teacher,
    )


def _take(place: Place, truths: Sequence[Truth], reached: Sequence[Reached]) -> None:
    """Put down what a point came to."""
    place.figure = figure(truths, reached)
    place.parameters = reached[0].parameters
    place.cuts = [cuts for one in reached for cuts in one.cuts]
    seconds = [one.seconds for one in reached if one.seconds is not None]
    memory = [one.memory for one in reached if one.memory is not None]
    place.seconds = float(np.mean(seconds)) if seconds else None
    place.memory = max(memory) if memory else None


def _write(found: Studied, folder: Path) -> None:
    """Write what is known so far, in one step."""
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "study.json", json.dumps(found.to_dict(), indent=2).encode() + b"\n")
