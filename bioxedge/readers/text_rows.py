"""Text with rows of fields: its delimiter, its decimal sign, its numbers and its times."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain, islice
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from bioxedge.errors import RecordingError

Floats = npt.NDArray[np.float64]

DELIMITERS = ("\t", ";", ",")
_LONGEST_LINE = 1 << 20  # characters: no row of signals is longer
_EMPTY = {"", "na", "nan", "null", "none", "-", "n/a"}
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d+)")
_MOSTLY, _FEW_TEXTS = 0.9, 100  # share of numbers, and other texts at most, of a signal's column
_SHOWN = 40  # characters of a field in an error
_BLOCK, _PACKED = 1 << 16, 64  # rows that are parted at once; bytes of a field that is packed


class Column(Sequence[str]):
    """The fields of a column as they are written, in a fifth of the memory of as many texts.

    Parameters
    ----------
    blocks : sequence of sequence of str
        One block of rows after the other.
    """

    def __init__(self, blocks: Iterator[Sequence[str]] | Sequence[Sequence[str]] = ()) -> None:
        self._blocks: list[npt.NDArray[np.bytes_] | list[str]] = []
        self._length = 0
        for block in blocks:
            self.add(block)

    def add(self, fields: Sequence[str]) -> None:
        """Put a block behind what is there; a long text among them is kept as it is."""
        raw = [field.encode() for field in fields]
        short = max(map(len, raw), default=0) <= _PACKED
        self._blocks.append(np.array(raw, np.bytes_) if short else list(fields))
        self._length += len(fields)

    def blocks(self) -> Iterator[list[str]]:
        """Give the fields, block by block."""
        for block in self._blocks:
            if isinstance(block, list):
                yield block
            else:
                yield [field.decode() for field in block.tolist()]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.blocks())

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[k] for k in range(*at.indices(self._length))]
        k = at + self._length if at < 0 else at
        if not 0 <= k < self._length:
            raise IndexError(f"row {at} of {self._length}")
        for block in self._blocks:
            if k < len(block):
                field = block[k]
                return field if isinstance(field, str) else field.decode()
            k -= len(block)
        raise AssertionError("a block is missing")


@dataclass(frozen=True)
class Text:
    """What a file of rows holds.

    Attributes
    ----------
    path : Path
    delimiter : str
    comma : bool
        Whether numbers have a decimal comma.
    header : list of str
    columns : list of Column
        As they are written, stripped.
    """

    path: Path
    delimiter: str
    comma: bool
    header: list[str]
    columns: list[Column]

    @property
    def named(self) -> str:
        """The first columns' names, for an error."""
        return ", ".join(name[:_SHOWN] for name in self.header[:4]) + (
            f" and {len(self.header) - 4} more" if len(self.header) > 4 else ""
        )

    def column(self, *names: str) -> int | None:
        """Find a column by one of its names, small and capital letters alike."""
        lowered = [name.strip().lower() for name in self.header]
        for name in names:
            if name.lower() in lowered:
                return lowered.index(name.lower())
        return None

    def numbers(self, number: int) -> Floats | None:
        """Read a column as numbers, NaN where a field is empty; None where it holds text."""
        try:
            blocks = [self._values(block) for block in self.columns[number].blocks()]
        except ValueError:
            return None
        return np.concatenate(blocks) if blocks else np.empty(0)

    def _values(self, fields: list[str]) -> Floats:
        """Read fields as numbers; ValueError where one is a text."""
        if self.comma:
            fields = [field.replace(",", ".") for field in fields]
        try:
            return np.array(fields, np.float64)
        except ValueError:
            return np.array(
                [math.nan if field.lower() in _EMPTY else float(field) for field in fields]
            )

    def mostly_numbers(self, number: int) -> tuple[Floats, list[str]] | None:
        """Read a column of numbers with a text here and there, which is missing; names these."""
        fields = self.columns[number]
        texts: set[str] = set()
        values = np.full(len(fields), math.nan)
        for k, field in enumerate(fields):
            try:
                values[k] = float(field.replace(",", ".") if self.comma else field)
            except ValueError:
                if field.lower() not in _EMPTY:
                    texts.add(field)
                    if len(texts) > _FEW_TEXTS:
                        return None
        known = int(np.isfinite(values).sum())
        said = sum(field.lower() not in _EMPTY for field in fields)
        return (values, sorted(texts)) if known >= _MOSTLY * max(said, 1) else None


