"""What there is to tell: a column of labels, several, or marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioxedge import units
from bioxedge.errors import DatasetError
from bioxedge.starting.athand import AtHand, Column

MARKS = "marks"
_CLASSES = 10  # whole numbers from 0 on: more of them are a measured value
_TEXTS = 8


@dataclass(frozen=True)
class Known:
    """A task as a recipe says it.

    Attributes
    ----------
    rule : str
    columns : tuple of str
        Empty where marks tell.
    labels : tuple of str
    marks : bool
    unit : str
        Of a value.
    why : str
        For people.
    people : set of str
        Of whom something is known.
    """

    rule: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    marks: bool
    unit: str
    why: str
    people: frozenset[str]


def choose_task(at_hand: AtHand, task: str, labels: Sequence[str], rule: str) -> Known:
    """Say what is to be told.

    Parameters
    ----------
    at_hand : AtHand
    task : str
        A column, several after commas (one for each label), or ``marks``; empty where there is
        one choice.
    labels : sequence of str
        Those of its labels that are meant; all if empty.
    rule : str
        ``classes``, ``bands`` or ``value``; empty where the column says it.

    Raises
    ------
    DatasetError
        More than one choice, or none; it names them.
    """
    able = [name for name, column in at_hand.columns.items() if len(column.values) > 1]
    choices = [*able, *([MARKS] if len(at_hand.marks) > 1 else [])]
    if not task:
        if not choices:
            raise DatasetError(
                "nothing is known of these sessions that differs: import them with --labels TABLE "
                "or --label GLOB=TEXT; where a head is ready, copy a recipe (bioxedge new --from) "
                "and name it in [[teacher]] (docs/recipes.md#roles)"
            )
        if len(choices) > 1:
            said = [f"{one} ({_values(at_hand, one)})" for one in choices]
            raise DatasetError(f"what is to be told? choose --task {' or '.join(said)}")
        task = choices[0]
    if task in at_hand.columns:
        return _of_column(task, at_hand.columns[task], labels, rule)
    if task == MARKS:
        return _of_marks(at_hand, labels, rule)
    names = tuple(name.strip() for name in task.split(",") if name.strip())
    lacking = [name for name in names if name not in at_hand.columns]
    if lacking or len(names) < 2:
        there = ", ".join([*at_hand.columns, *([MARKS] if at_hand.marks else [])]) or "nothing"
        raise DatasetError(
            f"no column of labels is called {', '.join(lacking) or task} (--task): there is {there}"
        )
    if rule not in ("", "classes"):
        raise DatasetError(f"{len(names)} columns are classes, one column each: leave --rule out")
    if labels and len(labels) != len(names):
        raise DatasetError(f"{len(names)} columns are {len(names)} labels, in the same order")
    people = frozenset[str]().union(*(at_hand.columns[name].people for name in names))
    return Known("classes", names, tuple(labels) or names, False, "", "the greatest holds", people)


def _of_marks(at_hand: AtHand, labels: Sequence[str], rule: str) -> Known:
    """Make classes of what marks say."""
    if rule not in ("", "classes"):
        raise DatasetError('marks tell classes: leave --rule out, or write "classes"')
    texts = tuple(labels) or tuple(at_hand.marks)
    unknown = [text for text in texts if text not in at_hand.marks]
    if unknown or len(texts) < 2 or (not labels and len(texts) > _TEXTS):
        wrong = (
            f"no mark says {', '.join(unknown)}" if unknown else f"{len(texts)} texts are marked"
        )
        raise DatasetError(
            f"{wrong}: choose two or more with --labels A,B of {_values(at_hand, MARKS)}"
        )
    people = frozenset[str]().union(*(at_hand.marks[text] for text in texts))
    return Known("classes", (), texts, True, "", "a mark holds until the next", people)


def _of_column(name: str, column: Column, labels: Sequence[str], rule: str) -> Known:
    """Make a task of one column."""
    people = frozenset(column.people)
    values = sorted(column.values)
    whole = all(value == int(value) and value >= 0 for value in values)
    few = whole and values[-1] < _CLASSES and not column.unit
    if not rule:
        rule = "classes" if column.texts or few else "value" if _real(column.unit) else "bands"
    if rule == "value":
        if labels:
            raise DatasetError(f"{name} is a value, without labels: leave --labels out")
        why = f"{values[0]:g} to {values[-1]:g}"
        return Known(rule, (name,), (), False, column.unit or "a.u.", why, people)
    if rule == "bands":
        named = tuple(labels) or ("low", "middle", "high")
        return Known(rule, (name,), named, False, "", f"{values[0]:g} to {values[-1]:g}", people)
    if column.texts:
        unknown = [label for label in labels if label not in column.texts]
        if unknown:
            raise DatasetError(
                f"{name} has no label {', '.join(unknown)} (--labels): it has "
                f"{', '.join(column.texts)}"
            )
        return Known(rule, (name,), tuple(labels) or tuple(column.texts), False, "", "", people)
    if not whole or values != [float(number) for number in range(len(values))]:
        raise DatasetError(
            f"{name} holds {_some(values)}: classes are numbered 0, 1, 2 …; import it again with "
            "texts in the place of numbers, or write --rule bands or value"
        )
    if labels and len(labels) != len(values):
        raise DatasetError(f"{name} holds {len(values)} classes, --labels names {len(labels)}")
    said = tuple(labels) or tuple(f"{value:g}" for value in values)
    return Known(rule, (name,), said, False, "", "in the order of their numbers", people)


def _real(unit: str) -> bool:
    """Whether a value can be said in a unit."""
    return bool(unit) and units.known(unit) and not units.arbitrary(unit)


def _values(at_hand: AtHand, task: str) -> str:
    """Say what a choice holds."""
    if task == MARKS:
        texts = list(at_hand.marks)
        return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")
    column = at_hand.columns[task]
    return ", ".join(column.texts) or _some(sorted(column.values))


def _some(values: Sequence[float]) -> str:
    """Write a few of many values."""
    if len(values) > 4:
        return f"{values[0]:g} to {values[-1]:g}"
    return ", ".join(f"{value:g}" for value in values)
