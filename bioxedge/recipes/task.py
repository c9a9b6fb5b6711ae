"""What is to be told from the signal."""

from __future__ import annotations

from typing import Literal

import msgspec

from bioxedge.manifest import Decision, TaskName
from bioxedge.recipes.fields import Names, Share, names_of
from bioxedge.spec import Struct, Text


class Task(Struct, frozen=True):
    """What is told apart, or what value is told.

    ``bands`` cuts a continuous reference channel at the quantiles of the labelled people's
    windows; ``classes`` takes class numbers; ``value`` is the reference itself, in its ``unit``.
    Several channels are a column for each label: the one that is greatest, and not 0, holds.
    ``marks`` says which texts (annotations, markers, keys that were pressed) stand for which
    label, in place of a channel. A window counts where at least ``coverage`` of its seconds are
    known (and, for classes, agree). ``rate`` says that the channel is a rate (beats or breaths a
    minute): a window played faster has a higher one, and the teacher trains on such windows too.
    """

    rule: Literal["bands", "classes", "value"]
    channel: str | Names = ""
    labels: tuple[Text, ...] = ()
    marks: dict[str, Text | Names] = msgspec.field(default_factory=dict)
    unit: str = ""
    coverage: Share = 0.8
    rate: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """The reference's columns; none where marks tell."""
        return names_of(self.channel)

    @property
    def texts(self) -> dict[str, str]:
        """Label of each text that marks hold."""
        return {text: label for label, given in self.marks.items() for text in names_of(given)}

    @property
    def answers(self) -> int:
        """How many numbers the head gives."""
        return 1 if self.rule == "value" else len(self.labels)

    @property
    def said(self) -> str:
        """What it is read from, in words."""
        return ", ".join(self.channels) or "marks"


class Other(Task, frozen=True, kw_only=True):
    """A further task on the same teacher, through the same bridge: a head of its own.

    ``name`` is what its answers are called live and where its report lies; ``decision`` is how
    the device chooses its label.
    """

    name: TaskName
    decision: Decision = Decision()

    @property
    def alone(self) -> Task:
        """The same without name and decision."""
        return Task(**{key: getattr(self, key) for key in Task.__struct_fields__})
