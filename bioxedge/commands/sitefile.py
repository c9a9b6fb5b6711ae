"""A site in TOML: which sources there are, and what runs on them (docs/site.md)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from bioxedge.errors import BioxedgeError, SinkError, SourceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LARGEST = 1 << 20  # bytes of a file that people write


class SiteError(BioxedgeError):
    """A site's file that cannot be followed."""


class SourceTable(msgspec.Struct, forbid_unknown_fields=True):
    """``[sources.NAME]``: a source as ``--source`` takes it, and its options."""

    source: str
    preset: str | None = None
    command: str | None = None
    board: str | None = None
    speed: str | float | None = None
    reconnect: bool | None = None
    params: dict[str, str] = {}
    scale: dict[str, float] = {}
    faults: str | None = None
    record: str | None = None
    person: str = ""

    def given(self) -> dict[str, str]:
        """Give what stands beside the source's own word, as it would stand behind it."""
        said = {"preset": self.preset, "command": self.command, "board": self.board}
        given = {key: value for key, value in said.items() if value is not None}
        if self.speed is not None:
            given["speed"] = str(self.speed)
        if self.reconnect is not None:
            given["reconnect"] = "yes" if self.reconnect else "no"
        return {**given, **self.params}


class RunTable(msgspec.Struct, forbid_unknown_fields=True):
    """``[runs.NAME]``: a bundle on a source, or on each of several."""

    bundle: str
    source: str | list[str]
    sinks: tuple[str, ...] = ("terminal",)
    rotate: str | None = None
    client_id: str | None = None
    late: Literal["all", "latest"] | None = None
    seconds: float | None = None
    quality: dict[str, float | str | list[str]] = {}
    accept_sensor: str | None = None
    variant: str | None = None
    threads: int | None = None
    provider: str | None = None
    wearer: str | None = None


class PageTable(msgspec.Struct, forbid_unknown_fields=True):
    """``[page]``: one for all runs."""

    port: int = 8765
    host: str = "127.0.0.1"
    token: str | None = None


class SiteFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    sources: dict[str, SourceTable]
    runs: dict[str, RunTable]
    page: PageTable | None = None

    def expanded(self) -> Iterator[tuple[str, str, RunTable]]:
        """Give each run's name, its source's and its table: one for each source of a run."""
        for name, table in self.runs.items():
            if isinstance(table.source, str):
                yield name, table.source, table
            else:
                for source in table.source:
                    yield f"{name}-{source}", source, table


def read(path: Path) -> SiteFile:
    """Read a site's file, strictly.

    Raises
    ------
    SiteError
        It cannot be read, is no TOML, has a key that there is not, or does not fit together.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SiteError(f"{path}: {error.strerror or error}") from error
    if len(raw) > _LARGEST:
        raise SiteError(f"{path} has {len(raw)} bytes: a site's file is smaller than {_LARGEST}")
    try:
        plain = msgspec.toml.decode(raw)
        _known(plain, path)
        site = msgspec.convert(plain, SiteFile)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, SiteError):
            raise
        raise SiteError(f"{path}: {' '.join(str(error).split())}") from error
    _together(site, path)
    return site


def _known(plain: Any, path: Path) -> None:
    """Refuse keys that there are not, with the nearest that there are."""
    tables: list[tuple[str, Any, type[msgspec.Struct]]] = [("", plain, SiteFile)]
    kinds: dict[str, type[msgspec.Struct]] = {"sources": SourceTable, "runs": RunTable}
    for kind, of_kind in kinds.items():
        part = plain.get(kind, {})
        if isinstance(part, dict):
            tables += [(f"{kind}.{name}.", one, of_kind) for name, one in part.items()]
    tables.append(("page.", plain.get("page", {}), PageTable))
    for where, table, struct in tables:
        names = [one.name for one in msgspec.structs.fields(struct)]
        for key in table if isinstance(table, dict) else ():
            if key not in names:
                near = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
                hint = (
                    f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(names)}"
                )
                raise SiteError(f"{path}: there is no {where}{key}: {hint}")


def _together(site: SiteFile, path: Path) -> None:
    """Hold names and references to each other."""
    if not site.runs:
        raise SiteError(f"{path} has no run: write [runs.NAME]")
    for kind, names in (("source", site.sources), ("run", site.runs)):
        for name in names:
            if not _NAME.fullmatch(name):
                raise SiteError(
                    f"{path}: {name!r} is no name for a {kind}: letters, digits, - and _"
                )
    seen: set[str] = set()
    for name, source, _ in site.expanded():
        if source not in site.sources:
            there = ", ".join(site.sources) or "none"
            raise SiteError(f"{path}: runs.{name} is on {source!r}: the sources are {there}")
        if name in seen:
            raise SiteError(f"{path}: there are two runs called {name}: rename one")
        seen.add(name)
    idle = set(site.sources) - {source for _, source, _ in site.expanded()}
    if idle:
        raise SiteError(f"{path}: nothing runs on {', '.join(sorted(idle))}: leave it out")


_PLACES = {"replay", "playback"}
_FILES = {"tls", "cert", "key", "credentials", "spool", "ca"}


def place_source(text: str, folder: Path) -> str:
    """Let a recording's path count from the site's file."""
    kind, colon, rest = text.partition(":")
    if kind in _PLACES and colon and rest and not Path(rest).is_absolute():
        return f"{kind}:{folder / rest}"
    return text


def place_sink(text: str, folder: Path, run: str) -> str:
    """Put a run's name in, and let a sink's files count from the site's file.

    Raises
    ------
    SinkError
        See :class:`~bioxedge.spelled.Spelled`.
    """
    from bioxedge.spelled import Spelled

    text = text.replace("{run}", run)
    spelled = Spelled.parse(text, "sink")
    what = spelled.what
    if spelled.kind == "jsonl":
        if what in ("", "-"):
            raise SinkError(f"jsonl of run {run} has no file: write jsonl:PATH, here with --json")
        what = str(folder / what)
    parts = [f"{spelled.kind}:{what}" if what else spelled.kind]
    for key, value in spelled.options.items():
        placed = key in _FILES and value != "system"
        parts.append(f"{key}={folder / value if placed else value}")
    return ",".join(parts)


def require_rate(site_rate: float, other: float, source: str) -> None:
    """Refuse two bundles of different rates on one source.

    Raises
    ------
    SourceError
        Names both.
    """
    if site_rate != other:
        raise SourceError(
            f"source {source}: one of its bundles takes {site_rate:g} Hz, another {other:g} Hz: "
            "give them a source each"
        )
