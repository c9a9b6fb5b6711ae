"""Text of the OpenBCI GUI: version 1 to 4 without stamps or names, 5 and later with both.

The board's own index counts rows and turns over; what it skips is missing. EXG is in microvolts,
acceleration in g, and on a Cyton comes with one row in ten (the others hold 0, or the last one).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Stream
from bioxedge.readers.names import safe
from bioxedge.readers.text_rows import read_text, times_of
from bioxedge.readers.text_stamps import laid_out, turned
from bioxedge.signals import Channel, Samples

Floats = npt.NDArray[np.float64]

_RATE = re.compile(r"Sample Rate\s*=\s*([0-9]+(?:\.[0-9]*)?)", re.IGNORECASE)
_BOARD = re.compile(r"Board\s*=\s*(\S+)", re.IGNORECASE)
_OLD = {12: 8, 20: 16, 8: 4}  # columns of the old form: index, EXG, three of acceleration
_FASTEST = 1e5  # Hz
# Cyton and Daisy count to 255, a Ganglion to 200 or (as BrainFlow has it since) to 199 or 99.
_TURNS = (100, 101, 200, 201, 256)
_PAST = 1 << 26  # samples that a gap may fill up to


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first line."""
    return head[:64].lower().lstrip(b"\xef\xbb\xbf").startswith(b"%openbci raw")


def look(path: Path, *, modality: str | None = None, **told: Any) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    lines = read_text(path).splitlines()
    first = next((k for k, line in enumerate(lines) if line.strip() and line[0] != "%"), None)
    if first is None:
        raise RecordingError(f"{path} has no rows below its header")
    head = "\n".join(lines[:first])
    rate = _RATE.search(head)
    if rate is None or not float(rate[1]) > 0 or float(rate[1]) > _FASTEST:
        raise RecordingError(f"{path} does not say its sample rate")
    remarks: list[str] = []
    named = not lines[first].split(",")[0].strip().replace(".", "").isdigit()
    names = [name.strip() for name in lines[first].split(",")] if named else []
    body = [line for line in lines[first + named :] if line.strip() and line[0] != "%"]
    table, stamps = _table(path, body, names, remarks)
    if not names:
        width = table.shape[0]
        exg = _OLD.get(width)
        if exg is None:
            raise RecordingError(f"{path} has {width} columns without names: 8, 12 or 20 are known")
        names = ["Sample Index", *(f"EXG Channel {k}" for k in range(exg)),
                 *(f"Accel Channel {k}" for k in range(3))]  # fmt: skip
        remarks.append("says no time: it starts at 0, and a gap of 256 rows is not seen")
    places = _places(path, table[0], stamps, float(rate[1]), remarks)
    accel = [k for k, name in enumerate(names) if name.startswith("Accel")]
    if accel and not named:
        quiet = (table[accel] == 0).all(axis=0)
        table[accel] = np.where(quiet, np.nan, table[accel])
        if quiet.any():
            remarks.append(
                f"acceleration stands in {int((~quiet).sum())} of {len(quiet)} rows: elsewhere it "
                "is missing"
            )
    kind = modality or "eeg"
    if modality is None:
        remarks.append("EXG is taken as EEG: give --modality for EMG or ECG")
    board = _BOARD.search(head)
    facts = {"board": board[1]} if board else {}
    streams = []
    groups = (
        ("exg", kind, "EXG Channel", "exg", "uV"),
        ("accel", "acceleration", "Accel Channel", "accel", "g"),
    )
    for label, modal, prefix, short, unit in groups:
        own = [k for k, name in enumerate(names) if name.startswith(prefix)]
        if not own or not np.isfinite(table[own]).any():
            continue
        streams.append(
            Stream(
                name=safe(label),
                modality=modal,
                rate=float(rate[1]),
                channels=tuple(Channel(f"{short}_{n + 1}", unit) for n in range(len(own))),
                samples=int(places[-1]) + 1,
                read=_reader(table[own], places),
                t0=0.0 if stamps is None else float(stamps[0]),
                dated=stamps is not None,
                facts=facts,
            )
        )
    if not streams:
        raise RecordingError(f"{path} has no column of EXG or acceleration")
    return Found(path, "OpenBCI", tuple(streams), (), "", tuple(remarks), (path,))


def _table(
    path: Path, body: Sequence[str], names: Sequence[str], remarks: list[str]
) -> tuple[Floats, Floats | None]:
    """Read rows, [columns, rows], and their stamps where there are any."""
    rows = [line.split(",") for line in body]
    if not rows:
        raise RecordingError(f"{path} has no rows below its header")
    width = len(names) or len(rows[0])
    if len(rows[-1]) != width:
        rows = rows[:-1]  # cut off while it was written
        remarks.append("its last row was cut off: left out")
    if not rows:
        raise RecordingError(f"{path} has no whole row below its header")
    odd = next((k for k, row in enumerate(rows) if len(row) != width), None)
    if odd is not None:
        raise RecordingError(f"{path}: row {odd + 1} has {len(rows[odd])} fields, not {width}")
    text = {k for k, name in enumerate(names) if "formatted" in name.lower()}
    kept = [k for k in range(width) if k not in text]
    try:
        numbers = np.array([[row[k] for k in kept] for row in rows], np.float64)
    except ValueError as error:
        raise RecordingError(f"{path} holds what is no number: {str(error)[:80]}") from error
    found = np.full((width, len(rows)), np.nan)
    found[kept] = numbers.T
    stamped = [k for k in kept if k < len(names) and names[k].strip().lower() == "timestamp"]
    if not stamped:
        return found, None
    given = times_of([repr(float(value)) for value in found[stamped[-1]]])
    return found, given[0] if given is not None and given[1] else None


def _places(
    path: Path, index: Floats, stamps: Floats | None, rate: float, remarks: list[str]
) -> npt.NDArray[np.int64]:
    """Count rows by the board's index, which turns over after its greatest."""
    if not np.isfinite(index).all() or (index != np.floor(index)).any():
        raise RecordingError(f"{path}: its sample index is no whole number")
    whole = index.astype(np.int64)
    most = int(whole.max()) + 1
    # The greatest number may itself be lost: what the boards are known to count to decides.
    turn = next((known for known in _TURNS if known >= most), most)
    steps = np.mod(np.diff(whole), turn)
    twice = int((steps == 0).sum())
    if twice:
        remarks.append(f"{twice} rows repeat the index of the one before: counted as new ones")
        steps = np.where(steps == 0, 1, steps)
    places = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    if stamps is not None:
        try:
            places = turned(places, stamps, rate, turn)
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from error
    lost = int(places[-1]) + 1 - len(places)
    if lost:
        remarks.append(f"{lost} rows are missing, by the board's index (modulo {turn})")
    if places[-1] > _PAST:
        raise RecordingError(f"{path}: its index jumps over {lost} rows: it is damaged")
    return places


def _reader(rows: Samples, places: npt.NDArray[np.int64]) -> Any:
    """Give what lays rows out."""
    return lambda: laid_out(rows, places)
