"""Which recording of a session is which sensor, by what the recipe says of it."""

from __future__ import annotations

from dataclasses import replace

from bioxedge import worn
from bioxedge.datasets.session import KNOWN, Part, Session
from bioxedge.errors import DatasetError
from bioxedge.recipes import Data, Picked, Sensor, Task
from bioxedge.signals import Channel, Recording

_UNSAID = ("", "any", "unknown")


def pick(session: Session, sensor: Sensor, picked: Picked, role: str) -> Part | None:
    """Find the recording of a sensor; None where the session has none.

    Parameters
    ----------
    session : Session
    sensor : Sensor
    picked : Picked
        What the data set calls it, as far as that differs.
    role : str
        ``source`` or ``target``: the folder of that name is meant where several could be.

    Raises
    ------
    DatasetError
        Several recordings that could be meant, or one that has the channels and is of another
        modality.
    """
    columns = picked.columns or sensor.columns
    stream = picked.stream or sensor.stream
    named = [part for part in session.parts if stream in ("", part.name)]
    having = [part for part in named if set(columns) <= set(part.names)]
    fitting = [part for part in having if part.modality in (*_UNSAID, sensor.modality)]
    if not fitting:
        others = [part for part in having if part.name not in KNOWN]
        if others:
            raise DatasetError(
                f"{session.name}: {others[0].name} holds {', '.join(columns)} and is "
                f"{others[0].modality.upper()}, the recipe's {role} is "
                f"{sensor.modality.upper()}: correct `$.{role}.sensor`"
            )
        if stream and named:
            raise DatasetError(
                f"{session.name}: {stream} has no channel {', '.join(columns)}: it has "
                f"{', '.join(named[0].names)}; correct `$.{role}.sensor.column`"
            )
        return None
    if len(fitting) > 1:
        own = [part for part in fitting if part.name == role]
        if not own:
            raise DatasetError(
                f"{session.name}: {', '.join(part.name for part in fitting)} could all be the "
                f"{role}: name one of them at `$.{role}.sensor.stream`"
            )
        return own[0]
    return fitting[0]


def lacking(session: Session, sensor: Sensor, picked: Picked, role: str) -> str:
    """Say in words why a session has no recording of a sensor."""
    columns = picked.columns or sensor.columns
    there = "; ".join(
        f"{part.name} ({part.modality or 'unknown'}): {', '.join(part.names)}"
        for part in session.parts
        if part.name not in KNOWN
    )
    return f"no {sensor.modality.upper()} with {', '.join(columns)} for the {role} (it has {there})"


def read_worn(part: Part, sensor: Sensor, picked: Picked) -> Recording:
    """Read a recording as the live sensor would have given it, on the clock that it has.

    Raises
    ------
    DatasetError
        It cannot be brought to the sensor's units or rate, or cannot be read.
    """
    recording = part.read()
    return worn_of(recording, sensor, picked)


def worn_of(recording: Recording, sensor: Sensor, picked: Picked | None = None) -> Recording:
    """Bring a recording to a sensor's channels, units and rate; see :func:`bioxedge.worn.as_worn`.

    Raises
    ------
    SignalError
        A column, a unit, a modality or a rate that does not fit.
    """
    columns = (picked.columns if picked else ()) or sensor.columns
    given = picked.units if picked else ()
    if given:
        units = dict(zip(columns, given * len(columns) if len(given) == 1 else given, strict=False))
        stated = tuple(
            Channel(channel.name, units.get(channel.name, channel.unit))
            for channel in recording.channels
        )
        recording = replace(recording, channels=stated)
    channels = tuple(
        Channel(name, unit) for name, unit in zip(sensor.channels, sensor.units, strict=True)
    )
    return worn.as_worn(recording, columns, channels, sensor.rate, sensor.modality)


def pick_reference(session: Session, data: Data, task: Task) -> Part | None:
    """Find the recording that holds what is known; None where the session has none.

    Raises
    ------
    DatasetError
        Several that could be meant.
    """
    columns = (data.channel,) if data.channel else task.channels
    if not columns:
        return None
    having = [part for part in session.parts if set(columns) <= set(part.names)]
    if len(having) > 1:
        own = [part for part in having if part.name in KNOWN]
        if len(own) != 1:
            raise DatasetError(
                f"{session.name}: {', '.join(part.name for part in having)} all hold "
                f"{', '.join(columns)}: rename the folder of the one that is meant to labels"
            )
        return own[0]
    return having[0] if having else None
