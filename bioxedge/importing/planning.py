"""What was found, as sessions: what each holds, and what is known of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bioxedge import units as known_units
from bioxedge.errors import RecordingError
from bioxedge.importing.labels import Table
from bioxedge.importing.naming import grouped, person_of
from bioxedge.importing.picking import chosen
from bioxedge.marks import Mark
from bioxedge.readers import Found, Stream
from bioxedge.readers.names import distinct
from bioxedge.signals import Recording

LABELS = "labels"
"""The folder of a session that holds what tables say of it."""


@dataclass(frozen=True)
class Planned:
    """One session that would be written.

    Attributes
    ----------
    name : str
        Of its folder.
    person : str
    streams : dict of str to Stream
        By the names of their folders.
    marks : tuple of Mark
    labels : Recording or None
    files : tuple of Path
        All that it is read from.
    kinds : tuple of str
    remarks : tuple of str
    """

    name: str
    person: str
    streams: dict[str, Stream]
    marks: tuple[Mark, ...]
    labels: Recording | None
    files: tuple[Path, ...]
    kinds: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def t0(self) -> float:
        """When its first sample was taken, on its clock."""
        return min(stream.t0 for stream in self.streams.values())

    @property
    def end(self) -> float:
        """When its last sample was taken."""
        return max(stream.t0 + stream.seconds for stream in self.streams.values())

    @property
    def dated(self) -> bool:
        """Whether its clock is Unix time."""
        return all(stream.dated for stream in self.streams.values())


@dataclass(frozen=True)
class Plan:
    """All sessions that would be written, and what must be said of them together."""

    sessions: tuple[Planned, ...]
    remarks: tuple[str, ...]


def plan(
    found: Sequence[Found],
    *,
    person: str | None = None,
    session: str | None = None,
    together: bool = False,
    labels: Sequence[tuple[str, str]] = (),
    tables: Sequence[Table] = (),
    streams: Sequence[str] = (),
    channels: Sequence[str] = (),
    units: dict[str, str] | None = None,
) -> Plan:
    """Make sessions of what was found.

    Parameters
    ----------
    found : sequence of Found
    person : str, optional
        A regular expression that is sought in a file's path, whose first group (or all of it) is
        the person, or a plain word; the file's own code if left out, and else the session's name.
    session : str, optional
        The same for the session: files that share it are one. Left out, each file is one.
    together : bool
        Files of one folder are one session, where ``session`` says nothing.
    labels : sequence of (str, str)
        A pattern of file names, and the text that holds for all of such a recording.
    tables : sequence of Table
    streams, channels : sequence of str
        Names, or kinds of signals, that are meant; all if empty.
    units : dict of str to str, optional
        Of channels, in place of what the files state.

    Raises
    ------
    RecordingError
        An expression that is none, a stream, channel or unit that nothing has, files of two
        people in one session.
    """
    units = units or {}
    for name, unit in units.items():
        if not known_units.known(unit):
            raise RecordingError(
                f"--unit {name}={unit}: say uV, mV, V, uS, g, degC, bpm … or a.u. for one that "
                "only the sensor knows"
            )
    remarks: list[str] = []
    planned: list[Planned] = []
    used: set[str] = set()
    for name, members in grouped(found, session, together).items():
        kept, owners, said = chosen(members, streams, channels, units)
        if kept:
            one = _session(name, members, kept, owners, person, labels, used)
            planned.append(replace(one, remarks=tuple(dict.fromkeys((*one.remarks, *said)))))
        else:
            remarks.append(f"{name}: {_why_empty(members, streams or channels)}: left out")
    _hold_wanted(found, planned, streams, channels, units)
    taken: dict[Path, set[int]] = {table.path: set() for table in tables}
    sessions = tuple(_labelled(each, tables, taken) for each in planned)
    for table in tables:
        if lost := len(table) - len(taken[table.path]):
            remarks.append(f"{table.path.name}: {lost} of {len(table)} rows fit no session")
    remarks += [
        f"--label {pattern}={text} fits no file" for pattern, text in labels if pattern not in used
    ]
    return Plan(sessions, tuple(remarks))


def _why_empty(members: Sequence[Found], wanted: Sequence[str]) -> str:
    """Say why nothing of some files is written."""
    if not any(one.streams for one in members):
        return "holds marks alone (--session or --together joins it to its recording)"
    return f"has no {' or '.join(wanted)}" if wanted else "holds no samples"


def _hold_wanted(
    found: Sequence[Found],
    planned: Sequence[Planned],
    streams: Sequence[str],
    channels: Sequence[str],
    units: dict[str, str],
) -> None:
    """Refuse a choice that means nothing, and a plan without sessions."""
    every = [stream for one in found for stream in one.streams]
    kinds = {part for stream in every for part in (stream.name, stream.modality) if part}
    names = {channel.name for stream in every for channel in stream.channels}
    for option, wanted, have in (
        ("--stream", streams, kinds),
        ("--channels", channels, names),
        ("--unit", units, names),
    ):
        if lacking := [one for one in wanted if one not in have]:
            raise RecordingError(
                f"{option}: nothing has {' or '.join(lacking)}: there are "
                f"{', '.join(sorted(have)[:12])}{' …' if len(have) > 12 else ''}"
            )
    if not planned:
        raise RecordingError(
            f"nothing that was found has samples that are meant: {found[0].path} and "
            f"{len(found) - 1} more were looked into"
        )


def _matches(path: Path, pattern: str) -> bool:
    """Whether a pattern means a file, or the folder that it lies in."""
    return any(
        fnmatch.fnmatchcase(part, pattern) for part in (path.name, str(path), path.parent.name)
    )


def _session(
    name: str,
    members: Sequence[Found],
    kept: Sequence[Stream],
    owners: Sequence[int],
    person: str | None,
    labels: Sequence[tuple[str, str]],
    used: set[str],
) -> Planned:
    """Put together what belongs to one session."""
    remarks = [
        remark if len(members) == 1 else f"{one.path.name}: {remark}"
        for one in members
        for remark in one.remarks
    ]
    whose, said = person_of(name, members, person)
    streams = dict(zip(_folders(kept), kept, strict=True))
    remarks += [*said, *_clocks(streams)]
    planned = Planned(
        name=name,
        person=whose,
        streams=streams,
        marks=(),
        labels=None,
        files=tuple(file for one in members for file in (one.files or (one.path,))),
        kinds=tuple(dict.fromkeys(one.kind for one in members)),
        remarks=(),
    )
    marks = _on_their_clocks(members, list(streams), owners)
    whole = []
    for pattern, text in labels:
        if any(_matches(one.path, pattern) for one in members):
            used.add(pattern)
            whole.append(text)
            marks.append(Mark(planned.t0, text, planned.end - planned.t0))
    if len(set(whole)) > 1:
        remarks.append(f"--label says {' and '.join(dict.fromkeys(whole))} of all of it")
    return replace(
        planned,
        marks=tuple(sorted(dict.fromkeys(marks), key=lambda mark: mark.start)),
        remarks=tuple(remarks),
    )


def _on_their_clocks(
    members: Sequence[Found], folders: Sequence[str], owners: Sequence[int]
) -> list[Mark]:
    """Say of the marks of several files on which recordings' clock each stands.

    A file that says so itself is a session that was imported before, and keeps its word.
    """
    alone = len(set(owners)) < 2
    found = []
    for number, one in enumerate(members):
        mine = tuple(folder for folder, k in zip(folders, owners, strict=True) if k == number)
        for mark in one.marks:
            of = tuple(name for name in mark.of if name in mine) or (() if alone else mine)
            found.append(replace(mark, of=of))
    return found


def _folders(streams: Sequence[Stream]) -> Iterable[str]:
    """Name the folders of streams; what tables say has one of its own."""
    return distinct("reference" if one.name == LABELS else one.name for one in streams)


def _clocks(streams: dict[str, Stream]) -> list[str]:
    """Say what is odd about the clocks of a session's streams."""
    if len({stream.dated for stream in streams.values()}) > 1:
        return ["some of its streams have dates and some have none: they share no clock"]
    last, late = max(streams.items(), key=lambda one: one[1].t0)
    first, early = min(streams.items(), key=lambda one: one[1].t0 + one[1].seconds)
    apart = late.t0 - early.t0 - early.seconds
    return [f"{last} begins {apart / 3600:.2f} h after {first} ended"] if apart > 0 else []


