"""Reading tables of labels: a row a second, a stretch or a recording.

Texts become class numbers, their names kept beside them; numbers stay what they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.importing.labels import DAY, Floats, Table
from bioxedge.readers.names import distinct, name_and_unit, safe
from bioxedge.readers.text_rows import DELIMITERS, Text, read_text, rows_of, shown, times_of

_ROLES: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "file_name", "record", "recording", "path"),
    "session": ("session",),
    "person": ("person", "participant", "participant_id", "subject", "subject_id", "patient", "id"),
    "time": ("time", "start", "onset", "begin", "timestamp", "t", "seconds"),
    "end": ("end", "stop"),
    "duration": ("duration", "length"),
    "label": ("label", "labels", "class", "condition", "stage", "annotation", "state", "event",
              "phase", "value"),
}  # fmt: skip
_KEYS = ("file", "session", "person")
_NOTHING = ("", "na", "nan", "n/a", "null", "none", "-")
_MOST_TEXTS = 64
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?")
_LISTED = 12  # columns that an error names


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what: names, or numbers from 1 on where there is no header."""

    given: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Columns:
        """Read ``person=Participant,time=Time(sec),label=Label+Arousal``.

        Raises
        ------
        RecordingError
            A role that does not exist, or several columns for one that has one.
        """
        found: dict[str, tuple[str, ...]] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            role, equals, names = (one.strip() for one in part.partition("="))
            columns = tuple(name.strip() for name in names.split("+") if name.strip())
            if role not in _ROLES or not equals or not columns:
                raise RecordingError(
                    f"--labels-columns {part}: write {', '.join(_ROLES)}=COLUMN, such as "
                    "person=Participant,label=Label"
                )
            if len(columns) > 1 and role != "label":
                raise RecordingError(
                    f"--labels-columns {part}: {role} is one column, label alone may be several"
                )
            found[role] = columns
        return cls(found)

    @property
    def numbered(self) -> bool:
        """Whether columns are told by numbers, since the table has no header."""
        every = [name for names in self.given.values() for name in names]
        return bool(every) and all(name.isdecimal() for name in every)


def read_table(path: Path, columns: Columns) -> Table:
    """Read a table of labels.

    Parameters
    ----------
    path : Path
    columns : Columns
        What is what; found by the usual names where it is not told.

    Raises
    ------
    RecordingError
        No such column, times that are none, or a table that does not say what it is about.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if columns.numbered and lines:
        mark = max(DELIMITERS, key=lines[0].count)
        width = lines[0].count(mark) + 1
        lines = [mark.join(str(k + 1) for k in range(width)), *lines]
    text = rows_of(path, lines)
    places = {role: _places(text, role, columns) for role in _ROLES}
    keys = {role: list(text.columns[places[role][0]]) for role in _KEYS if places[role]}
    if not keys:
        raise RecordingError(
            f"{path} does not say which recording or whom its rows are about "
            f"({_listed(text)}): say --labels-columns person=COLUMN, or file=COLUMN"
        )
    if not places["label"]:
        raise RecordingError(
            f"{path} has no column of labels ({_listed(text)}): say --labels-columns label=COLUMN"
        )
    start, dated, daily = _times(text, places["time"])
    end = None if start is None else _ends(text, places, start, daily)
    values: dict[str, Floats] = {}
    texts: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    for name, k in zip(_named(text, places["label"], columns), places["label"], strict=True):
        numbers = text.numbers(k)
        if numbers is None:
            numbers, texts[name] = _classes(text, k)
        values[name] = numbers
        if unit := name_and_unit(text.header[k])[1]:
            units[name] = unit
    return Table(path, keys, start, end, dated, values, texts, units, daily)


def _listed(text: Text) -> str:
    """Name a table's columns for an error."""
    more = " …" if len(text.header) > _LISTED else ""
    return ", ".join(name[:40] for name in text.header[:_LISTED]) + more


