"""What is checked, held clause by clause: what is broken is named, with its cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bioxedge.errors import BioxedgeError
from bioxedge.runtime.events import Event

T = TypeVar("T")


@dataclass(frozen=True)
class Checked:
    """What was looked at, and what could not be.

    Attributes
    ----------
    name : str
    looked, missed : tuple of str
    """

    name: str
    looked: tuple[str, ...]
    missed: tuple[str, ...]

    def __str__(self) -> str:
        """Write it for people, a line each."""
        lines = [f"{self.name}: holds, as far as it was looked at"]
        lines += [f"  looked at: {what}" for what in self.looked]
        lines += [f"  not looked at: {what}" for what in self.missed]
        return "\n".join(lines)


class Holding:
    """Calls what is checked, and says which clause is broken."""

    def __init__(self, what: Any, error: type[BioxedgeError], word: str) -> None:
        self.what, self.error = what, error
        name = getattr(what, "name", None)
        self.name = name if isinstance(name, str) and name else f"a {word} {type(what).__name__}"
        self.looked: list[str] = []
        self.missed: list[str] = []

    def hold(self, true: bool, broken: str, cure: str) -> None:
        """Raise where something is not so."""
        if not true:
            raise self.error(f"{self.name}: {broken}; {cure}")

    def attribute(self, name: str, right: Callable[[Any], bool], cure: str) -> Any:
        """Give an attribute that must be there and right."""
        self.hold(hasattr(self.what, name), f"has no attribute {name}", cure)
        value = getattr(self.what, name)
        self.hold(right(value), f"{name} is {value!r}", cure)
        return value

    def methods(self, *names: str) -> None:
        """Look whether methods are there."""
        for name in names:
            there = callable(getattr(self.what, name, None))
            self.hold(there, f"has no method {name}", f"write {name}()")

    def call(self, name: str, call: Callable[[], T]) -> T:
        """Call something that must raise nothing but its own kind of error."""
        try:
            return call()
        except BioxedgeError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())
            raise self.error(
                f"{self.name}: {name} raised {type(error).__name__}: {said}; raise "
                f"{self.error.__name__} with one line, or nothing"
            ) from error

    def events(self) -> None:
        """Take what happened."""
        events = self.call("take_events", self.what.take_events)
        right = isinstance(events, list) and all(isinstance(one, Event) for one in events)
        self.hold(right, f"take_events gave {events!r:.80}", "give a list of Event, or []")

    def done(self) -> Checked:
        """Give the report."""
        return Checked(self.name, tuple(self.looked), tuple(self.missed))
