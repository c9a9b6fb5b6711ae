"""Tables of labels laid out over sessions: one value a second, and none where nothing is said."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioxedge.signals import Channel, Recording

Floats = npt.NDArray[np.float64]

RATE = 1.0
"""Of what a table becomes, in Hz."""
DAY = 86400.0  # s
_EVEN = 0.1  # of the usual step: rows that keep to it hold for one each
_MOSTLY = 0.8  # of all steps
_FEW = 5  # steps: three blocks of one length are blocks, and hold until the next


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
        Whether they are Unix time; else seconds from a session's start on, or on its own clock.
    values : dict of str to ndarray of float64
        Numbers of each label column, NaN where a field is empty.
    texts : dict of str to list of str
        What the numbers of a column stand for, where it holds text.
    units : dict of str to str
    daily : bool
        Times are those of a day, in seconds since midnight.
    """

    path: Path
    keys: dict[str, list[str]]
    start: Floats | None
    end: Floats | None
    dated: bool
    values: dict[str, Floats]
    texts: dict[str, list[str]]
    units: dict[str, str]
    daily: bool = False

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
        names = {part for file in files for part in (file.name, file.stem, str(file))}
        for role, fields in self.keys.items():
            means = {
                field: same_file(field, names)
                if role == "file"
                else same_person(field, person)
                if role == "person"
                else field == name
                for field in set(fields)
            }
            chosen &= np.array([means[field] for field in fields], bool)
        return np.flatnonzero(chosen)

    def of_session(
        self, rows: npt.NDArray[np.intp], t0: float, end: float, person: str, *, dated: bool = True
    ) -> tuple[Recording | None, list[str]]:
        """Lay some rows out over a session.

        Parameters
        ----------
        rows : ndarray of int
        t0, end : float
            When the session begins and ends, on its clock.
        person : str
        dated : bool
            Whether that clock is Unix time.

        Returns
        -------
        Recording or None
            1 Hz, a channel for each column of labels; None where no row falls into the session.
        list of str
            What does not fit: rows of another time, and rows that contradict each other.
        """
        if (self.dated or self.daily) and not dated and self.start is not None:
            what = "times of day" if self.daily else "dates"
            return None, [f"{self.path.name} gives {what}, it has none: say seconds from its start"]
        if self.daily and end - t0 > DAY:
            hours = (end - t0) / 3600
            return None, [
                f"{self.path.name} gives times of day, it is {hours:.0f} h long: say dates"
            ]
        begin = math.floor(t0)
        count = max(1, math.ceil(end) - begin)
        track = {name: np.full(count, np.nan) for name in self.values}
        starts, ends = self._spans(rows, t0, end)
        outside, torn = 0, np.zeros(count, bool)
        for row, start, over in zip(rows.tolist(), starts, ends, strict=True):
            # A second is labelled where its beginning lies within.
            first = max(0, math.ceil(start - begin - 1e-9))
            last = min(count, math.ceil(over - begin - 1e-9))
            outside += start >= end or over <= t0
            for name, values in self.values.items():
                if math.isfinite(values[row]) and last > first:
                    part = track[name][first:last]
                    torn[first:last] |= np.isfinite(part) & (part != values[row])
                    part[:] = values[row]
        remarks = []
        if self.daily:
            remarks.append(f"{self.path.name} gives times of day without a zone: taken as UTC")
        if outside:
            remarks.append(
                f"{outside} of {len(rows)} rows of {self.path.name} lie outside its time"
                + (_apart(min(starts), t0) if outside == len(rows) else "")
            )
        if torn.any():
            for values in track.values():
                values[torn] = np.nan
            remarks.append(
                f"rows of {self.path.name} contradict each other in {int(torn.sum())} seconds: "
                "those have no label"
            )
        if not any(np.isfinite(values).any() for values in track.values()):
            return None, remarks or [f"{self.path.name} says nothing of it"]
        return (
            Recording(
                samples=np.stack(list(track.values())),
                rate=RATE,
                channels=tuple(Channel(name, self.units.get(name) or "1") for name in track),
                modality="reference",
                person=person,
                t0=float(begin),
                facts={"labels": self.texts, "table": self.path.name},
            ),
            remarks,
        )

    def _spans(
        self, rows: npt.NDArray[np.intp], t0: float, end: float
    ) -> tuple[list[float], list[float]]:
        """Give where each row begins and ends, on the session's clock."""
        if self.start is None or self.end is None:
            return [t0] * len(rows), [end] * len(rows)
        starts, ends = self.start[rows].copy(), self.end[rows].copy()
        if self.daily:
            # On the day that brings them nearest to the middle of the session.
            first = (t0 + end - DAY) / 2
            moved = first + (starts - first) % DAY - starts
            starts, ends = starts + moved, ends + moved
        elif not self.dated and not (starts.min() > end - t0 and t0 <= np.median(starts) <= end):
            starts, ends = starts + t0, ends + t0
        open_ends = np.flatnonzero(~np.isfinite(ends))
        if len(open_ends):
            order = np.unique(starts)
            steps = np.diff(order)
            usual = float(np.median(steps)) if len(steps) >= _FEW else math.nan
            even = (
                np.mean(np.abs(steps - usual) <= _EVEN * usual) > _MOSTLY if len(steps) else False
            )
            for k in open_ends:
                at = int(np.searchsorted(order, starts[k], "right"))
                following = float(order[at]) if at < len(order) else math.inf
                # Rows that come evenly hold for one step; others until the next one.
                last = starts[k] + usual if even else end
                ends[k] = min(following, last)
        return starts.tolist(), ends.tolist()


def _apart(first: float, t0: float) -> str:
    """Say how far apart two clocks are."""
    seconds = abs(first - t0)
    size = f"{seconds / 86400:.1f} days" if seconds > 172800 else f"{seconds / 3600:.2f} h"
    return f": its first row is {size} {'before' if first < t0 else 'after'} its first sample"


def same_file(field: str, names: set[str]) -> bool:
    """Whether a table means one of some files: a name, a path or a pattern of them."""
    if field in names or Path(field).name in names or Path(field).stem in names:
        return bool(field)
    return any(fnmatch.fnmatchcase(name, field) for name in names)


def same_person(field: str, person: str) -> bool:
    """Whether a table means a person: the same code, or ``2`` for ``S02``."""
    if field.strip().lower() == person.lower():
        return True
    number = re.fullmatch(r"[A-Za-z_-]*0*(\d+)", person)
    return field.strip().isdecimal() and number is not None and int(number[1]) == int(field)
