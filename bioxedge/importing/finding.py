"""Files and folders looked into: what any reader recognises, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioxedge import readers
from bioxedge.errors import RecordingError
from bioxedge.readers import Found

IMPORTED = "import.json"
"""What stands in a session that an import wrote."""
_HEADER = ".hea"  # where a folder holds these, what has the same name belongs to them
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
    apart: Collection[Path] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Found], list[str]]:
    """Look into files, and into everything in folders.

    Parameters
    ----------
    paths : iterable of Path
    told : Told
    apart : collection of Path
        What is in those folders and is not meant: tables of labels, and where sessions go.
    report : callable, optional
        Told how many of how many files are done.

    Returns
    -------
    list of Found
        In the order of the paths, by name within a folder; what is part of another is not twice.
    list of str
        What was left out of folders, and why.

    Raises
    ------
    RecordingError
        A file that was named and cannot be read; or nothing at all.
    """
    every, left = _every(paths, {path.resolve() for path in apart})
    found: list[Found] = []
    for number, (path, asked) in enumerate(every):
        report(number, len(every))
        try:
            found.append(readers.find(path, **told.facts()))
        except RecordingError as error:
            if asked:
                raise
            left.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    report(len(every), len(every))
    owners = {file.resolve(): one for one in found for file in one.files if file != one.path}
    # A segment of a record has a header of its own, and is no record of its own.
    found = [one for one in found if owners.get(one.path.resolve(), one) is one]
    if not found:
        why = f": {left[0]}" if left else ""
        raise RecordingError(f"nothing that can be read is in what was named{why}")
    return found, left


def _every(paths: Iterable[Path], apart: set[Path]) -> tuple[list[tuple[Path, bool]], list[str]]:
    """List what is to be looked into, each once, and whether it was named itself."""
    every: dict[Path, tuple[Path, bool]] = {}
    left: list[str] = []
    for given in paths:
        # A folder that is named "." has a name all the same.
        path = given if given.name not in ("", "..") else given.resolve()
        asked = not path.is_dir() or readers.recognised(path)
        for one in [path] if asked else _in(path, path.resolve(), apart, left):
            place = one.resolve()
            if place not in apart and (asked or place not in every):
                every[place] = (one, asked)
    return list(every.values()), left


def _in(folder: Path, root: Path, apart: set[Path], left: list[str]) -> Iterator[Path]:
    """Walk a folder: recordings that are folders, and files that are no part of another.

    A link is not followed to where the walk comes by itself, or comes from.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise RecordingError(f"{folder} cannot be read: {error.strerror or error}") from error
    records = {path.stem for path in entries if path.suffix == _HEADER}
    for path in entries:
        if path.is_dir():
            place = path.resolve()
            crossing = place.is_relative_to(root) or root.is_relative_to(place)
            if place in apart or (path.is_symlink() and crossing):
                continue
            if (path / IMPORTED).is_file():
                left.append(f"{path} was imported before: name it itself to import it again")
            elif readers.recognised(path):
                yield path
            else:
                yield from _in(path, root, apart, left)
        elif not (path.suffix in _OWNED and path.stem in records):
            yield path
