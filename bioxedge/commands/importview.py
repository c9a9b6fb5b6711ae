"""What an import shows: a table for people, plain values for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bioxedge.commands.shared import say

if TYPE_CHECKING:
    from bioxedge.importing import Outcome, Plan, Planned
    from bioxedge.readers import Stream

_SESSIONS = 60  # that a table shows
_CHANNELS = 4  # of a stream
_TEXTS = 5  # of a session's marks
_LINES = 5  # of what was left out
_VALUES = 12  # different ones that are counted, more are given as a range
_WIDE = 200  # characters of a line


def facts_of(plan: Plan, outcome: Outcome, left: Sequence[str]) -> dict[str, Any]:
    """Give all that was found and done in plain values."""
    written = {folder.name for folder in outcome.written}
    return {
        "sessions": [
            {
                "name": one.name,
                "person": one.person,
                "kinds": list(one.kinds),
                "files": [str(file) for file in one.files],
                "streams": {
                    name: {
                        "modality": stream.modality,
                        "rate": stream.rate,
                        "channels": {each.name: each.unit for each in stream.channels},
                        "seconds": stream.seconds,
                        "missing": outcome.missing.get(one.name, {}).get(name),
                        "t0": stream.t0,
                        "dated": stream.dated,
                    }
                    for name, stream in one.streams.items()
                },
                "marks": dict(Counter(mark.text for mark in one.marks)),
                "labels": _known(one),
                "remarks": list(one.remarks),
                "written": one.name in written,
            }
            for one in plan.sessions
        ],
        "remarks": list(plan.remarks),
        "left_out": list(left),
    }


def show(plan: Plan, outcome: Outcome, left: Sequence[str]) -> None:
    """Lay out what was found, for a terminal or a log."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("session", "person", "streams", "min", "marks and labels"):
        table.add_column(name, justify="right" if name == "min" else "left", overflow="fold")
    for one in plan.sessions[:_SESSIONS]:
        shares = outcome.missing.get(one.name, {})
        cells = (
            "\n".join((one.name, *one.kinds)),
            one.person,
            "\n".join(_line(name, each, shares.get(name)) for name, each in one.streams.items()),
            f"{(one.end - one.t0) / 60:.1f}",
            "\n".join(_said(one)),
        )
        # As it is: what stands in brackets in a file's text is no command to the terminal.
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
    if len(plan.sessions) > _SESSIONS:
        say(f"and {len(plan.sessions) - _SESSIONS} more (--json names them all)")
    counted = Counter(remark for one in plan.sessions for remark in dict.fromkeys(one.remarks))
    for remark, count in counted.most_common():
        also = f" (and {count - 1} more)" if count > 1 else ""
        first = next(one.name for one in plan.sessions if remark in one.remarks)
        say(f"  {_short(f'{first}: {remark}')}{also}")
    for remark in plan.remarks:
        say(f"  {_short(remark)}")
    if left:
        say(f"  left out of folders: {len(left)} file{'' if len(left) == 1 else 's'}")
        for line in left[:_LINES]:
            say(f"    {_short(line.partition(': give EDF')[0])}")
        if len(left) > _LINES:
            say(f"    and {len(left) - _LINES} more (--json names them all)")


def _short(text: str) -> str:
    """Keep a line a line."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _WIDE else plain[: _WIDE - 1] + "…"


def _line(name: str, stream: Stream, share: float | None) -> str:
    """Say what one stream is."""
    shown = ", ".join(f"{each.name} [{each.unit}]" for each in stream.channels[:_CHANNELS])
    more = len(stream.channels) - _CHANNELS
    also = f" and {more} more" if more > 0 else ""
    lost = f"; {_percent(share)} missing" if share else ""
    return f"{name} ({stream.modality or '?'}, {stream.rate:g} Hz): {shown}{also}{lost}"


def _percent(share: float) -> str:
    """Say a share; what is not nothing is not said to be."""
    return "below 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _said(one: Planned) -> list[str]:
    """Count a session's marks and labels."""
    counts = Counter(" ".join(mark.text.split())[:30] for mark in one.marks)
    lines = [f"{text} × {count}" for text, count in counts.most_common(_TEXTS)]
    if len(counts) > _TEXTS:
        lines.append(f"and {len(counts) - _TEXTS} more texts")
    for name, values in _known(one).items():
        lines.append(f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in values.items()))
    return lines


def _known(one: Planned) -> dict[str, dict[str, float]]:
    """Count the seconds of each label; of numbers, give where they lie."""
    if one.labels is None:
        return {}
    import numpy as np

    found: dict[str, dict[str, float]] = {}
    texts = one.labels.facts["labels"]
    for row, channel in zip(one.labels.samples, one.labels.channels, strict=True):
        real = row[np.isfinite(row)]
        names = texts.get(channel.name)
        values, counts = np.unique(real, return_counts=True)
        if names or len(values) <= _VALUES:
            found[channel.name] = {
                (names[int(value)] if names else f"{value:g}"): int(count)
                for value, count in zip(values.tolist(), counts.tolist(), strict=True)
            }
        elif len(real):
            found[channel.name] = {"from": float(real.min()), "to": float(real.max())}
    return found
