"""Rows as BrainFlow writes them: tabs, no header, no name of the board, which must be told.

Columns stand where the board's descriptor says; its package counter shows what was lost. A comma
as decimal sign (which BrainFlow writes where a locale says so) is read.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.text_rows import read_text
from bioxedge.readers.text_stamps import laid_out, places_of, turned
from bioxedge.signals import Channel, Samples

if TYPE_CHECKING:
    from bioxedge.runtime.sources.counters import Pattern

Floats = npt.NDArray[np.float64]

_APART = 0.05  # of the rows that the stamps tell of, by which a counter may differ
_NUMBER = re.compile(rb"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
_KINDS = {
    "ppg": "ppg", "ecg": "ecg", "eeg": "eeg", "emg": "emg", "eog": "eog", "eda": "eda",
    "accel": "acceleration", "gyro": "rotation", "temperature": "temperature",
}  # fmt: skip
_UNITS = {"eeg": "uV", "emg": "uV", "ecg": "uV", "eog": "uV", "acceleration": "g",
          "rotation": "deg/s", "eda": "uS", "temperature": "degC"}  # fmt: skip


def recognises(path: Path, head: bytes) -> bool:
    """Tell by a first line of numbers between tabs, five at least."""
    fields = head.split(b"\n", 1)[0].strip(b"\r").split(b"\t")
    return len(fields) >= 5 and all(_NUMBER.fullmatch(field.strip()) for field in fields)


def look(
    path: Path, *, board: str | None = None, modality: str | None = None, **told: Any
) -> Found:
    """Look into a file; see :func:`bioxedge.readers.find`."""
    if board is None:
        raise RecordingError(
            f"{path} holds rows of BrainFlow, which do not name their board: give --board, such "
            "as muse_2/ancillary (bioxedge boards lists them)"
        )
    from bioxedge.runtime.sources import boards
    from bioxedge.runtime.sources.counters import pattern

    name, _, preset = board.partition("/")
    layout = boards.layout(name, preset or None)
    text = read_text(path).replace(",", ".")
    remarks: list[str] = []
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    if len(rows) > 1 and len(rows[-1]) < len(rows[0]):
        rows = rows[:-1]
        remarks.append("its last row was cut off: left out")
    try:
        table = np.array(rows, np.float64)
    except ValueError as error:
        raise RecordingError(f"{path} has rows of different lengths, or no numbers") from error
    if table.ndim != 2 or table.shape[1] != layout.width:
        raise RecordingError(
            f"{path} has {len(rows[0]) if rows else 0} columns, {layout.title} gives "
            f"{layout.width}: name another board or preset"
        )
    stamps = table[:, layout.stamp]
    known = pattern(layout.board, layout.preset)
    counted = _counted(known, table[:, layout.counter], stamps, layout.rate)
    if counted is None:
        remarks.append("its counter shows no losses: gaps are told by the stamps")
    if not np.isfinite(stamps).all():
        raise RecordingError(f"{path}: a row has no time")
    try:
        places = places_of(stamps, layout.rate) if counted is None else counted
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from error
    lost = int(places[-1]) + 1 - len(places)
    if lost:
        remarks.append(f"{lost} rows are missing")
    streams = _streams(layout, table, places, stamps, modality, remarks)
    if not streams:
        raise RecordingError(f"{path}: {layout.title} has no signal that is known")
    return Found(path, "BrainFlow", streams, _marks(layout, table, stamps), "", tuple(remarks),
                 (path,))  # fmt: skip


def _counted(known: Pattern | None, numbers: Floats, stamps: Floats, rate: float) -> Any:
    """Place rows by a counter that goes on as the stamps do; None where there is none.

    The board's own, or the one of rows that bioxedge wrote as that board's.
    """
    from bioxedge.runtime.sources.counters import BYTE

    forms = () if known is None or known.blind else (known, *known.others)
    span = float(stamps[-1] - stamps[0]) * rate
    found, nearest = None, _APART * max(span, rate)
    for form in (*forms, BYTE):
        places = _by(form, numbers)
        if places is None or form.turn is None:
            continue
        with contextlib.suppress(RecordingError):
            places = turned(places, stamps, rate, form.turn)
            if abs(float(places[-1]) - span) < nearest:
                found, nearest = places, abs(float(places[-1]) - span)
    return found


def _by(form: Pattern, numbers: Floats) -> Any:
    """Place rows by one counter; None where it is none such, or does not go on."""
    ordinals = form.ordinals(numbers)
    if form.turn is None or form.blind or (ordinals < 0).any():
        return None
    steps = np.mod(np.diff(ordinals), form.turn // form.rows)
    # Rows that share a number are those of one packet, in their order.
    within, packet, places = 0, 0, [0]
    for step in steps.tolist():
        packet, within = packet + step, 0 if step else within + 1
        places.append(packet * form.rows + within)
    found = np.array(places, np.int64)
    return None if (np.diff(found) < 1).any() else found


def _streams(
    layout: Any, table: Any, places: Any, stamps: Any, told: str | None, remarks: list[str]
) -> tuple[Stream, ...]:
    """Group the board's channels by kind; a row that has two names is taken once."""
    groups: dict[str, dict[int, str]] = {}
    for channel, row in layout.channels.items():
        kind = channel.rpartition("_")[0]
        if kind in _KINDS:
            groups.setdefault(kind, {})[row] = channel
    exg = {row for kind in ("eeg", "emg", "ecg", "eog") for row in groups.get(kind, {})}
    # A board that lists the same rows as EEG, EMG and ECG does not know what was worn.
    for kind in ("emg", "ecg", "eog"):
        if groups.get(kind) and set(groups[kind]) <= set(groups.get("eeg", {})):
            del groups[kind]
    unsure = bool(exg) and "eeg" in groups and len(groups["eeg"]) == len(exg)
    if unsure and told is None:
        remarks.append("its biopotential rows are taken as EEG: give --modality otherwise")
    found = []
    for kind, rows in groups.items():
        modality = told if unsure and told is not None and kind == "eeg" else _KINDS[kind]
        unit = _UNITS.get(modality, "a.u.")
        found.append(
            Stream(
                name=kind,
                modality=modality,
                rate=layout.rate,
                channels=tuple(Channel(name, unit) for name in rows.values()),
                samples=int(places[-1]) + 1,
                read=_reader(np.ascontiguousarray(table[:, list(rows)].T), places),
                t0=float(stamps[0]),
                dated=bool(stamps[0] > 1e8),
                facts={"board": f"{layout.board}/{layout.preset}"},
            )
        )
    return tuple(found)


def _marks(layout: Any, table: Any, stamps: Any) -> tuple[Mark, ...]:
    """Read BrainFlow's markers."""
    from bioxedge.runtime.sources import boards

    shim = boards.library().BoardShim
    row = shim.get_board_descr(layout.board_id, layout.preset_id).get("marker_channel")
    if row is None:
        return ()
    at = np.flatnonzero(table[:, row])
    return tuple(Mark(float(stamps[k]), f"{table[k, row]:g}") for k in at)


def _reader(rows: Samples, places: Any) -> Any:
    """Give what lays rows out."""
    return lambda: laid_out(rows, places)
