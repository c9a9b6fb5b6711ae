"""What a bench measures: the bundle; and whether an earlier report is of the same."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from bioxedge.bundle import Bundle
from bioxedge.errors import BundleError
from bioxedge.measuring import results
from bioxedge.measuring.machine import Machine


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
    files = [*(part.bytes for part in manifest.model.values()), manifest.golden.bytes]
    own = (bundle.path / "manifest.json").stat().st_size
    return results.Bundled(
        name=manifest.name, digest=manifest.digest, hop=manifest.window.hop / rate,
        window=manifest.window.length / rate, bytes=sum(files) + own, models=models,
    )  # fmt: skip


def earlier(out: Path, here: results.Report) -> results.Report | None:
    """Give the report in a directory, where it is of the same bundle, machine and options."""
    try:
        found = results.load(out / results.FILE)
    except BundleError:
        return None
    same = _key(found.machine) == _key(here.machine) and found.bundle.digest == here.bundle.digest
    asked, had = here.options, found.options
    fits = (asked.windows, asked.restarts) == (had.windows, had.restarts)
    return found if same and fits else None


def _key(one: Machine) -> tuple[object, ...]:
    return (one.board, one.cpu, one.cores, one.kernel, one.governor, one.python, one.versions)


def now() -> str:
    """Give the time (UTC)."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
