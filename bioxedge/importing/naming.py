"""What a session is called and whose it is, from paths and from what files say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bioxedge.errors import RecordingError
from bioxedge.readers import Found

_ALLOWED = re.compile(r"[^\w.-]+")
_PLAIN = re.compile(r"[\w-]+")
_LONGEST = 100  # characters of a folder's name: some file systems take 143 bytes
_PACKED = (".gz",)


def allowed(name: str) -> str:
    """Make a name that can be a folder's, and that leads nowhere else."""
    return _ALLOWED.sub("-", name).strip("-.")[:_LONGEST].rstrip("-.") or "session"


def sought(expression: str, path: Path, option: str) -> str:
    """Find what an expression means in a path: its first group, or all that it finds.

    A plain word is meant as it is.

    Raises
    ------
    RecordingError
        No regular expression, or one that finds nothing.
    """
    if _PLAIN.fullmatch(expression):
        return expression
    try:
        match = re.search(expression, str(path))
    except re.error as error:
        raise RecordingError(
            f"{option} {expression!r} is no regular expression: {error}"
        ) from error
    found = (match[1] if match.re.groups else match[0]) if match else None
    if not found:
        raise RecordingError(f"{option} {expression!r} finds nothing in {path}")
    return found


def grouped(found: Sequence[Found], session: str | None, together: bool) -> dict[str, list[Found]]:
    """Put files together that are of one session, by its name.

    Each file is a session of its own, if no expression says which belong together, and they are
    not of one folder and meant to be.
    """
    if session is not None:
        groups: dict[str, list[Found]] = {}
        for one in found:
            groups.setdefault(allowed(sought(session, one.path, "--session")), []).append(one)
        return groups
    if together:
        places: dict[Path, list[Found]] = {}
        for one in found:
            places.setdefault(one.path.resolve().parent, []).append(one)
        members = list(places.values())
    else:
        members = [[one] for one in found]
    return dict(zip(_names(members, together), members, strict=True))


def _names(members: Sequence[Sequence[Found]], together: bool) -> list[str]:
    """Name sessions by their files or folders; those that are alike also by what holds them."""
    paths = [each[0].path.resolve().parent if together else each[0].path for each in members]
    short = [allowed(_stem(path)) for path in paths]
    alike = _alike(short)
    full = [
        allowed(f"{path.resolve().parent.name}-{_stem(path)}") if k in alike else name
        for k, (path, name) in enumerate(zip(paths, short, strict=True))
    ]
    found: dict[str, str] = {}
    for name in full:
        number, free = 2, name
        while free.casefold() in found:
            free, number = f"{name}_{number}", number + 1
        found[free.casefold()] = free
    return list(found.values())


def _alike(names: Sequence[str]) -> set[int]:
    """Tell which names come more than once; a file system may not tell a from A."""
    folded = [name.casefold() for name in names]
    counts = Counter(folded)
    return {k for k, name in enumerate(folded) if counts[name] > 1}


def _stem(path: Path) -> str:
    """Give a file's name without what says its format; a folder's name is all of it."""
    if path.is_dir():
        return path.name
    return Path(path.stem).stem if path.suffix in _PACKED else path.stem


def person_of(name: str, members: Sequence[Found], person: str | None) -> tuple[str, list[str]]:
    """Say whose a session is, and what was assumed.

    Raises
    ------
    RecordingError
        It would be of two people, or the expression finds nobody.
    """
    if person is not None:
        codes = {sought(person, one.path, "--person") for one in members}
    else:
        codes = {one.person for one in members if one.person}
    if len(codes) > 1:
        raise RecordingError(
            f"{name} would be of {' and '.join(sorted(codes))}: files of one session are of one "
            "person; correct --session or --person"
        )
    if codes:
        return codes.pop(), []
    return name, ["does not say whose it is: its name stands for its person (--person)"]
