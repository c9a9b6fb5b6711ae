"""``bioxedge run``: live predictions, from a sensor or a recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bioxedge.commands.ending import told_to_end
from bioxedge.commands.shared import FOLDER, pair, say
from bioxedge.commands.sources import Asked, check_sensor
from bioxedge.errors import BundleError, ManifestError, MissingExtraError, SinkError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine, JsonLinesSink, Source, Tally, TerminalSink


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
    "--scale", "scales", multiple=True, metavar="CHANNEL=GAIN", help="Multiply what comes in."
)
@click.option(
    "--accept-sensor", metavar="NAME", help="Take another sensor than the bundle was made for."
)
@click.option(
    "--quality", multiple=True, metavar="KEY=VALUE", help="A threshold of the bundle's, changed."
)
@click.option(
    "--reconnect/--no-reconnect",
    default=None,
    help="Wait for a board that is lost and start it again; on if left out.",
)
@click.option(
    "--late",
    type=click.Choice(["latest", "all"]),
    help="Where the model cannot keep up: the latest window (a board) or all (a recording).",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Of signal, then stop."
)
@click.option("--sink", "sinks", multiple=True, metavar="SINK", help="terminal or jsonl[:PATH].")
@click.option("--rotate", metavar="SIZE|day", help="Begin a new file: 100MB, or every day (UTC).")
@click.option("--variant", help="Of the model; see below.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the model; see below.")
@click.option(
    "--provider", metavar="NAME", help="cpu, cuda, tensorrt, xnnpack, openvino or openvino-bf16."
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, then a summary object.")
def run(
    bundle: Path,
    source: str,
    preset: str | None,
    params: tuple[str, ...],
    config: tuple[str, ...],
    board: str | None,
    speed: str | None,
    scales: tuple[str, ...],
    accept_sensor: str | None,
    quality: tuple[str, ...],
    reconnect: bool | None,
    late: str | None,
    seconds: float | None,
    sinks: tuple[str, ...],
    rotate: str | None,
    variant: str | None,
    threads: int | None,
    provider: str | None,
    as_json: bool,
) -> None:
    """Predict live, from a sensor or a recording.

    The model runs as bioxedge bench found it the fastest on this machine, or, where it has not
    been here, as fp32 on one thread of the processor. Any of --variant, --threads and --provider
    sets that choice aside, all of it.
    """
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Stream, Tally, loop, make_sink
    from bioxedge.runtime.host import return_at_once

    return_at_once()
    names = sinks or (("jsonl",) if as_json else ("terminal",))
    outputs = [make_sink(text, rotate=rotate) for text in names]
    if rotate and all(not one.to_file for one in outputs):
        raise SinkError("--rotate means nothing without a file: add --sink jsonl:PATH")
    asked = Asked.parse(
        source,
        {
            "--preset": preset, "--param": params, "--config": config, "--board": board,
            "--speed": speed, "--reconnect": reconnect, "--accept-sensor": accept_sensor,
        },
    )  # fmt: skip
    opened, changed = _with_quality(Bundle.open(bundle), quality)
    made = asked.make(opened.manifest, scales)
    unchecked = check_sensor(opened.manifest, made, accept_sensor)
    engine, why = _engine(opened, variant, threads, provider)
    stream = Stream(opened, engine=engine)
    info = loop.about(made, stream)
    checks = {**info.checks, **changed, **({"sensor": unchecked} if unchecked else {})}
    # Where standard output carries JSON, what is for people goes to standard error.
    for_programs = as_json or any(one.to_stdout for one in outputs)
    tally = Tally()
    with told_to_end():
        try:
            say(_opening(opened, engine, made) + why, err=for_programs)
            loop.run(
                made,
                stream,
                outputs,
                info=replace(info, checks=checks),
                seconds=seconds,
                late="all" if late == "all" or (late is None and not asked.live) else "latest",
                tally=tally,
            )
        finally:
            error = sys.exc_info()[1]
            if error is None or tally.samples:  # what never began needs no summary
                try:
                    _closing(opened, made, outputs, tally, as_json, for_programs)
                    if isinstance(error, KeyboardInterrupt):  # its code says nothing of sinks
                        for failure in tally.failures:
                            say(f"error: {failure}", err=True)
                except SinkError:
                    if error is None:  # else the first one is told
                        raise


def _with_quality(bundle: Bundle, changes: Sequence[str]) -> tuple[Bundle, dict[str, str]]:
    """Change thresholds of the bundle for this run; give what to note of that, too."""
    import msgspec

    from bioxedge.spec import QualitySpec

    if not changes:
        return bundle, {}
    fields = msgspec.to_builtins(bundle.manifest.quality or QualitySpec())
    for text in changes:
        key, value = pair("--quality", text, "min_real=0.3")
        if key not in fields:
            raise ManifestError(f"there is no threshold {key!r}: there are {', '.join(fields)}")
        fields[key] = value.split(",") if isinstance(fields[key], list | tuple) else value
    try:
        quality = msgspec.convert(fields, QualitySpec, strict=False)
    except msgspec.ValidationError as error:
        raise ManifestError(f"--quality {' '.join(changes)}: {error}") from error
    manifest = msgspec.structs.replace(bundle.manifest, quality=quality)
    return replace(bundle, manifest=manifest), {"quality": f"changed: {', '.join(changes)}"}


def _engine(
    bundle: Bundle, variant: str | None, threads: int | None, provider: str | None
) -> tuple[Engine, str]:
    """Make what was asked for, or what a bench chose here, or fp32; tell what to say of that.

    What was asked for and cannot be run is an error. What was chosen and cannot be run any more
    (a library was changed, a core taken away) must not stop a device: fp32 runs, and it is said.
    """
    from bioxedge.runtime import Engine
    from bioxedge.runtime.choice import load

    if variant or threads or provider:
        return Engine(bundle, variant, threads or 1, [provider] if provider else None), ""
    best = load(bundle.manifest)
    if best is None:
        return Engine(bundle), ""
    try:
        engine = Engine(bundle, best.variant, best.threads, [best.provider])
        engine.hold_to(bundle.golden.windows[0], bundle.golden.probabilities[0])
    except (BundleError, MissingExtraError) as error:
        say(
            f"{best.variant} on {best.provider} with {best.threads} threads, as bioxedge bench "
            f"chose on {best.made}, cannot be run: {error}; so fp32 runs on one thread",
            err=True,
        )
        return Engine(bundle), ""
    return engine, (
        f", the fastest of bioxedge bench on this machine ({best.milliseconds:.3g} ms on "
        f"{best.made})"
    )


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
        f"{engine.variant} on {engine.provider}, {engine.threads} "
        f"thread{'s' if engine.threads > 1 else ''}"
    )


def _closing(
    bundle: Bundle,
    source: Source,
    outputs: Sequence[JsonLinesSink | TerminalSink],
    tally: Tally,
    as_json: bool,
    for_programs: bool,
) -> None:
    """Say what was done, or why there was nothing."""
    from bioxedge.runtime import loop

    for one in outputs:
        if one.cut:
            say(
                f"{one.name} ended in half a line of a run that was killed: {one.cut} bytes were "
                "cut away",
                err=True,
            )
    # Where a sink is stuck in standard output, so would we be.
    blocked = any(one.stuck for one in outputs)
    needed = loop.samples_needed(bundle)
    if as_json:
        summary = {**tally.to_dict(), "source": source.name, "needed_samples": needed}
        text = json.dumps({"kind": "summary", "summary": summary}, allow_nan=False)
        say(text, err=blocked)
    elif tally.windows:
        say(f"{tally.line()}; {source.name}", err=for_programs or blocked)
    else:
        why = (
            f"needs {needed} samples without a long gap, had {tally.samples} "
            f"with {tally.gaps['restarts']} restarts"
        )
        say(f"no window: the first one {why}; {source.name}", err=for_programs or blocked)
