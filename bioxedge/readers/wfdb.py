"""WFDB records (PhysioNet): a header, signals in one or several files or segments, annotations.

Headers and signals are read by PhysioNet's own library. What it takes for missing (the least value
of a format) is missing here, and so is what lies between segments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bioxedge.errors import MissingExtraError, RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import channels_of, distinct, modality_of, safe
from bioxedge.signals import Samples

_SIGNALS = (".dat", ".mat", ".hea", ".edf", ".flac", ".txt", ".csv", ".json", ".zip", ".gz")
# Codes of beats, which are events of the heart and no label of a stretch.
_BEATS = set("NLRBAaJSVrFejnE/fQ?!|xp()tu`'^[]")
_GIVEN = re.compile(r"^[A-Za-z0-9_~-]+$")


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the name; or a signal file beside whose name a header lies."""
    if path.suffix == ".hea":
        return True
    return path.suffix in (".dat", ".mat") and path.with_suffix(".hea").is_file()


def look(path: Path, **told: Any) -> Found:
    """Look into a record; see :func:`bioxedge.readers.find`."""
    wfdb = _library()
    record = str(path.with_suffix(""))
    header = _told(path, lambda: wfdb.rdheader(record, rd_segments=True))
    segments = getattr(header, "seg_name", None)
    names = list(_told(path, header.get_sig_name) if segments else header.sig_name or [])
    if not names or not header.sig_len or not header.fs:
        raise RecordingError(f"{path} holds no signal, or does not say how long it is")
    remarks: list[str] = []
    t0, dated = _started(header, remarks)
    rates, units = _facts(header, names)
    groups: dict[tuple[float, str], list[int]] = {}
    for number, name in enumerate(names):
        groups.setdefault((rates[number], modality_of(name)), []).append(number)
    unknown = [names[k] for (_, modality), own in groups.items() if not modality for k in own]
    if unknown:
        remarks.append(f"of what kind {', '.join(unknown[:8])} are is not told")
    called = distinct(
        safe(modality or names[own[0]], "signal") for (_, modality), own in groups.items()
    )
    streams = tuple(
        Stream(
            name=stream,
            modality=modality,
            rate=rate,
            channels=channels_of(
                [names[k] for k in own], [units[k].replace("NU", "a.u.") for k in own], modality
            ),
            samples=round(header.sig_len * rate / header.fs),
            read=_reader(wfdb, path, [names[k] for k in own], round(rate / header.fs), header),
            t0=t0,
            dated=dated,
        )
        for stream, ((rate, modality), own) in zip(called, groups.items(), strict=True)
    )
    marks, files = _annotations(wfdb, path, float(header.fs), t0, remarks)
    # What a header says of the whole record may be its label.
    whole = header.sig_len / header.fs
    comments = tuple(
        Mark(t0, text.strip(), whole)
        for text in header.comments or []
        if 0 < len(text.strip()) < 80
    )
    marks = (*comments, *marks)
    kind = "WFDB, several segments" if segments else "WFDB"
    return Found(path, kind, streams, marks, "", tuple(remarks), (*_files(path, header), *files))


def _library() -> ModuleType:
    """Import PhysioNet's library."""
    try:
        import wfdb
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "wfdb", "data") from error
    found: ModuleType = wfdb
    return found


def _told(path: Path, work: Callable[[], Any]) -> Any:
    """Turn whatever the library raises over a damaged record into one line."""
    try:
        return work()
    except MemoryError as error:
        raise RecordingError(f"{path} says it is larger than memory: it is damaged") from error
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RecordingError(f"{path} cannot be read as WFDB: {said}") from error


def _started(header: Any, remarks: list[str]) -> tuple[float, bool]:
    """Tell when the record starts, and whether that is a date."""
    moment = getattr(header, "base_datetime", None)
    if moment is None:
        if getattr(header, "base_time", None) is not None:
            remarks.append("says a time of day and no date: it starts at 0")
        return 0.0, False
    remarks.append("its clock names no zone: taken as UTC")
    return moment.replace(tzinfo=timezone.utc).timestamp(), True


def _facts(header: Any, names: list[str]) -> tuple[list[float], list[str]]:
    """Give each signal's rate and unit."""
    fs = float(header.fs)
    parts = [part for part in getattr(header, "segments", None) or [header] if part is not None]
    rates, units = dict.fromkeys(names, fs), dict.fromkeys(names, "a.u.")
    for part in parts:
        for k, name in enumerate(part.sig_name or []):
            if name not in rates:
                continue
            rates[name] = fs * int((part.samps_per_frame or [1] * (k + 1))[k] or 1)
            if part.units and part.units[k]:
                units[name] = part.units[k]
    return [rates[name] for name in names], [units[name] for name in names]


def _reader(
    wfdb: ModuleType, path: Path, names: list[str], frame: int, header: Any
) -> Callable[[], Samples]:
    """Give what reads some signals of one rate."""

    def read() -> Samples:
        record = str(path.with_suffix(""))
        found = _told(
            path,
            lambda: wfdb.rdrecord(record, channel_names=names, smooth_frames=frame == 1, m2s=True),
        )
        order = [found.sig_name.index(name) for name in names]
        rows = found.p_signal if frame == 1 else found.e_p_signal
        if rows is None:
            raise RecordingError(f"{path} holds no samples of {', '.join(names)}")
        if frame == 1:
            return np.ascontiguousarray(np.asarray(rows, np.float64).T[order])
        return np.stack([np.asarray(rows[k], np.float64) for k in order])

    return read


def _annotations(
    wfdb: ModuleType, path: Path, rate: float, t0: float, remarks: list[str]
) -> tuple[tuple[Mark, ...], list[Path]]:
    """Read the annotation files that lie beside a header."""
    marks: list[Mark] = []
    files = []
    for file in sorted(path.parent.glob(f"{path.stem}.*")):
        extension = file.suffix[1:]
        if file.suffix.lower() in _SIGNALS or not _GIVEN.match(extension) or not file.is_file():
            continue
        try:
            found = wfdb.rdann(str(path.with_suffix("")), extension)
        except Exception:
            remarks.append(f"{file.name} is no annotation file that could be read: left out")
            continue
        files.append(file)
        beats: Counter[str] = Counter()
        own = float(found.fs or rate)
        texts = found.aux_note or [""] * len(found.sample)
        for sample, symbol, note in zip(found.sample, found.symbol, texts, strict=True):
            text = (note or "").strip(" \x00")
            if not text and symbol in _BEATS:
                beats[symbol] += 1
                continue
            marks.append(Mark(t0 + float(sample) / own, text or symbol))
        if beats:
            remarks.append(f"{file.name}: {sum(beats.values())} beats are marked, and left out")
    return tuple(marks), files


def _files(path: Path, header: Any) -> list[Path]:
    """Name the files that a record is read from."""
    names = list(getattr(header, "file_name", None) or [])
    for segment in getattr(header, "seg_name", None) or []:
        if segment and segment != "~":
            names.append(f"{segment}.hea")
    for segment in getattr(header, "segments", None) or []:
        names += list(getattr(segment, "file_name", None) or []) if segment is not None else []
    found = {path.with_suffix(".hea"): None}
    for name in names:
        if name and (path.parent / name).is_file():
            found[path.parent / name] = None
    return list(found)
