"""A recording as rows of a board, which BrainFlow's playback board reads."""

from __future__ import annotations

from pathlib import Path

from bioxedge.runtime.sources.playback import write_playback
from bioxedge.signals import Recording


def write_rows(
    recording: Recording, path: str | Path, *, board: str, preset: str | None = None
) -> int:
    """Write it, so that a failure leaves nothing, and for its owner only; the number of rows.

    A sample that is missing in any channel is left out, and counter and time go on. Where two
    names are one row (``Fz`` and ``eeg_1``), the last one's values stand.

    Raises
    ------
    SourceError
        A board without such channels, or of another rate.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        rows = write_playback(recording, partial, board=board, preset=preset)
        partial.chmod(0o600)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return rows
