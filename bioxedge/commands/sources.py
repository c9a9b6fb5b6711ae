"""From what is written behind ``--source`` to a source that fits the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bioxedge.commands.kinds import KINDS, SourceKind
from bioxedge.commands.shared import pair
from bioxedge.errors import SourceError
from bioxedge.spelled import Spelled

if TYPE_CHECKING:
    from bioxedge.runtime import Source
    from bioxedge.runtime.sources.wanted import Wanted


@dataclass(frozen=True)
class Asked:
    """A source as it was asked for.

    Attributes
    ----------
    spelled : Spelled
        With the options that were given beside it.
    kind : SourceKind
    """

    spelled: Spelled
    kind: SourceKind

    @classmethod
    def parse(cls, text: str, given: Mapping[str, str] | None = None) -> Asked:
        """Take ``KIND:WHAT[,KEY=VALUE]…`` apart.

        Parameters
        ----------
        text : str
        given : mapping of str to str, optional
            Options that were written elsewhere: on the command line, in a file.

        Raises
        ------
        SourceError
            No such kind, or options that mean nothing to it, or are given twice.
        """
        spelled = Spelled.parse(text, "source")
        kind = KINDS.get(spelled.kind)
        if kind is None or not (spelled.what or spelled.options):
            known = ", ".join(one.how for one in KINDS.values())
            raise SourceError(f"there is no source {text!r}: write one of {known}")
        given = given or {}
        twice = [key for key in given if key in spelled.options]
        if twice:
            raise SourceError(
                f"{twice[0]} is given twice, in {text!r} and beside it: leave one out"
            )
        options = {**spelled.options, **given}
        others = {key for one in KINDS.values() for key in one.takes}
        odd = [
            key
            for key in options
            if key not in kind.takes and (key in others or not kind.parameters)
        ]
        if odd:
            names = ", ".join(f"--{key}" if key in given else key for key in odd)
            raise SourceError(f"{names} means nothing to a {spelled.kind} source: leave it out")
        return cls(replace(spelled, options=options), kind)

    @property
    def live(self) -> bool:
        """Whether a sensor stands behind it, which does not wait for anybody."""
        return self.kind.live

    def make(
        self, wanted: Wanted, *, scales: Sequence[str] = (), faults: str | None = None
    ) -> Source:
        """Make the source: failing as ``faults`` says, started again where it is lost, scaled.

        Parameters
        ----------
        wanted : Wanted
        scales : sequence of str, optional
            ``CHANNEL=GAIN``.
        faults : str, optional
            See :func:`bioxedge.runtime.faults.parse`.

        Raises
        ------
        SourceError, SignalError, MissingExtraError
            A recording, a board or a channel that is not there or does not fit.
        """
        gains = dict(_gain(text) for text in scales)
        source = self.kind.make(self.spelled, replace(wanted, scaled=tuple(gains)))
        if faults is not None:
            source = self._failing(source, faults)
        if self.live and _yes(self.spelled.options.get("reconnect", "yes")):
            from bioxedge.runtime.supervise import Supervised

            source = Supervised(source, clock=wanted.clock)
        if gains:
            from bioxedge.runtime.sources.scaled import Scaled

            source = Scaled(source, gains)
        return source

    def _failing(self, source: Source, text: str) -> Source:
        if not self.live:
            raise SourceError(
                f"--faults means nothing to a {self.spelled.kind} source: what fails is a live one"
            )
        from bioxedge.runtime import faults

        return faults.wrap(source, text)


def _gain(text: str) -> tuple[str, float]:
    """``CHANNEL=GAIN`` -> the two."""
    channel, value = pair("--scale", text, "Fp1=1e6")
    try:
        return channel, float(value)
    except ValueError as error:
        raise SourceError(f"--scale takes a number behind {channel}=, got {value!r}") from error


def _yes(text: str) -> bool:
    """``yes`` or ``no``."""
    if text not in ("yes", "no", "true", "false"):
        raise SourceError(f"reconnect is yes or no, got {text!r}")
    return text in ("yes", "true")
