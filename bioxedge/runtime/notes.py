"""What happened to samples on their way through the stages, in words."""

from __future__ import annotations

from bioxedge.gaps import Note
from bioxedge.runtime.events import Event


def said(note: Note, rate: float) -> Event:
    """Say in words what a sample stream noted.

    Parameters
    ----------
    note : Note
    rate : float
        Nominal rate of the input in Hz.
    """
    t, seconds = note.at / rate, note.samples / rate
    facts = {"samples": note.samples, "seconds": seconds}
    if note.why:
        message = f"{note.why} until here: no label until a whole window has settled"
        return Event("restart", message, t, {"reason": note.why})
    if note.kind == "restart":
        message = (
            f"{note.samples} samples ({seconds:.2f} s) were missing, too many to be held over: "
            "no label until a whole window has settled"
        )
        return Event("restart", message, t, facts)
    lasts = "has given no value for" if note.open else "gave no value for"
    message = f"{', '.join(note.channels)} {lasts} {note.samples} samples ({seconds:.2f} s)"
    return Event(
        "missing", message, t, {**facts, "channels": list(note.channels), "goes_on": note.open}
    )
