"""Which recordings play which role: who teaches, who wore both sensors, who is tested."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta

from bioxedge.recipes.fields import Hash, Names, Share, names_of
from bioxedge.spec import Count, Positive, Rate, Struct, Text

ROLES = ("head", "pair", "test")
"""The parts that people are dealt to: labels teach, pairs are bridged, answers are tested."""


class Picked(Struct, frozen=True):
    """What a data set calls one of the recipe's sensors, where that is not what the recipe says.

    ``stream`` is the folder of a session that holds it, ``column`` its channels, ``unit`` what
    they are in, whatever the recordings state.
    """

    stream: str = ""
    column: str | Names = ""
    unit: str | Names = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The channels' names, in order; none where the recipe's stand."""
        return names_of(self.column)

    @property
    def units(self) -> tuple[str, ...]:
        """One for all channels, or one for each; none where the recordings' stand."""
        return names_of(self.unit)


class Data(Struct, frozen=True):
    """Some recordings.

    ``folder`` lies below the directory given with ``--data``; published sets (``wesad``, ``isruc``,
    ``fog``) may lie in that directory itself. ``simulated`` needs none: its ``wearers``,
    ``minutes`` and ``seed`` make the people. ``people`` are those of it that are meant; all if left
    out. ``channel`` is what it calls the task's channel. ``skip`` leaves out so many seconds at the
    beginning of each recording: windows follow the end of the filters' settling, and epochs that
    somebody scored can be met so.
    """

    dataset: Literal["folder", "bidmc", "wesad", "isruc", "fog", "simulated"] = "folder"
    folder: str = ""
    licence: Text = "not stated"
    non_commercial: bool = False
    wearers: Positive = 12
    minutes: Rate = 8.0
    seed: Count = 0
    people: tuple[Text, ...] = ()
    source: Picked = Picked()
    target: Picked = Picked()
    channel: str = ""
    skip: Annotated[float, Meta(ge=0)] = 0.0

    @property
    def name(self) -> str:
        """What people call it."""
        return self.folder or self.dataset

    @property
    def place(self) -> tuple[object, ...]:
        """What tells its recordings from another's."""
        made = (self.wearers, self.minutes, self.seed) if self.dataset == "simulated" else ()
        return (self.dataset, self.folder, self.skip, *made)


class Teacher(Data, frozen=True):
    """Labelled recordings of the target sensor, or the ready head of a model that knows the task.

    ``head`` is a file, relative to the recipe, that holds one linear layer; or ``checkpoint``
    where the file of the target's weights is a classifier with a head of its own. A file wants
    its ``sha256`` and the ``licence`` of the weights.
    """

    head: str = ""
    sha256: Hash = ""

    @property
    def ready(self) -> bool:
        """Whether nothing has to be learnt of it."""
        return bool(self.head)


class Numbers(Struct, frozen=True):
    """How many people each part has. Those for ``validation`` serve for nothing here."""

    head: Count = 0
    validation: Count = 0
    pair: Count = 0
    test: Count = 0

    @property
    def counts(self) -> dict[str, int]:
        """By the name of the part."""
        return {
            "head": self.head,
            "validation": self.validation,
            "pair": self.pair,
            "test": self.test,
        }


class Split(Struct, frozen=True):
    """Who is in which part.

    Those with labels go to head and test, everybody else to pair: ``fold`` of ``folds`` of the
    labelled is tested. With a ``head_share`` the labelled who are not tested are dealt out to head
    and pair; it is a half where nobody is without labels. ``head``, ``pair`` and ``test`` name
    people, as a published split does: who is named in none of them is dealt out among those that
    name nobody.

    ``numbers`` says how many people each part has, as published splits do; who they are is drawn by
    the ``seed``. ``shares`` says it in proportion. Where too few people were recorded, ``block``
    parts recordings into stretches of so many seconds, and each counts as a person of its own.
    ``as_published`` deals out windows at random, whoever they are of: where they overlap, training
    and test share samples. It is for the published figures alone, and the bundle says so.

    Everyone's mean of the task's reference is spread evenly over the parts: that much of every
    labelled person's reference is read, to deal people out and for nothing else.
    """

    folds: Positive = 5
    fold: Count = 0
    seed: Count = 0
    head_share: Share | None = None
    head: tuple[Text, ...] = ()
    pair: tuple[Text, ...] = ()
    test: tuple[Text, ...] = ()
    numbers: Numbers | None = None
    shares: Numbers | None = None
    block: Annotated[float, Meta(ge=0)] = 0.0
    as_published: bool = False

    @property
    def draws(self) -> int:
        """Into how many draws windows are dealt at random, so that the shares come out."""
        counts = list((self.shares or Numbers()).counts.values())
        return max(1, sum(counts) // max(1, math.gcd(*counts)))

    @property
    def mark(self) -> str:
        """What has to be said of people who are none; empty where people are dealt out whole."""
        if self.as_published:
            return "windows dealt out at random, as published: training and test share samples"
        if self.block:
            return f"blocks of {self.block:g} s of the same people in training and test"
        return ""


class Align(Struct, frozen=True):
    """What is done about two sensors whose clocks differ.

    Lag and drift are estimated where both signals carry a pulse, up to ``most`` seconds, or by
    marks that both files hold, and reported. With ``correct`` the target's windows are taken where
    those say. Windows whose
    alignment is unsure are left out, if not ``keep_unsure``.
    """

    estimate: bool = True
    correct: bool = False
    most: Rate = 30.0
    keep_unsure: bool = False