def _named(text: Text, places: list[int], columns: Columns) -> list[str]:
    """Name the channels that columns of labels become."""
    if columns.numbered:
        return ["label"] if len(places) == 1 else [f"label_{text.header[k]}" for k in places]
    plain = (name_and_unit(text.header[k])[0] for k in places)
    return distinct(safe(name, "label").replace("-", "_") for name in plain)


def _classes(text: Text, k: int) -> tuple[Floats, list[str]]:
    """Number the texts of a column; NaN where nothing is said."""
    fields = text.columns[k]
    names = sorted({field for field in fields if field.lower() not in _NOTHING})
    if len(names) > _MOST_TEXTS:
        raise RecordingError(
            f"{text.path}: {text.header[k]} holds {len(names)} different texts, {_MOST_TEXTS} at "
            f"most can be labels (such as {shown(names[0])})"
        )
    order = {name: float(number) for number, name in enumerate(names)}
    return np.array([order.get(field, math.nan) for field in fields], np.float64), names


def _places(text: Text, role: str, columns: Columns) -> list[int]:
    """Find the columns of a role."""
    if role in columns.given:
        found = []
        for name in columns.given[role]:
            at = text.column(name)
            if at is None:
                raise RecordingError(f"{text.path} has no column {name}: it has {_listed(text)}")
            found.append(at)
        return found
    if columns.numbered:
        return []
    plain = [
        re.sub(r"[^a-z_]", "", name_and_unit(label)[0].lower().replace(" ", "_"))
        for label in text.header
    ]
    for name in _ROLES[role]:
        if name in plain:
            return [plain.index(name)]
    return []


def _times(text: Text, places: list[int]) -> tuple[Floats | None, bool, bool]:
    """Read when rows begin, whether that is Unix time, and whether it is a time of day."""
    if not places:
        return None, False, False
    fields = text.columns[places[0]]
    found = times_of(fields, text.comma)
    if found is not None and np.isfinite(found[0]).all():
        return found[0], found[1], False
    daily = _of_day(fields)
    if daily is None:
        raise RecordingError(
            f"{text.path}: {text.header[places[0]]} holds what is no time: give Unix seconds, "
            "seconds from the start on, dates as 2026-05-01T22:15:00, or times of day as 22:15:00"
        )
    return daily, False, True


def _of_day(fields: Sequence[str]) -> Floats | None:
    """Read times of day, in seconds since midnight; None where one is none."""
    found = np.empty(len(fields))
    for k, written in enumerate(fields):
        parts = _CLOCK.fullmatch(written)
        if parts is None:
            return None
        hour, minute = int(parts[1]), int(parts[2])
        second = float((parts[3] or "0").replace(",", "."))
        if hour > 23 or minute > 59 or second >= 60:
            return None
        found[k] = 3600 * hour + 60 * minute + second
    return found


def _ends(text: Text, places: dict[str, list[int]], start: Floats, daily: bool) -> Floats:
    """Read when rows end; NaN where they do not say."""
    if places["end"]:
        fields = text.columns[places["end"][0]]
        if daily:
            until = _of_day(fields)
            found = None if until is None else np.where(until < start, until + DAY, until)
        else:
            seconds = times_of(fields, text.comma)
            found = None if seconds is None else seconds[0]
        if found is None:
            raise RecordingError(f"{text.path}: {text.header[places['end'][0]]} holds no times")
        return _after(text, start, found)
    if places["duration"]:
        lengths = text.numbers(places["duration"][0])
        if lengths is None:
            raise RecordingError(
                f"{text.path}: {text.header[places['duration'][0]]} holds what is no length"
            )
        return _after(text, start, start + lengths)
    return np.full(len(start), np.nan)


def _after(text: Text, start: Floats, end: Floats) -> Floats:
    """Refuse rows that end before they begin."""
    wrong = np.flatnonzero(end < start)
    if len(wrong):
        raise RecordingError(
            f"{text.path}: row {int(wrong[0]) + 2} ends {start[wrong[0]] - end[wrong[0]]:g} s "
            "before it begins"
        )
    return end
