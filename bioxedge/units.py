"""Units that biosignals come in, and what one is in another.

A unit is a prefix (``f`` to ``G``) before a base unit, as SI has them; names are spelt in many ways
(``µV``, ``uV``, ``microvolt``) and mean the same. ``a.u.`` stands for a scale that only its sensor
knows.
"""

from __future__ import annotations

from bioxedge.errors import SignalError

ARBITRARY = "a.u."
"""How a unit is written that nobody states."""

_PREFIXES = {
    "": 1.0,
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "c": 1e-2,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}
_WORDS = {
    "pico": "p",
    "nano": "n",
    "micro": "u",
    "milli": "m",
    "centi": "c",
    "kilo": "k",
    "mega": "M",
}
# Base units that take prefixes: dimension, and the factor to the dimension's own unit.
_BASES = {
    "V": ("voltage", 1.0),
    "A": ("current", 1.0),
    "S": ("conductance", 1.0),
    "Ohm": ("resistance", 1.0),
    "W": ("power", 1.0),
    "m": ("length", 1.0),
    "s": ("time", 1.0),
    "Hz": ("frequency", 1.0),
    "Pa": ("pressure", 1.0),
    "T": ("induction", 1.0),
    "g": ("acceleration", 9.80665),
    "L": ("volume", 1e-3),
    "m/s2": ("acceleration", 1.0),
}
# Units that take none.
_PLAIN = {
    "degC": ("temperature", 1.0),
    "deg/s": ("angular rate", 1.0),
    "rad/s": ("angular rate", 57.29577951308232),
    "deg": ("angle", 1.0),
    "bpm": ("frequency", 1 / 60),
    "mmHg": ("pressure", 133.322387415),
    "cmH2O": ("pressure", 98.0665),
    "%": ("share", 0.01),
    "1": ("share", 1.0),
    "L/min": ("flow", 1e-3 / 60),
}
_SPELT = {
    "": ARBITRARY,
    "au": ARBITRARY,
    "a.u": ARBITRARY,
    "nu": ARBITRARY,
    "n.u.": ARBITRARY,
    "n/a": ARBITRARY,
    "na": ARBITRARY,
    "none": ARBITRARY,
    "unknown": ARBITRARY,
    "arbitrary": ARBITRARY,
    "adu": ARBITRARY,
    "count": ARBITRARY,
    "counts": ARBITRARY,
    "raw": ARBITRARY,
    # No biosignal is a megavolt: what programs write in capitals alone, or in none, is this.
    "uv": "uV",
    "mv": "mV",
    "volt": "V",
    "volts": "V",
    "ampere": "A",
    "siemens": "S",
    "ohm": "Ohm",
    "ohms": "Ohm",
    "\N{GREEK CAPITAL LETTER OMEGA}": "Ohm",
    "\N{OHM SIGN}": "Ohm",
    "watt": "W",
    "meter": "m",
    "metre": "m",
    "second": "s",
    "seconds": "s",
    "sec": "s",
    "hertz": "Hz",
    "hz": "Hz",
    "pascal": "Pa",
    "tesla": "T",
    "G": "g",  # on an accelerometer; gauss is not a biosignal's unit
    "l": "L",
    "liter": "L",
    "litre": "L",
    "m/s^2": "m/s2",
    "m/s²": "m/s2",
    "m/s**2": "m/s2",
    "c": "degC",
    "°c": "degC",
    "degc": "degC",
    "celsius": "degC",
    "deg_c": "degC",
    "degrees celsius": "degC",
    "°": "deg",
    "degree": "deg",
    "degrees": "deg",
    "dps": "deg/s",
    "°/s": "deg/s",
    "bpm": "bpm",
    "beats/min": "bpm",
    "beats per minute": "bpm",
    "breaths/min": "bpm",
    "1/min": "bpm",
    "/min": "bpm",
    "rpm": "bpm",
    "brpm": "bpm",
    "mmhg": "mmHg",
    "cmh2o": "cmH2O",
    "percent": "%",
    "pct": "%",
    "l/min": "L/min",
    "lpm": "L/min",
}


def known(unit: str) -> bool:
    """Say whether a unit is one that this module knows; ``a.u.`` and its spellings are."""
    return _understood(unit) is not None


def arbitrary(unit: str) -> bool:
    """Say whether a unit stands for a scale that only its sensor knows."""
    return _named(unit) == ARBITRARY


def factor(found: str, wanted: str) -> float:
    """Give what a value in one unit is multiplied by to be in another.

    Parameters
    ----------
    found, wanted : str
        Any spelling. A wanted ``a.u.`` takes every value as it is.

    Raises
    ------
    SignalError
        A unit that is not known, of another dimension, or one that nobody states where one is
        wanted.

    Examples
    --------
    >>> factor("mV", "uV"), factor("V", "µV"), factor("nW", "a.u.")
    (1000.0, 1000000.0, 1.0)
    """
    have, want = _understood(found), _understood(wanted)
    for unit, meant in ((found, have), (wanted, want)):
        if meant is None:
            raise SignalError(
                f"{unit!r} is no unit that is known: say uV, mV, V, uS, g, degC, bpm … or a.u. for "
                "one that only the sensor knows"
            )
    assert have is not None and want is not None
    if want[0] == ARBITRARY:
        return 1.0
    if have[0] == ARBITRARY:
        raise SignalError(
            f"a signal without a unit cannot be brought to {wanted}: say what it is in"
        )
    if have[0] != want[0]:
        raise SignalError(
            f"{found} is a {have[0]}, {wanted} a {want[0]}: it is another signal, or its unit is "
            "stated wrongly"
        )
    return _ratio(have[1], want[1])


def _ratio(have: float, want: float) -> float:
    """Divide, so that decimal factors stay what they are (1e-3 / 1e-6 is 1000)."""
    found = have / want
    whole = round(found)
    if whole and abs(found - whole) < 1e-9 * whole:
        return float(whole)
    inverse = want / have
    whole = round(inverse)
    if whole and abs(inverse - whole) < 1e-9 * whole:
        return 1.0 / whole
    return found


def _named(unit: str) -> str:
    """Give a spelling's usual name, as far as it has one of its own."""
    plain = " ".join(unit.split()).replace("µ", "u").replace("μ", "u")
    if plain in _BASES or plain in _PLAIN:
        return plain
    return _SPELT.get(plain, _SPELT.get(plain.lower(), plain))


def _understood(unit: str) -> tuple[str, float] | None:
    """Give a unit's dimension and its size; None where it is not known."""
    name = _named(unit)
    if name == ARBITRARY:
        return ARBITRARY, 1.0
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _BASES:
        return _BASES[name]
    lower = name.lower()
    for word, prefix in _WORDS.items():
        if lower.startswith(word):
            base = _named(lower[len(word) :].removesuffix("s") or "?")
            base = base if base in _BASES else _named(lower[len(word) :])
            return _sized(prefix, base)
    if name[:1] in _PREFIXES and len(name) > 1:
        return _sized(name[0], _named(name[1:]))
    return None


def _sized(prefix: str, base: str) -> tuple[str, float] | None:
    """Put a prefix before a base unit."""
    if base not in _BASES:
        return None
    dimension, size = _BASES[base]
    return dimension, _PREFIXES[prefix] * size


def same(one: str, other: str) -> bool:
    """Say whether two spellings mean the same unit."""
    return one == other or (known(one) and _understood(one) == _understood(other))
