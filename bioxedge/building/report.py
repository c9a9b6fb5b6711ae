"""What a build found, as files: figures as JSON, names of people, and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Group
from torch import Tensor

from bioxedge.bridging.evaluate import Score
from bioxedge.bridging.split import numbers
from bioxedge.building import pictures, positions_report, tables
from bioxedge.building.evaluation import BRIDGE, Evaluation
from bioxedge.building.learnt import Learnt
from bioxedge.building.pictures import Worn
from bioxedge.building.positions_report import survey_of
from bioxedge.datasets.picking import worn_of

Floats = npt.NDArray[np.float64]

FORMAT = 2


def table(learnt: Learnt, found: Evaluation) -> Group:
    """Lay the scores out for a terminal, and what the methods took where that is known."""
    recipe = learnt.recipe
    what = "agreement with the teacher" if learnt.prepared.agreeing else "scores"
    reached = tables.scores(found.scores, f"{recipe.name}: {what}", unit=recipe.task.unit)
    took = tables.costs(found.scores)
    return Group(reached) if took is None else Group(reached, took)


def write(learnt: Learnt, found: Evaluation, folder: Path) -> list[Path]:
    """Write ``report.json``, ``people.json`` and the pictures; give the pictures' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    positions, recipe, prepared = learnt.positions, learnt.recipe, learnt.prepared
    facts = {
        "format": FORMAT,
        "name": recipe.name,
        "seed": recipe.seed,
        "data": recipe.where,
        "split_mark": recipe.split.mark,
        "source_cut": learnt.source_cut,
        "target_cut": learnt.target_cut,
        "people": vars(prepared.people),
        "agreement": prepared.agreeing,
        "bounds": None if prepared.bounds is None else prepared.bounds.tolist(),
        "scores": [one.to_dict() for one in found.scores],
        "differences": [one.to_dict() for one in found.ahead],
        "verdicts": found.verdicts,
        "source_scores": positions and list(positions.source_scores),
        "source_scores_standardised": positions and list(positions.standardised_scores),
        "target_scores": positions and list(positions.target_scores),
        "positions_remark": positions.remark if positions else "",
        "course": vars(learnt.course),
        "compute": learnt.compute,
        "calibration": vars(learnt.calibration),
    }
    _json(folder / "report.json", facts)
    # The bundle and what is exported from it know people by these numbers.
    sessions = prepared.windows.sessions
    _json(folder / "people.json", numbers([one.person for one in sessions]))
    made = [folder / "confusion.png", folder / "training.png"]
    by_class = [one for one in found.scores if isinstance(one, Score)]
    if by_class:
        pictures.confusions(by_class, recipe.task.labels, made[0])
    else:
        made[0] = folder / "values.png"
        bridge = next(one for one in found.scores if one.method == BRIDGE)
        assert not isinstance(bridge, Score)
        pictures.scatter(bridge, found.truth, found.answers[BRIDGE], recipe.task.unit, made[0])
    pictures.training(learnt.course, recipe.bridge.loss, made[1])
    made.append(folder / "worn.png")
    pictures.wearing(worn(learnt, found), made[-1])
    if positions is not None:
        taken = replace(positions, source_cut=learnt.source_cut, target_cut=learnt.target_cut)
        made.append(positions_report.write(survey_of(learnt.seen, taken), folder)[1])
    return made


def worn(learnt: Learnt, found: Evaluation) -> Worn:
    """Take the test session that shows most, as it would have been answered live."""
    recipe, prepared = learnt.recipe, learnt.prepared
    windows, rows = prepared.windows, prepared.of("test")
    session = windows.session[rows]
    kinds = [
        (len(np.unique(found.truth[session == one])), np.count_nonzero(session == one), -one)
        for one in np.unique(session)
    ]
    chosen = -max(kinds)[2]
    one = windows.sessions[chosen]
    assert one.source is not None
    sensor = recipe.source.sensor
    signal = worn_of(one.source.read(), sensor, one.data.source)
    # Every window of it, known or not: live, all of them are answered.
    there = (windows.source_row >= 0) & prepared.settled["source"]
    own = np.flatnonzero((windows.session == chosen) & there)
    ends = windows.start[own] + windows.seconds[own] - signal.t0
    by_value = recipe.task.rule == "value"
    truth = prepared.values[own] if by_value else prepared.labels[own].astype(np.float64)
    taught = learnt.taught(own)
    return Worn(
        title=f"{one.person}, never seen in training: {sensor.modality.upper()} alone",
        signal=signal.samples[0],
        rate=signal.rate,
        unit=f"{sensor.channels[0]} [{sensor.units[0]}]",
        minutes=ends / 60,
        answers=_shown(learnt.calibration.apply(learnt.bridged(own)), by_value),
        teacher=None if taught is None else _shown(taught, by_value),
        truth=truth,
        labels=recipe.task.labels,
        said=f"{recipe.task.said} [{recipe.task.unit}]" if recipe.task.unit else recipe.task.said,
    )


def _shown(answers: Tensor, by_value: bool) -> Floats:
    """Give the last label's probability, or the value."""
    return (answers if by_value else answers.softmax(1))[:, -1].double().numpy()


def _json(path: Path, facts: object) -> None:
    """Write figures so that people can read them, too."""
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
