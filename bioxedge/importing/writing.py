"""Sessions written to disk: each whole or not at all; one that stands already is left."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge import marks, recording
from bioxedge.atomic import put_in_place, write_file
from bioxedge.errors import RecordingError
from bioxedge.importing.finding import IMPORTED
from bioxedge.importing.planning import LABELS, Plan, Planned
from bioxedge.readers import Stream
from bioxedge.signals import Recording, Samples

FORMAT = 1
_UNFINISHED = ".unfinished"  # a folder deeper than sessions are looked for
_BLOCK = 1 << 20

Missing = dict[str, dict[str, float]]
"""Share of the samples that are missing, by session and stream."""


@dataclass
class Outcome:
    """What became of a plan's sessions, also where it ended early.

    Attributes
    ----------
    written, there : list of Path
        Sessions that were written, and those that stood there already, of the same files.
    missing : dict of str to dict of str to float
        Share of the samples that are missing, by session and stream.
    """

    written: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    missing: Missing = field(default_factory=dict)


def missing(plan: Plan, report: Callable[[int, int], None] = lambda done, total: None) -> Missing:
    """Read all samples, and say which share of each stream is missing.

    Raises
    ------
    RecordingError
        A file that cannot be read.
    """
    found: Missing = {}
    for number, one in enumerate(plan.sessions):
        report(number, len(plan.sessions))
        found[one.name] = {name: _share(_samples(stream)) for name, stream in one.streams.items()}
    report(len(plan.sessions), len(plan.sessions))
    return found


def write(
    plan: Plan,
    out: Path,
    outcome: Outcome | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Write all sessions of a plan.

    Parameters
    ----------
    plan : Plan
    out : Path
        Gets a folder for each session; made if need be.
    outcome : Outcome, optional
        Filled as sessions are done, for a caller that is interrupted.
    report : callable, optional
        Told how many of how many sessions are done.

    Raises
    ------
    RecordingError
        A file that cannot be read, a folder that holds something else, or a disk that does not
        take it; sessions that were finished stay.
    """
    outcome = outcome or Outcome()
    for number, one in enumerate(plan.sessions):
        report(number, len(plan.sessions))
        folder = out / one.name
        sources = _sources(one)
        key = _key(one, sources)
        about = _about(folder)
        if about is not None and about["key"] == key and _whole(folder, about):
            outcome.there.append(folder)
            outcome.missing[one.name] = about["missing"]
            continue
        _hold_free(folder, about, sources)
        try:
            outcome.missing[one.name] = _put(one, out, key, sources)
        except OSError as error:
            raise RecordingError(
                f"{folder} cannot be written: {error.strerror or error}; what was finished stays "
                f"({len(outcome.written)} of {len(plan.sessions)} sessions), the same command goes "
                "on from there"
            ) from error
        outcome.written.append(folder)
    report(len(plan.sessions), len(plan.sessions))
    return outcome


def _put(one: Planned, out: Path, key: str, sources: dict[str, str]) -> dict[str, float]:
    """Write one session apart, and move it to its place when it is whole."""
    apart = out / _UNFINISHED
    partial = apart / one.name
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        shares = {
            name: _stream(one, stream, partial / name) for name, stream in one.streams.items()
        }
        if one.marks:
            marks.save(one.marks, partial)
        if one.labels is not None:
            recording.save(one.labels, partial / LABELS)
        about = {
            "format": FORMAT,
            "key": key,
            "files": sources,
            "kinds": one.kinds,
            "remarks": one.remarks,
            "missing": shares,
            "wrote": _wrote(partial),
        }
        write_file(partial / IMPORTED, json.dumps(about, indent=1).encode() + b"\n")
        put_in_place(partial.absolute(), (out / one.name).absolute())
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if apart.is_dir() and not any(apart.iterdir()):
            apart.rmdir()
    return shares


