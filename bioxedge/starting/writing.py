"""A recipe as text: the choices, with a comment beside each that its author may want to change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bioxedge.starting.athand import AtHand
from bioxedge.starting.suiting import Chosen
from bioxedge.starting.tasks import Known

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def text_of(
    name: str, folder: str, at_hand: AtHand, task: Known, source: Chosen, target: Chosen
) -> str:
    """Write a recipe.

    Parameters
    ----------
    name : str
        Of the bundle.
    folder : str
        Of the sessions, below what ``--data`` names.
    at_hand : AtHand
    task : Known
    source, target : Chosen
    """
    one, other = source.choice.found, target.choice.found
    both = len(one.sessions & other.sessions)
    lines = [
        f"# {_said(task)}: known of {_plain(other.name)}, told from {_plain(one.name)}.",
        f"# Written from {at_hand.sessions} sessions of {len(at_hand.people)} people, {both} of "
        "them with both sensors.",
        "# Each choice can be changed; docs/recipes.md says what else there is.",
        f"name = {value(name)}",
        "seed = 0",
        "",
        "[data]",
        f"folder = {value(folder)}",
        _beside('licence = "not stated"', "your terms; non_commercial = true if they say so"),
        "",
        *_task(task),
        "",
        *_split(at_hand, task),
        "",
        *_side("source", source, "the sensor that is worn"),
        "",
        *_side("target", target, "the sensor whose model is taught the task"),
        "",
        "[bridge]",
        _beside('source_cut = "auto"', "bioxedge positions shows every place, score and cost"),
        _beside(
            'target_cut = "auto"', '"head" leaves the target\'s blocks away: smaller; try both'
        ),
        "rank = 8",
        "prototypes = 16",
        "epochs = 20",
    ]
    return "\n".join(lines) + "\n"


def value(given: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, str):
        return json.dumps(given, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(given, Mapping):
        inside = ", ".join(f"{_key(key)} = {value(one)}" for key, one in given.items())
        return f"{{ {inside} }}"
    if isinstance(given, Sequence):
        return f"[{', '.join(value(one) for one in given)}]"
    return repr(given)


def _beside(text: str, comment: str) -> str:
    """Put a comment beside a line."""
    return f"{text:<20} # {comment}" if comment else text


def _key(name: str) -> str:
    """Write a key."""
    return name if _BARE.fullmatch(name) else value(name)


def _plain(text: str) -> str:
    """Write a text that stands in a comment."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _names(names: Sequence[str]) -> str:
    """Write one name, or a list of several."""
    return value(names[0] if len(names) == 1 else list(names))


def _said(task: Known) -> str:
    """Say what is told."""
    return _plain(", ".join(task.columns if task.rule != "classes" else task.labels))


def _task(task: Known) -> list[str]:
    """Write what is to be told."""
    lines, labels = ["[task]", f"rule = {value(task.rule)}"], f"labels = {value(list(task.labels))}"
    if task.marks:
        lines += [
            labels,
            "",
            _beside("[task.marks]", f"which texts stand for which label; {task.why}"),
            *(f"{_key(label)} = [{value(label)}]" for label in task.labels),
        ]
        return lines
    lines.append(f"channel = {_names(task.columns)}")
    if task.rule == "value":
        lines.append(_beside(f"unit = {value(task.unit)}", f"it holds {task.why}"))
    elif task.rule == "bands":
        lines.append(_beside(labels, f"of what it holds, {task.why}, as many windows each"))
        lines.append('# rule = "value" with unit = "…" tells the number itself')
    else:
        lines.append(_beside(labels, task.why))
    if task.rule != "classes":
        lines.append(_beside("# rate = true", "if it is a rate, such as beats a minute"))
    return lines


def _split(at_hand: AtHand, task: Known) -> list[str]:
    """Write who is in which part."""
    labelled = len(task.people)
    without = len(at_hand.people) - labelled
    folds = max(2, min(5, labelled // 2))
    said = "by person: who is tested has taught nothing"
    if without:
        said = f"{labelled} with labels teach and are tested, {without} without are the pairs"
    lines = [
        _beside("[split]", said),
        _beside(f"folds = {folds}", "one of them is tested: another with fold = 1"),
    ]
    if not without:
        lines.append(_beside("head_share = 0.5", "these teach, the others are the pairs"))
    return lines


def _side(role: str, side: Chosen, what: str) -> list[str]:
    """Write one side."""
    found = side.choice.found
    lines = [
        _beside(f"[{role}]", what),
        _beside(f"length = {side.length}", f"{side.seconds:g} s of what the stages give"),
    ]
    if role == "source":
        lines.append(_beside(f"hop = {side.hop}", f"an answer every {_every(side):g} s"))
    lines.append(_beside(f"max_gap = {side.max_gap}", "samples of a gap that may be held over"))
    lines += _stages(side)
    lines += [
        "",
        f"[{role}.sensor]",
        f"modality = {value(found.modality or 'any')}",
        *([] if side.choice.alone else [f"stream = {value(found.stream)}"]),
        _beside(f"column = {_names(side.columns)}", f"in your recordings{_others(side)}"),
        _beside(f"channel = {_names(side.channels)}", "on the live sensor"),
        f"unit = {_units(side)}",
        _beside(f"rate = {value(float(side.rate))}", "Hz, live; recordings are resampled to it"),
    ]
    if role == "source":
        lines.append(_beside('# board = "muse_2"', "the live board: a device refuses any other"))
    lines += ["", _beside(f"[{role}.model]", _plain(_model(side)))]
    lines += [f"{key} = {value(one)}" for key, one in side.model.items()]
    if side.open:
        lines.append(
            "# its published weights; until they are named it is trained here from nothing"
        )
        lines += [f"# {key} = {value(one)}" for key, one in side.open.items()]
    return lines


def _every(side: Chosen) -> float:
    """Give the seconds between answers."""
    return side.hop / side.length * side.seconds


def _stages(side: Chosen) -> list[str]:
    """Write what is computed from the signal."""
    lines = []
    if side.stages == "model":
        lines.append(_beside('stages = "model"', "as the model was fed, but causally"))
    elif side.stages:
        lines.append("stages = [")
        lines += [f"  {value(stage)}," for stage in side.stages]
        lines.append("]")
    if side.then == "model":
        lines.append('then = "model"')
    elif side.then:
        lines.append(_beside(f"then = {value(side.then)}", "each window: mean 0, deviation 1"))
    return lines


def _others(side: Chosen) -> str:
    """Name the channels that were not chosen."""
    others = [name for name in side.choice.found.channels if name not in side.columns]
    if not others:
        return ""
    said = ", ".join(others[:6]) + (" …" if len(others) > 6 else "")
    return f"; also there: {_plain(said)}"


def _units(side: Chosen) -> str:
    """Write one unit for all channels, or one for each."""
    return value(side.units[0]) if len(set(side.units)) == 1 else value(list(side.units))


def _model(side: Chosen) -> str:
    """Say which model it is."""
    if side.open or "checkpoint" in side.model:
        return f"{side.card.title}, {side.card.licence}"
    return "small, pretrained on your own unlabelled windows; bioxedge models lists others"
