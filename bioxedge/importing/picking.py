"""Which streams and channels of some files are meant, and in which units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bioxedge.readers import Found, Stream
from bioxedge.signals import Channel, Samples


def chosen(
    members: Sequence[Found],
    streams: Sequence[str],
    channels: Sequence[str],
    units: dict[str, str],
) -> tuple[list[Stream], list[int], list[str]]:
    """Choose streams and channels.

    Parameters
    ----------
    members : sequence of Found
    streams : sequence of str
        Names, or kinds of signals; all if empty.
    channels : sequence of str
        All if empty.
    units : dict of str to str
        Of channels, in place of what the files state: values stay what they are.

    Returns
    -------
    list of Stream
        Those that have samples.
    list of int
        For each the member that it is of.
    list of str
        What was left out though it was meant.
    """
    kept, owners, remarks = [], [], []
    for number, one in enumerate(members):
        for stream in one.streams:
            if streams and stream.name not in streams and stream.modality not in streams:
                continue
            if channels and not any(each.name in channels for each in stream.channels):
                continue
            if stream.samples < 1:
                remarks.append(f"{stream.name} has no samples: left out")
                continue
            kept.append(_restated(_narrowed(stream, channels), units))
            owners.append(number)
    return kept, owners, remarks


def _narrowed(stream: Stream, wanted: Sequence[str]) -> Stream:
    """Keep some channels, in the order in which the file has them."""
    rows = [k for k, one in enumerate(stream.channels) if not wanted or one.name in wanted]
    if len(rows) == len(stream.channels):
        return stream
    return replace(
        stream,
        channels=tuple(stream.channels[k] for k in rows),
        read=_some(stream.read, rows),
    )


def _some(read: Callable[[], Samples], rows: list[int]) -> Callable[[], Samples]:
    """Give what reads some rows."""
    return lambda: read()[rows]


def _restated(stream: Stream, units: dict[str, str]) -> Stream:
    """State other units than a file does."""
    channels = tuple(Channel(one.name, units.get(one.name, one.unit)) for one in stream.channels)
    return replace(stream, channels=channels)
