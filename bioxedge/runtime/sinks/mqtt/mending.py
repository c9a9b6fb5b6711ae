"""What another run left in a spool: all that can be read is kept, what is damaged put aside."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from bioxedge.runtime.sinks.mqtt import segment
from bioxedge.runtime.sinks.mqtt.mark import Mark
from bioxedge.runtime.sinks.mqtt.segment import Record


@dataclass
class Stock:
    """What is there.

    Attributes
    ----------
    segments : list of (path, first number, number behind the last, bytes)
        In order.
    said : list of str
        One line for each file that was damaged.
    """

    segments: list[tuple[Path, int, int, int]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def stock(folder: Path, mark: Mark, size: int) -> Stock:
    """Read a spool's files, mend them, and say what was wrong.

    Parameters
    ----------
    folder : path
    mark : Mark
    size : int
        Bytes that files which were put aside may take, all together; the oldest go first.

    Raises
    ------
    OSError
        They cannot be read, or what is mended cannot be written.
    """
    found = Stock()
    if mark.damaged:
        aside = _aside(folder, "mark")
        _write(aside, mark.damaged)
        found.said.append(
            f"the spool's mark was damaged: every message that is kept is sent again; it is "
            f"{aside} now"
        )
    for path in sorted(folder.glob("*.mended")):  # a mending that was killed half way
        whole = path.with_suffix(".spool")
        if whole.exists():
            path.unlink()
        else:
            path.rename(whole)
    end = 0
    for path in sorted(folder.glob("*.spool")):
        raw = path.read_bytes()
        good = segment.whole(raw)
        # A number that was read before is a copy; one that is behind is no place in this order.
        records, last = [], end - 1
        for _, one in segment.scan(raw):
            if one.number > last:
                records.append(one)
                last = one.number
        if good < len(raw):
            found.said.append(_mend(path, raw, good, records))
            raw = path.read_bytes() if records else b""
        if records:
            found.segments.append((path, records[0].number, last + 1, len(raw)))
            end = last + 1
        elif path.exists():
            path.unlink()  # begun, and nothing written to it
    _bound(folder, size, found)
    return found


def _mend(path: Path, raw: bytes, good: int, records: list[Record]) -> str:
    """Put a damaged file aside and what can be read of it in its place; say so in one line."""
    aside = _aside(path.parent, path.stem)
    kept = path.with_suffix(".mended")
    if records:
        _write(kept, segment.HEADER + b"".join(map(segment.pack, records)))
    path.rename(aside)
    if records:
        kept.rename(path)
    lost = len(raw) - len(segment.HEADER) - sum(len(segment.pack(one)) for one in records)
    what = f"{max(lost, 0)} bytes could not be read"
    head = raw[: len(segment.HEADER)]
    if good == 0 and head[:15] == segment.HEADER[:15] and head[15:] != segment.HEADER[15:]:
        what = f"it says that it is of version {head[15:].strip().decode('ascii', 'replace')!r}"
    return (
        f"a file of the spool was damaged: {len(records)} messages kept, {what}; it is {aside} now"
    )


def _aside(folder: Path, stem: str) -> Path:
    """Give a free name for a damaged file."""
    number = 0
    while True:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = folder / f"damaged-{moment}-{stem}{f'-{number}' if number else ''}"
        if not path.exists():
            return path
        number += 1


def _write(path: Path, raw: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _bound(folder: Path, size: int, found: Stock) -> None:
    """Let files that were put aside fill no disk."""
    aside = sorted(folder.glob("damaged-*"))
    sizes = [path.stat().st_size for path in aside]
    while len(aside) > 1 and sum(sizes) > size:
        found.said.append(f"{aside[0]} was removed: files put aside may take {size} bytes")
        aside.pop(0).unlink()
        sizes.pop(0)
