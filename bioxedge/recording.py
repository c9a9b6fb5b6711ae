"""A recording as a folder on disk: ``recording.json`` and the samples that it names.

The same bytes come out that went in: samples are stored as the float64 they are, in NumPy's
own format, never pickled. ``recording.json`` says what they are and can be read with ``cat``.

A folder is replaced in one step: the samples are written under a name that is made of their own
hash, then ``recording.json``, which names them and holds that hash, takes the place of the old
one, then what nothing names any more is removed. A kill at any moment, or a power cut, leaves
the old recording or the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bioxedge import recorded
from bioxedge.errors import RecordingError
from bioxedge.signals import Channel, Recording

FORMAT = 2
"""What is written; format 1, whose samples are ``samples.npy`` without a hash, is read, too."""

_KEYS = {"format", "modality", "person", "rate", "t0", "channels", "facts"}
_ABOUT = "recording.json"
_BLOCK = 1 << 20
# Ours in a folder, and nobody else's: what is left of an earlier recording, or of a killed save.
_SAMPLES = re.compile(r"samples(-[0-9a-f]{16})?\.npy\Z")
_LEFT = re.compile(r"(samples-[0-9a-f]{16}\.npy|samples\.npy|recording\.json)\.partial\Z")


def save(recording: Recording, folder: str | Path) -> Path:
    """Write a recording to a folder, which is made if need be.

    Parameters
    ----------
    recording : Recording
    folder : path
        Where to; files of an earlier recording there are replaced, others stay.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    RecordingError
        A clock or facts that JSON cannot hold; nothing is written.
    """
    folder = Path(folder)
    head = _head(recording.samples)
    sha256 = hashlib.sha256(head)
    sha256.update(recording.samples.data)
    name = f"samples-{sha256.hexdigest()[:16]}.npy"
    about = {
        "format": FORMAT,
        "modality": recording.modality,
        "person": recording.person,
        "rate": recording.rate,
        "t0": recording.t0,
        "channels": [{"name": c.name, "unit": c.unit} for c in recording.channels],
        "facts": recording.facts,
        "samples": {"file": name, "sha256": sha256.hexdigest()},
    }
    try:
        text = json.dumps(about, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{recording.person}'s recording cannot be saved: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / name, head, recording.samples.data)
    _put(folder / _ABOUT, text.encode())
    for path in folder.iterdir():
        old = _SAMPLES.match(path.name) and path.name != name
        if (old or _LEFT.match(path.name)) and path.is_file():
            path.unlink()
    return folder


@dataclass(frozen=True)
class Outline:
    """What a recording is, without its samples.

    Attributes
    ----------
    channels : tuple of Channel
    rate : float
        In Hz.
    modality, person : str
    files : tuple of Path
        All that loading it reads.
    seconds : float or None
        How long it is; None where only loading it tells.
    """

    channels: tuple[Channel, ...]
    rate: float
    modality: str
    person: str
    files: tuple[Path, ...]
    seconds: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The channels' names, in order."""
        return tuple(channel.name for channel in self.channels)


def outline(folder: str | Path) -> Outline:
    """Say what a recording is; parameters and errors as for :func:`load`."""
    folder = Path(folder)
    if not saved(folder):
        inside = list(recorded.streams(folder).values())
        if len(inside) == 1:
            stream = recorded.About.read(inside[0])
            files = tuple(sorted(path for path in inside[0].iterdir() if path.is_file()))
            return Outline(stream.channels, stream.rate, stream.modality, stream.person, files)
    about = _about(folder)
    with _understood(folder):
        path = _named(folder, about)
        with path.open("rb") as file:
            shape, _, _ = _read_head(file)
        rate = float(about["rate"])
        return Outline(
            tuple(Channel(str(c["name"]), str(c["unit"])) for c in about["channels"]),
            rate,
            str(about["modality"]),
            str(about["person"]),
            (folder / _ABOUT, path),
            shape[1] / rate,
        )


