"""All checks of a machine, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from bioxedge.measuring import machine
from bioxedge.measuring.doctor import (
    bluetooth,
    bundle,
    clock,
    library,
    power,
    runtime,
    serial,
    storage,
    streaming,
)
from bioxedge.measuring.doctor.finding import Finding, Host

Check = Callable[[Host], Iterable[Finding]]
CHECKS: dict[str, Check] = {
    "runtime": runtime.check,
    "brainflow": library.check,
    "lsl": streaming.check,
    "bluetooth": bluetooth.check,
    "serial": serial.check,
    "power": power.check,
    "clock": clock.check,
    "storage": storage.check,
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on a machine.

    Attributes
    ----------
    machine : Machine
    findings : list of Finding
    """

    machine: machine.Machine
    findings: list[Finding]

    @property
    def problems(self) -> int:
        """How many findings are problems."""
        return self._count("problem")

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {**found, "problems": self.problems}

    def lines(self) -> list[str]:
        """Say it for people: a line for each finding, and one for its cure."""
        it = self.machine
        title = (
            f"{it.board}: {it.cpu}, {it.cores} cores, {it.architecture}, "
            f"{it.memory_bytes / 1e9:.1f} GB, {it.os}"
        )
        counts = [
            f"{number} {state}" for state in ("ok", "warning", "problem", "unknown")
            if (number := self._count(state))
        ]  # fmt: skip
        return [title, "", *_lines(self.findings), "", ", ".join(counts)]

    def _count(self, state: str) -> int:
        return sum(one.state == state for one in self.findings)


def examine(host: Host | None = None, bundle_at: Path | None = None) -> Report:
    """Look at a machine, and at a bundle on it.

    Parameters
    ----------
    host : Host, optional
        This machine if left out.
    bundle_at : Path, optional
        A bundle's directory.

    Returns
    -------
    Report
        Never an exception for what is wrong with the machine.
    """
    looked_at = Host() if host is None else host
    tasks: list[Callable[[], list[Finding]]] = [
        lambda name=name, check=check: _try(name, lambda: check(looked_at))  # type: ignore[misc]
        for name, check in CHECKS.items()
    ]
    if bundle_at is not None:
        tasks.append(lambda: _try("bundle", lambda: bundle.check(bundle_at)))
    # Most of the time is waiting for other processes.
    with ThreadPoolExecutor(len(tasks) + 1) as pool:
        about = pool.submit(machine.machine)
        found = [finding for part in pool.map(lambda task: task(), tasks) for finding in part]
    return Report(machine=about.result(), findings=found)


def _try(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Run a check; what it may not read is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except OSError as error:
        found.append(Finding(check=name, state="unknown", seen=" ".join(str(error).split())))
    return found


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max((len(one.check) for one in findings), default=0)
    for one in findings:
        wanted = f" (wanted: {one.wanted})" if one.wanted and one.state != "ok" else ""
        yield f"{one.state:<8} {one.check:<{width}}  {one.seen}{wanted}"
        if one.cure:
            yield f"{'':<8} {'':<{width}}  -> {one.cure}"
