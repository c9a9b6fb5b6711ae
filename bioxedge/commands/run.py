"""``bioxedge run``: live predictions, from a sensor or a recording."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bioxedge.commands.ending import told_to_end
from bioxedge.commands.fitting import check_sensor, check_units
from bioxedge.commands.running import (
    choose_engine,
    closing,
    learning,
    opening,
    wearer_of,
    with_quality,
)
from bioxedge.commands.shared import FOLDER, pair, say
from bioxedge.commands.sources import Asked
from bioxedge.errors import SinkError


@click.command()
@click.argument("bundle", type=FOLDER, required=False)
@click.option("--source", metavar="KIND:WHAT", help="A sensor or what stands for one; see below.")
@click.option(
    "--preset", help="default, auxiliary or ancillary; found by the channels if left out."
)
@click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="For BrainFlow.")
@click.option("--command", multiple=True, metavar="TEXT", help="Sent to the board at start.")
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
@click.option("--faults", metavar="TEXT", help="Let a live source fail: loss:64@20s,stall:5s@60s.")
@click.option("--record", type=FOLDER, metavar="DIR", help="Record what comes in, too.")
@click.option("--person", default="", help="Whose recording it is.")
@click.option("--wearer", metavar="NAME", help="Whose baseline is used and learnt; kept here.")
@click.option("--anew", is_flag=True, help="Forget what was known of the wearer.")
@click.option("--sink", "sinks", multiple=True, metavar="SINK", help="Where to; see below.")
@click.option("--rotate", metavar="SIZE|day", help="Begin a new file: 100MB, or every day (UTC).")
@click.option("--client-id", metavar="NAME", help="What a broker knows this device by.")
@click.option("--page", metavar="[HOST:]PORT", help="Show it in a browser, on this machine.")
@click.option(
    "--page-token", metavar="FILE", type=FOLDER, help="A file whose first line opens the page."
)
@click.option("--variant", help="Of the model; see below.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the model; see below.")
@click.option(
    "--provider", metavar="NAME", help="cpu, cuda, tensorrt, xnnpack, openvino or openvino-bf16."
)
@click.option(
    "--config", type=FOLDER, metavar="FILE", help="Several runs, from a TOML file (docs/site.md)."
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, then a summary object.")
def run(config: Path | None, as_json: bool, **options: Any) -> None:
    """Predict live, from a sensor or a recording.

    \b
    --source  brainflow:BOARD    a board, by BrainFlow's name (bioxedge boards)
              lsl:NAME           a stream of the Lab Streaming Layer
              synthetic:ppg      a simulated wearer
              replay:FOLDER      a recording, or what --record or bioxedge record wrote
              playback:FOLDER    a recording, through BrainFlow's library
    --sink    terminal           lines to read
              jsonl[:PATH]       lines of JSON (docs/predictions.md)
              lsl[:NAME]         streams of the Lab Streaming Layer (docs/lsl.md)
              mqtt:HOST[:PORT]   a broker (docs/mqtt.md)

    Options of one source or sink go behind it: brainflow:cyton,serial_port=/dev/ttyUSB0.

    The model runs as bioxedge bench found it the fastest on this machine, or, where it has not
    been here, as fp32 on one thread of the processor. Any of --variant, --threads and --provider
    sets that choice aside, all of it.

    A bundle with a baseline learns what is usual for its wearer, and says nothing until it has:
    with --wearer it goes on where it was for that name (bioxedge wearers).
    """  # noqa: D301
    context = click.get_current_context()
    if config is None:
        if options["bundle"] is None:
            raise click.MissingParameter(ctx=context, param_hint="'BUNDLE'", param_type="argument")
        if options["source"] is None:
            raise click.MissingParameter(ctx=context, param_hint="'--source'", param_type="option")
        _run(as_json=as_json, **options)
        return
    given = [name for name, value in options.items() if value not in (None, (), "", False)]
    if given:
        names = ", ".join("BUNDLE" if one == "bundle" else _option(one) for one in given)
        raise click.UsageError(f"{names} beside --config: write it into {config}", context)
    from bioxedge.commands.site import run_site

    run_site(config, as_json=as_json)


def _run(
    bundle: Path,
    source: str,
    scales: tuple[str, ...],
    accept_sensor: str | None,
    quality: tuple[str, ...],
    late: str | None,
    seconds: float | None,
    faults: str | None,
    record: Path | None,
    person: str,
    wearer: str | None,
    anew: bool,
    sinks: tuple[str, ...],
    rotate: str | None,
    client_id: str | None,
    page: str | None,
    page_token: Path | None,
    variant: str | None,
    threads: int | None,
    provider: str | None,
    as_json: bool,
    **of_source: Any,
) -> None:
    """Run one bundle on one source."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Stream, Tally, loop, make_sink
    from bioxedge.runtime.host import return_at_once
    from bioxedge.runtime.sources.wanted import Wanted

    return_at_once()
    names = sinks or (("jsonl",) if as_json else ("terminal",))
    outputs = [make_sink(text, rotate=rotate, client_id=client_id) for text in names]
    if rotate and all(not one.to_file for one in outputs):
        raise SinkError("--rotate means nothing without a file: add --sink jsonl:PATH")
    if page is not None:
        from bioxedge.runtime.page import make_page

        outputs.append(make_page(page, page_token))
    elif page_token is not None:
        raise SinkError("--page-token means nothing without --page PORT")
    asked = Asked.parse(source, _given(**of_source))
    opened, changed = with_quality(Bundle.open(bundle), quality)
    made = asked.make(Wanted.of(opened.manifest), scales=scales, faults=faults)
    unchecked = {
        "sensor": check_sensor(opened.manifest, made, accept_sensor),
        "unit": check_units(opened.manifest, made),
    }
    if record is not None:
        from bioxedge.runtime.record import Recorded

        made = Recorded(made, record, person=person, modality=opened.manifest.input.modality)
    engine, why = choose_engine(opened, variant, threads, provider)
    known = wearer_of(opened.manifest, wearer, anew)
    stream = Stream(opened, engine=engine, wearer=known)
    info = loop.about(made, stream)
    checks = {**info.checks, **changed, **{key: said for key, said in unchecked.items() if said}}
    # Where standard output carries JSON, what is for people goes to standard error.
    for_programs = as_json or any(one.to_stdout for one in outputs)
    tally = Tally()
    with told_to_end(), known or nullcontext():
        try:
            say(opening(opened, engine, made) + why, err=for_programs)
            if said := learning(opened.manifest, known):
                say(said, err=for_programs)
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
                    closing(opened, made, outputs, tally, as_json, for_programs)
                    if isinstance(error, KeyboardInterrupt):  # its code says nothing of sinks
                        for failure in tally.failures:
                            say(f"error: {failure}", err=True)
                except SinkError:
                    if error is None:  # else the first one is told
                        raise


def _given(
    preset: str | None,
    params: tuple[str, ...],
    command: tuple[str, ...],
    board: str | None,
    speed: str | None,
    reconnect: bool | None,
) -> dict[str, str]:
    """Gather what the command line says of the source, as if it stood behind it."""
    given = dict(pair("--param", text, "serial_port=/dev/ttyUSB0") for text in params)
    one = {"preset": preset, "command": ";".join(command), "board": board, "speed": speed}
    given.update({key: value for key, value in one.items() if value})
    if reconnect is not None:
        given["reconnect"] = "yes" if reconnect else "no"
    return given


def _option(name: str) -> str:
    """Write a parameter's name as the option that it comes from."""
    plural = {"params": "param", "scales": "scale", "sinks": "sink"}
    return "--" + plural.get(name, name).replace("_", "-")
