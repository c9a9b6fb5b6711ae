"""Sessions written to disk: each whole or not at all; one that stands already is left."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bioxedge import marks, recording
from bioxedge.errors import RecordingError
from bioxedge.importing.planning import Plan, Planned
from bioxedge.signals import Recording

ABOUT = "import.json"
FORMAT = 1
_LABELS = "labels"


def write(
    plan: Plan, out: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[Path], list[Path]]:
    """Write all sessions of a plan.

    Parameters
    ----------
    plan : Plan
    out : Path
        Gets a folder for each session; made if need be.
    report : callable, optional
        Told how many of how many sessions are done.

    Returns
    -------
    list of Path
        What was written.
    list of Path
        What stood there already, of the same files.

    Raises
    ------
    RecordingError
        A file that cannot be read, a folder that holds something else, or a disk that does not
        take it; sessions that were finished stay.
    """
    written, there = [], []
    for number, one in enumerate(plan.sessions):
        report(number, len(plan.sessions))
        folder = out / one.name
        key = _key(one)
        if _stands(folder, key):
            there.append(folder)
            continue
        if folder.exists() and not (folder / ABOUT).is_file():
            raise RecordingError(
                f"{folder} is there and was not imported: name another --out, or move it away"
            )
        try:
            _put(one, folder, key)
        except OSError as error:
            raise RecordingError(
                f"{folder} cannot be written: {error.strerror or error}; sessions that were "
                "finished stay"
            ) from error
        written.append(folder)
    report(len(plan.sessions), len(plan.sessions))
    return written, there


def _put(one: Planned, folder: Path, key: str) -> None:
    """Write one session beside its place, and move it there when it is whole."""
    partial = folder.with_name(f".partial-{folder.name}")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        for name, stream in one.streams.items():
            samples = stream.read()
            recording.save(
                Recording(
                    samples, stream.rate, stream.channels, stream.modality, one.person, stream.t0,
                    stream.facts,
                ),
                partial / name,
            )  # fmt: skip
            del samples
        if one.marks:
            marks.save(one.marks, partial)
        if one.labels is not None:
            recording.save(one.labels, partial / _LABELS)
        about = {
            "format": FORMAT,
            "key": key,
            "files": [str(file) for file in one.files],
            "kinds": one.kinds,
            "remarks": one.remarks,
        }
        (partial / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def _key(one: Planned) -> str:
    """Hash what a session is made of: its files, and what was told."""
    digest = hashlib.sha256()
    for file in one.files:
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    told: list[Any] = [
        FORMAT,
        one.person,
        {
            name: [stream.rate, stream.modality, [vars(channel) for channel in stream.channels]]
            for name, stream in one.streams.items()
        },
        [[mark.start, mark.text, mark.seconds] for mark in one.marks],
    ]
    digest.update(json.dumps(told, sort_keys=True).encode())
    if one.labels is not None:
        digest.update(one.labels.samples.tobytes())
        digest.update(json.dumps(one.labels.facts, sort_keys=True).encode())
    return digest.hexdigest()


def _stands(folder: Path, key: str) -> bool:
    """Whether a session was written before, of the same files."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("key") == key