def load(folder: str | Path) -> Recording:
    """Read a recording from its folder: a saved one, or one that a device wrote as it came.

    Parameters
    ----------
    folder : path
        What :func:`save` wrote, or a stream's folder of ``bioxedge record`` or ``run --record``;
        the folder of a whole session where there is one stream in it.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        No recording there, or one that cannot be read, or samples that are not the ones that
        were written.
    """
    folder = Path(folder)
    if not saved(folder):
        inside = list(recorded.streams(folder).values())
        if len(inside) == 1:
            return recorded.load(inside[0])
        if inside:
            return recorded.load(folder)  # says which there are
    about = _about(folder)
    with _understood(folder):
        return Recording(
            samples=_read_array(_samples(folder, about)),
            rate=float(about["rate"]),
            channels=tuple(Channel(str(c["name"]), str(c["unit"])) for c in about["channels"]),
            modality=str(about["modality"]),
            person=str(about["person"]),
            t0=float(about["t0"]),
            facts=dict(about["facts"]),
        )


@contextmanager
def _understood(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with damaged bytes into one line."""
    try:
        yield
    except RecordingError:
        raise
    except FileNotFoundError as error:
        raise RecordingError(
            f"{folder} holds no recording ({Path(error.filename).name} is missing)"
        ) from error
    except Exception as error:  # json and NumPy fail in a dozen ways on damaged bytes
        raise RecordingError(f"{folder} cannot be read as a recording: {error}") from error


def _about(folder: Path) -> dict[str, Any]:
    """Read what a saved recording says of itself."""
    with _understood(folder):
        about: Any = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        number = about.get("format") if isinstance(about, dict) else None
        if type(number) is not int or not 1 <= number <= FORMAT:
            raise RecordingError(
                f"{folder}/{_ABOUT} is of format {number!r}, this bioxedge reads 1 to {FORMAT}"
            )
        keys = _KEYS if number == 1 else _KEYS | {"samples"}
        if set(about) != keys:
            odd = ", ".join(sorted(set(about) ^ keys))
            raise RecordingError(f"{folder}/{_ABOUT} has missing or unknown keys: {odd}")
        found: dict[str, Any] = about
        return found


def saved(folder: str | Path) -> bool:
    """Tell whether a folder holds what :func:`save` wrote."""
    return (Path(folder) / _ABOUT).exists()


def _named(folder: Path, about: dict[str, Any]) -> Path:
    """Find the file of samples."""
    if about["format"] == 1:
        return folder / "samples.npy"
    name = str(about["samples"]["file"])
    if not _SAMPLES.match(name):
        raise RecordingError(f"{folder}/{_ABOUT} names {name!r}, which is no file of samples")
    return folder / name


def _samples(folder: Path, about: dict[str, Any]) -> Path:
    """Find the file of samples; of format 2, hold it against its hash before it is parsed."""
    path = _named(folder, about)
    if about["format"] == 1:
        return path
    wanted = about["samples"]["sha256"]
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
    if sha256.hexdigest() != wanted:
        raise RecordingError(
            f"{path} does not match its sha256: it was changed or damaged; record or import it "
            "again"
        )
    return path


def _read_array(path: Path) -> npt.NDArray[np.float64]:
    """Read one float64 array, and nothing that would only turn into one."""
    with path.open("rb") as file:
        samples: npt.NDArray[np.float64] = np.lib.format.read_array(file, allow_pickle=False)
    if samples.dtype != np.float64:
        raise RecordingError(f"{path} holds {samples.dtype}, not float64")
    return samples


def _read_head(file: BinaryIO) -> tuple[tuple[int, int], bool, np.dtype[Any]]:
    """Read what stands before the values: shape [channels, n], order and type."""
    version = np.lib.format.read_magic(file)
    reading = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, order, kind = reading(file)
    if len(shape) != 2:
        raise RecordingError(f"its samples are {list(shape)}, not [channels, n]")
    return (shape[0], shape[1]), order, kind


def _head(samples: npt.NDArray[np.float64]) -> bytes:
    """Give what stands before the values in NumPy's format."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(samples))
    return head.getvalue()


def _put(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file so that a crash, also of the machine, leaves the old one or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    # What the folder says is on the disk before the next step relies on it.
    there = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(there)
    finally:
        os.close(there)
