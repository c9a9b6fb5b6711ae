"""CSV and TSV with a header: what nothing else claims.

A column of times (seconds, Unix time in s, ms, us or ns, or dates) lays the rows out; without one
the rate must be told. Columns of numbers are channels, grouped by what their names say they are;
columns of text are marks, one where the text changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bioxedge.errors import RecordingError
from bioxedge.readers.found import Found, Mark, Stream
from bioxedge.readers.names import channels_of, distinct, modality_of, name_and_unit, safe
from bioxedge.readers.text_rows import Text, read_rows, shown, times_of
from bioxedge.readers.text_stamps import laid_out, places_of, rate_of, real_rate
from bioxedge.signals import Samples

_ENDS = (".csv", ".tsv", ".txt", ".tab")
_TIMES = (
    "time", "times", "timestamp", "timestamps", "t", "seconds", "datetime", "date", "date_time",
    "unix", "unixtime", "unix_time", "elapsed", "elapsed_time", "time_s", "lsl_timestamp",
    "local_timestamp", "phone timestamp",
)  # fmt: skip
_SCALES = {
    "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e3, "msec": 1e3, "milliseconds": 1e3, "us": 1e6,
    "µs": 1e6, "μs": 1e6, "microseconds": 1e6, "ns": 1e9, "nanoseconds": 1e9,
}  # fmt: skip
_ORDERED = "rows are taken one after the other, at the rate that was told"
_SLOWEST = 0.2  # Hz: what few sensors are below, and any is whose milliseconds were read as seconds
_DATED = 1e8  # s since 1970: smaller is a time since some start
_MILLI, _TEXTS = ("time_ms", "timestamp_ms", "milliseconds"), 10_000


def recognises(path: Path, head: bytes) -> bool:
    """Tell by the name, and that it is text."""
    name = path.name.removesuffix(".gz")
    if not name.lower().endswith(_ENDS):
        return False
    return path.suffix == ".gz" or b"\x00" not in head


def look(
    path: Path,
    *,
    rate: float | None = None,
    units: Mapping[str, str] | None = None,
    **told: Any,
) -> Found:
    """Look into a table; see :func:`bioxedge.readers.find`."""
    text = read_rows(path)
    if not any(character.isalpha() for field in text.header for character in field):
        raise RecordingError(
            f"{path} begins with {shown(text.header[0])}: write the columns' names above it"
        )
    remarks: list[str] = []
    if text.comma:
        remarks.append("numbers are read with decimal commas")
    at, times, dated = _times(text, remarks, rate)
    if times is not None and rate is not None and not np.diff(times).any():
        times, dated = None, False
        remarks.append(f"its times do not go on: {_ORDERED}")
    if times is None and rate is None:
        raise RecordingError(
            f"{path} has no column of times ({text.named}): give its rate in Hz with --rate"
        )
    numbers, texts = _columns(text, at, remarks)
    if not numbers:
        raise RecordingError(f"{path} has no column of numbers: {text.named}")
    count = len(text.columns[0])
    if times is None:
        assert rate is not None
        nominal, places, t0, facts = rate, np.arange(count, dtype=np.int64), 0.0, {}
    else:
        try:
            nominal = rate or rate_of(times)
            places = places_of(times, nominal)
            t0, facts = float(times[0]), {"real_rate": real_rate(times, places)}
        except RecordingError as error:
            raise RecordingError(f"{path}: {error}") from error
    if times is not None and not dated and nominal < _SLOWEST:
        remarks.append(
            f"its times are taken as seconds, which makes {nominal:g} Hz: if they are "
            "milliseconds, name their column time_ms"
        )
    lost = int(places[-1]) + 1 - count if count else 0
    if lost:
        remarks.append(f"{lost} rows are missing, by the times of the others")
    parts = {k: name_and_unit(text.header[k]) for k in numbers}
    groups: dict[str, list[int]] = {}
    for k, (name, _) in parts.items():
        groups.setdefault(modality_of(name), []).append(k)
    called = distinct(safe(kind, "signal") for kind in groups)
    streams = tuple(
        Stream(
            name=name,
            modality=kind,
            rate=nominal,
            channels=channels_of(
                [parts[k][0] for k in own],
                [(units or {}).get(parts[k][0]) or parts[k][1] for k in own],
                kind,
            ),
            samples=int(places[-1]) + 1 if count else 0,
            read=_reader([numbers[k] for k in own], places),
            t0=t0,
            dated=dated,
            facts=facts,
        )
        for name, (kind, own) in zip(called, groups.items(), strict=True)
    )
    moments = times if times is not None else t0 + places / nominal
    marks = tuple(mark for k in texts for mark in _marks(text, k, moments, nominal, remarks))
    return Found(path, "table", streams, marks, "", tuple(remarks), (path,))


def _times(
    text: Text, remarks: list[str], rate: float | None
) -> tuple[int | None, np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None, bool]:
    """Find the column of times: its number, seconds, and whether they are dates."""
    for k, header in enumerate(text.header):
        name, unit = name_and_unit(header)
        plain = name.strip().lower()
        if plain not in (*_TIMES, *_MILLI):
            continue
        found = times_of(text.columns[k], text.comma)
        if found is None or not np.isfinite(found[0]).all():
            if rate is None:
                raise RecordingError(
                    f"{text.path}: {shown(header)} holds what is no time: write seconds, or dates "
                    "such as 2026-05-08 10:00:00, or give its rate in Hz with --rate"
                )
            remarks.append(f"{shown(header)} holds what is no time: {_ORDERED}")
            return k, None, False
        seconds, dated, remark = found
        scale = _SCALES.get("ms" if plain in _MILLI else unit.lower())
        numbers = text.numbers(k)
        if scale is not None and numbers is not None:
            # What the header says stands above what the size of the numbers suggests.
            seconds = numbers / scale
            dated = bool(np.median(seconds) > _DATED)
        if remark:
            remarks.append(remark)
        return k, seconds, dated
    return None, None, False


def _columns(
    text: Text, at: int | None, remarks: list[str]
) -> tuple[dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]], list[int]]:
    """Part the columns other than the times' into those of numbers and those of text."""
    numbers, texts = {}, []
    for k, header in enumerate(text.header):
        if k == at:
            continue
        column = text.numbers(k)
        if column is None and (mixed := text.mostly_numbers(k)) is not None:
            column, odd = mixed
            remarks.append(
                f"{header}: {', '.join(map(shown, odd[:3]))} is no number: taken as missing"
            )
        if column is None:
            texts.append(k)
        elif np.isfinite(column).any():
            if np.isinf(column).any():
                remarks.append(f"{header}: infinite values are taken as missing")
                column[np.isinf(column)] = np.nan
            numbers[k] = column
        else:
            remarks.append(f"{header} is empty: left out")
    return numbers, texts


def _reader(columns: list[Any], places: Any) -> Any:
    """Give what lays columns out."""

    def read() -> Samples:
        return laid_out(np.stack(columns), places)

    return read


def _marks(text: Text, k: int, moments: Any, rate: float, remarks: list[str]) -> list[Mark]:
    """Read a column of text: a mark where it changes, for as long as it stays."""
    column = text.columns[k]
    edges, before = [], None
    for n, field in enumerate(column):
        if field != before:
            edges.append(n)
        before = field
    if len(edges) > _TEXTS:
        remarks.append(f"{text.header[k]} changes {len(edges):,} times: no marks are made of it")
        return []
    found = []
    for first, last in zip(edges, [*edges[1:], len(column)], strict=True):
        if column[first]:
            end = moments[last] if last < len(column) else moments[-1] + 1 / rate
            found.append(Mark(float(moments[first]), column[first], float(end - moments[first])))
    return found
