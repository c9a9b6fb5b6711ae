"""A recording as a source that fits a bundle, brought to its rate, channel names and units.

By :func:`bioxedge.worn.as_worn`, as `build` brings recordings to the sensor: the windows are those
of training, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bioxedge import recorded, recording, units, worn
from bioxedge.errors import RecordingError, SignalError, SourceError
from bioxedge.recording import Outline
from bioxedge.runtime.sources.base import Source
from bioxedge.runtime.sources.logreplay import LogReplay
from bioxedge.runtime.sources.replay import ReplaySource
from bioxedge.runtime.sources.wanted import Wanted
from bioxedge.signals import Channel, Recording

_UNSAID = ("", "any", "unknown")
_KNOWN = ("reference", "labels")  # of a session: what is known, not what a sensor gave


@dataclass(frozen=True)
class _There:
    """One recording of a folder."""

    name: str
    path: Path
    log: bool
    about: Outline

    def __str__(self) -> str:
        about = self.about
        kind = f"{about.modality.upper()} " if about.modality not in _UNSAID else ""
        said = f"{kind}{', '.join(about.names)} at {about.rate:g} Hz"
        return f"{self.name} ({said})" if self.name else said


def replay(
    folder: str | Path,
    wanted: Wanted,
    *,
    speed: float = 1.0,
    stream: str | None = None,
    columns: Sequence[str] | None = None,
    take: int | None = None,
    start: float = 0.0,
) -> Source:
    """Replay a recording as the sensor that a bundle takes.

    Parameters
    ----------
    folder : path
        A recording, a recorded stream, or a session with several of them.
    wanted : Wanted
        Channels, rate and units of the bundle.
    speed : float
        1 is as it was recorded; infinity is as fast as possible.
    stream : str, optional
        Which of a session's; left out, the only one that fits.
    columns : sequence of str, optional
        The recording's channels that stand for the bundle's, in their order. Left out, those of
        the same names; or the only channel of the bundle's modality where it takes one.
    take : int, optional
    start : float
        Of what was recorded as it came; see :class:`LogReplay`.

    Returns
    -------
    Source
        What was recorded as it came gives its events and losses again where it fits as it is; else
        it is brought, like a recording, and its name says what was changed.

    Raises
    ------
    SourceError
        No stream that fits, or several; channels that nobody can tell apart.
    SignalError
        Another modality, a unit or a rate that cannot be brought to the bundle's.
    RecordingError
        No recording there, or one that cannot be read.
    """
    names, rate = wanted.channels, wanted.rate
    if names is None or rate is None:
        raise SourceError("a replay is brought to channels and a rate: say both")
    if columns is not None and len(columns) != len(names):
        raise SourceError(
            f"columns names {len(columns)} ({', '.join(columns)}), the bundle takes {len(names)} "
            f"({', '.join(names)}): name one for each, joined by +"
        )
    found = _choose(_streams(Path(folder)), folder, wanted, stream, columns)
    picked = tuple(columns or _columns(found, wanted))
    stated = _stated(found, picked, wanted)
    said = _changes(found, picked, stated, wanted)
    if found.log and not said:
        return LogReplay(
            found.path, channels=names, rate=rate, speed=speed, take=take, start=start,
            clock=wanted.clock,
        )  # fmt: skip
    if take is not None or start:
        word = "take" if take is not None else "start"
        why = f"it has to be brought to the bundle ({', '.join(said)})" if said else ""
        raise SourceError(
            f"{word} means nothing to {found.path}: {why or 'it holds no streams'}; leave it out"
        )
    taken = recording.load(found.path)
    if not said:
        return ReplaySource(taken, channels=names, speed=speed, clock=wanted.clock)
    source = ReplaySource(
        _brought(taken, picked, stated, wanted), channels=names, speed=speed, clock=wanted.clock
    )
    if found.log:
        source.sensor = recorded.About.read(found.path).sensor
    source.name += f" ({', '.join(said)})"
    return source


# -- which recording ----------------------------------------------------------------------------


def _streams(folder: Path) -> list[_There]:
    """Find the recordings of a folder: itself, or those in it."""
    if recording.saved(folder):
        return [_There("", folder, False, recording.outline(folder))]
    logs = recorded.streams(folder)
    found = [_There(name, path, True, recording.outline(path)) for name, path in logs.items()]
    for path in sorted(folder.glob("*/")) if "" not in logs else []:
        if recording.saved(path) and path.name not in (*_KNOWN, *logs):
            found.append(_There(path.name, path, False, recording.outline(path)))
    if not found:
        recording.load(folder)  # says what is wrong
        raise RecordingError(f"{folder} holds no recording")
    return found


def _choose(
    there: Sequence[_There],
    folder: str | Path,
    wanted: Wanted,
    stream: str | None,
    columns: Sequence[str] | None,
) -> _There:
    """Choose the recording that is meant."""
    if stream is not None:
        named = [one for one in there if one.name == stream]
        if not named:
            has = ", ".join(one.name or "only itself" for one in there)
            raise SourceError(f"{folder} has no stream {stream!r}: it has {has}")
        return named[0]
    if len(there) == 1:
        return there[0]
    names = columns or wanted.channels or ()
    alike = [one for one in there if _may_be(one.about.modality, wanted.modality)]
    fitting = [one for one in alike if set(names) <= set(one.about.names)]
    if not fitting and columns is None:
        fitting = [one for one in alike if _lone(one, wanted)]
    if len(fitting) > 1:
        fitting = [one for one in fitting if one.about.rate == wanted.rate] or fitting
    if not fitting:  # of another modality, which is said then
        fitting = [one for one in there if set(names) <= set(one.about.names)]
    if len(fitting) == 1:
        return fitting[0]
    many = "more than one fits" if fitting else "none fits"
    raise SourceError(
        f"{folder} holds several streams and {many} {_takes(wanted)}: "
        f"{'; '.join(map(str, there))}; say which, as stream={min(one.name for one in there)}"
    )


def _may_be(found: str, wanted: str) -> bool:
    """Whether one modality can be the other."""
    return found == wanted or found in _UNSAID or wanted in _UNSAID


def _lone(one: _There, wanted: Wanted) -> bool:
    """Whether a recording has one channel, of the modality, where one is taken."""
    known = one.about.modality not in _UNSAID and one.about.modality == wanted.modality
    return known and len(one.about.channels) == 1 and len(wanted.channels or ()) == 1


def _columns(one: _There, wanted: Wanted) -> tuple[str, ...]:
    """Tell which channels of a recording are the bundle's."""
    names, there = wanted.channels or (), one.about.names
    if not _may_be(one.about.modality, wanted.modality):
        raise SignalError(
            f"{one.path} is {one.about.modality.upper()}, the bundle takes "
            f"{wanted.modality.upper()}: name another recording, or another stream as stream="
        )
    if set(names) <= set(there):
        return names
    if _lone(one, wanted):
        return there
    raise SourceError(
        f"{one.path} has {', '.join(there)} and not {_takes(wanted)}: say which they are, as "
        f"columns={'+'.join((there * len(names))[: len(names)])}"
    )


