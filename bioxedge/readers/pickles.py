"""Pickled numbers, read by a machine that can run nothing.

Published sets come as pickles (WESAD's were written by Python 2), and unpickling runs whatever a
file says. Here it is not unpickled: the opcodes that numbers need are obeyed one by one, names
stand for nothing but what :mod:`bioxedge.readers.pickled_arrays` lists, and every other opcode or
name is refused by its name. Sizes are held to the file's own, so that a short file cannot ask for
much memory.

Opcodes: Python's ``pickletools``.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from bioxedge.errors import RecordingError
from bioxedge.readers.pickled_arrays import Packed, build, called, known, refuse

__all__ = ["MOST_BYTES", "Packed", "read"]

MOST_BYTES = 8 * 2**30
"""A file above is refused: the largest of WESAD's is about 1 GB."""
_MOST_STEPS = 1_000_000  # opcodes; WESAD's files have some hundred
_MOST_DIGITS = 64  # of a whole number, as text or bytes


def read(path: str | Path) -> Any:
    """Read a pickle of numbers.

    Parameters
    ----------
    path : path
        Protocols 0 to 4, and what of 5 stands in the file itself; text of Python 2 is taken as
        Latin-1, as its arrays' bytes are.

    Returns
    -------
    object
        Numbers, text, bytes, None, lists, tuples, dicts with text for keys, and :class:`Packed`
        arrays.

    Raises
    ------
    RecordingError
        A file that is not there, is cut short, or holds anything else; which, by its name.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise RecordingError(
                f"{path} is a pickle of {size:,} bytes: at most {MOST_BYTES:,} are read"
            )
        with path.open("rb") as file:
            return _Machine(file, size).run()
    except RecordingError as error:
        if str(error).startswith(str(path)):
            raise
        raise RecordingError(
            f"{path} cannot be read: {error}; nothing but numbers, text, lists, dicts and NumPy "
            "arrays of numbers is taken from a pickle"
        ) from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise RecordingError(f"{path} does not fit into this machine's memory") from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise RecordingError(f"{path} is no sound pickle: {error}") from error


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _utf8(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _whole(raw: bytes) -> int:
    if len(raw) > _MOST_DIGITS:
        refuse(f"a whole number of {len(raw):,} bytes")
    return int.from_bytes(raw, "little", signed=True)


def _line_whole(raw: bytes) -> int | bool:
    if len(raw) > _MOST_DIGITS:
        refuse(f"a whole number of {len(raw):,} digits")
    return {b"00": False, b"01": True}[raw] if raw in (b"00", b"01") else int(raw.rstrip(b"L"))


def _quoted(raw: bytes) -> str:
    if len(raw) < 2 or raw[:1] not in (b"'", b'"') or raw[:1] != raw[-1:]:
        refuse("a text without its quotes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an escape that is none: it stands for itself
        return _text(codecs.escape_decode(raw[1:-1])[0])


_CONSTANTS: dict[bytes, Any] = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_NUMBERS = {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}
_SIZED: dict[bytes, tuple[str, Callable[[bytes], Any]]] = {
    b"T": ("<i", _text), b"U": ("<B", _text), b"X": ("<I", _utf8), b"\x8c": ("<B", _utf8),
    b"\x8d": ("<Q", _utf8), b"B": ("<I", bytes), b"C": ("<B", bytes), b"\x8e": ("<Q", bytes),
    b"\x8a": ("<B", _whole), b"\x8b": ("<i", _whole),
}  # fmt: skip
_LINES: dict[bytes, Callable[[bytes], Any]] = {
    b"I": _line_whole, b"L": _line_whole, b"F": float, b"S": _quoted,
    b"V": lambda raw: raw.decode("raw-unicode-escape"),
}  # fmt: skip
_PUT = {b"q": "<B", b"r": "<I"}
_GET = {b"h": "<B", b"j": "<I"}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_SKIPPED = {b"\x80": 1, b"\x95": 8}  # the protocol; a frame, which is a hint for reading ahead


class _Machine:
    """Obeys the opcodes of one file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self._made, self._most = 0, size
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Give what the file holds."""
        for _ in range(_MOST_STEPS):
            code = self._take(1)
            if code == b".":
                return self._stack.pop()
            self._step(code)
        refuse(f"more than {_MOST_STEPS:,} steps")

    def _take(self, count: int) -> bytes:
        """Read some bytes; no more than the file has are ever asked for."""
        if not 0 <= count <= self._left:
            refuse(f"it is cut short: {count:,} bytes are said, {self._left:,} follow")
        self._left -= count
        raw = self._file.read(count)
        if len(raw) < count:
            refuse("it is cut short")
        return raw

    def _line(self) -> bytes:
        raw = self._file.readline()
        self._left -= len(raw)
        if not raw.endswith(b"\n"):
            refuse("it is cut short")
        return raw.rstrip(b"\r\n")

    def _made_of(self, found: Any) -> Any:
        """Count the bytes that are made of text: a file can ask for the same again and again."""
        if isinstance(found, bytes):
            self._made += len(found)
            if self._made > self._most:
                refuse("more bytes are made of it than it has")
        return found

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _step(self, code: bytes) -> None:
        stack = self._stack
        if code in _SIZED:
            form, made = _SIZED[code]
            stack.append(made(self._take(self._number(form))))
        elif code in _NUMBERS:
            stack.append(self._number(_NUMBERS[code]))
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _LINES:
            stack.append(_LINES[code](self._line()))
        elif code in _PUT:
            self._memo[self._number(_PUT[code])] = stack[-1]
        elif code in _GET:
            stack.append(self._memo[self._number(_GET[code])])
        elif code in _TUPLES:
            count = _TUPLES[code]
            items = tuple(stack[-count:])
            if len(items) < count:
                refuse("a tuple of more than there is")
            stack[-count:] = [items]
        elif code in _SKIPPED:
            self._take(_SKIPPED[code])
        else:
            self._other(code)

    def _other(self, code: bytes) -> None:
        """Obey what has a rule of its own."""
        stack = self._stack
        match code:
            case b"p":
                self._memo[_line_whole(self._line())] = stack[-1]
            case b"g":
                stack.append(self._memo[_line_whole(self._line())])
            case b"\x94":  # MEMOIZE
                self._memo[len(self._memo)] = stack[-1]
            case b"(":
                self._marks.append(stack)
                self._stack = []
            case b"0":
                stack.pop()
            case b"1":
                self._since_mark()
            case b"2":
                stack.append(stack[-1])
            case b"]":
                stack.append([])
            case b"}":
                stack.append({})
            case b"t" | b"l" | b"d":
                items = self._since_mark()
                made = tuple(items) if code == b"t" else items if code == b"l" else _filled(items)
                self._stack.append(made)
            case b"a":
                _listed(stack[-2]).append(stack.pop())
            case b"e":
                items = self._since_mark()
                _listed(self._stack[-1]).extend(items)
            case b"s":
                value, key = stack.pop(), stack.pop()
                _put(stack[-1], [key, value])
            case b"u":
                items = self._since_mark()
                _put(self._stack[-1], items)
            case b"c":
                module, name = (self._line().decode("utf-8", "replace") for _ in range(2))
                stack.append(known(module, name))
            case b"\x93":  # STACK_GLOBAL
                name, module = stack.pop(), stack.pop()
                stack.append(known(module, name))
            case b"R":
                given, name = stack.pop(), stack.pop()
                stack.append(self._made_of(called(name, given)))
            case b"b":
                build(stack[-2], stack.pop())
            case _:
                named = [each.name for each in pickletools.opcodes if each.code == _text(code)]
                refuse(f"it asks for {named[0] if named else repr(code)}, which is not obeyed here")


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, list):
        refuse("something is added to what is no list")
    return found


def _put(found: Any, items: list[Any]) -> None:
    """Set keys and values of a dict."""
    if not isinstance(found, dict) or len(items) % 2:
        refuse("keys are set of what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Text alone: numbers can be chosen so that a dict of them takes for ever.
        if not isinstance(key, str):
            refuse(f"a key of {type(key).__name__}, where text is expected")
        found[key] = value


def _filled(items: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _put(made, items)
    return made
