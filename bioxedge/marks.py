"""Marks: what was said about stretches of a session, with the time at which it was true.

An annotation of an EDF file, a marker of a stream, a key that was pressed while recording: a text,
a moment, and how long it holds where that is known. They lie beside a session's recordings, in
``marks.json``; what ``bioxedge record`` wrote has its own inside its streams.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioxedge.atomic import write_file
from bioxedge.errors import RecordingError

FILE = "marks.json"
FORMAT = 1


@dataclass(frozen=True)
class Mark:
    """One thing said about a stretch of time.

    Parameters
    ----------
    start : float
        Unix time in seconds; seconds on the session's own clock where it has no other.
    text : str
    seconds : float, optional
        How long it holds; None where only its beginning is known, and then it holds until the
        next one that is a label, too.
    of : tuple of str, optional
        The session's recordings on whose clock it stands, where they have several; empty where
        nobody said.
    """

    start: float
    text: str
    seconds: float | None = None
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no time."""
        if not math.isfinite(self.start):
            raise RecordingError(f"the mark {self.text!r} has no time: {self.start}")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise RecordingError(
                f"the mark {self.text!r} lasts {self.seconds} s: give 0 or more, or none"
            )


def save(marks: Sequence[Mark], session: str | Path) -> Path:
    """Write a session's marks, in the order of time; gives the file.

    Raises
    ------
    OSError
        The disk does not take it; an earlier file stays.
    """
    path = Path(session) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"start": mark.start, "seconds": mark.seconds, "text": mark.text}
        | ({"of": list(mark.of)} if mark.of else {})
        for mark in sorted(marks, key=lambda mark: mark.start)
    ]
    text = json.dumps({"format": FORMAT, "marks": rows}, indent=1, allow_nan=False)
    write_file(path, text.encode() + b"\n")
    return path


def load(session: str | Path) -> list[Mark]:
    """Read a session's marks; none where it has no file of them.

    Raises
    ------
    RecordingError
        A file that cannot be read as marks.
    """
    path = Path(session) / FILE
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise RecordingError(f"{path} is of another format than {FORMAT}: import it again")
        return [
            Mark(
                float(row["start"]),
                str(row["text"]),
                None if row["seconds"] is None else float(row["seconds"]),
                tuple(map(str, row.get("of", ()))),
            )
            for row in about["marks"]
        ]
    except FileNotFoundError:
        return []
    except RecordingError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} cannot be read as marks: {error}") from error
