"""The pieces that a WFDB record is made of: itself, or its segments with what lies between.

PhysioNet's own library reads headers and samples; where a segment lies, which of its columns is
which signal and how much of its file is there is told here, so that no more than the result and a
stretch of one segment is in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from bioxedge import units
from bioxedge.errors import MissingExtraError, RecordingError, SignalError
from bioxedge.signals import Samples

_T = TypeVar("_T")
# Bytes of a sample, by format: https://physionet.org/physiotools/wag/signal-5.htm
_BYTES = {
    "8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "212": 1.5, "24": 3.0, "32": 4.0,
    "310": 4 / 3, "311": 4 / 3,
}  # fmt: skip
_PACKED = ("508", "516", "524")  # FLAC: their size does not tell their length
_STRETCH = 1 << 18  # frames that are read at once
_EMPTIEST = 50  # a record that is this many times as long as what was recorded in it is two


@dataclass(frozen=True)
class Signal:
    """One signal of a whole record: its name, the unit it is given in, samples in a frame."""

    name: str
    unit: str
    frame: int


@dataclass(frozen=True)
class Piece:
    """A stretch of a record that one header describes.

    Parameters
    ----------
    record : Path
        Its header, without the ending.
    start, frames : int
        Where it lies in the whole, and how long it is, in frames.
    columns : tuple of (int or None)
        For each signal of the whole, which column it is here.
    factors : tuple of float
        What each signal's values are multiplied by to be in its unit.
    whole : bool
        Whether it has to be read at once: its samples are differences, or its signals skewed.
    files : tuple of Path
    """

    record: Path
    start: int
    frames: int
    columns: tuple[int | None, ...]
    factors: tuple[float, ...]
    whole: bool
    files: tuple[Path, ...]


def library() -> ModuleType:
    """Import PhysioNet's library."""
    try:
        with warnings.catch_warnings():  # of what it uses, which a user can do nothing about
            warnings.simplefilter("ignore")
            import wfdb
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "wfdb", "data") from error
    found: ModuleType = wfdb
    return found


def told(path: Path, work: Callable[[], _T]) -> _T:
    """Turn whatever the library raises over a damaged record into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    except RecordingError:
        raise
    except MemoryError as error:
        raise RecordingError(f"{path} says it is larger than memory: it is damaged") from error
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RecordingError(f"{path} cannot be read as WFDB: {said}") from error


def pieces_of(
    wfdb: ModuleType, path: Path, header: Any, remarks: list[str]
) -> tuple[list[Signal], list[Piece], int]:
    """Take a record apart.

    Parameters
    ----------
    wfdb : module
    path : Path
        The header's file.
    header : wfdb.Record or wfdb.MultiRecord
    remarks : list of str
        What is missing is added.

    Returns
    -------
    signals : list of Signal
    pieces : list of Piece
        Those of which there is something.
    frames : int
        Length of the whole.

    Raises
    ------
    RecordingError
        Headers that contradict each other, or nothing that could be read.
    """
    names = list(getattr(header, "seg_name", None) or [])
    if not names:
        length, signals = header.sig_len or None, _signals([header])
        frames = _there(path, header, length, remarks)
        piece = _piece(path.with_suffix(""), 0, frames, header, signals)
        return signals, [piece], frames
    lengths = [int(length or 0) for length in header.seg_len]
    headers: list[Any] = []
    for name in names:
        headers.append(_segment(wfdb, path, name, remarks) if name != "~" else None)
    signals = _signals([one for one in headers if one is not None])
    pieces, start = [], 0
    for name, length, one in zip(names, lengths, headers, strict=True):
        if one is not None and length > 0:
            own = path.parent / f"{name}.hea"
            frames = _there(own, one, length, remarks)
            pieces.append(_piece(path.parent / name, start, frames, one, signals))
        start += max(length, 0)
    recorded = sum(piece.frames for piece in pieces)
    if not recorded:
        raise RecordingError(f"{path}: none of its {len(names)} segments holds a sample")
    if start > 86400 * float(header.fs) and start > _EMPTIEST * recorded:
        raise RecordingError(
            f"{path} holds {recorded / header.fs / 60:.0f} minutes within "
            f"{start / header.fs / 86400:.1f} days: it is damaged, or several records"
        )
    if header.sig_len and int(header.sig_len) != start:
        remarks.append(f"says it is {header.sig_len} frames long, its segments are {start}")
    return signals, pieces, start


def read_pieces(
    wfdb: ModuleType, pieces: Sequence[Piece], wanted: Sequence[int], frame: int, frames: int
) -> Samples:
    """Read some signals that have as many samples in a frame.

    Returns
    -------
    ndarray of float64, shape [signals, frames x frame]
        NaN where nothing was recorded.
    """
    found: Samples = np.full((len(wanted), frames * frame), np.nan)
    for piece in pieces:
        rows = [row for row, number in enumerate(wanted) if piece.columns[number] is not None]
        if not rows or not piece.frames:
            continue
        columns = [piece.columns[wanted[row]] for row in rows]
        step = piece.frames if piece.whole else _STRETCH
        for first in range(0, piece.frames, step):
            last = min(first + step, piece.frames)
            part = told(piece.record, lambda: _read(wfdb, piece, first, last, columns))  # noqa: B023
            for row, values in zip(rows, part, strict=True):
                into = slice((piece.start + first) * frame, (piece.start + last) * frame)
                factor = piece.factors[wanted[row]]
                found[row, into] = values if factor == 1 else values * factor
    return found


def _read(wfdb: ModuleType, piece: Piece, first: int, last: int, columns: list[Any]) -> list[Any]:
    """Read a stretch of one piece, physical values by signal."""
    read = wfdb.rdrecord(
        str(piece.record), sampfrom=first, sampto=last, channels=columns, smooth_frames=False
    )
    return list(read.e_p_signal)


def _segment(wfdb: ModuleType, path: Path, name: str, remarks: list[str]) -> Any:
    """Read a segment's header; None where it is not there."""
    own = path.parent / f"{name}.hea"
    if Path(name).name != name:
        raise RecordingError(f"{path} names a segment outside its folder: {name!r}")
    if not own.is_file():
        remarks.append(f"its segment {name} is not there: missing")
        return None
    found = told(own, lambda: wfdb.rdheader(str(path.parent / name)))
    if getattr(found, "seg_name", None):
        raise RecordingError(f"{path} has a segment that has segments, {name}: that is no WFDB")
    return found


