"""One command, ``bioxedge``; each verb imports what it needs when it runs."""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bioxedge import __version__
from bioxedge.errors import BioxedgeError, MissingExtraError, SourceError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Engine, Source, Tally
    from bioxedge.signals import Recording

_FOLDER = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="bioxedge")
@click.pass_context
def cli(context: click.Context) -> None:
    """Take what a biosignal model knows on one sensor to another, live on the edge."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


# -- desktop --------------------------------------------------------------------------------


def _on_a_recipe(verb: Any) -> Any:
    """Give a verb what every desktop verb takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON."),
        click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of frozen models."),
        click.option("--device", help="auto, cpu, cuda …, in place of the recipe's."),
        click.option("--seed", type=click.IntRange(min=0), help="In place of the recipe's seed."),
        click.option("--data", type=_FOLDER, help="Directory that holds the recipe's recordings."),
        click.option(
            "--out", required=True, type=_FOLDER, help="Gets report/ and steps/ (bundle/)."
        ),
        click.argument("recipe", type=_FOLDER),
    ):
        verb = option(verb)
    return verb


def _desktop(verb: str, recipe: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Run a verb of the desktop leaf, which is imported now."""
    try:
        building = importlib.import_module("bioxedge.building")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("bioxedge"):
            raise
        raise MissingExtraError(error.name or "torch", "train") from error
    chosen = {key: options.pop(key) for key in ("device", "precision")}
    compute = {key: value for key, value in chosen.items() if value}
    try:
        found = getattr(building, verb)(recipe, out, compute=compute, **options)
    except KeyboardInterrupt:
        click.echo(f"stopped; finished steps are kept in {out / 'steps'}: the same command goes on")
        raise
    if as_json and found is not None:
        click.echo(json.dumps(found.to_dict()))


@cli.command()
@_on_a_recipe
def build(**options: Any) -> None:
    """Build a bundle from a recipe (needs the [train] extra).

    Finished steps are kept below OUT/steps: what was stopped goes on from there. With
    torchrun, several processes share the work.
    """
    _desktop("build", **options)


@cli.command()
@_on_a_recipe
def positions(**options: Any) -> None:
    """Score every place that a recipe's bridge can have, and count what it costs.

    Writes OUT/report/positions.json and a picture; its steps serve a later build.
    """
    _desktop("survey", **options)


@cli.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the cards as one JSON object.")
def models(name: str | None, as_json: bool) -> None:
    """List the foundation models: sensor, rate, sizes, licence, where their weights are.

    With NAME, all that is known of one of them.
    """
    from bioxedge.models.cards import CARDS, card
    from bioxedge.models.listing import details, summary

    chosen = list(CARDS.values()) if name is None else [card(name)]
    if as_json:
        click.echo(json.dumps({"models": [each.to_dict() for each in chosen]}))
    elif name is None:
        click.echo("\n\n".join("\n".join(summary(each)) for each in chosen))
        click.echo("\nall of one: bioxedge models NAME")
    else:
        click.echo("\n".join(details(chosen[0])))


# -- device ---------------------------------------------------------------------------------


@cli.command()
@click.argument("bundle", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def verify(bundle: Path, as_json: bool) -> None:
    """Prove a bundle on this machine: files, stages, model."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import verify as prove

    report = prove(Bundle.open(bundle))
    click.echo(json.dumps(report.to_dict()) if as_json else "\n".join(report.lines()))


@cli.command()
@click.argument("bundle", type=_FOLDER)
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


# -- the entry point --------------------------------------------------------------------------


def main() -> None:
    """Run the command; what can be expected to fail is one line on standard error.

    Exit codes: 0 done, 2 an error that the line explains, 130 interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without block characters
    try:
        sys.exit(_run(sys.argv[1:]))
    except BrokenPipeError:
        # Whoever read us has seen enough; Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    try:
        # Not cli.main(): it would print usage banners and turn a closed pipe into exit 1.
        with cli.make_context("bioxedge", arguments) as context:
            cli.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "bioxedge"
        return _fail(f"{error.format_message().rstrip('.')}; see {where} --help")
    except BioxedgeError as error:
        return _fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}; check the path, its permissions and space")


def _fail(message: str) -> int:
    """Print one line that names the cure."""
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
