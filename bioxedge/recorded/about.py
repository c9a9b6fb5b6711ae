"""What a recorded stream is: ``stream.json``, beside the parts that hold the reads."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bioxedge import atomic
from bioxedge.errors import RecordingError
from bioxedge.signals import Channel

FORMAT = 1
"""What is written and read."""
STREAM = "stream.json"
PART = re.compile(r"part-(\d{6})\.log\Z")
_KIND = "bioxedge stream"
_MOST = 1 << 20  # bytes of a stream.json that somebody may have us read
# What has to be the same where a recording goes on; the source's name may tell a port or a seed.
_SAME = ("channels", "rate", "modality", "person", "sensor")


@dataclass(frozen=True)
class About:
    """What was recorded, and from what.

    Attributes
    ----------
    channels : tuple of Channel
        The rows of every chunk, in order; a unit is ``a.u.`` where the source states none.
    rate : float
        Nominal rate in Hz.
    modality, person : str
        Empty where nobody said.
    sensor : str or None
        Board and preset as BrainFlow names them.
    source : str
        The source's name, for people.
    units_known : bool
        Whether the source stated its units.
    bioxedge : str
        The version that wrote it.
    unix : float
        Unix time at which the recording began.
    monotonic_ns : int
        The monotonic clock at the same moment.
    """

    channels: tuple[Channel, ...]
    rate: float
    modality: str = ""
    person: str = ""
    sensor: str | None = None
    source: str = ""
    units_known: bool = True
    bioxedge: str = ""
    unix: float = 0.0
    monotonic_ns: int = 0

    def write(self, folder: Path) -> None:
        """Write it into its folder, so that a crash leaves all of it or nothing."""
        path = folder / STREAM
        text = json.dumps({"kind": _KIND, "format": FORMAT, **asdict(self)}, indent=2) + "\n"
        partial = path.with_name(f".{STREAM}.partial")
        with open_private(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
            write_all(fd, text.encode())
            os.fsync(fd)
        partial.replace(path)
        atomic.sync(folder)

    @classmethod
    def read(cls, folder: Path) -> About:
        """Read it from a stream's folder.

        Raises
        ------
        RecordingError
            No stream there, one of another format, or damage.
        """
        path = folder / STREAM
        try:
            with path.open("rb") as file:
                said: Any = json.loads(file.read(_MOST))
        except FileNotFoundError as error:
            raise RecordingError(_nothing(folder)) from error
        except (OSError, ValueError, RecursionError) as error:
            raise RecordingError(f"{path} cannot be read: {error}") from error
        if not isinstance(said, dict) or said.pop("kind", None) != _KIND:
            raise RecordingError(f"{path} is not of a bioxedge recording: name another folder")
        number = said.pop("format", None)
        if number != FORMAT or type(number) is not int:
            newer = type(number) is int and number > FORMAT
            cure = "update bioxedge" if newer else "record it again"
            raise RecordingError(
                f"{path} is of format {number!r}, this bioxedge reads {FORMAT}: {cure}"
            )
        odd = sorted(set(said) ^ {one.name for one in fields(cls)})
        if odd:
            raise RecordingError(f"{path} has missing or unknown keys: {', '.join(odd)}")
        try:
            return cls._checked(said)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise RecordingError(f"{path} is damaged: {error}") from error

    @classmethod
    def _checked(cls, said: dict[str, Any]) -> About:
        """Take what was read for what it should be."""
        channels = tuple(Channel(str(one["name"]), str(one["unit"])) for one in said["channels"])
        rate = float(said["rate"])
        names = {channel.name for channel in channels}
        if not channels or len(names) != len(channels) or not 0 < rate < math.inf:
            raise ValueError("its channels or its rate make no sense")
        return cls(
            channels,
            rate,
            str(said["modality"]),
            str(said["person"]),
            None if said["sensor"] is None else str(said["sensor"]),
            str(said["source"]),
            bool(said["units_known"]),
            str(said["bioxedge"]),
            float(said["unix"]),
            int(said["monotonic_ns"]),
        )

    def require_same(self, other: About, folder: Path) -> None:
        """Refuse to go on with a recording of something else.

        Raises
        ------
        RecordingError
            Names what differs.
        """
        for name in _SAME:
            there, here = getattr(self, name), getattr(other, name)
            if there != here:
                raise RecordingError(
                    f"{folder} holds a recording whose {name} is {_said(there)}, not "
                    f"{_said(here)}: record into another folder"
                )


def parts(folder: Path) -> list[Path]:
    """Give the parts that are there, in order."""
    return sorted(path for path in folder.iterdir() if PART.match(path.name))


def streams(folder: str | Path) -> dict[str, Path]:
    """Find the recorded streams of a folder: itself, or those in it, by name.

    Returns
    -------
    dict of str to Path
        Empty where there is none; its one key is ``""`` where the folder is a stream itself.
    """
    folder = Path(folder)
    if (folder / STREAM).is_file():
        return {"": folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{STREAM}"))}


@contextlib.contextmanager
def open_private(path: Path, how: int) -> Iterator[int]:
    """Open a file that only its owner may read; gives the descriptor."""
    fd = os.open(path, how | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def write_all(fd: int, raw: bytes | memoryview) -> None:
    """Write all of it."""
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]


def _nothing(folder: Path) -> str:
    """Say that there is no stream, and which there are further down."""
    inside = streams(folder) if folder.is_dir() else {}
    if inside:
        return (
            f"{folder} holds the streams {', '.join(inside)}: name one, as {folder}/{min(inside)}"
        )
    return f"{folder} holds no recording ({STREAM} is missing)"


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{one.name} in {one.unit}" for one in value)
    return f"{value:g}" if isinstance(value, float) else repr(value)