def read_text(path: Path) -> str:
    """Read a text file, packed or not.

    Raises
    ------
    RecordingError
        It cannot be read, or is no text.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        said = getattr(error, "strerror", None) or "it is damaged"
        raise RecordingError(f"{path} cannot be read: {said}") from error
    if b"\x00" in raw[:4096]:
        raise RecordingError(f"{path} is no text: give another format")
    for code in ("utf-8-sig", "latin-1"):
        try:
            return raw.decode(code)
        except UnicodeDecodeError:
            continue
    raise RecordingError(f"{path} is no text")


def read_rows(path: Path, skip: int = 0, delimiter: str | None = None) -> Text:
    """Read rows below a header line.

    Parameters
    ----------
    path : Path
    skip : int
        Lines before the header.
    delimiter : str, optional
        Told apart by the header if left out.

    Raises
    ------
    RecordingError
        No rows, rows of another length than the header, or a decimal comma that cannot be told
        from a delimiter.
    """
    lines = [line for line in read_text(path).splitlines()[skip:] if line.strip()]
    return rows_of(path, lines, delimiter)


def rows_of(path: Path, lines: Sequence[str], delimiter: str | None = None) -> Text:
    """Part lines into columns; see `read_rows`."""
    if len(lines) < 2:
        raise RecordingError(f"{path} has no rows below a header")
    if max(map(len, lines[:100])) > _LONGEST_LINE:
        raise RecordingError(f"{path} has a line of {max(map(len, lines[:100])):,} characters")
    found = delimiter or max(DELIMITERS, key=lambda one: lines[0].count(one))
    try:
        header, columns = _parted(path, lines, found)
    except csv.Error as error:
        raise RecordingError(f"{path} cannot be read as rows: {error}") from error
    some = [field for column in columns for field in column[:50] if field]
    comma = found != "," and any(_with_comma(field) for field in some)
    if comma and any(_with_point(field) for field in some):
        raise RecordingError(
            f"{path}: numbers have decimal commas and decimal points; export it with one of them"
        )
    return Text(path, found, comma, header, columns)


def _parted(path: Path, lines: Sequence[str], delimiter: str) -> tuple[list[str], list[Column]]:
    """Part lines into a header and columns, a block of rows after the other."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter)
    header = [" ".join(field.split()) for field in next(reader, [])]
    width, first = len(header), 0
    columns = [Column() for _ in header]
    block = list(islice(reader, _BLOCK))
    while block:
        following = list(islice(reader, _BLOCK))
        # A delimiter at the end of each row makes a field that nobody named.
        rows = [
            row[:width] if len(row) == width + 1 and not row[width].strip() else row
            for row in block
        ]
        if not following and len(rows[-1]) < width and first + len(rows) > 1:
            rows = rows[:-1]  # a last line that was cut off
        for k, row in enumerate(rows):
            if len(row) != width:
                raise RecordingError(_uneven(path, first + k + 2, len(row), width, delimiter))
        for number, column in enumerate(columns):
            column.add([row[number].strip() for row in rows])
        first, block = first + len(rows), following
    return header, columns


def _uneven(path: Path, row: int, fields: int, width: int, delimiter: str) -> str:
    """Say what is wrong with a row of another length than the header."""
    if delimiter == "," and fields > width:
        return (
            f"{path}: row {row} has {fields} fields below a header of {width}: commas stand for "
            "decimals and between fields; export it with ; or tabs between fields"
        )
    return f"{path}: row {row} has {fields} fields, the header has {width}"


def _with_comma(field: str) -> bool:
    """Whether a field is a number with a decimal comma."""
    whole, comma, part = field.partition(",")
    return bool(comma) and whole.lstrip("+-").isdigit() and part.isdigit()


def _with_point(field: str) -> bool:
    """Whether a field is a number with a decimal point."""
    whole, point, part = field.partition(".")
    return bool(point) and whole.lstrip("+-").isdigit() and part.isdigit()


def times_of(fields: Sequence[str], comma: bool = False) -> tuple[Floats, bool, str] | None:
    """Read a column of times: in seconds, whether they are dates, and what was assumed.

    Numbers are seconds; milliseconds, micro- or nanoseconds since 1970 are known by their size.
    Text is a date and time as ISO 8601 has them. None where it is neither.
    """
    if not len(fields):
        return None
    blocks = fields.blocks() if isinstance(fields, Column) else [list(fields)]
    try:
        values = np.concatenate(
            [
                np.array([one.replace(",", ".") for one in block] if comma else block, float)
                for block in blocks
            ]
        )
    except ValueError:
        return _dates(fields)
    if not np.isfinite(values).all():
        return None
    size = float(np.median(np.abs(values)))
    for least, scale in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0)):
        if size >= least:
            return values / scale, True, ""
    return values, False, ""


def _dates(fields: Sequence[str]) -> tuple[Floats, bool, str] | None:
    """Read dates; a clock without a zone is taken as UTC."""
    found, naive = np.empty(len(fields)), False
    try:
        for k, field in enumerate(fields):
            plain = field.replace("Z", "+00:00").replace("/", "-")
            # Python 3.10 takes three digits or six, and programs write two, seven or nine.
            plain = _FRACTION.sub(lambda part: f".{part[1][:6]:0<6}", plain, count=1)
            moment = datetime.fromisoformat(plain)
            if moment.tzinfo is None:
                naive = True
                moment = moment.replace(tzinfo=timezone.utc)
            found[k] = moment.timestamp()
    except ValueError:
        return None
    return found, True, "its clock names no zone: taken as UTC" if naive else ""


def shown(field: str) -> str:
    """Shorten a field for an error."""
    return repr(field if len(field) <= _SHOWN else field[:_SHOWN] + "…")
