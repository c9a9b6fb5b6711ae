"""Arrays of numbers as pickles describe them, laid out when they are asked for.

What their state holds: ``array_reduce`` and ``arraydescr_reduce`` of NumPy's sources.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError

_CODE = re.compile(r"[<>|=]?[biuf][1248]")
_MOST_AXES = 8
_KNOWN = {
    (module, name): name
    for core in ("numpy.core.multiarray", "numpy._core.multiarray")
    for module, name in (
        (core, "_reconstruct"),
        (core, "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # how Python 3 writes bytes for Python 2
        ("__builtin__", "bytes"),  # and no bytes at all
    )
}


@dataclass(frozen=True)
class Name:
    """A name of the file: what it stands for, called by nobody but this module."""

    said: str


class Type:
    """The type of an array's numbers, as a file describes it."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code.lstrip("<>|="), "<"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The same for NumPy."""
        return np.dtype(self.code if self.code[1:] == "1" else self.order + self.code)


class Packed:
    """An array of numbers that stands in a file; its numbers are laid out when asked for."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self._raw: str | bytes = b""
        self._type = Type("f8")
        self.fortran = False

    def array(self) -> npt.NDArray[Any]:
        """Give the numbers; they cannot be written to.

        Raises
        ------
        RecordingError
            Bytes that were written as text and are none, or a shape that nothing can have.
        """
        try:
            raw = self._raw.encode("latin-1") if isinstance(self._raw, str) else self._raw
            flat = np.frombuffer(raw, self._type.numpy)
            return flat.reshape(self.shape, order="F" if self.fortran else "C")
        except UnicodeEncodeError as error:
            raise RecordingError("an array's bytes hold characters that are no bytes") from error
        except (ValueError, OverflowError) as error:
            raise RecordingError(f"an array cannot be laid out: {error}") from error
        except MemoryError as error:
            raise RecordingError("an array does not fit into this machine's memory") from error

    def take(self, shape: tuple[int, ...], kind: Type, raw: str | bytes, *, fortran: bool) -> None:
        """Be what a state says."""
        self.shape, self._type, self._raw, self.fortran = shape, kind, raw, fortran


def refuse(why: str) -> NoReturn:
    """Raise a RecordingError."""
    raise RecordingError(why)


def known(module: Any, name: Any) -> Name:
    """Admit a name that is listed."""
    if not (isinstance(module, str) and isinstance(name, str)):
        refuse("a name that is no text")
    if (module, name) not in _KNOWN:
        said = ascii(f"{module[:80]}.{name[:80]}")[1:-1]
        refuse(f"it names {said}, which is not admitted")
    return Name(name)


def called(name: Any, given: Any) -> Any:
    """Do what a listed name stands for."""
    said = name.said if isinstance(name, Name) else ""
    match said, given:
        case "_reconstruct", (Name("ndarray"), tuple(), _):
            return Packed()
        case "dtype", (str(code), *_):
            if not _CODE.fullmatch(code):
                refuse(f"an array of {code[:20]!r}, which is no type of numbers")
            return Type(code)
        case "scalar", (Type() as kind, str() | bytes() as raw):
            one = Packed()
            build(one, (1, (1,), kind, False, raw))
            return one.array().item()
        case "encode", (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
        case "bytes", ():
            return b""
    refuse(f"a call of {said or 'what is no name'} that no array makes")


def build(found: Any, state: Any) -> None:
    """Take the state of an array or of its type."""
    if isinstance(found, Type):
        match state:
            case (3 | 4, "<" | ">" | "|" | "=" as order, None, None, None, *_):
                found.order = "<" if order in "|=" else order
                return
        refuse("an array of records, where numbers are expected")
    match found, state:
        case Packed(), (1, tuple(shape), Type() as kind, int(fortran), str() | bytes() as raw):
            if any(type(side) is not int or side < 0 for side in shape) or len(shape) > _MOST_AXES:
                refuse("an array of a shape that none has")
            count = math.prod(shape)
            if count * kind.numpy.itemsize != len(raw):
                refuse(
                    f"an array of {count:,} numbers of {kind.numpy.itemsize} bytes, "
                    f"{len(raw):,} bytes follow"
                )
            found.take(shape, kind, raw, fortran=bool(fortran))
            return
        case Packed(), (1, tuple(), _, _, list()):
            refuse("an array of objects, where numbers are expected")
    refuse("the state of something that is no array")
