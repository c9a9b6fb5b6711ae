"""Tables of labels: a row a second, a row a stretch or a row a recording, for who or what it names.

Texts become class numbers, their names kept beside them; numbers stay what they are.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.names import name_and_unit, safe
from bioxedge.readers.text_rows import Text, read_text, rows_of, shown, times_of
from bioxedge.signals import Channel, Recording

Floats = npt.NDArray[np.float64]

RATE = 1.0
"""Of what a table becomes, in Hz."""
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
_MOST_TEXTS = 64
_EVEN = 0.1  # of the usual step: rows that keep to it hold for one each


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
            A role that does not exist.
        """
        found: dict[str, tuple[str, ...]] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            role, equals, names = part.partition("=")
            if role.strip() not in _ROLES or not equals or not names.strip():
                raise RecordingError(
                    f"--labels-columns {part}: write {', '.join(_ROLES)}=COLUMN, such as "
                    "person=Participant,label=Label"
                )
            found[role.strip()] = tuple(name.strip() for name in names.split("+"))
        return cls(found)

    @property
    def numbered(self) -> bool:
        """Whether columns are told by numbers, since the table has no header."""
        every = [name for names in self.given.values() for name in names]
        return bool(every) and all(name.isdigit() for name in every)


@dataclass(frozen=True)
class Table:
    """A table of labels.

    Attributes
    ----------
    path : Path
    keys : dict of str to list of str
        ``file``, ``session`` and ``person`` of each row, as far as there are such columns.
    start, end : ndarray of float64, optional
        Seconds; None where a row is about a whole recording. The end is NaN where it is not said.
    dated : bool
        Whether they are Unix time; else seconds from a session's start on.
    values : dict of str to ndarray of float64
        Numbers of each label column, NaN where a field is empty.
    texts : dict of str to list of str
        What the numbers of a column stand for, where it holds text.
    units : dict of str to str
    """

    path: Path
    keys: dict[str, list[str]]
    start: Floats | None
    end: Floats | None
    dated: bool
    values: dict[str, Floats]
    texts: dict[str, list[str]]
    units: dict[str, str]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def rows_for(self, name: str, files: Sequence[Path], person: str) -> npt.NDArray[np.intp]:
        """Give the rows that are about a session.

        Parameters
        ----------
        name : str
            The session's.
        files : sequence of Path
            What it is read from.
        person : str
        """
        chosen = np.ones(len(self), bool)
        stems = {part for file in files for part in (file.name, file.stem, str(file))}
        if "file" in self.keys:
            chosen &= [
                any(field == stem or fnmatch.fnmatch(stem, field) for stem in stems)
                or Path(field).stem in stems
                for field in self.keys["file"]
            ]
        if "session" in self.keys:
            chosen &= [field == name for field in self.keys["session"]]
        if "person" in self.keys:
            chosen &= [same_person(field, person) for field in self.keys["person"]]
        return np.flatnonzero(chosen)

    def of_session(
        self, rows: npt.NDArray[np.intp], t0: float, end: float, person: str
    ) -> Recording:
        """Lay some rows out over a session, one value a second; NaN where nothing is said."""
        begin = math.floor(t0)
        count = max(1, math.ceil(end) - begin)
        track = {name: np.full(count, np.nan) for name in self.values}
        starts, ends = self._spans(rows, t0, end)
        for row, start, over in zip(rows.tolist(), starts, ends, strict=True):
            # A second is labelled where its beginning lies within.
            first = max(0, math.ceil(start - begin - 1e-9))
            last = min(count, math.ceil(over - begin - 1e-9))
            for name, values in self.values.items():
                if math.isfinite(values[row]):
                    track[name][first:last] = values[row]
        return Recording(
            samples=np.stack(list(track.values())),
            rate=RATE,
            channels=tuple(Channel(name, self.units.get(name) or "1") for name in track),
            modality="reference",
            person=person,
            t0=float(begin),
            facts={"labels": self.texts, "table": self.path.name},
        )

    def _spans(
        self, rows: npt.NDArray[np.intp], t0: float, end: float
    ) -> tuple[list[float], list[float]]:
        """Give where each row begins and ends."""
        if self.start is None or self.end is None:
            return [t0] * len(rows), [end] * len(rows)
        starts = self.start[rows] + (0.0 if self.dated else t0)
        ends = self.end[rows] + (0.0 if self.dated else t0)
        open_ends = np.flatnonzero(~np.isfinite(ends))
        if len(open_ends):
            order = np.sort(starts)
            steps = np.diff(order)
            usual = float(np.median(steps)) if len(steps) else 0.0
            even = usual > 0 and np.mean(np.abs(steps - usual) <= _EVEN * usual) > 0.8
            for k in open_ends:
                at = int(np.searchsorted(order, starts[k], "right"))
                following = float(order[at]) if at < len(order) else math.inf
                # Rows that come evenly hold for one step; others until the next one.
                last = starts[k] + usual if even else end
                ends[k] = min(following, last)
        return starts.tolist(), ends.tolist()


