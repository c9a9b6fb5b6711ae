"""Matrices of numbers in a MATLAB file (up to version 7), read by SciPy when they are asked for."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError

MOST_BYTES = 8 * 2**30
"""What is asked for may take so much memory as float64; a night of ten signals takes 0.5 GB."""
_NUMBERS = ("double", "single", *(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)))  # fmt: skip # noqa: E501
_HEADER = 128  # bytes before the first matrix
_TORN = (
    ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, AttributeError,
    UnicodeDecodeError, zlib.error,
)  # fmt: skip


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Say which matrices of numbers a file holds, without reading their numbers.

    Raises
    ------
    RecordingError
        A file that is not there, or is no MATLAB file that can be read.
    """
    from scipy.io import whosmat  # 0.3 s that nothing else should pay

    listed: Any = _done(Path(path), whosmat)
    _uncut(Path(path))
    return {str(name): tuple(map(int, shape)) for name, shape, kind in listed if kind in _NUMBERS}


def arrays(path: str | Path, names: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Read matrices of a file as float64, by name.

    Raises
    ------
    RecordingError
        A name that the file lacks, numbers that are complex or more than fit, a torn file.
    """
    from scipy.io import loadmat

    path, held = Path(path), shapes(path)
    for name in names:
        if name not in held:
            raise RecordingError(
                f"{path} has no numbers called {name}: it has {', '.join(held) or 'none'}"
            )
    size = 8 * sum(math.prod(held[name]) for name in names)
    if size > MOST_BYTES:
        raise RecordingError(
            f"{path}: {', '.join(names)} take {size:,} bytes: at most {MOST_BYTES:,} are read"
        )
    read: Any = _done(path, loadmat, variable_names=list(names))
    found = {}
    for name in names:
        given = read.get(name)
        if not isinstance(given, np.ndarray) or given.dtype.kind not in "biuf":
            raise RecordingError(f"{path}: {name} is no matrix of real numbers")
        found[name] = given.astype(np.float64)
    return found


def _uncut(path: Path) -> None:
    """Refuse a file of version 5 to 7 that ends inside a matrix: SciPy lists what stands before."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        place = _HEADER
        while order is not None and place < size:
            file.seek(place)
            tag = file.read(8)
            place += 8 + (struct.unpack(f"{order}I", tag[4:])[0] if len(tag) == 8 else size)
    if order is not None and place > size:
        raise RecordingError(f"{path} is no sound MATLAB file: it is cut short")


def _done(path: Path, what: Any, **options: Any) -> Any:
    """Let SciPy read, and say in one line what it could not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that stands twice: the last one is taken
            return what(str(path), appendmat=False, **options)
    except FileNotFoundError as error:
        raise RecordingError(f"{path} is not there") from error
    except NotImplementedError as error:
        raise RecordingError(
            f"{path} is a MATLAB file of version 7.3: save it with -v7 and try again"
        ) from error
    except OSError as error:
        said = error.strerror or " ".join(str(error).split())
        raise RecordingError(f"{path} cannot be read: {said}") from error
    except MemoryError as error:
        raise RecordingError(f"{path} does not fit into this machine's memory") from error
    except Exception as error:
        # SciPy has errors of its own for torn files, and they are no subclass of one.
        if not isinstance(error, _TORN) and not type(error).__module__.startswith("scipy."):
            raise
        said = " ".join(str(error).split())
        raise RecordingError(f"{path} is no sound MATLAB file: {said}") from error
