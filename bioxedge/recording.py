"""A recording as a folder on disk: ``recording.json`` and ``samples.npy``.

The same bytes come out that went in: samples are stored as the float64 they are, in NumPy's
own format, never pickled. ``recording.json`` says what they are and can be read with ``cat``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.signals import Channel, Recording

FORMAT = 1
_KEYS = {"format", "modality", "person", "rate", "t0", "channels", "facts"}


def save(recording: Recording, folder: str | Path) -> Path:
    """Write a recording to a folder, which is made if need be.

    Parameters
    ----------
    recording : Recording
    folder : path
        Where to; files of an earlier recording there are replaced.

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
    about = {
        "format": FORMAT,
        "modality": recording.modality,
        "person": recording.person,
        "rate": recording.rate,
        "t0": recording.t0,
        "channels": [{"name": c.name, "unit": c.unit} for c in recording.channels],
        "facts": recording.facts,
    }
    try:
        text = json.dumps(about, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{recording.person}'s recording cannot be saved: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    _write_array(folder / "samples.npy", recording.samples)
    partial = folder / "recording.json.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / "recording.json")
    return folder


def load(folder: str | Path) -> Recording:
    """Read a recording from its folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        No recording there, or one that cannot be read.
    """
    folder = Path(folder)
    try:
        about: Any = json.loads((folder / "recording.json").read_text(encoding="utf-8"))
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise RecordingError(f"{folder}/recording.json is not of format {FORMAT}")
        if set(about) != _KEYS:
            odd = ", ".join(sorted(set(about) ^ _KEYS))
            raise RecordingError(f"{folder}/recording.json has missing or unknown keys: {odd}")
        return Recording(
            samples=_read_array(folder / "samples.npy"),
            rate=float(about["rate"]),
            channels=tuple(Channel(str(c["name"]), str(c["unit"])) for c in about["channels"]),
            modality=str(about["modality"]),
            person=str(about["person"]),
            t0=float(about["t0"]),
            facts=dict(about["facts"]),
        )
    except RecordingError:
        raise
    except FileNotFoundError as error:
        raise RecordingError(
            f"{folder} holds no recording ({Path(error.filename).name} is missing)"
        ) from error
    except Exception as error:  # json and NumPy fail in a dozen ways on damaged bytes
        raise RecordingError(f"{folder} cannot be read as a recording: {error}") from error


def _read_array(path: Path) -> npt.NDArray[np.float64]:
    """Read one float64 array, and nothing that would only turn into one."""
    with path.open("rb") as file:
        samples: npt.NDArray[np.float64] = np.lib.format.read_array(file, allow_pickle=False)
    if samples.dtype != np.float64:
        raise RecordingError(f"{path} holds {samples.dtype}, not float64")
    return samples


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write one array so that a crash leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    partial.replace(path)
