"""What a bench measures: the bundle; and whether an earlier report is of the same."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError
from bioxedge.measuring import results
from bioxedge.measuring.machine import Machine
from bioxedge.measuring.tasks import Proven


def about(bundle: Bundle) -> results.Bundled:
    """Describe a bundle."""
    manifest = bundle.manifest
    rate = bundle.windows().rate
    models = {
        name: results.Model(
            precision=part.precision, sha256=part.sha256, bytes=part.bytes,
            parameters=part.parameters,
        )
        for name, part in manifest.model.items()
    }  # fmt: skip
    files = {part.file: part.bytes for part in manifest.model.values()}  # two may share one
    own = manifest.golden.bytes + (bundle.path / "manifest.json").stat().st_size
    return results.Bundled(
        name=manifest.name, digest=manifest.digest, hop=manifest.window.hop / rate,
        window=manifest.window.length / rate, bytes=sum(files.values()) + own, models=models,
    )  # fmt: skip


class Earlier:
    """What an earlier report in a directory holds that need not be measured again.

    Nothing, where it is of another bundle, machine, software or number of windows. Figures that
    are marked are never taken.
    """

    def __init__(self, out: Path | None, here: results.Report) -> None:
        self._report: results.Report | None = None
        if out is None:
            return
        try:
            found = results.load(out / results.FILE)
        except BundleError:
            return
        asked, had = here.options, found.options
        if (
            _key(found.machine) == _key(here.machine)
            and found.bundle.digest == here.bundle.digest
            and (asked.windows, asked.restarts) == (had.windows, had.restarts)
        ):
            self._report = found

    def proofs(self) -> dict[tuple[str, str], Proven]:
        """What was proven, by variant and provider."""
        cells = self._report.cells if self._report else []
        return {(one.variant, one.provider): one.proven for one in cells}

    def runs(self, cell: results.Cell) -> list[results.ClosedRun]:
        """Processes of a cell that have ended."""
        for old in self._report.cells if self._report else ():
            if _place(old) == _place(cell) and not old.invalid:
                return old.runs
        return []

    def inside(self, cell: results.Cell) -> results.Inside | None:
        """The engine's parts in a cell."""
        for old in self._report.parts if self._report else ():
            if _place(old) == _place(cell) and old.parts.ms:
                return old
        return None

    def open(self, new: results.Open, *, any_hop: bool) -> results.Open:
        """Give the open loop of the same cell at the same hop, or the new one."""
        old = self._report.open if self._report else None
        if old is None or old.invalid or _place(old) != _place(new):
            return new
        return old if any_hop or old.hop == new.hop else new


def _place(one: results.Cell | results.Inside | results.Open) -> tuple[str, int, str]:
    return one.variant, one.threads, one.provider


def _key(one: Machine) -> tuple[object, ...]:
    return (one.board, one.cpu, one.cores, one.kernel, one.governor, one.python, one.versions)


def now() -> str:
    """Give the time (UTC)."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