def _names(header: Any) -> list[tuple[str, int]]:
    """Name a header's signals; those of one name are told apart by their order."""
    found: list[tuple[str, int]] = []
    seen: dict[str, int] = {}
    for k in range(int(header.n_sig or 0)):
        name = (header.sig_name or [None] * (k + 1))[k] or f"signal {k + 1}"
        found.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return found


def _signals(headers: list[Any]) -> list[Signal]:
    """Gather the signals of all headers, in the order in which they come."""
    found: dict[tuple[str, int], Signal] = {}
    for header in headers:
        for k, name in enumerate(_names(header)):
            unit, frame = _unit(header, k), _frame(header, k)
            before = found.setdefault(name, Signal(name[0], unit, frame))
            if before.frame != frame:
                raise RecordingError(
                    f"{header.record_name} has {frame} samples of {name[0]} in a frame, another "
                    f"segment {before.frame}: it is damaged"
                )
            if not before.unit and unit:
                found[name] = Signal(name[0], unit, frame)
    return list(found.values())


def _piece(record: Path, start: int, frames: int, header: Any, signals: Sequence[Signal]) -> Piece:
    """Say which of a header's columns is which signal."""
    own = {name: k for k, name in enumerate(_names(header))}
    columns: list[int | None] = []
    factors = []
    seen: dict[str, int] = {}
    for signal in signals:
        at = own.get((signal.name, seen.get(signal.name, 0)))
        seen[signal.name] = seen.get(signal.name, 0) + 1
        columns.append(at)
        factors.append(1.0 if at is None else _factor(record, signal, _unit(header, at)))
    files = [record.parent / name for name in dict.fromkeys(header.file_name or []) if name]
    whole = any(fmt == "8" for fmt in header.fmt or []) or any(header.skew or [])
    return Piece(record, start, frames, tuple(columns), tuple(factors), whole, tuple(files))


def _factor(record: Path, signal: Signal, unit: str) -> float:
    """Give what brings a segment's values to the record's unit."""
    if unit == signal.unit or not unit:
        return 1.0
    try:
        return units.factor(unit, signal.unit)
    except SignalError as error:
        raise RecordingError(
            f"{record} has {signal.name} in {unit}, another segment in {signal.unit}: {error}"
        ) from error


def _unit(header: Any, k: int) -> str:
    """Give a signal's unit as the header has it."""
    return str((header.units or [""] * (k + 1))[k] or "")


def _frame(header: Any, k: int) -> int:
    """Give how many samples of a signal a frame holds."""
    return int((header.samps_per_frame or [1] * (k + 1))[k] or 1)


def _there(path: Path, header: Any, stated: int | None, remarks: list[str]) -> int:
    """Tell how many frames are in a header's files; fewer than stated where one was cut off."""
    found: list[int] = []
    for name in dict.fromkeys(header.file_name or []):
        if not name or Path(name).name != name:
            raise RecordingError(f"{path} names a file outside its folder: {name!r}")
        own = [k for k, each in enumerate(header.file_name) if each == name]
        try:
            size = (path.parent / name).stat().st_size
        except OSError as error:
            raise RecordingError(f"{path} needs {name}, which cannot be read") from error
        form = str(header.fmt[own[0]])
        width = _BYTES.get(form)
        if width is None and form not in _PACKED:
            raise RecordingError(f"{path} has {name} in format {form}, which is none that is known")
        if width is not None:
            size -= int((header.byte_offset or [0] * (own[0] + 1))[own[0]] or 0)
            found.append(max(int(size / width + 1e-9), 0) // sum(_frame(header, k) for k in own))
    if stated is None and not found:
        raise RecordingError(f"{path} does not say how long it is, nor do its files")
    there = min(found, default=stated or 0)
    if stated is None or there >= stated:
        return there if stated is None else stated
    if not there:
        raise RecordingError(f"{path} says {stated} frames and its files hold none: cut off")
    remarks.append(f"{path.stem} says {stated} frames, {there} are there: it was cut off")
    return there
