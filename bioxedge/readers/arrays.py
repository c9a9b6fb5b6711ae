"""NumPy files: ``.npy``, whose rate is told, and ``.npz``, which says its own; nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Stream
from bioxedge.readers.names import channels_of, modality_of, name_and_unit, safe
from bioxedge.signals import Samples

_SAMPLES = ("samples", "data", "signal", "signals", "x")


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the first bytes."""
    return head[:6] == b"\x93NUMPY" or (path.suffix == ".npz" and head[:2] == b"PK")


def look(
    path: Path,
    *,
    rate: float | None = None,
    modality: str | None = None,
    units: Mapping[str, str] | None = None,
    **told: Any,
) -> Found:
    """Look into an array; see :func:`bioxedge.readers.find`.

    Beside a ``.npy`` file a JSON file of the same name may say ``rate``, ``names``, ``units``,
    ``modality``, ``t0`` and ``person``; in a ``.npz`` these are arrays beside ``samples``.
    """
    files = [path]
    if path.suffix == ".npz":
        shape, about, read = _several(path)
    else:
        shape, read = _one(path)
        about, side = {}, path.with_suffix(".json")
        if side.is_file():
            files.append(side)
            about = _beside(side)
    remarks = []
    if len(shape) == 1:
        shape = (1, *shape)
    if len(shape) != 2:
        raise RecordingError(f"{path} has {len(shape)} dimensions: give [channels, samples]")
    if 0 in shape:
        raise RecordingError(f"{path} holds no samples: its shape is {shape}")
    turned = shape[0] > shape[1]
    if turned:
        shape = shape[::-1]
        remarks.append("is taken as [samples, channels]")
    if rate is None:
        rate = _number(about, "rate", path)
    if rate is None:
        raise RecordingError(
            f"{path} does not say its rate: give it in Hz with --rate, or write it to "
            f'{path.with_suffix(".json").name} beside it ({{"rate": 250}})'
        )
    if not (np.isfinite(rate) and rate > 0):
        raise RecordingError(f"{path} says its rate is {rate} Hz: give one that is positive")
    names = _texts(about, "names") or _texts(about, "channels")
    if len(names) != shape[0]:
        if names:
            remarks.append(f"names {len(names)} channels and has {shape[0]}: they are numbered")
        names = [f"channel_{k + 1}" for k in range(shape[0])]
    parts = [name_and_unit(name) for name in names]
    given = _texts(about, "units") or [unit for _, unit in parts]
    given = (given * shape[0])[: shape[0]]
    kind = modality or str(about.get("modality", "")) or modality_of(parts[0][0])
    t0 = _number(about, "t0", path)
    stream = Stream(
        name=safe(kind or path.stem),
        modality=kind,
        rate=float(rate),
        channels=channels_of(
            [name for name, _ in parts],
            [(units or {}).get(name, unit) for (name, _), unit in zip(parts, given, strict=True)],
            kind,
        ),
        samples=shape[1],
        read=lambda: _rows(read(), turned),
        t0=t0 or 0.0,
        dated=t0 is not None and t0 > 1e8,
    )
    return Found(path, "NumPy", (stream,), (), str(about.get("person", "")), tuple(remarks),
                 tuple(files))  # fmt: skip


def _rows(samples: npt.NDArray[Any], turned: bool) -> Samples:
    """Give samples as float64 [channels, n]."""
    rows = samples[None] if samples.ndim == 1 else samples
    return np.ascontiguousarray(rows.T if turned else rows, dtype=np.float64)


def _one(path: Path) -> tuple[tuple[int, ...], Callable[[], npt.NDArray[Any]]]:
    """Map one array."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy fails in a dozen ways on damaged bytes
        raise RecordingError(f"{path} cannot be read: {_said(error)}") from error
    _numeric(found.dtype, path)
    return found.shape, lambda: found


def _several(
    path: Path,
) -> tuple[tuple[int, ...], dict[str, Any], Callable[[], npt.NDArray[Any]]]:
    """Read a file of several arrays."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            key = next((name for name in _SAMPLES if name in file.files), None)
            if key is None:
                raise RecordingError(
                    f"{path} holds {', '.join(file.files[:8])}: the signal must be called samples"
                )
            samples = file[key]
            about = {name: file[name].tolist() for name in file.files if name != key}
    except RecordingError:
        raise
    except Exception as error:  # NumPy fails in a dozen ways on damaged bytes
        raise RecordingError(f"{path} cannot be read: {_said(error)}") from error
    _numeric(samples.dtype, path)
    return samples.shape, about, lambda: samples


def _beside(path: Path) -> dict[str, Any]:
    """Read what stands beside an array."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be read: {_said(error)}") from error
    if not isinstance(about, dict):
        raise RecordingError(f"{path} does not hold names and values")
    return about


def _number(about: dict[str, Any], key: str, path: Path) -> float | None:
    """Read one number of what is said beside an array."""
    if key not in about:
        return None
    try:
        return float(np.asarray(about[key]).reshape(-1)[0])
    except (TypeError, ValueError, IndexError) as error:
        raise RecordingError(f"{path}: its {key} is no number") from error


def _texts(about: dict[str, Any], key: str) -> list[str]:
    """Read one text or several of what is said beside an array."""
    found = about.get(key, ())
    return [str(one) for one in found] if isinstance(found, (list, tuple)) else [str(found)]


def _numeric(kind: np.dtype[Any], path: Path) -> None:
    """Refuse what are no numbers."""
    if kind.kind not in "iufb":
        raise RecordingError(f"{path} holds {kind}, no numbers")


def _said(error: Exception) -> str:
    """Shorten what a library said."""
    return " ".join(str(error).split())[:120]
