"""What a run is made of and says at its ends, whoever starts it: a command or a site."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bioxedge.commands.shared import pair, say
from bioxedge.errors import BundleError, ManifestError, MissingExtraError, StorageError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.manifest import Manifest
    from bioxedge.runtime import Engine, Source, Tally
    from bioxedge.runtime.sinks import BaseSink
    from bioxedge.runtime.wearers import Wearer


def with_quality(bundle: Bundle, changes: Sequence[str]) -> tuple[Bundle, dict[str, str]]:
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


def choose_engine(
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
        golden = bundle.golden
        beside = None if golden.beside is None else golden.beside[0]
        engine.hold_to(golden.windows[0], golden.answers[0], beside)
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


def wearer_of(about: Manifest, name: str | None, anew: bool) -> Wearer | None:
    """Open what is known of a wearer; None where nobody is named."""
    from bioxedge.runtime.wearers import Wearer

    if name is None:
        if anew:
            raise StorageError("--anew forgets what is known of a wearer: name one with --wearer")
        return None
    return Wearer(name, about, anew=anew)


def learning(about: Manifest, wearer: Wearer | None) -> str:
    """Say in one line what a baseline knows as a run begins; empty where there is none."""
    from bioxedge import dsp

    if about.features is None or about.features.baseline is None:
        return ""
    needed = about.features.baseline.settle
    seen = 0 if wearer is None or wearer.known is None else wearer.known.windows
    who = "the wearer" if wearer is None else wearer.name
    if seen >= needed:
        return f"{seen} windows of {who} are known: labels from the first window on"
    hop = about.window.hop / dsp.Stages(about.stream.stages, about.input).rate
    minutes = (needed - seen) * hop / 60
    kept = "" if wearer else "; with --wearer NAME the next run would go on from there"
    return f"{who} is learnt first, for {minutes:.1f} min, without labels{kept}"


def opening(bundle: Bundle, engine: Engine, source: Source) -> str:
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


def closing(
    bundle: Bundle,
    source: Source,
    outputs: Sequence[BaseSink],
    tally: Tally,
    as_json: bool,
    for_programs: bool,
    name: str = "",
) -> None:
    """Say what was done, or why there was nothing; of a run with a name, its name."""
    from bioxedge.runtime import Recorded, loop

    for one in outputs:
        if one.cut:
            say(
                f"{one.name} ended in half a line of a run that was killed: {one.cut} bytes were "
                "cut away",
                err=True,
            )
        if one.note:
            say(one.note, err=True)
    if isinstance(source, Recorded):
        say(source.progress.line(), err=True)
    # Where a sink is stuck in standard output, so would we be.
    blocked = any(one.stuck for one in outputs)
    needed = loop.samples_needed(bundle)
    run = f"{name}: " if name else ""
    if as_json:
        summary = {
            **({"run": name} if name else {}),
            **tally.to_dict(),
            "source": source.name,
            "needed_samples": needed,
        }
        text = json.dumps({"kind": "summary", "summary": summary}, allow_nan=False)
        say(text, err=blocked)
    elif tally.windows:
        say(f"{run}{tally.line()}; {source.name}", err=for_programs or blocked)
    else:
        why = (
            f"needs {needed} samples without a long gap, had {tally.samples} "
            f"with {tally.gaps['restarts']} restarts"
        )
        say(f"{run}no window: the first one {why}; {source.name}", err=for_programs or blocked)
