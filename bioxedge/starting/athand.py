"""What a folder of sessions holds: its sensors, its labels, its marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bioxedge.datasets import folder
from bioxedge.datasets.session import KNOWN, Part, Session
from bioxedge.errors import DatasetError
from bioxedge.signals import Channel

MOST = 1000
"""Different values of a label column that are told apart."""


@dataclass
class Found:
    """One sensor of a data set: recordings of one name and one modality.

    Attributes
    ----------
    stream, modality : str
    channels : dict of str to int
        In how many sessions each is, in the order of the first recording.
    units, rates : Counter
        Of its recordings; units by channel and unit.
    sessions : set of str
    people : set of str
    """

    stream: str
    modality: str
    channels: dict[str, int] = field(default_factory=dict)
    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    rates: Counter[float] = field(default_factory=Counter)
    sessions: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)

    @property
    def rate(self) -> float:
        """The rate that most recordings have, in Hz; the greater of two."""
        return max(self.rates, key=lambda rate: (self.rates[rate], rate))

    @property
    def name(self) -> str:
        """What people call it."""
        if not self.modality or self.stream.lower() == self.modality.lower():
            return self.stream
        return f"{self.stream} ({self.modality})"

    def unit(self, channel: str) -> str:
        """Give the unit that most recordings state for a channel."""
        stated = {unit: count for (name, unit), count in self.units.items() if name == channel}
        return max(stated, key=lambda unit: stated[unit])


@dataclass
class Column:
    """One column of labels.

    Attributes
    ----------
    texts : dict of str to None
        What its class numbers stand for, where it names them, in order.
    values : set of float
        Different values; no more than `MOST`.
    unit : str
    people : set of str
    """

    texts: dict[str, None] = field(default_factory=dict)
    values: set[float] = field(default_factory=set)
    unit: str = ""
    people: set[str] = field(default_factory=set)


@dataclass
class AtHand:
    """What a folder of sessions holds.

    Attributes
    ----------
    sensors : list of Found
    columns : dict of str to Column
    marks : dict of str to set of str
        Whose sessions hold each text.
    people : set of str
    sessions : int
    """

    sensors: list[Found]
    columns: dict[str, Column]
    marks: dict[str, set[str]]
    people: set[str]
    sessions: int


def look(place: Path) -> AtHand:
    """Look into all sessions of a folder; of sensors no sample is read.

    Raises
    ------
    DatasetError
        No such folder, or no sessions in it.
    RecordingError
        A recording that does not say what it is, or labels that cannot be read.
    """
    if not place.is_dir():
        raise DatasetError(f"{place} is not there: name the folder that holds the sessions")
    sensors: dict[tuple[str, str], Found] = {}
    columns: dict[str, Column] = {}
    marks: dict[str, set[str]] = {}
    found = folder.sessions(place)
    for session in found:
        for part in session.parts:
            if part.name in KNOWN or part.modality == "reference":
                _see_labels(part, session, columns)
            else:
                one = sensors.setdefault(
                    (part.name, part.modality), Found(part.name, part.modality)
                )
                _see_sensor(part, session, one)
        for text in _texts(session):
            marks.setdefault(text, set()).add(session.person)
    return AtHand(
        list(sensors.values()), columns, marks, {each.person for each in found}, len(found)
    )


def _see_sensor(part: Part, session: Session, one: Found) -> None:
    """Add one recording to what is known of its sensor."""
    for channel in part.channels:
        one.channels[channel.name] = one.channels.get(channel.name, 0) + 1
        one.units[channel.name, channel.unit] += 1
    one.rates[part.rate] += 1
    one.sessions.add(session.name)
    one.people.add(session.person)


def _see_labels(part: Part, session: Session, columns: dict[str, Column]) -> None:
    """Add one recording of labels to what is known of its columns."""
    recording = part.read()
    named = recording.facts.get("labels", ())
    for row, channel in enumerate(recording.channels):
        known = recording.samples[row][np.isfinite(recording.samples[row])]
        if not len(known):
            continue
        one = columns.setdefault(channel.name, Column(unit=_unit(channel)))
        texts = named.get(channel.name, ()) if isinstance(named, dict) else named
        values = np.unique(known)
        if isinstance(texts, list | tuple):  # those that occur: nothing learns a class without
            one.texts.update({str(texts[int(at)]): None for at in values if 0 <= at < len(texts)})
        one.values.update(values[: MOST - len(one.values)].tolist())
        one.people.add(session.person)


def _unit(channel: Channel) -> str:
    """Give a column's unit; empty where it has none."""
    return "" if channel.unit in ("", "1", "a.u.") else channel.unit


def _texts(session: Session) -> Iterable[str]:
    """Give the different texts of a session's marks, in the order of time."""
    return dict.fromkeys(mark.text for mark in session.marks() if mark.text.strip())
