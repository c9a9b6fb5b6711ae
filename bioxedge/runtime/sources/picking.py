"""Which of a board's channels are meant where nobody names any: those that are signals."""

from __future__ import annotations

from bioxedge.runtime.sources.boards import Layout

# The counter, stamps, marks, the battery, and what has no meaning of its own.
_BESIDE = ("other", "battery", "marker", "package", "timestamp")
# Kinds that name a row which another kind may name better.
_SECOND = ("exg", "optical")


def signal_channels(layout: Layout) -> tuple[str, ...]:
    """Name a preset's signals, each row once: electrodes by BrainFlow's names or by number.

    Examples
    --------
    >>> from bioxedge.runtime.sources.boards import layout
    >>> signal_channels(layout("muse_2", "ancillary"))
    ('ppg_1', 'ppg_2', 'ppg_3')
    """
    found: dict[int, str] = {}
    for name, row in layout.channels.items():
        if _kind(name) not in _BESIDE and (row not in found or _kind(found[row]) in _SECOND):
            found[row] = name
    return tuple(name for _, name in sorted(found.items()))


def _kind(name: str) -> str:
    return name.rpartition("_")[0]