def _takes(wanted: Wanted) -> str:
    """Say what a bundle takes."""
    rate = "" if wanted.rate is None else f" at {wanted.rate:g} Hz"
    return f"what the bundle takes ({', '.join(wanted.channels or ())}{rate})"


# -- how it is brought --------------------------------------------------------------------------


def _stated(
    one: _There, columns: tuple[str, ...], wanted: Wanted
) -> tuple[tuple[Channel, Channel], ...]:
    """Give for each channel what it is taken for there, and what it becomes here.

    What whoever runs it scales keeps its unit: they know it. So does what states none: the bundle's
    is taken for it, as `build` takes the recipe's.
    """
    missing = [name for name in columns if name not in one.about.names]
    if missing:
        raise SourceError(
            f"{one.path} has no channel {', '.join(missing)}: it has {', '.join(one.about.names)}"
        )
    found = {channel.name: channel for channel in one.about.channels}
    names = wanted.channels or ()
    goals = wanted.units or tuple(found[name].unit for name in columns)
    pairs = []
    for name, column, goal in zip(names, columns, goals, strict=True):
        unit = found[column].unit
        if name in wanted.scaled or units.arbitrary(unit):
            unit = goal
        pairs.append((Channel(column, unit), Channel(name, goal)))
    return tuple(pairs)


def _changes(
    one: _There,
    columns: tuple[str, ...],
    stated: tuple[tuple[Channel, Channel], ...],
    wanted: Wanted,
) -> list[str]:
    """Say what has to be changed; nothing where it fits as it is."""
    assert wanted.rate is not None
    said = []
    if not _may_be(one.about.modality, wanted.modality):
        _columns(one, wanted)  # says so
    if one.about.rate != wanted.rate:
        said.append(f"{one.about.rate:g} Hz brought to {wanted.rate:g} Hz")
    found = {channel.name: channel for channel in one.about.channels}
    for column, (there, here) in zip(columns, stated, strict=True):
        if column != here.name:
            said.append(f"{column} taken as {here.name}")
        gain = _gain(one, there, here)
        if gain != 1.0:
            said.append(f"{column} brought from {there.unit} to {here.unit}")
    if said:  # what is brought is told whole; what fits is checked as ever
        for column, (_, here) in zip(columns, stated, strict=True):
            unit = found[column].unit
            free = here.name not in wanted.scaled and not units.arbitrary(here.unit)
            if free and units.arbitrary(unit):
                said.append(f"{column}, which states no unit, taken to be in {here.unit}")
    return said


def _gain(one: _There, there: Channel, here: Channel) -> float:
    """Tell what a channel is multiplied by."""
    if there.unit == here.unit:
        return 1.0
    try:
        return units.factor(there.unit, here.unit)
    except SignalError as error:
        raise SignalError(
            f"{there.name} of {one.path}: {error}; or say --scale {here.name}=GAIN"
        ) from error


def _brought(
    taken: Recording,
    columns: tuple[str, ...],
    stated: tuple[tuple[Channel, Channel], ...],
    wanted: Wanted,
) -> Recording:
    """Bring a recording to the bundle's channels, units and rate."""
    assert wanted.rate is not None
    rows = taken.rows(columns)
    meant = replace(
        taken,
        samples=taken.samples[rows],
        channels=tuple(there for there, _ in stated),
    )
    goals = tuple(here for _, here in stated)
    return worn.as_worn(meant, columns, goals, wanted.rate, wanted.modality)