def same_person(field: str, person: str) -> bool:
    """Whether a table means a person: the same code, or ``2`` for ``S02``."""
    if field.strip().lower() == person.lower():
        return True
    number = re.fullmatch(r"[A-Za-z_-]*0*(\d+)", person)
    return field.strip().isdigit() and number is not None and int(number[1]) == int(field)


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
        No such column, times that are none, or a table that names nothing it is about.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if columns.numbered and lines:
        width = max(line.count(mark) for line in lines[:1] for mark in ",;\t") + 1
        mark = max(",;\t", key=lines[0].count)
        lines = [mark.join(str(k + 1) for k in range(width)), *lines]
    text = rows_of(path, lines)
    places = {role: _places(text, role, columns) for role in _ROLES}
    keys = {
        role: text.columns[places[role][0]]
        for role in ("file", "session", "person")
        if places[role]
    }
    if not keys:
        raise RecordingError(
            f"{path} does not say which recording or whom its rows are about "
            f"({', '.join(text.header[:8])}): say --labels-columns person=COLUMN, or file=COLUMN"
        )
    if not places["label"]:
        raise RecordingError(
            f"{path} has no column of labels ({', '.join(text.header[:8])}): say --labels-columns "
            "label=COLUMN"
        )
    start, dated = _times(text, places["time"])
    end = None if start is None else _ends(text, places, start)
    values: dict[str, Floats] = {}
    texts: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    for k in places["label"]:
        label, unit = name_and_unit(text.header[k])
        name = "label" if columns.numbered else safe(label, "label").replace("-", "_")
        numbers = text.numbers(k)
        if numbers is None:
            texts[name] = sorted({field for field in text.columns[k] if field})
            if len(texts[name]) > _MOST_TEXTS:
                raise RecordingError(
                    f"{path}: {text.header[k]} holds {len(texts[name])} different texts, "
                    f"{_MOST_TEXTS} at most can be labels (such as {shown(texts[name][0])})"
                )
            order = {field: number for number, field in enumerate(texts[name])}
            numbers = np.array(
                [order[field] if field else math.nan for field in text.columns[k]], np.float64
            )
        values[name] = numbers
        if unit:
            units[name] = unit
    return Table(path, keys, start, end, dated, values, texts, units)


def _places(text: Text, role: str, columns: Columns) -> list[int]:
    """Find the columns of a role."""
    if role in columns.given:
        found = []
        for name in columns.given[role]:
            at = text.column(name)
            if at is None:
                raise RecordingError(
                    f"{text.path} has no column {name}: it has {', '.join(text.header[:12])}"
                )
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


def _times(text: Text, places: list[int]) -> tuple[Floats | None, bool]:
    """Read when rows begin."""
    if not places:
        return None, False
    found = times_of(text.columns[places[0]], text.comma)
    if found is None or not np.isfinite(found[0]).all():
        raise RecordingError(f"{text.path}: {text.header[places[0]]} holds what is no time")
    return found[0], found[1]


def _ends(text: Text, places: dict[str, list[int]], start: Floats) -> Floats:
    """Read when rows end; NaN where they do not say."""
    if places["end"]:
        found = times_of(text.columns[places["end"][0]], text.comma)
        if found is None:
            raise RecordingError(f"{text.path}: {text.header[places['end'][0]]} holds no times")
        return found[0]
    if places["duration"]:
        lengths = text.numbers(places["duration"][0])
        if lengths is None:
            raise RecordingError(
                f"{text.path}: {text.header[places['duration'][0]]} holds what is no length"
            )
        return start + lengths
    return np.full(len(start), np.nan)
