"""WFDB records (PhysioNet): a header, signals in one or several files or segments, annotations.

Headers and signals are read by PhysioNet's own library. What it takes for missing (the least value
of a format) is missing here, and so is what lies between segments.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import timezone
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import channels_of, distinct, modality_of, safe
from bioxedge.readers.wfdb_pieces import Piece, library, pieces_of, read_pieces, told

# Endings of files that lie beside a header and are no annotations.
_OTHERS = {
    "dat", "mat", "hea", "edf", "bdf", "flac", "txt", "csv", "tsv", "json", "zip", "gz", "xws",
    "md", "png", "jpg", "jpeg", "svg", "pdf", "xml", "html", "npy", "npz", "py", "toml", "bak",
}  # fmt: skip
# Codes of beats, which are events of the heart and no label of a stretch.
_BEATS = set("NLRBAaJSVrFejnE/fQ?!|xp()tu`'^[]")
_PRIVATE = re.compile(r"\b(name|born|birth\w*|dob|patient\w*|mrn|address)\b", re.IGNORECASE)
_LONGEST = 80  # characters of a comment that may be a label


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the name; or a signal file beside whose name a header lies."""
    if path.suffix == ".hea":
        return True
    return path.suffix in (".dat", ".mat") and path.with_suffix(".hea").is_file()


def look(path: Path, **ignored: Any) -> Found:
    """Look into a record; see :func:`bioxedge.readers.find`."""
    wfdb = library()
    record, path = str(path.with_suffix("")), path.with_suffix(".hea")
    header = told(path, lambda: wfdb.rdheader(record))
    fs = float(header.fs or 0)
    if not (math.isfinite(fs) and 0 < fs < 1e6):
        raise RecordingError(f"{path} says {header.fs} frames a second: it is damaged")
    remarks: list[str] = []
    signals, pieces, frames = told(path, lambda: pieces_of(wfdb, path, header, remarks))
    if not signals or not frames:
        raise RecordingError(f"{path} holds no signal")
    t0, dated = _started(header, remarks)
    groups: dict[tuple[int, str], list[int]] = {}
    for number, signal in enumerate(signals):
        groups.setdefault((signal.frame, modality_of(signal.name)), []).append(number)
    called = distinct(
        safe(modality or signals[own[0]].name, "signal") for (_, modality), own in groups.items()
    )
    streams = tuple(
        Stream(
            name=name,
            modality=modality,
            rate=fs * frame,
            channels=channels_of(
                [signals[k].name for k in own],
                ["" if signals[k].unit.lower() == "nu" else signals[k].unit for k in own],
                modality,
            ),
            samples=frames * frame,
            read=partial(read_pieces, wfdb, pieces, own, frame, frames),
            t0=t0,
            dated=dated,
        )
        for name, ((frame, modality), own) in zip(called, groups.items(), strict=True)
    )
    fastest = fs * max(signal.frame for signal in signals)
    marks, files = _annotations(wfdb, path, fs, fastest * frames / fs, t0, remarks)
    # What a header says of the whole record may be its label.
    said = [text.strip() for text in header.comments or []]
    if any(_PRIVATE.search(text) for text in said):
        remarks.append("comments of its header speak of the patient: not carried on")
    comments = tuple(
        Mark(t0, text, frames / fs)
        for text in said
        if 0 < len(text) < _LONGEST and not _PRIVATE.search(text)
    )
    several = getattr(header, "seg_name", None)
    kind = "WFDB, several segments" if several else "WFDB"
    own_files = (*_files(path, several or [], pieces), *files)
    return Found(path, kind, streams, (*comments, *marks), "", tuple(remarks), own_files)


def _started(header: Any, remarks: list[str]) -> tuple[float, bool]:
    """Tell when the record starts, and whether that is a date."""
    moment = getattr(header, "base_datetime", None)
    if moment is None:
        if getattr(header, "base_time", None) is not None:
            remarks.append("says a time of day and no date: it starts at 0")
        return 0.0, False
    remarks.append("its clock names no zone: taken as UTC")
    return moment.replace(tzinfo=timezone.utc).timestamp(), True


def _annotations(
    wfdb: ModuleType, path: Path, fs: float, longest: float, t0: float, remarks: list[str]
) -> tuple[tuple[Mark, ...], list[Path]]:
    """Read the annotation files that lie beside a header."""
    marks: list[Mark] = []
    files = []
    record = str(path.with_suffix(""))
    for file in sorted(path.parent.iterdir()):
        extension = file.suffix[1:]
        if file.stem != path.stem or not extension or extension.lower() in _OTHERS:
            continue
        try:
            # Any bytes can be read as annotations: their end, and their times, tell.
            plausible = file.is_file() and file.read_bytes()[-2:] == b"\0\0"
            found = told(file, partial(wfdb.rdann, record, extension)) if plausible else None
        except (OSError, RecordingError):
            found = None
        if found is None or (len(found.sample) and not 0 <= max(found.sample) <= 1.01 * longest):
            remarks.append(f"{file.name} is no annotation file of it that can be read: left out")
            continue
        files.append(file)
        beats: Counter[str] = Counter()
        own = float(found.fs or fs)
        texts = found.aux_note or [""] * len(found.sample)
        for sample, symbol, note in zip(found.sample, found.symbol, texts, strict=True):
            text = " ".join((note or "").replace("\0", " ").split())
            if not text and symbol in _BEATS:
                beats[symbol] += 1
                continue
            marks.append(Mark(t0 + float(sample) / own, text or symbol))
        if beats:
            remarks.append(f"{file.name}: {sum(beats.values())} beats are marked, and left out")
    return tuple(marks), files


def _files(path: Path, names: list[str], pieces: list[Piece]) -> list[Path]:
    """Name the files that a record is read from."""
    segments = [path.parent / f"{name}.hea" for name in names if name != "~"]
    found = [path, *segments, *(file for piece in pieces for file in piece.files)]
    return [file for file in dict.fromkeys(found) if file.is_file()]