def _labelled(one: Planned, tables: Sequence[Table], taken: dict[Path, set[int]]) -> Planned:
    """Lay what tables say of a session out over it."""
    parts: list[Recording] = []
    remarks = list(one.remarks)
    for table in tables:
        rows = table.rows_for(one.name, one.files, one.person)
        twice = not table.dated and table.start is not None and taken[table.path] & {*rows.tolist()}
        taken[table.path].update(rows.tolist())
        if not len(rows):
            remarks.append(f"{table.path.name} says nothing of it")
            continue
        if twice:
            remarks.append(
                f"rows of {table.path.name} count from the start of this and of another session: "
                "a column of files or sessions would tell which is meant"
            )
        part, said = table.of_session(rows, one.t0, one.end, one.person, dated=one.dated)
        remarks += said
        if part is not None:
            parts.append(part)
    return replace(one, labels=_joined(parts), remarks=tuple(remarks))


def _joined(parts: Sequence[Recording]) -> Recording | None:
    """Put what several tables say of a session beside each other."""
    if len(parts) < 2:
        return parts[0] if parts else None
    channels = [channel for part in parts for channel in part.channels]
    names = distinct(channel.name for channel in channels)
    texts, at = {}, 0
    for part in parts:
        for channel in part.channels:
            if channel.name in part.facts["labels"]:
                texts[names[at]] = part.facts["labels"][channel.name]
            at += 1
    return replace(
        parts[0],
        samples=np.concatenate([part.samples for part in parts]),
        channels=tuple(
            replace(channel, name=name) for channel, name in zip(channels, names, strict=True)
        ),
        facts={"labels": texts, "table": ", ".join(part.facts["table"] for part in parts)},
    )