def _stream(one: Planned, stream: Stream, folder: Path) -> float:
    """Write one stream; gives the share that is missing."""
    samples = _samples(stream)
    recording.save(
        Recording(
            samples=samples,
            rate=stream.rate,
            channels=stream.channels,
            modality=stream.modality,
            person=one.person,
            t0=stream.t0,
            facts=stream.facts | ({} if stream.dated else {"dated": False}),
        ),
        folder,
    )
    return _share(samples)


def _samples(stream: Stream) -> Samples:
    """Read a stream."""
    try:
        return stream.read()
    except OSError as error:
        raise RecordingError(
            f"{error.filename or stream.name} cannot be read: {error.strerror or error}"
        ) from error


def _share(samples: Samples) -> float:
    """Give the share that is missing."""
    return 1.0 - float(np.isfinite(samples).sum()) / max(1, samples.size)


def _sources(one: Planned) -> dict[str, str]:
    """Hash the files that a session is made of, by their places."""
    found = {}
    for file in dict.fromkeys(one.files):
        digest = hashlib.sha256()
        try:
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise RecordingError(f"{file} cannot be read: {error.strerror or error}") from error
        found[str(file.absolute())] = digest.hexdigest()
    return found


def _key(one: Planned, sources: dict[str, str]) -> str:
    """Hash what a session is made of: its files, and what was told."""
    told: list[Any] = [
        FORMAT,
        list(sources.values()),
        one.person,
        {
            name: [stream.rate, stream.modality, stream.t0]
            + [[channel.name, channel.unit] for channel in stream.channels]
            for name, stream in one.streams.items()
        },
        [[mark.start, mark.text, mark.seconds, *mark.of] for mark in one.marks],
    ]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    if one.labels is not None:
        digest.update(one.labels.samples.tobytes())
        names = [[channel.name, channel.unit] for channel in one.labels.channels]
        digest.update(json.dumps([names, one.labels.facts], sort_keys=True).encode())
    return digest.hexdigest()


def _about(folder: Path) -> dict[str, Any] | None:
    """Read what was said when a session was imported; None where none was."""
    try:
        about = json.loads((folder / IMPORTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fields = {"format": int, "key": str, "files": dict, "missing": dict, "wrote": dict}
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        return None
    sound = all(isinstance(about.get(name), kind) for name, kind in fields.items())
    return about if sound else None


def _wrote(folder: Path) -> dict[str, str]:
    """Hash what a session's folder holds, by name; a recording names its samples' own hash."""
    found = {}
    for path in sorted(folder.iterdir()):
        said = path / "recording.json" if path.is_dir() else path
        if path.name != IMPORTED:
            raw = said.read_bytes() if said.is_file() else b""
            found[path.name] = hashlib.sha256(raw).hexdigest()
    return found


def _whole(folder: Path, about: dict[str, Any]) -> bool:
    """Whether all that was written is there still, samples included."""
    now = _wrote(folder)
    if any(now.get(name) != hashed for name, hashed in about["wrote"].items()):
        return False
    saved = [folder / name for name in about["wrote"] if recording.saved(folder / name)]
    try:
        return all(file.is_file() for each in saved for file in recording.outline(each).files)
    except RecordingError:
        return False


def _hold_free(folder: Path, about: dict[str, Any] | None, sources: dict[str, str]) -> None:
    """Refuse a folder that holds what this import cannot make again."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if about is None:
        raise RecordingError(
            f"{folder} is there and was not imported: name another --out, or move it away"
        )
    same = set(about["files"]) & set(sources)
    if not same and not set(about["files"].values()) & set(sources.values()):
        before = next(iter(about["files"]), "other files")
        raise RecordingError(
            f"{folder} holds another recording, of {before}: name another --out, or tell them "
            "apart with --session"
        )
    now = _wrote(folder)
    own = [name for name, hashed in now.items() if about["wrote"].get(name) != hashed]
    if own:
        raise RecordingError(
            f"{folder} holds {', '.join(own)}, added or changed since it was imported: move it "
            "away, or name another --out"
        )
