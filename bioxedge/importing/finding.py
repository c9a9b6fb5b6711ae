"""Files and folders looked into: what any reader recognises, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge import readers
from bioxedge.errors import BioxedgeError, RecordingError
from bioxedge.readers import Found

_SELF = (".hea",)  # where a folder holds these, .dat and .mat beside them belong to them
_OWNED = (".dat", ".mat", ".atr", ".qrs", ".ecg", ".ann")


@dataclass(frozen=True)
class Told:
    """What files may not say themselves; None or empty where nothing is told."""

    rate: float | None = None
    modality: str | None = None
    units: dict[str, str] = field(default_factory=dict)
    board: str | None = None

    def facts(self) -> dict[str, Any]:
        """Give what a reader is told."""
        given = {"rate": self.rate, "modality": self.modality, "board": self.board}
        found: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        return found | ({"units": self.units} if self.units else {})


def found_in(
    paths: Iterable[Path],
    told: Told,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Found], list[str]]:
    """Look into files, and into everything in folders.

    Parameters
    ----------
    paths : iterable of Path
    told : Told
    report : callable, optional
        Told how many of how many files are done.

    Returns
    -------
    list of Found
        In the order of the paths, by name within a folder.
    list of str
        What was left out, and why: files of folders alone.

    Raises
    ------
    RecordingError
        A file that was named and cannot be read; or nothing at all.
    """
    named = [(path, True) for path in paths if not path.is_dir() or _whole(path)]
    inside = [
        (file, False) for path in paths if path.is_dir() and not _whole(path) for file in _in(path)
    ]
    found: list[Found] = []
    left: list[str] = []
    every = [*named, *inside]
    for number, (path, asked) in enumerate(every):
        report(number, len(every))
        try:
            found.append(readers.find(path, **told.facts()))
        except BioxedgeError as error:
            if asked and isinstance(error, RecordingError):
                raise
            if not isinstance(error, RecordingError):
                raise
            left.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    report(len(every), len(every))
    if not found:
        why = f": {left[0]}" if left else ""
        raise RecordingError(f"nothing that can be read is in what was named{why}")
    return found, left


def _whole(path: Path) -> bool:
    """Whether a folder is one recording."""
    return readers.recognised(path)


def _in(folder: Path) -> Iterator[Path]:
    """Walk a folder: recordings that are folders, and files that are no part of another."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    records = {path.stem for path in entries if path.suffix in _SELF}
    for path in entries:
        if path.is_dir():
            if _whole(path):
                yield path
            else:
                yield from _in(path)
        elif not (path.suffix in _OWNED and path.stem in records):
            yield path
