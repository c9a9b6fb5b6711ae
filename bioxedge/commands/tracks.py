"""What is written behind ``record --source``: a role, a source, and what is wanted of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bioxedge.commands.sources import Asked
from bioxedge.errors import SourceError
from bioxedge.spelled import Spelled

if TYPE_CHECKING:
    from bioxedge.runtime import Source
    from bioxedge.runtime.recorder import Track

_ROLE = re.compile(r"([a-z][a-z0-9_-]{0,63})=(?=[a-z]+:)")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_FIRST = ("source", "target")  # what build reads as a pair
_OURS = ("channels", "name", "unit", "modality")
# Kinds of channels whose name is the modality's.
_SIGNALS = ("ppg", "ecg", "eeg", "emg", "eog", "eda", "accel", "gyro")


@dataclass(frozen=True)
class Wish:
    """One ``--source`` of a recording.

    Attributes
    ----------
    asked : Asked
    role : str
        Empty where none is given.
    channels : tuple of str or None
    units : tuple of str
        One for all channels, or one each; empty where nothing is said.
    modality : str
    """

    asked: Asked
    role: str
    channels: tuple[str, ...] | None
    units: tuple[str, ...]
    modality: str

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Take ``[ROLE=]KIND:WHAT[,KEY=VALUE]…`` apart.

        Raises
        ------
        SourceError
            No such kind, a role or name that is no folder's, an option that means nothing.
        """
        found = _ROLE.match(text)
        role, rest = (found[1], text[found.end() :]) if found else ("", text)
        spelled = Spelled.parse(rest, "source")
        ours = {key: value for key, value in spelled.options.items() if key in _OURS}
        others = [f"{key}={value}" for key, value in spelled.options.items() if key not in ours]
        name = ours.get("name", "")
        if role and name:
            raise SourceError(f"{text!r} has a role and a name: leave one of {role}, {name} out")
        if name and not _NAME.match(name):
            raise SourceError(
                f"a stream is named by small letters, digits, - and _, not {name!r}: it is a folder"
            )
        head = f"{spelled.kind}:{spelled.what}" if ":" in rest else spelled.kind
        more = ("" if head.endswith(":") else ",") + ",".join(others) if others else ""
        channels = ours.get("channels")
        unit = ours.get("unit")
        return cls(
            Asked.parse(head + more),
            role or name,
            tuple(channels.split("+")) if channels else None,
            tuple(unit.split("+")) if unit else (),
            ours.get("modality", ""),
        )

    def make(self) -> Source:
        """Make the source: with its channels, or with all signals that it has.

        Raises
        ------
        SourceError, SignalError, MissingExtraError
            See :meth:`Asked.make`; or units that are not as many as the channels.
        """
        from bioxedge.runtime.sources.wanted import Wanted

        source = self.asked.make(Wanted(self.channels, modality=self.modality))
        if self.units:
            each = len(source.channels)
            units = self.units * each if len(self.units) == 1 else self.units
            if len(units) != each:
                raise SourceError(
                    f"{source.name} has {each} channels and unit= names {len(units)}: name one, or "
                    "one for each, as uV+uV"
                )
            source.units = units
        return source


def tracks(texts: Sequence[str]) -> list[Track]:
    """Make every source of a recording, with the role of its stream.

    The first without a role is the ``source``, the second the ``target``, the others are called
    by what they are.

    Raises
    ------
    SourceError
        See :meth:`Wish.parse` and :meth:`Wish.make`; or a role that is given twice.
    """
    from bioxedge.runtime.recorder import Track

    wishes = [Wish.parse(text) for text in texts]
    given = [wish.role for wish in wishes if wish.role]
    twice = sorted({role for role in given if given.count(role) > 1})
    if twice:
        raise SourceError(f"two sources are called {twice[0]}: give each another role")
    free = [role for role in _FIRST if role not in given]
    made = []
    for wish in wishes:
        source = wish.make()
        role = wish.role or (free.pop(0) if free else _free(source, given))
        given.append(role)
        made.append(Track(role, source, wish.modality or guess_modality(source)))
    return made


def guess_modality(source: Source) -> str:
    """Tell from channel names what they are of; empty where they are of several kinds, or none.

    Electrodes have names of their own on BrainFlow's boards (``TP9``) where they are an EEG's.
    """
    maker, _, simulated = (source.sensor or "").partition("/")
    if maker == "simulated" and simulated:
        return simulated
    kinds = {name.rpartition("_")[0].lower() for name in source.channels}
    if kinds == {""}:
        return "eeg" if source.sensor is not None else ""
    return kinds.pop() if len(kinds) == 1 and kinds <= set(_SIGNALS) else ""


def _free(source: Source, taken: Sequence[str]) -> str:
    """Call a stream by its sensor, or by what its source is called."""
    name = re.sub(r"[^a-z0-9]+", "-", (source.sensor or source.name).lower()).strip("-")[:48]
    name = name if name[:1].isalpha() else f"stream-{name}".rstrip("-")
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free
