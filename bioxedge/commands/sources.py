"""From what is written behind ``--source`` to a source that fits the bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bioxedge.commands.shared import pair
from bioxedge.errors import SourceError

if TYPE_CHECKING:
    from bioxedge.manifest import Manifest
    from bioxedge.runtime import Source
    from bioxedge.signals import Recording

# The options that mean something to each kind, as they are written.
_TAKES = {
    "replay": {"--speed"},
    "playback": {"--speed", "--board", "--preset"},
    "brainflow": {"--preset", "--param", "--config", "--reconnect", "--accept-sensor"},
}


@dataclass(frozen=True)
class Asked:
    """A source as it was asked for.

    Attributes
    ----------
    kind, what : str
        ``replay``, ``playback`` or ``brainflow``, and a folder or a board.
    options : mapping of str to anything
        By option as it is written; those that were left out are None or empty.
    """

    kind: str
    what: str
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str, options: Mapping[str, Any]) -> Asked:
        """Take ``KIND:WHAT`` apart.

        Raises
        ------
        SourceError
            No such kind, or options that mean nothing to it.
        """
        kind, _, what = text.partition(":")
        if kind not in _TAKES or not what:
            raise SourceError(
                f"there is no source {text!r}: write replay:FOLDER, playback:FOLDER or "
                "brainflow:BOARD"
            )
        given = {name for name, value in options.items() if value not in (None, ())}
        odd = ", ".join(name for name in options if name in given - _TAKES[kind])
        if odd:
            raise SourceError(f"{odd} means nothing to a {kind} source: leave it out")
        return cls(kind, what, options)

    @property
    def live(self) -> bool:
        """Whether a board stands behind it, which does not wait for anybody."""
        return self.kind == "brainflow"

    def make(self, manifest: Manifest, scales: Sequence[str] = ()) -> Source:
        """Make the source, its channels multiplied as ``CHANNEL=GAIN`` says.

        Raises
        ------
        SourceError, SignalError, MissingExtraError
            A recording, a board or a channel that is not there or does not fit.
        """
        source = self._board(manifest) if self.live else self._recording(manifest)
        gains = dict(_gain(text) for text in scales)
        if gains:
            from bioxedge.runtime.sources.scaled import Scaled

            source = Scaled(source, gains)
        return source

    def _board(self, manifest: Manifest) -> Source:
        from bioxedge.runtime import BrainFlowSource
        from bioxedge.runtime.supervise import Supervised

        example = "serial_port=/dev/ttyUSB0"
        board = BrainFlowSource(
            self.what,
            channels=manifest.input.names,
            rate=manifest.input.rate,
            preset=self.options["--preset"],
            params=dict(pair("--param", text, example) for text in self.options["--param"]),
            config=self.options["--config"],
        )
        return board if self.options["--reconnect"] is False else Supervised(board)

    def _recording(self, manifest: Manifest) -> Source:
        from bioxedge import recording
        from bioxedge.runtime import PlaybackSource, ReplaySource

        names, rate = manifest.input.names, manifest.input.rate
        speed = _speed(self.options["--speed"])
        taken = recording.load(self.what)
        _check_rate(taken, rate)
        if self.kind == "replay":
            return ReplaySource(taken, channels=names, speed=speed)
        return PlaybackSource(
            taken,
            channels=names,
            rate=rate,
            board=self.options["--board"],
            preset=self.options["--preset"],
            speed=speed,
        )


def check_sensor(manifest: Manifest, source: Source, accepted: str | None) -> str | None:
    """Hold a source against the sensors that the bundle was made for.

    Returns
    -------
    str or None
        Why it could not be checked; None where it was, or where the manifest says so itself.

    Raises
    ------
    SourceError
        It is another sensor, and nobody accepted it.
    """
    sensors, found = manifest.input.sensors, source.sensor
    if not sensors or found in sensors:
        return None
    if found is None:
        return f"a recording does not say which sensor it is from ({', '.join(sensors)} expected)"
    if found == accepted:
        return f"{found} was accepted for {', '.join(sensors)}"
    raise SourceError(
        f"{manifest.name} was trained on {', '.join(sensors)}, this is {found}: a channel of the "
        f"same name may be another quantity; if you know that it is the same, say "
        f"--accept-sensor {found}"
    )


def _check_rate(taken: Recording, rate: float) -> None:
    """Refuse a recording at another rate before anything starts."""
    if taken.rate != rate:
        raise SourceError(
            f"the recording of {taken.person} is at {taken.rate:g} Hz, the bundle takes "
            f"{rate:g} Hz: resample it, or use a bundle built for {taken.rate:g} Hz"
        )


def _gain(text: str) -> tuple[str, float]:
    """``CHANNEL=GAIN`` -> the two."""
    channel, value = pair("--scale", text, "Fp1=1e6")
    try:
        return channel, float(value)
    except ValueError as error:
        raise SourceError(f"--scale takes a number behind {channel}=, got {value!r}") from error


def _speed(text: str | None) -> float:
    """``max`` is infinity."""
    try:
        speed = math.inf if text == "max" else float(text or 1)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise SourceError(f"--speed takes a number above 0 or max, got {text!r}")
    return speed
