"""What is known of a window: columns for each label, class numbers by their names, marks."""

from __future__ import annotations

import numpy as np
import pytest

from bioxedge.datasets.known import of_marks, of_reference
from bioxedge.errors import DatasetError
from bioxedge.marks import Mark
from bioxedge.recipes import Task
from bioxedge.signals import Channel, Recording

NAN = float("nan")


def reference(tracks: dict[str, list[float]], **facts: object) -> Recording:
    samples = np.array(list(tracks.values()), float)
    channels = tuple(Channel(name, "1") for name in tracks)
    return Recording(samples, 1.0, channels, "reference", "anna", 100.0, facts)


def read(task: Task, given: Recording, *starts: float, seconds: float = 2.0) -> list[float]:
    found = of_reference(given, task.channels, task, np.array(starts), seconds)
    return found.tolist()


def test_of_several_columns_the_greatest_that_is_not_zero_holds() -> None:
    task = Task(rule="classes", channel=("rest", "walk"), labels=("rest", "walk"))
    given = reference({"rest": [1, 1, 0, 0, 0, 0, NAN, 1], "walk": [0, 0, 1, 1, 0, 0, 0, 0]})
    found = read(task, given, 100.0, 102.0, 104.0, 106.0)
    assert found[:2] == [0.0, 1.0] and np.isnan(found[2:]).all()


def test_class_numbers_go_by_the_names_that_a_table_had() -> None:
    task = Task(rule="classes", channel="stage", labels=("awake", "asleep"))
    given = reference({"stage": [2, 2, 0, 0, 1, 1]}, labels={"stage": ["asleep", "art", "awake"]})
    found = read(task, given, 100.0, 102.0, 104.0)
    assert found[:2] == [0.0, 1.0] and np.isnan(found[2])  # artefacts are no label of the recipe's
    # A label that somebody did not show is none of theirs.
    more = Task(rule="classes", channel="stage", labels=("rem", "awake", "asleep"))
    assert read(more, given, 100.0, 102.0) == [1.0, 2.0]


@pytest.mark.parametrize("labels", [("Awake", "Asleep"), ("awake", "Asleep "), ("wake", "sleep")])
def test_names_that_are_spelled_in_another_way_never_become_numbers(
    labels: tuple[str, str],
) -> None:
    """Each table numbers its own texts, so that one person's first label is another's second."""
    given = reference({"stage": [1, 1, 0, 0]}, labels={"stage": ["asleep", "awake"]})
    with pytest.raises(DatasetError, match="reference names asleep, awake, the recipe"):
        read(Task(rule="classes", channel="stage", labels=labels), given, 100.0)


def test_without_such_names_numbers_count() -> None:
    task = Task(rule="classes", channel="label", labels=("rest", "task"))
    assert read(task, reference({"label": [0, 0, 1, 1]}), 100.0, 102.0) == [0.0, 1.0]


def test_a_value_is_the_mean_of_what_is_known() -> None:
    task = Task(rule="value", channel="HR", unit="bpm", coverage=0.5)
    found = read(task, reference({"HR": [60, NAN, NAN, NAN, 80, 90]}), 100.0, 102.0, 104.0)
    assert found[0] == 60.0 and np.isnan(found[1]) and found[2] == 85.0


MARKED = Task(rule="classes", labels=("rest", "walk"), marks={"rest": "sit", "walk": ("go", "run")})


@pytest.mark.parametrize(
    ("marks", "wanted"),
    [
        # One that does not say how long it holds, holds until the next that stands for a label.
        ([Mark(0.0, "sit"), Mark(5.0, "sneeze"), Mark(20.0, "go")], [0, 0, 1, 1]),
        ([Mark(0.0, "sit", 10.0), Mark(20.0, "run", 10.0)], [0, NAN, 1, NAN]),
        ([Mark(0.0, "sit", 8.0)], [0, NAN, NAN, NAN]),  # eight of ten seconds
        ([Mark(0.0, "sit", 7.9)], [NAN] * 4),
        ([Mark(0.0, "sneeze")], [NAN] * 4),
        ([], [NAN] * 4),
    ],
)
def test_marks_say_what_fills_enough_of_a_window(marks: list[Mark], wanted: list[float]) -> None:
    found = of_marks(marks, MARKED, np.array([0.0, 10.0, 20.0, 30.0]), 10.0)
    np.testing.assert_array_equal(found, wanted)
