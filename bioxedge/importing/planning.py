"""What was found, as sessions: whose each is, what it is called, and what is known of it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.importing.labels import Table
from bioxedge.marks import Mark
from bioxedge.readers import Found, Stream
from bioxedge.readers.names import distinct
from bioxedge.signals import Channel, Recording

_ALLOWED = re.compile(r"[^A-Za-z0-9._-]+")


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
    labels: Sequence[tuple[str, str]] = (),
    tables: Sequence[Table] = (),
    streams: Sequence[str] = (),
    units: dict[str, str] | None = None,
) -> Plan:
    """Make sessions of what was found.

    Parameters
    ----------
    found : sequence of Found
    person : str, optional
        A regular expression that is sought in a file's path, whose first group (or all of it) is
        the person; the file's own code if left out, and else the session's name.
    session : str, optional
        The same for the session: files that share it are one. Left out, each file is one.
    labels : sequence of (str, str)
        A pattern of file names, and the text that holds for all of such a recording.
    tables : sequence of Table
    streams : sequence of str
        Names, or kinds of signals, that are meant; all if empty.
    units : dict of str to str, optional
        Of channels, in place of what the files state.

    Raises
    ------
    RecordingError
        An expression that is none, a stream that nothing has, or a file without a person.
    """
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(_called(one, session), []).append(one)
    remarks: list[str] = []
    planned = []
    for name, members in groups.items():
        made = _session(name, members, person, labels, streams, units or {})
        if made is not None:
            planned.append(made)
        else:
            remarks.append(f"{name}: none of its streams is meant: left out")
    if not planned:
        have = sorted({s.name for one in found for s in one.streams})
        raise RecordingError(
            f"nothing has a stream {' or '.join(streams)}: there are {', '.join(have[:12])}"
        )
    used: dict[Path, set[int]] = {table.path: set() for table in tables}
    sessions = []
    for each in planned:
        labelled, more = _labelled(each, tables, used)
        sessions.append(replace(each, labels=labelled, remarks=(*each.remarks, *more)))
    for table in tables:
        lost = len(table) - len(used[table.path])
        if lost:
            remarks.append(f"{table.path.name}: {lost} of {len(table)} rows fit no session")
    unused = [
        pattern for pattern, _ in labels
        if not any(_matches(file, pattern) for one in planned for file in one.files)
    ]  # fmt: skip
    remarks += [f"--label {pattern} fits no file" for pattern in unused]
    return Plan(tuple(sessions), tuple(remarks))


def _called(one: Found, session: str | None) -> str:
    """Name the session that a file belongs to."""
    if session is not None:
        return _allowed(_sought(session, one.path, "--session"))
    name = one.path.name if one.path.is_dir() else one.path.name.split(".")[0]
    return _allowed(name)


def _allowed(name: str) -> str:
    """Make a name that can be a folder's, and no other folder's."""
    found = _ALLOWED.sub("-", name).strip("-.")
    return found or "session"


def _sought(expression: str, path: Path, option: str) -> str:
    """Find what an expression means in a path."""
    try:
        match = re.search(expression, str(path))
    except re.error as error:
        raise RecordingError(
            f"{option} {expression!r} is no regular expression: {error}"
        ) from error
    if match is None:
        raise RecordingError(f"{option} {expression!r} is not found in {path}")
    return match[1] if match.re.groups else match[0]


def _matches(path: Path, pattern: str) -> bool:
    """Whether a pattern means a file, or a folder of it."""
    return any(fnmatch.fnmatch(part, pattern) for part in (path.name, str(path), path.parent.name))


def _session(
    name: str,
    members: Sequence[Found],
    person: str | None,
    labels: Sequence[tuple[str, str]],
    wanted: Sequence[str],
    units: dict[str, str],
) -> Planned | None:
    """Put together what belongs to one session."""
    remarks = [
        remark if len(members) == 1 else f"{one.path.name}: {remark}"
        for one in members
        for remark in one.remarks
    ]
    whose, said = _person(name, members, person)
    remarks += said
    kept = [
        stream
        for one in members
        for stream in one.streams
        if not wanted or stream.name in wanted or stream.modality in wanted
    ]
    if not kept:
        return None
    dated = {stream.dated for stream in kept}
    if len(dated) > 1:
        remarks.append("some of its streams have dates and some have none: they share no clock")
    names = distinct(stream.name for stream in kept)
    streams = {
        folder: replace(stream, channels=_restated(stream, units))
        for folder, stream in zip(names, kept, strict=True)
    }
    marks = [mark for one in members for mark in one.marks]
    planned = Planned(
        name, whose, streams, (), None,
        tuple(file for one in members for file in (one.files or (one.path,))),
        tuple(dict.fromkeys(one.kind for one in members)), tuple(dict.fromkeys(remarks)),
    )  # fmt: skip
    for pattern, text in labels:
        if any(_matches(one.path, pattern) for one in members):
            marks.append(Mark(planned.t0, text, planned.end - planned.t0))
    return replace(planned, marks=tuple(sorted(marks, key=lambda mark: mark.start)))


def _restated(stream: Stream, units: dict[str, str]) -> tuple[Channel, ...]:
    """State other units than a file does."""
    return tuple(Channel(one.name, units.get(one.name, one.unit)) for one in stream.channels)


def _person(name: str, members: Sequence[Found], person: str | None) -> tuple[str, list[str]]:
    """Say whose a session is."""
    if person is not None:
        codes = {_sought(person, one.path, "--person") for one in members}
    else:
        codes = {one.person for one in members if one.person}
    if len(codes) > 1:
        raise RecordingError(
            f"{name} would be of {' and '.join(sorted(codes))}: files of one session are of one "
            "person; correct --session or --person"
        )
    if codes:
        return codes.pop(), []
    return name, [f"does not say whose it is: taken as {name}'s (--person says otherwise)"]


def _labelled(
    one: Planned, tables: Sequence[Table], used: dict[Path, set[int]]
) -> tuple[Recording | None, list[str]]:
    """Lay what tables say of a session out over it."""
    parts: list[Recording] = []
    remarks: list[str] = []
    for table in tables:
        rows = table.rows_for(one.name, one.files, one.person)
        used[table.path].update(rows.tolist())
        if not len(rows):
            remarks.append(f"{table.path.name} says nothing of it")
            continue
        parts.append(table.of_session(rows, one.t0, one.end, one.person))
        if not np.isfinite(parts[-1].samples).any():
            remarks.append(f"{len(rows)} rows of {table.path.name} are of another time than it is")
            parts.pop()
    if not parts:
        return None, remarks
    if len(parts) == 1:
        return parts[0], remarks
    texts = {name: own for part in parts for name, own in part.facts["labels"].items()}
    return (
        replace(
            parts[0],
            samples=np.concatenate([part.samples for part in parts]),
            channels=tuple(channel for part in parts for channel in part.channels),
            facts={"labels": texts, "table": ", ".join(part.facts["table"] for part in parts)},
        ),
        remarks,
    )
