"""A recipe: all choices behind one bundle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from bioxedge.manifest import Decision
from bioxedge.recipes.data import ROLES, Align, Data, Split, Teacher
from bioxedge.recipes.parts import Bridge, Compute, Head, Side, Variants
from bioxedge.recipes.task import Other, Task
from bioxedge.spec import Count, Struct, Text


class Recipe(Struct, frozen=True):
    """All choices behind one bundle.

    ``teacher``, ``pairs`` and ``test`` are data sets for each role, as many as there are; ``data``
    stands for each role that is not named. ``others`` are further tasks of the same bundle: the
    teacher has a head for each, people are dealt out, cuts chosen and variants proven by ``task``.
    ``decision`` is how the device chooses a label;
    ``quality`` holds bounds that are to stand in place of those of the modality
    (:class:`bioxedge.spec.QualitySpec`); faults that are ``off`` are not looked for in the target's
    windows, either. ``preset = "paper"`` gives what the recipe leaves open of
    ``head`` and ``bridge`` as it was published. ``golden`` is the signal that proves the bundle and
    goes with it: simulated, or recorded from pair people, who must have agreed to that.
    """

    name: Text
    task: Task
    source: Side
    target: Side
    data: Data | None = None
    teacher: tuple[Teacher, ...] = ()
    pairs: tuple[Data, ...] = ()
    test: tuple[Data, ...] = ()
    others: tuple[Other, ...] = ()
    split: Split = Split()
    align: Align = Align()
    head: Head = Head()
    bridge: Bridge = Bridge()
    decision: Decision = Decision()
    quality: dict[str, Any] = msgspec.field(default_factory=dict)
    compute: Compute = Compute()
    variants: Variants = Variants()
    preset: Literal["ours", "paper"] = "ours"
    golden: Literal["simulated", "recorded"] = "simulated"
    seed: Count = 0

    def role(self, name: str) -> tuple[Data, ...]:
        """Give the data sets of a role (``head``, ``pair``, ``test``)."""
        named: tuple[Data, ...] = {"head": self.teacher, "pair": self.pairs, "test": self.test}[
            name
        ]
        if not named and self.data is not None:
            return (self.data,)
        return tuple(each for each in named if not (isinstance(each, Teacher) and each.ready))

    def of(self, other: Other) -> Recipe:
        """Give the recipe that a further task would have by itself, with the same of all else."""
        return msgspec.structs.replace(
            self,
            name=f"{self.name}, {other.name}",
            task=other.alone,
            decision=other.decision,
            others=(),
        )

    @property
    def ready(self) -> Teacher | None:
        """The head that somebody trained; None where it is to be trained here."""
        return next((each for each in self.teacher if each.ready), None)

    @property
    def used(self) -> tuple[Data, ...]:
        """All data sets, each once, in the order of the roles."""
        found: list[Data] = []
        for name in ROLES:
            found += [each for each in self.role(name) if each not in found]
        return tuple(found)

    @property
    def where(self) -> str:
        """Names of all data sets; and what has to be said of a split that is not by person."""
        names = ", ".join(dict.fromkeys(each.name for each in self.used))
        return f"{names} ({self.split.mark})" if self.split.mark else names

    def placed(self) -> Iterator[tuple[str, Data]]:
        """Give every data set with the path at which the recipe names it."""
        if self.data is not None:
            yield "$.data", self.data
        for key in ("teacher", "pairs", "test"):
            for number, each in enumerate(getattr(self, key)):
                yield f"$.{key}[{number}]", each


def section(*parts: Any) -> Any:
    """Render parts of a recipe as plain values, for a step's key."""
    return [msgspec.to_builtins(part) for part in parts]
