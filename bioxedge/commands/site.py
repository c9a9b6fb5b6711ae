"""``bioxedge run --config``: several runs at once, from a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from bioxedge.commands.shared import say
from bioxedge.commands.sitefile import (
    RunTable,
    SiteError,
    SiteFile,
    place_sink,
    place_source,
    read,
    require_rate,
)
from bioxedge.commands.sources import Asked
from bioxedge.errors import BioxedgeError

if TYPE_CHECKING:
    from bioxedge.bundle import Bundle
    from bioxedge.runtime.page import Page
    from bioxedge.runtime.sinks import BaseSink
    from bioxedge.runtime.site import Job
    from bioxedge.runtime.tee import Tee
    from bioxedge.runtime.wearers import Wearer


def run_site(path: Path, *, as_json: bool) -> None:
    """Run all that a file says, until it ends or is told to.

    Raises
    ------
    BioxedgeError
        Something that can be known before anything starts; or, at the end, runs that are down.
    """
    from bioxedge.runtime.host import return_at_once

    return_at_once()
    file = read(path)
    folder = path.absolute().parent
    page = _page(file, folder)
    with ExitStack() as kept:
        _run(file, folder, page, as_json, kept)


def _run(file: SiteFile, folder: Path, page: Page | None, as_json: bool, kept: ExitStack) -> None:
    """Run all of them; what is learnt of wearers is kept at the end of it."""
    from bioxedge.runtime.site import Site

    jobs, bundles, wearers = _jobs(file, folder, page, as_json, kept)
    site = Site(jobs, lambda text: say(text, err=True))
    with told_to_end():
        try:
            for job in jobs:
                said = opening(bundles[job.name], job.stream.engine, job.source)
                say(f"{job.name}: {said}", err=as_json)
                if said := learning(bundles[job.name].manifest, wearers[job.name]):
                    say(f"{job.name}: {said}", err=as_json)
            site.run()
        finally:
            error = sys.exc_info()[1]
            for job in jobs:
                _close(job, bundles[job.name], as_json)
    down = [f"{job.name}: {job.error}" for job in jobs if job.error]
    if down and error is None:
        raise SiteError("; ".join(down))


def _close(job: Job, bundle: Bundle, as_json: bool) -> None:
    """Say what one run did."""
    closing(bundle, job.source, job.outputs, job.tally, as_json, as_json, name=job.name)
    if job.failures:
        times = "once" if job.failures == 1 else f"{job.failures} times"
        say(f"{job.name} failed {times}", err=True)


def _page(file: SiteFile, folder: Path) -> Page | None:
    if file.page is None:
        return None
    from bioxedge.runtime.page import Page
    from bioxedge.runtime.page.access import read_token

    token = file.page.token
    return Page(
        file.page.host, file.page.port, None if token is None else read_token(folder / token)
    )


def _jobs(
    file: SiteFile, folder: Path, page: Page | None, as_json: bool, kept: ExitStack
) -> tuple[list[Job], dict[str, Bundle], dict[str, Wearer | None]]:
    """Make every run, checked as far as it can be before anything starts."""
    from bioxedge.bundle import Bundle
    from bioxedge.runtime import Stream, loop
    from bioxedge.runtime.site import Job

    opened: dict[str, Bundle] = {}
    changed: dict[str, dict[str, str]] = {}
    wearers: dict[str, Wearer | None] = {}
    for name, _, table in file.expanded():
        with _of(name):
            quality = [f"{key}={_plain(value)}" for key, value in table.quality.items()]
            opened[name], changed[name] = with_quality(Bundle.open(folder / table.bundle), quality)
    tees = {source: _acquire(source, file, folder, opened) for source in file.sources}
    _apart(file, folder)
    jobs = []
    for name, source, table in file.expanded():
        with _of(name):
            manifest = opened[name].manifest
            tee, live = tees[source]
            view = tee.view(manifest.input.names, name)
            unchecked = {
                "sensor": check_sensor(manifest, view, table.accept_sensor),
                "unit": check_units(manifest, view),
            }
            engine, _ = choose_engine(opened[name], table.variant, table.threads, table.provider)
            who = None if table.wearer is None else table.wearer.replace("{run}", name)
            wearers[name] = known = wearer_of(manifest, who, anew=False)
            if known is not None:
                kept.enter_context(known)
            stream = Stream(opened[name], engine=engine, wearer=known)
            info = loop.about(view, stream)
            said = {key: text for key, text in unchecked.items() if text}
            jobs.append(
                Job(
                    name,
                    view,
                    stream,
                    _sinks(name, table, folder, page, as_json),
                    replace(info, name=name, checks={**info.checks, **changed[name], **said}),
                    late=table.late or ("latest" if live else "all"),
                    seconds=table.seconds,
                )
            )
    return jobs, opened, wearers


def _acquire(
    name: str, file: SiteFile, folder: Path, opened: dict[str, Bundle]
) -> tuple[Tee, bool]:
    """Make one source with all the channels that its bundles take."""
    from bioxedge.runtime import Recorded
    from bioxedge.runtime.sources.wanted import Wanted
    from bioxedge.runtime.tee import Tee

    table = file.sources[name]
    inputs = [opened[run].manifest.input for run, source, _ in file.expanded() if source == name]
    for one in inputs[1:]:
        require_rate(inputs[0].rate, one.rate, name)
    units: dict[str, str] = {}
    for one in inputs:
        for channel in one.channels:
            units.setdefault(channel.name, channel.unit)
    modality = inputs[0].modality
    wanted = Wanted(tuple(units), inputs[0].rate, tuple(units.values()), modality)
    try:
        asked = Asked.parse(place_source(table.source, folder), table.given())
        scales = [f"{channel}={gain!r}" for channel, gain in table.scale.items()]
        source = asked.make(wanted, scales=scales, faults=table.faults)
    except BioxedgeError as error:
        raise SiteError(f"source {name}: {error}") from error
    if table.record is not None:
        source = Recorded(source, folder / table.record, person=table.person, modality=modality)
    return Tee(source), asked.live


def _sinks(
    name: str, table: RunTable, folder: Path, page: Page | None, as_json: bool
) -> Callable[[], list[BaseSink]]:
    """Give what makes a run's sinks; they are made once here, to know that they can be."""
    from bioxedge.runtime import TerminalSink, make_sink

    texts = [place_sink(text, folder, name) for text in table.sinks]

    def make() -> list[BaseSink]:
        made: list[BaseSink] = []
        for text in texts:
            if as_json and text == "terminal":  # standard output is for the summaries
                made.append(TerminalSink(sys.stderr))
                continue
            to_file = text.startswith("jsonl:")
            rotate = table.rotate if to_file else None
            made.append(make_sink(text, rotate=rotate, client_id=table.client_id))
        return made + ([] if page is None else [page.sink()])

    make()
    return make


def _apart(file: SiteFile, folder: Path) -> None:
    """Refuse two runs that would write one file, or be one device to a broker."""
    files: dict[str, str] = {}
    for name, one in file.sources.items():
        if one.record is not None:
            place = f"record {(folder / one.record).resolve()}"
            if place in files:
                raise SiteError(f"sources {files[place]} and {name} both have {place}: name two")
            files[place] = name
    for name, _, table in file.expanded():
        for text in table.sinks:
            with _of(name):
                placed = place_sink(text, folder, name)
            kind, _, rest = placed.partition(":")
            if kind == "mqtt" and table.client_id is not None:
                placed = f"client_id={table.client_id}"
            elif kind == "jsonl":
                placed = f"jsonl:{Path(rest).resolve()}"
            elif kind != "lsl" or not rest:
                continue
            if placed in files:
                raise SiteError(
                    f"runs {files[placed]} and {name} both have {placed}: put {{run}} into it, "
                    "which stands for the run's name"
                )
            files[placed] = name


class _of:  # noqa: N801
    """Says which run an error is about."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Name the run."""
        if isinstance(error, BioxedgeError) and not isinstance(error, SiteError):
            raise SiteError(f"run {self._name}: {error}") from error


def _plain(value: float | str | list[str]) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
