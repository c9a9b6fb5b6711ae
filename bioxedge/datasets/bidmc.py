"""BIDMC PPG and Respiration: ECG (lead II) and PPG of intensive-care patients, 125 Hz.

Pimentel et al., IEEE Trans. Biomed. Eng. 64(8), 2016; Goldberger et al., Circulation 101(23),
2000; ODC-BY 1.0. Eight minutes a recording, as CSV files (plain or gzipped). Several
recordings can come from one patient: the person is the "MIMIC II matched wdb ID" of
``*_Fix.txt``, not the recording.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from bioxedge.datasets.pair import Pair
from bioxedge.datasets.session import Part, Session
from bioxedge.errors import DatasetError
from bioxedge.signals import Channel, Recording, Samples

RATE = 125.0
SECONDS = 480.0  # that a recording has, as published
LICENCE = "ODC-BY 1.0"
_NUMERICS = ("HR", "PULSE", "RESP", "SpO2")


def sessions(folder: str | Path) -> list[Session]:
    """Find every recording of a folder; errors as for :func:`load`."""
    return [_session(path) for path in _paths(Path(folder))]


def load(folder: str | Path) -> list[Pair]:
    """Read every recording of a folder.

    Parameters
    ----------
    folder : path
        Holds ``bidmc_NN_Signals.csv`` (or ``.csv.gz``), ``_Numerics.csv`` and ``_Fix.txt``.

    Returns
    -------
    list of Pair
        Source: the PPG (``PLETH``, arbitrary unit); target: ECG lead ``II`` (mV); reference:
        the monitor's numerics at 1 Hz, NaN where it gave none.

    Raises
    ------
    DatasetError
        No recordings there, or one that lacks a file, a signal or a patient.
    """
    return [_read(path) for path in _paths(Path(folder))]


def _paths(folder: Path) -> list[Path]:
    """Find the recordings' signals."""
    paths = [*folder.glob("bidmc_*_Signals.csv.gz"), *folder.glob("bidmc_*_Signals.csv")]
    found = {path.name.split(".")[0]: path for path in paths}  # unpacked beside the packed: once
    if not found:
        raise DatasetError(
            f"{folder} holds no BIDMC recordings (bidmc_NN_Signals.csv): get the set from "
            "PhysioNet (bidmc 1.0.0, CSV files) and name its folder's parent with --data"
        )
    return [found[name] for name in sorted(found)]


def _session(path: Path) -> Session:
    """Describe one recording; its signals are parsed when the first of them is read."""
    name = path.name.split("_Signals")[0]
    others = [path.with_name(f"{name}_{part}") for part in ("Numerics.csv", "Fix.txt")]
    whole: list[Pair] = []

    def part(name: str, modality: str, columns: dict[str, str], rate: float) -> Part:
        def read() -> Recording:
            if not whole:
                whole.append(_read(path))
            found = getattr(whole[0], name)
            assert isinstance(found, Recording)
            return found

        channels = tuple(Channel(column, unit) for column, unit in columns.items())
        return Part(name, modality, channels, rate, read, files=(path, *others))

    parts = (
        part("source", "ppg", {"PLETH": "a.u."}, RATE),
        part("target", "ecg", {"II": "mV"}, RATE),
        part("reference", "reference", dict.fromkeys(_NUMERICS, ""), 1.0),
    )
    return Session(name, _person(others[1]), parts)


def _read(path: Path) -> Pair:
    """Read one recording."""
    name = path.name.split("_Signals")[0]
    person = _person(path.with_name(f"{name}_Fix.txt"))
    signals = _table(path)
    numerics = _table(path.with_name(f"{name}_Numerics.csv"))
    for column in ("PLETH", "II"):
        if column not in signals:
            raise DatasetError(f"{path} has no column {column}: it has {', '.join(signals)}")
    known = {column: "" for column in _NUMERICS if column in numerics}
    if not known:
        raise DatasetError(f"{name}_Numerics.csv has none of the columns {', '.join(_NUMERICS)}")
    return Pair(
        name=name,
        source=_recording(signals, {"PLETH": "a.u."}, RATE, "ppg", person),
        target=_recording(signals, {"II": "mV"}, RATE, "ecg", person),
        reference=_recording(numerics, known, 1.0, "reference", person),
    )


def _recording(
    table: dict[str, Samples], columns: dict[str, str], rate: float, modality: str, person: str
) -> Recording:
    """Pick columns of a table."""
    return Recording(
        samples=np.stack([table[column] for column in columns]),
        rate=rate,
        channels=tuple(Channel(column, unit) for column, unit in columns.items()),
        modality=modality,
        person=person,
    )


def _table(path: Path) -> dict[str, Samples]:
    """Read a CSV file with a header: one array a column, NaN where a field is empty."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = [line for line in text.decode("utf-8").splitlines() if line.strip()]
        if len(lines) < 2:
            raise ValueError("it has no rows")
        names = [field.strip() for field in lines[0].split(",")]
        rows = _numbers(lines[1:])
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing: the recording is incomplete") from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if rows.shape[1] != len(names):
        raise DatasetError(f"{path} has {rows.shape[1]} columns, its header {len(names)}")
    return {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(names)}


def _numbers(lines: list[str]) -> Samples:
    """Parse rows [n, columns]; the slow way only where a field is empty."""
    try:
        return np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)
    except ValueError:
        return np.genfromtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)


def _person(path: Path) -> str:
    """Read whose recording it is."""
    try:
        facts = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DatasetError(f"{path} is missing: whose recording it is stands there") from error
    match = re.search(r"matched wdb ID:\s*(\S+)", facts)
    if match is None:
        raise DatasetError(f"{path} names no patient (MIMIC II matched wdb ID)")
    return match.group(1)
