"""The bench: which cells there are, in which order they are measured, and what comes of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError
from bioxedge.measuring import results
from bioxedge.measuring.about import Earlier, about, now
from bioxedge.measuring.cells import cells
from bioxedge.measuring.choosing import choose, fastest
from bioxedge.measuring.energy import NONE, Meter, meter
from bioxedge.measuring.machine import machine
from bioxedge.measuring.readings import Watch
from bioxedge.measuring.results import Absent, Cell, ClosedRun, Inside, Open, OpenRun, Options
from bioxedge.measuring.summing import joules, sum_up, sum_up_open
from bioxedge.measuring.tasks import ChildError, Closed, Kind, Opened, Parts, Proven, Task, ask

IDLE, QUICK_IDLE = 5.0, 1.0  # seconds of rest that idle power is the mean of
PROFILED = 100  # windows
# An open loop of a bundle whose hop is long is run faster, but never so fast that the engine is
# busy for more than a quarter of the time, and never faster than this.
SHORTEST = 0.05

Say = Callable[[str, int, int], None]
"""Is told what is measured now, how many steps are done, and how many there are."""


class Bench:
    """One bench of one bundle, step by step; :attr:`report` is what was found so far.

    Parameters
    ----------
    bundle : Bundle
    options : Options
    threads, variants, providers : sequences
        What to sweep.
    out : Path
        Directory that gets the report.
    command : str
        What was typed.
    keep : bool
        Whether the fastest cell is kept for ``bioxedge run``.
    again : bool
        Measure also what an earlier report in ``out`` holds.
    say : callable
    """

    def __init__(
        self,
        bundle: Bundle,
        options: Options,
        *,
        threads: Sequence[int],
        variants: Sequence[str],
        providers: Sequence[str],
        out: Path,
        command: str,
        keep: bool = True,
        again: bool = False,
        say: Say = lambda what, done, total: None,
    ) -> None:
        self._bundle, self._options, self._out, self._say = bundle, options, out, say
        self._keep = keep
        self._wanted, misfits = cells(bundle.manifest, variants, providers, threads)
        self._meter: Meter | None = meter()
        self._done = 0
        self.report = results.Report(
            command=command,
            began=now(),
            machine=machine(),
            bundle=about(bundle),
            options=options,
            energy=results.Energy(meter=self._meter.name if self._meter else NONE),
        )
        self.report.absent += misfits
        self._before = Earlier(None if again else out, self.report)

    def run(self) -> results.Report:
        """Measure everything, and keep it as it comes.

        Raises
        ------
        BundleError
            Nothing of what was asked for runs here.
        """
        self._idle()
        self._prove()
        if not self.report.cells:
            why = "; ".join(sorted({one.why for one in self.report.absent}))
            raise BundleError(f"nothing can be measured here: {why}")
        for _ in range(self._options.restarts):
            for cell in list(self.report.cells):  # in turns: no cell has the warmer machine
                self._closed(cell)
        best = fastest(self.report.cells)
        if best is None:
            raise BundleError(f"nothing ran here: {self.report.absent[-1].why}")
        self._inside()
        self._open(best)
        if self._options.soak_minutes:
            self._soak(best)
        self.report.complete = True
        self.report.choice = choose(self.report, self._bundle.manifest, keep=self._keep)
        self.report.ended = now()
        self._write()
        return self.report

    # -- the steps ------------------------------------------------------------------------

    def _idle(self) -> None:
        if self._meter is None:
            return
        self._tell("power at rest")
        with self._watch() as watch:
            time.sleep(QUICK_IDLE if self._options.quick else IDLE)
        self.report.energy = results.Energy(
            meter=self._meter.name, idle_watts=watch.seen.watts if watch.seen else None
        )

    def _prove(self) -> None:
        """Hold every variant on every provider to the golden answers; plan what passes."""
        proofs = self._before.proofs()
        for variant, provider, threads in self._wanted:
            why = self._impossible(provider, threads)
            if why is None and (variant, provider) not in proofs:
                self._tell(f"proof of {variant} on {provider}")
                try:
                    found = ask(self._task("prove", variant, threads, provider), Proven)
                except ChildError as error:
                    found = Proven(passed=False, why=str(error))
                proofs[variant, provider] = found
            proven = proofs.get((variant, provider))
            if why is None and proven is not None and proven.passed:
                precision = self.report.bundle.models[variant].precision
                cell = Cell(
                    variant=variant, precision=precision, threads=threads, provider=provider,
                    proven=proven,
                )  # fmt: skip
                cell.runs = self._before.runs(cell)[: self._options.restarts]
                sum_up(cell, self.report.energy)
                self.report.cells.append(cell)
            else:
                said = why or (proven.why if proven else None) or "not proven"
                self.report.absent.append(
                    Absent(variant=variant, threads=threads, provider=provider, why=said)
                )

    def _impossible(self, provider: str, threads: int) -> str | None:
        cores = self.report.machine.cores
        if threads > cores:
            return f"{results.threads(threads)}: this process may use {cores} processors"
        if provider in ("cuda", "tensorrt") and threads > 1:
            return f"{provider} does not run on threads of the processor: measured with 1"
        return None

    def _closed(self, cell: Cell) -> None:
        """Measure one process of a cell, unless it is known."""
        if len(cell.runs) >= self._options.restarts:
            self._tell(f"{cell.name}: known")
            return
        self._tell(f"{cell.name}, process {len(cell.runs) + 1} of {self._options.restarts}")
        task = self._task("closed", cell.variant, cell.threads, cell.provider)
        try:
            with self._watch() as watch:
                result = ask(task, Closed)
        except ChildError as error:  # that one crashes says nothing of the others
            self.report.cells.remove(cell)
            self.report.absent.append(
                Absent(
                    variant=cell.variant, threads=cell.threads, provider=cell.provider,
                    why=str(error),
                )
            )  # fmt: skip
            return
        assert watch.seen is not None
        cell.runs.append(ClosedRun(result=result, watched=watch.seen))
        sum_up(cell, self.report.energy)
        self._write()

    def _inside(self) -> None:
        """Profile the fastest cell of each variant."""
        for variant in dict.fromkeys(cell.variant for cell in self.report.cells):
            cell = fastest([one for one in self.report.cells if one.variant == variant])
            if cell is None:
                continue
            found = self._before.inside(cell)
            if found is None:
                self._tell(f"inside {cell.name}")
                found = self._profile(cell)
            self.report.parts.append(found)

    def _profile(self, cell: Cell) -> Inside:
        task = self._task("parts", cell.variant, cell.threads, cell.provider, windows=PROFILED)
        try:
            found = ask(task, Parts)
        except ChildError as error:
            found = Parts(ms={}, by_position=0.0, windows=0, why=str(error))
        return Inside(
            variant=cell.variant, threads=cell.threads, provider=cell.provider, parts=found
        )

    def _open(self, cell: Cell) -> None:
        """Run the open loop of the fastest cell."""
        real = self.report.bundle.hop
        hop = self._options.hop or min(real, max(round(4e-3 * (cell.median or 0.0), 3), SHORTEST))
        loop = Open(
            variant=cell.variant, threads=cell.threads, provider=cell.provider,
            hop=hop, hop_is_real=abs(hop - real) < 1e-9,
        )  # fmt: skip
        loop = self._before.open(loop, any_hop=self._options.hop is None)
        self.report.open, hop = loop, loop.hop
        for number in range(len(loop.runs), self._options.restarts):
            self._tell(
                f"open loop of {cell.name}, a window every {hop:g} s, process {number + 1} of "
                f"{self._options.restarts}"
            )
            task = self._task("open", cell.variant, cell.threads, cell.provider, hop=hop)
            with self._watch() as watch:
                result = ask(task, Opened)
            assert watch.seen is not None
            loop.runs.append(OpenRun(result=result, watched=watch.seen))
            sum_up_open(loop)
            self._write()

    def _soak(self, cell: Cell) -> None:
        """Ask without a pause for minutes."""
        minutes = self._options.soak_minutes
        self.report.soak = soak = results.Soak(
            variant=cell.variant, threads=cell.threads, provider=cell.provider, minutes=minutes
        )
        self._tell(f"soak of {cell.name}, {minutes:g} minutes")
        task = self._task("soak", cell.variant, cell.threads, cell.provider, seconds=60 * minutes)

        def hear(now: dict[str, object]) -> None:
            soak.seconds.append(_second(now))

        watch = self._watch()
        try:
            with watch:
                ask(task, Closed, line=hear)
        finally:
            if watch.seen is not None:
                soak.readings, soak.invalid = watch.seen.readings, watch.seen.invalid
                count = sum(second.windows for second in soak.seconds)
                soak.joules = joules(watch.seen, self.report.energy, watch.seen.seconds, count)

    # -- what is common to them -------------------------------------------------------------

    def _task(
        self,
        kind: Kind,
        variant: str,
        threads: int,
        provider: str,
        *,
        windows: int | None = None,
        hop: float = 0.0,
        seconds: float = 0.0,
    ) -> Task:
        each = -(-self._options.windows // self._options.restarts)
        return Task(
            kind=kind, bundle=str(self._bundle.path.resolve()), variant=variant, threads=threads,
            provider=provider, windows=each if windows is None else windows, hop=hop,
            seconds=seconds,
        )  # fmt: skip

    def _watch(self) -> Watch:
        return Watch(busy=self._options.busy, meter=self._meter)

    def _tell(self, what: str) -> None:
        restarts = self._options.restarts
        variants = len({cell.variant for cell in self.report.cells})
        total = len(self._wanted) + len(self.report.cells) * restarts + variants + restarts
        self._say(what, self._done, max(total, self._done + 1))
        self._done += 1

    def _write(self) -> None:
        self.report.settle()
        results.write(self._out / results.FILE, results.dump(self.report))


def _second(now: dict[str, object]) -> results.Second:
    said = msgspec.convert(now, _Said)
    return results.Second(
        t=said.t, windows=len(said.ms), p50=statistics.median(said.ms), most=max(said.ms)
    )


class _Said(msgspec.Struct):
    t: float
    ms: list[float]
