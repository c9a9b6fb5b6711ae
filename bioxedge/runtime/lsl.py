"""The Lab Streaming Layer's library, found where it lies, and what its streams say of themselves.

pylsl's wheel for x86-64 Linux carries liblsl (1.18.6, measured), the one for 64-bit Arm does not;
mne-lsl's wheels carry it for both. Nothing else of mne-lsl is used, and it is not imported.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bioxedge.errors import MissingExtraError, SourceError

_CURE = (
    "pip install --no-deps mne-lsl brings one (its Python package is not used), or set PYLSL_LIB "
    "to a liblsl.so of your own"
)
# How people write units, and how we do.
_UNITS = {
    "microvolts": "uV", "microvolt": "uV", "uv": "uV", "µv": "uV", "μv": "uV",
    "millivolts": "mV", "millivolt": "mV", "mv": "mV",
    "volts": "V", "volt": "V", "v": "V",
    "microsiemens": "uS", "us": "uS", "µs": "uS", "μs": "uS",
    "g": "g", "bpm": "bpm", "celsius": "degC", "degc": "degC", "°c": "degC",
    "a.u.": "a.u.", "au": "a.u.", "arbitrary": "a.u.", "none": "a.u.", "": "a.u.",
}  # fmt: skip
OTHERS = 0.7
"""Seconds that are waited for another stream like the one that was found."""

MOST = 1024
"""Channels of a stream that are taken."""

FASTEST = 100_000.0
"""Nominal rate, in Hz, that is taken."""

_LONG = 200  # characters of what a stream calls itself that are repeated
_VOLTS = {"uV": 1e-6, "mV": 1e-3, "V": 1.0}


def load() -> Any:
    """Import pylsl, with a liblsl from wherever there is one.

    Raises
    ------
    MissingExtraError
        pylsl is not installed.
    SourceError
        There is no liblsl, or it cannot be loaded here.
    """
    if importlib.util.find_spec("pylsl") is None:
        raise MissingExtraError("pylsl", "lsl")
    try:
        return _pylsl()
    except (RuntimeError, OSError) as first:
        beside = None if "PYLSL_LIB" in os.environ else elsewhere()
        if beside is None:
            raise SourceError(f"pylsl finds no liblsl on this machine: {_CURE}") from first
        os.environ["PYLSL_LIB"] = str(beside)
        try:
            return _pylsl()
        except (RuntimeError, OSError) as error:
            raise SourceError(f"{beside} cannot be loaded: {error}; {_CURE}") from error


def _pylsl() -> Any:
    import pylsl

    _hush(pylsl)
    return pylsl


def _hush(pylsl: Any) -> None:
    """Keep liblsl's log off standard error, where our own lines stand and say what matters.

    It has to be told before anything else is asked of it, along with whatever its user configured.
    """
    if getattr(pylsl, "_bioxedge_hushed", False) or not hasattr(pylsl, "set_config_content"):
        return
    config = ""
    for place in (
        os.environ.get("LSLAPICFG", ""), "lsl_api.cfg", "~/lsl_api/lsl_api.cfg",
        "/etc/lsl_api/lsl_api.cfg",
    ):  # fmt: skip
        path = Path(place).expanduser()
        if place and path.is_file():
            config = path.read_text(encoding="utf-8", errors="replace")
            break
    if "[log]" not in config:
        pylsl.set_config_content(f"{config}\n[log]\nlevel = -3\n")
    pylsl._bioxedge_hushed = True


def elsewhere() -> Path | None:
    """Find the liblsl of an installed mne-lsl, without importing it."""
    spec = importlib.util.find_spec("mne_lsl")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted((Path(folder) / "lsl" / "lib").glob("liblsl.so*")):
            return path
    return None


def unit(text: str) -> str:
    """Write a unit as we do; one that is not known, as it is written.

    Examples
    --------
    >>> unit("microvolts"), unit(""), unit("furlong")
    ('uV', 'a.u.', 'furlong')
    """
    return _UNITS.get(text.strip().lower(), text.strip())


def gain(found: str, wanted: str) -> float | None:
    """What values in one unit are multiplied by to be in another; None where they are not alike.

    Examples
    --------
    >>> gain("V", "uV"), gain("uV", "bpm")
    (1000000.0, None)
    """
    if found == wanted or "a.u." in (found, wanted):
        return 1.0
    if found in _VOLTS and wanted in _VOLTS:
        return round(_VOLTS[found] / _VOLTS[wanted], 12)
    return None


@dataclass(frozen=True)
class Header:
    """What a stream says of itself.

    Attributes
    ----------
    name, type, source_id, host, uid : str
    channels : tuple of str
        Labels; ``channel_1`` … where it has none.
    units : tuple of str
    rate : float
        Nominal, in Hz; 0 where it is irregular.
    format : int
        pylsl's.
    drops : str
        What it says of ``can_drop_samples``: ``true``, ``false`` or nothing.
    """

    name: str
    type: str
    source_id: str
    host: str
    uid: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    rate: float
    format: int
    drops: str

    def __str__(self) -> str:
        """Write it for people."""
        rate = f"{self.rate:g} Hz" if self.rate else "irregular"
        names = ", ".join(self.channels[:8]) + (" …" if len(self.channels) > 8 else "")
        own = f"source_id={self.source_id}, " if self.source_id else ""
        return f"{self.name} ({self.type or 'no type'}, {rate}, {names}; {own}hostname={self.host})"


def header(info: Any) -> Header:
    """Read a header, whole (from an inlet) or without its description (from a resolver).

    Whoever is on the network may have written it: it is cut, and what would move a terminal's
    cursor is taken out.
    """
    count = min(int(info.channel_count()), MOST + 1)
    labels: list[str] = []
    units: list[str] = []
    channel = info.desc().child("channels").child("channel")
    while len(labels) < count and not channel.empty():
        labels.append(_clean(channel.child_value("label")))
        units.append(unit(_clean(channel.child_value("unit"))))
        channel = channel.next_sibling("channel")
    whole = len(labels) == count and all(labels) and len(set(labels)) == count
    return Header(
        name=_clean(info.name()),
        type=_clean(info.type()),
        source_id=_clean(info.source_id()),
        host=_clean(info.hostname()),
        uid=info.uid(),
        channels=tuple(labels) if whole else tuple(f"channel_{k + 1}" for k in range(count)),
        units=tuple(units) if whole else ("a.u.",) * count,
        rate=float(info.nominal_srate()),
        format=int(info.channel_format()),
        drops=info.desc().child("synchronization").child_value("can_drop_samples").lower(),
    )


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_LONG])


def resolve(pylsl: Any, fits: Callable[[Any], bool], timeout: float) -> tuple[list[Any], list[Any]]:
    """Look for streams until one fits, and a little longer for others like it.

    Returns
    -------
    tuple of list and list
        Those that fit, and all that there are, each once.
    """
    # One resolver for the whole time: it asks in waves, by multicast and then each known peer, and
    # one that is made anew begins with the first.
    resolver = pylsl.ContinuousResolver(forget_after=timeout + 60.0)
    limit = time.monotonic() + timeout
    found: dict[str, Any] = {}
    while True:
        for info in resolver.results():
            found[info.uid()] = info
        fitting = [info for info in found.values() if fits(info)]
        now = time.monotonic()
        if now >= limit:
            return fitting, list(found.values())
        if fitting:  # others like it would have answered about as soon
            limit = min(limit, now + OTHERS)
        time.sleep(0.02)


def picked(
    found: Header, wanted: tuple[str, ...] | None, names: Mapping[str, str]
) -> tuple[list[int], tuple[str, ...]]:
    """Find the rows of the channels wanted, in order."""
    if wanted is None:
        return list(range(len(found.channels))), found.channels
    rows = []
    for name in wanted:
        label = names.get(name, name)
        if label in found.channels:
            rows.append(found.channels.index(label))
        elif label.isdigit() and 1 <= int(label) <= len(found.channels):
            rows.append(int(label) - 1)
        else:
            raise SourceError(
                f"the LSL stream {found.name} has no channel {label}: it has "
                f"{', '.join(found.channels)}; say map={name}:LABEL where it has another name"
            )
    return rows, wanted


def gains(
    found: Header, rows: list[int], names: tuple[str, ...], wanted: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """What each channel is multiplied by to be in the unit wanted, shape [channels, 1]."""
    gains = []
    for row, name, unit in zip(rows, names, wanted, strict=True):
        by = gain(found.units[row], unit)
        if by is None:
            raise SourceError(
                f"{name} of the LSL stream {found.name} is in {found.units[row]}, {unit} is wanted"
            )
        gains.append([by])
    return np.array(gains)
