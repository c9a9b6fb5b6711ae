"""Which sensor of those at hand is worn, and which one's model is taught the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bioxedge.errors import DatasetError
from bioxedge.starting.athand import AtHand, Found

_SEVERAL = ("eeg", "emg", "acceleration", "rotation")  # whose channels are read together


@dataclass(frozen=True)
class Choice:
    """One sensor, and the channels of it that are meant.

    Attributes
    ----------
    found : Found
    channels : tuple of str
    alone : bool
        Whether no other sensor of the data set has these channels and its modality, so that its
        name need not be said.
    """

    found: Found
    channels: tuple[str, ...]
    alone: bool


def choose(at_hand: AtHand, source: str, target: str) -> tuple[Choice, Choice]:
    """Say which sensor is which.

    Parameters
    ----------
    at_hand : AtHand
    source, target : str
        ``STREAM`` or ``MODALITY``, and after a colon the channels that are meant (``ecg:II``);
        empty where there is one choice.

    Raises
    ------
    DatasetError
        More than one choice, or none; it names them.
    """
    if len(at_hand.sensors) < 2:
        raise DatasetError(
            f"a bridge goes from one sensor to another, here is {_listed(at_hand.sensors)} alone: "
            "import another one (bioxedge import --stream)"
        )
    asked = {"source": source, "target": target}
    given = {role: _named(at_hand, role, said) for role, said in asked.items() if said}
    for role, other in (("source", "target"), ("target", "source")):
        if role in given:
            continue
        open_ = [each for each in at_hand.sensors if other not in given or each != given[other][0]]
        own = [each for each in open_ if each.stream == role]
        if len(own) != 1 and len(open_) > 1:
            raise DatasetError(_ask(role, open_))
        given[role] = ((own or open_)[0], ())
    found, wanted = given["source"][0], given["target"][0]
    if found == wanted:
        raise DatasetError(
            f"--source and --target both mean {found.name}: a bridge goes from one sensor to "
            f"another; there are {_listed(at_hand.sensors)}"
        )
    if not found.sessions & wanted.sessions:
        raise DatasetError(
            f"no session holds both {found.name} and {wanted.name}: somebody must have worn both "
            "at one time (bioxedge import --together or --session makes one session of two files)"
        )
    return _choice(at_hand, *given["source"]), _choice(at_hand, *given["target"])


def _ask(role: str, sensors: Sequence[Found]) -> str:
    """Ask for what could be meant in several ways."""
    what = {
        "source": "which sensor is worn",
        "target": "which sensor's model is taught",
    }[role]
    streams = [each.stream for each in sensors]
    choices = [
        each.stream if streams.count(each.stream) == 1 else each.modality for each in sensors
    ]
    return f"{what}? choose --{role} {' or '.join(_quoted(each) for each in choices)}"


def _quoted(name: str) -> str:
    """Write a name as a shell takes it."""
    return f"'{name}'" if " " in name else name


def _named(at_hand: AtHand, role: str, said: str) -> tuple[Found, tuple[str, ...]]:
    """Find what ``STREAM``, ``MODALITY`` or one of them with channels means."""
    whole = [each for each in at_hand.sensors if each.stream == said]
    name, _, channels = (said, "", "") if whole else said.partition(":")
    fitting = (
        whole
        or [each for each in at_hand.sensors if each.stream == name]
        or [each for each in at_hand.sensors if each.modality.lower() == name.lower()]
    )
    if not fitting:
        raise DatasetError(
            f"no sensor is called {name!r} (--{role}): there are {_listed(at_hand.sensors)}"
        )
    wanted = tuple(one.strip() for one in channels.split(",") if one.strip())
    having = [each for each in fitting if set(wanted) <= set(each.channels)]
    if not having:
        lacking = [one for one in wanted if one not in fitting[0].channels]
        raise DatasetError(
            f"{fitting[0].name} has no channel {', '.join(lacking)} (--{role}): it has "
            f"{', '.join(fitting[0].channels)}"
        )
    if len(having) > 1:
        raise DatasetError(_ask(role, having))
    return having[0], wanted


def _choice(at_hand: AtHand, found: Found, channels: tuple[str, ...]) -> Choice:
    """Choose a sensor's channels."""
    most = max(found.channels.values())
    common = [name for name, count in found.channels.items() if count == most]
    if not channels:
        channels = tuple(common) if found.modality in _SEVERAL else (common[0],)
    alike = [
        each
        for each in at_hand.sensors
        if each.modality in ("", "any", "unknown", found.modality)
        and set(channels) <= set(each.channels)
    ]
    return Choice(found, channels, alone=len(alike) == 1)


def _listed(sensors: Sequence[Found]) -> str:
    """Name sensors with their channels."""
    return ", ".join(
        f"{each.name}: {', '.join(list(each.channels)[:4])}{' …' if len(each.channels) > 4 else ''}"
        if len(each.channels) > 1
        else each.name
        for each in sensors
    )
