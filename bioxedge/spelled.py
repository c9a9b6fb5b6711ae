"""How a source or a sink is written in one word: ``KIND:WHAT,KEY=VALUE,…``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bioxedge.errors import BioxedgeError, SinkError, SourceError

# A comma is one of WHAT's own unless a key follows it: folders and streams are named freely.
_OPTION = re.compile(r",(?=[a-z][a-z0-9_-]*=)")
_ERRORS: dict[str, type[BioxedgeError]] = {"source": SourceError, "sink": SinkError}


@dataclass(frozen=True)
class Spelled:
    """A source or a sink as it was written.

    Attributes
    ----------
    word : str
        ``source`` or ``sink``.
    kind, what : str
        In front of the colon and behind it; ``what`` may be empty.
    options : dict of str to str
        Behind that, in order. A key's ``-`` is its ``_``.
    """

    word: str
    kind: str
    what: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, word: str) -> Spelled:
        """Take a text apart.

        Raises
        ------
        SourceError, SinkError
            A key that is given twice, or without a value.

        Examples
        --------
        >>> Spelled.parse("brainflow:cyton,serial_port=/dev/ttyUSB0", "source").options
        {'serial_port': '/dev/ttyUSB0'}
        """
        head, *parts = _OPTION.split(text)
        kind, _, what = head.partition(":")
        first = re.match(r"[a-z][a-z0-9_-]*=", what)  # lsl:type=PPG
        if first:
            what, parts = "", [what, *parts]
        options: dict[str, str] = {}
        for part in parts:
            key, _, value = part.partition("=")
            key = key.replace("-", "_")
            if not value or key in options:
                how = "has no value" if not value else "is given twice"
                raise _ERRORS[word](f"{key} {how} in {text!r}: write {word} options as KEY=VALUE")
            options[key] = value
        return cls(word, kind, what, options)

    def only(self, *keys: str) -> Mapping[str, str]:
        """Give the options, if there are no others than these.

        Raises
        ------
        SourceError, SinkError
            Names the one that is not known, and the nearest that is.
        """
        for key in self.options:
            if key not in keys:
                raise self.error(f"knows no option {key!r}: {_nearest(key, keys)}")
        return self.options

    def number(self, key: str, default: float, *, least: float = 0.0) -> float:
        """Give an option as a number.

        Raises
        ------
        SourceError, SinkError
            It is none, or below the least.
        """
        text = self.options.get(key)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value < float("inf"):
            raise self.error(f"takes a number of {least:g} or more as {key}, got {text!r}")
        return value

    def whole(self, key: str, default: int, *, least: int = 0) -> int:
        """Give an option as a whole number.

        Raises
        ------
        SourceError, SinkError
            It is none, or below the least.
        """
        text = self.options.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= least):
            raise self.error(f"takes a whole number from {least} on as {key}, got {text!r}")
        return int(text)

    def error(self, why: str) -> BioxedgeError:
        """Make an error that says which source or sink it is about."""
        return _ERRORS[self.word](f"the {self.word} {self.kind} {why}")


def _nearest(key: str, keys: Collection[str]) -> str:
    near = difflib.get_close_matches(key, keys, n=3, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"there are {', '.join(sorted(keys))}" if keys else "it takes none"
