"""Every kind of source that can be written, and what makes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bioxedge.errors import SourceError
from bioxedge.spelled import Spelled

if TYPE_CHECKING:
    from bioxedge.runtime import Source
    from bioxedge.runtime.sources.wanted import Wanted
    from bioxedge.signals import Recording

# Of what was recorded as it came.
_OF_STREAMS = ("stream", "take", "start")
# Of whatever can be lost and started again.
_SUPERVISED = ("reconnect",)


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes
    ----------
    how : str
        How it is written.
    live : bool
        Whether a sensor stands behind it, which does not wait for anybody and may be lost.
    takes : tuple of str
        Options that mean something to it.
    make : callable
        Makes it; what it needs is imported then.
    parameters : bool
        Whether every other option is a parameter of the driver's, whose name it checks itself.
    """

    how: str
    live: bool
    takes: tuple[str, ...]
    make: Callable[[Spelled, Wanted], Source]
    parameters: bool = False


def _replay(spelled: Spelled, wanted: Wanted) -> Source:
    from bioxedge import recorded, recording
    from bioxedge.runtime import ReplaySource

    speed = _speed(spelled.options.get("speed"))
    columns = spelled.options.get("columns")
    if wanted.channels is not None and wanted.rate is not None:
        from bioxedge.runtime.sources.brought import replay

        return replay(
            spelled.what,
            wanted,
            speed=speed,
            stream=spelled.options.get("stream"),
            columns=columns.split("+") if columns else None,
            take=spelled.whole("take", 1, least=1) if "take" in spelled.options else None,
            start=spelled.number("start", 0.0),
        )
    if columns is not None:
        raise SourceError("columns means nothing without a bundle: say channels=")
    if not recording.saved(spelled.what) and recorded.streams(spelled.what):
        from bioxedge.runtime.sources.logreplay import LogReplay

        take = spelled.options.get("take")
        return LogReplay(
            spelled.what,
            channels=wanted.channels,
            rate=wanted.rate,
            stream=spelled.options.get("stream"),
            speed=speed,
            take=None if take is None else spelled.whole("take", 1, least=1),
            start=spelled.number("start", 0.0),
            clock=wanted.clock,
        )
    odd = [key for key in _OF_STREAMS if key in spelled.options]
    if odd:
        raise SourceError(f"{odd[0]} means nothing to {spelled.what}: it holds no streams")
    taken = recording.load(spelled.what)
    return ReplaySource(taken, channels=wanted.channels, speed=speed)


def _playback(spelled: Spelled, wanted: Wanted) -> Source:
    from bioxedge import recording
    from bioxedge.runtime import PlaybackSource

    speed = _speed(spelled.options.get("speed"))
    taken = recording.load(spelled.what)
    _check_rate(taken, wanted.rate)
    return PlaybackSource(
        taken,
        channels=wanted.channels,
        rate=wanted.rate,
        board=spelled.options.get("board"),
        preset=spelled.options.get("preset"),
        speed=speed,
    )


def _brainflow(spelled: Spelled, wanted: Wanted) -> Source:
    from bioxedge.runtime import BrainFlowSource
    from bioxedge.runtime.sources import boards
    from bioxedge.runtime.sources.picking import signal_channels

    known = ("preset", "command", *_SUPERVISED)
    preset = spelled.options.get("preset")
    channels, rate = wanted.channels, wanted.rate
    if channels is None or rate is None:
        layout = boards.layout(spelled.what, preset, channels or ())
        channels, rate = channels or signal_channels(layout), rate or layout.rate
        preset = layout.preset
    command = spelled.options.get("command")
    return BrainFlowSource(
        spelled.what,
        channels=channels,
        rate=rate,
        preset=preset,
        params={key: value for key, value in spelled.options.items() if key not in known},
        config=tuple(command.split(";")) if command else (),
        clock=wanted.clock,
    )


def _synthetic(spelled: Spelled, wanted: Wanted) -> Source:
    from bioxedge.runtime.sources.synthetic import simulated

    if wanted.channels is not None and len(wanted.channels) != 1:
        raise SourceError(
            f"a simulated wearer has one channel, {', '.join(wanted.channels)} are wanted: "
            "brainflow:synthetic has many, without meaning"
        )
    if wanted.modality and wanted.modality != spelled.what:
        raise SourceError(
            f"a simulated {spelled.what} where {wanted.modality} is wanted: write "
            f"synthetic:{wanted.modality}"
        )
    minutes = spelled.number("minutes", math.inf) if "minutes" in spelled.options else math.inf
    return simulated(
        spelled.what,
        channel=None if wanted.channels is None else wanted.channels[0],
        rate=wanted.rate,
        unit=None if wanted.units is None else wanted.units[0],
        person=spelled.whole("person", 1, least=1),
        seed=spelled.whole("seed", 0),
        seconds=minutes * 60,
        clock=wanted.clock,
    )


def _lsl(spelled: Spelled, wanted: Wanted) -> Source:
    from bioxedge.runtime.sources.lsl import KEYS, LslSource

    told_by = {key: spelled.options[key] for key in KEYS if key in spelled.options}
    if spelled.what:
        told_by["name"] = spelled.what
    if not told_by:
        raise SourceError(f"which LSL stream? Write lsl:NAME, or one of {', '.join(KEYS)} as KEY=")
    names = {}
    for part in filter(None, spelled.options.get("map", "").split("+")):
        channel, _, label = part.partition(":")
        if not (channel and label):
            raise SourceError(f"map takes CHANNEL:LABEL, joined by +, got {part!r}")
        names[channel] = label
    return LslSource(
        told_by,
        channels=wanted.channels,
        rate=wanted.rate,
        units=wanted.units,
        names=names,
        timeout=spelled.number("timeout", 5.0, least=0.1),
        clock=wanted.clock,
    )


KINDS: dict[str, SourceKind] = {
    "brainflow": SourceKind(
        "brainflow:BOARD", True, ("preset", "command", *_SUPERVISED), _brainflow, parameters=True
    ),
    "synthetic": SourceKind(
        "synthetic:ppg", True, ("person", "seed", "minutes", *_SUPERVISED), _synthetic
    ),
    "lsl": SourceKind(
        "lsl:NAME",
        True,
        ("name", "type", "source_id", "hostname", "map", "timeout", *_SUPERVISED),
        _lsl,
    ),
    "replay": SourceKind("replay:FOLDER", False, ("speed", "columns", *_OF_STREAMS), _replay),
    "playback": SourceKind("playback:FOLDER", False, ("speed", "board", "preset"), _playback),
}
"""Every kind of source, by the word in front of the colon."""


def _check_rate(taken: Recording, rate: float | None) -> None:
    """Refuse a recording at another rate before anything starts."""
    if rate is not None and taken.rate != rate:
        raise SourceError(
            f"the recording of {taken.person} is at {taken.rate:g} Hz, the bundle takes "
            f"{rate:g} Hz: resample it, or use a bundle built for {taken.rate:g} Hz"
        )


def _speed(text: str | None) -> float:
    """``max`` is infinity."""
    try:
        speed = math.inf if text == "max" else float(text or 1)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise SourceError(f"--speed takes a number above 0 or max, got {text!r}")
    return speed
