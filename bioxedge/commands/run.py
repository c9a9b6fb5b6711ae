"""``bioxedge run``: live predictions, from a sensor or a recording."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bioxedge.commands.shared import FOLDER
from bioxedge.errors import SourceError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine, Source, Tally
    from bioxedge.signals import Recording


@click.command()
@click.argument("bundle", type=FOLDER)
@click.option(
    "--source",
    required=True,
    metavar="KIND:WHAT",
    help="replay:FOLDER, playback:FOLDER (a recording through BrainFlow) or brainflow:BOARD.",
)
@click.option(
    "--preset", help="default, auxiliary or ancillary; found by the channels if left out."
)
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="For BrainFlow.")
@click.option("--config", multiple=True, metavar="COMMAND", help="Sent to the board at start.")
@click.option("--board", help="The board that a playback stands for.")
@click.option("--speed", metavar="X|max", help="Of a replay or playback; 1 is real time.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Of signal, then stop."
)
@click.option("--sink", "sinks", multiple=True, metavar="SINK", help="terminal or jsonl[:PATH].")
@click.option("--variant", help="Of the model; fp32 if left out.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, then a summary object.")
def run(
    bundle: Path,
    source: str,
    preset: str | None,
    params: tuple[str, ...],
    config: tuple[str, ...],
    board: str | None,
    speed: str | None,
    seconds: float | None,
    sinks: tuple[str, ...],
    variant: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Predict live, from a sensor or a recording."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine, JsonLinesSink, Stream, Tally, loop, make_sink

    outputs = [make_sink(text) for text in sinks or (("jsonl",) if as_json else ("terminal",))]
    options = {"preset": preset, "params": params, "config": config, "board": board, "speed": speed}
    kind, what = _source_kind(source, options)
    opened = Bundle.open(bundle)
    made = _source(kind, what, opened, options)
    engine = Engine(opened, variant, threads)
    # Where standard output carries JSON, what is for people goes to standard error.
    for_programs = as_json or any(
        isinstance(one, JsonLinesSink) and one.to_stdout for one in outputs
    )
    click.echo(_opening(opened, engine, made), err=for_programs)
    tally = Tally()
    labels = opened.manifest.output.labels
    try:
        loop.run(
            made, Stream(opened, engine=engine), outputs,
            labels=labels, seconds=seconds, tally=tally,
        )  # fmt: skip
    finally:
        error = sys.exc_info()[1]
        # A closed pipe takes no summary, and what never began needs none.
        if not isinstance(error, OSError) and (error is None or tally.samples):
            _closing(opened, made, tally, as_json, for_programs)


def _source_kind(text: str, options: dict[str, Any]) -> tuple[str, str]:
    """Take a source apart and refuse options that mean nothing to it."""
    kind, _, what = text.partition(":")
    takes = {
        "replay": {"speed"},
        "playback": {"speed", "board", "preset"},
        "brainflow": {"preset", "params", "config"},
    }
    if kind not in takes or not what:
        raise SourceError(
            f"there is no source {text!r}: write replay:FOLDER, playback:FOLDER or brainflow:BOARD"
        )
    odd = [name for name, value in options.items() if value and name not in takes[kind]]
    if odd:
        names = ", ".join("--" + name.removesuffix("s") for name in odd)
        raise SourceError(f"{names} means nothing to a {kind} source: leave it out")
    return kind, what


def _source(kind: str, what: str, bundle: Bundle, options: dict[str, Any]) -> Source:
    """Make the source that the bundle's input asks for."""
    from bioxedge import recording
    from bioxedge.runtime import BrainFlowSource, PlaybackSource, ReplaySource

    names, rate = bundle.manifest.input.names, bundle.manifest.input.rate
    if kind == "brainflow":
        return BrainFlowSource(
            what,
            channels=names,
            rate=rate,
            preset=options["preset"],
            params=dict(map(_param, options["params"])),
            config=options["config"],
        )
    speed = _speed(options["speed"])
    taken = recording.load(what)
    _check_rate(taken, rate)
    if kind == "replay":
        return ReplaySource(taken, channels=names, speed=speed)
    return PlaybackSource(
        taken,
        channels=names,
        rate=rate,
        board=options["board"],
        preset=options["preset"],
        speed=speed,
    )


def _check_rate(taken: Recording, rate: float) -> None:
    """Refuse a recording at another rate before anything starts."""
    if taken.rate != rate:
        raise SourceError(
            f"the recording of {taken.person} is at {taken.rate:g} Hz, the bundle takes "
            f"{rate:g} Hz: resample it, or use a bundle built for {taken.rate:g} Hz"
        )


def _param(text: str) -> tuple[str, str]:
    """``key=value`` -> the two."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise SourceError(
            f"--param takes KEY=VALUE, got {text!r}: such as serial_port=/dev/ttyUSB0"
        )
    return key, value


def _speed(text: str | None) -> float:
    """``max`` is infinity."""
    try:
        speed = math.inf if text == "max" else float(text or 1)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise SourceError(f"--speed takes a number above 0 or max, got {text!r}")
    return speed


def _opening(bundle: Bundle, engine: Engine, source: Source) -> str:
    """Say in one line what is about to run."""
    from bioxedge.runtime import loop

    about, window = bundle.manifest, bundle.manifest.window
    streamed = bundle.windows().rate
    return (
        f"{about.name}: {about.input.modality} {', '.join(about.input.names)} at "
        f"{about.input.rate:g} Hz from {source.name}; windows of {window.length / streamed:g} s "
        f"every {window.hop / streamed:g} s, the first after "
        f"{loop.samples_needed(bundle) / about.input.rate:.1f} s; "
        f"{engine.variant} on {engine.provider}"
    )


def _closing(
    bundle: Bundle, source: Source, tally: Tally, as_json: bool, for_programs: bool
) -> None:
    """Say what was done, or why there was nothing."""
    from bioxedge.runtime import loop

    needed = loop.samples_needed(bundle)
    if as_json:
        summary = {**tally.to_dict(), "source": source.name, "needed_samples": needed}
        click.echo(json.dumps({"summary": summary}, allow_nan=False))
    elif tally.windows:
        click.echo(f"{tally.line()}; {source.name}", err=for_programs)
    else:
        why = (
            f"needs {needed} samples without a long gap, had {tally.samples} "
            f"with {tally.gaps['restarts']} restarts"
        )
        click.echo(f"no window: the first one {why}; {source.name}", err=for_programs)
